//! What a link in a mail may be used for, once, and for how long.

use jiff::SignedDuration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    VerifyEmail,
    ResetPassword,
    AcceptInvitation,
}

impl Purpose {
    pub fn lifetime(self) -> SignedDuration {
        SignedDuration::from_hours(match self {
            Self::VerifyEmail => 24,
            Self::ResetPassword => 1,
            Self::AcceptInvitation => 7 * 24,
        })
    }

    /// The page of the link, below the public URL.
    pub fn page(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify-email",
            Self::ResetPassword => "reset-password",
            Self::AcceptInvitation => "accept-invitation",
        }
    }
}
