//! What the mails say. The words are in `templates/`: each letter once as plain text and once as HTML.

use askama::Template;
use shared::models::one_time_token::Purpose;
use shared::{Context, Result};

/// A mail before it has an address. `name` is how to address the reader, `link` what to open.
///
/// There is no `Debug`, because a link may let whoever reads it into an account.
pub enum Letter {
    /// Asks to confirm an e-mail address.
    Verification { name: String, link: String },
    /// Greets somebody whose account is ready. The link is the public URL.
    Welcome { name: String, link: String },
    /// Holds the link to set a new password.
    PasswordReset { name: String, link: String },
    /// Invites somebody whose account somebody else has made.
    Invitation { name: String, link: String },
    /// Goes to the address of an account for which somebody has asked for another.
    EmailChangeAsked { name: String, new_address: String },
    /// Goes to the old address of an account that has another now.
    EmailChanged { name: String, new_address: String },
    /// Goes to a user whom a provider can log in from now on.
    LoginLinked { name: String, provider: String },
    /// Says what was ordered, and what it costs.
    OrderConfirmation(OrderConfirmation),
}

/// An order as its letter shows it. Each amount is a formatted number without its currency.
pub struct OrderConfirmation {
    pub name: String,
    pub order_id: String,
    pub lines: Vec<OrderLine>,
    pub subtotal: String,
    pub tax: String,
    pub total: String,
    /// The ISO 4217 code.
    pub currency: String,
    pub link: String,
}

/// A line of an [`OrderConfirmation`]. The total is for all pieces.
pub struct OrderLine {
    pub title: String,
    pub quantity: i64,
    pub total: String,
}

impl Letter {
    pub(crate) fn subject(&self) -> &'static str {
        match self {
            Self::Verification { .. } => "Confirm your e-mail address",
            Self::Welcome { .. } => "Welcome",
            Self::PasswordReset { .. } => "Set a new password",
            Self::Invitation { .. } => "You are invited",
            Self::EmailChangeAsked { .. } => "Another e-mail address was asked for",
            Self::EmailChanged { .. } => "A new e-mail address for your account",
            Self::LoginLinked { .. } => "Another way to log in to your account",
            Self::OrderConfirmation(_) => "We have your order",
        }
    }

    pub(crate) fn text(&self) -> Result<String> {
        let text = match self {
            Self::Verification { name, link } => {
                let valid = lasting(Purpose::VerifyEmail.lifetime().as_hours());
                VerificationText { name, link, valid }.render()
            }
            Self::Welcome { name, link } => WelcomeText { name, link }.render(),
            Self::PasswordReset { name, link } => {
                let valid = lasting(Purpose::ResetPassword.lifetime().as_hours());
                PasswordResetText { name, link, valid }.render()
            }
            Self::Invitation { name, link } => {
                let valid = lasting(Purpose::AcceptInvitation.lifetime().as_hours());
                InvitationText { name, link, valid }.render()
            }
            Self::EmailChangeAsked { name, new_address } => {
                EmailChangeAskedText { name, new_address }.render()
            }
            Self::EmailChanged { name, new_address } => {
                EmailChangedText { name, new_address }.render()
            }
            Self::LoginLinked { name, provider } => LoginLinkedText { name, provider }.render(),
            Self::OrderConfirmation(order) => OrderConfirmationText { order }.render(),
        };
        text.context("write a letter as text")
    }

    pub(crate) fn html(&self) -> Result<String> {
        let html = match self {
            Self::Verification { name, link } => {
                let valid = lasting(Purpose::VerifyEmail.lifetime().as_hours());
                VerificationHtml { name, link, valid }.render()
            }
            Self::Welcome { name, link } => WelcomeHtml { name, link }.render(),
            Self::PasswordReset { name, link } => {
                let valid = lasting(Purpose::ResetPassword.lifetime().as_hours());
                PasswordResetHtml { name, link, valid }.render()
            }
            Self::Invitation { name, link } => {
                let valid = lasting(Purpose::AcceptInvitation.lifetime().as_hours());
                InvitationHtml { name, link, valid }.render()
            }
            Self::EmailChangeAsked { name, new_address } => {
                EmailChangeAskedHtml { name, new_address }.render()
            }
            Self::EmailChanged { name, new_address } => {
                EmailChangedHtml { name, new_address }.render()
            }
            Self::LoginLinked { name, provider } => LoginLinkedHtml { name, provider }.render(),
            Self::OrderConfirmation(order) => {
                let link = &order.link;
                OrderConfirmationHtml { order, link }.render()
            }
        };
        html.context("write a letter as HTML")
    }
}

/// "1 hour", "24 hours", "7 days": from two days on, because nobody counts 168 hours.
fn lasting(hours: i64) -> String {
    match (hours / 24, hours % 24) {
        (days @ 2.., 0) => format!("{days} days"),
        _ if hours == 1 => "1 hour".to_owned(),
        _ => format!("{hours} hours"),
    }
}

#[derive(Template)]
#[template(path = "verification.txt", escape = "none")]
struct VerificationText<'a> {
    name: &'a str,
    link: &'a str,
    valid: String,
}

#[derive(Template)]
#[template(path = "verification.html")]
struct VerificationHtml<'a> {
    name: &'a str,
    link: &'a str,
    valid: String,
}

#[derive(Template)]
#[template(path = "welcome.txt", escape = "none")]
struct WelcomeText<'a> {
    name: &'a str,
    link: &'a str,
}

#[derive(Template)]
#[template(path = "welcome.html")]
struct WelcomeHtml<'a> {
    name: &'a str,
    link: &'a str,
}

#[derive(Template)]
#[template(path = "password_reset.txt", escape = "none")]
struct PasswordResetText<'a> {
    name: &'a str,
    link: &'a str,
    valid: String,
}

#[derive(Template)]
#[template(path = "password_reset.html")]
struct PasswordResetHtml<'a> {
    name: &'a str,
    link: &'a str,
    valid: String,
}

#[derive(Template)]
#[template(path = "invitation.txt", escape = "none")]
struct InvitationText<'a> {
    name: &'a str,
    link: &'a str,
    valid: String,
}

#[derive(Template)]
#[template(path = "invitation.html")]
struct InvitationHtml<'a> {
    name: &'a str,
    link: &'a str,
    valid: String,
}

#[derive(Template)]
#[template(path = "email_change_asked.txt", escape = "none")]
struct EmailChangeAskedText<'a> {
    name: &'a str,
    new_address: &'a str,
}

#[derive(Template)]
#[template(path = "email_change_asked.html")]
struct EmailChangeAskedHtml<'a> {
    name: &'a str,
    new_address: &'a str,
}

#[derive(Template)]
#[template(path = "email_changed.txt", escape = "none")]
struct EmailChangedText<'a> {
    name: &'a str,
    new_address: &'a str,
}

#[derive(Template)]
#[template(path = "email_changed.html")]
struct EmailChangedHtml<'a> {
    name: &'a str,
    new_address: &'a str,
}

#[derive(Template)]
#[template(path = "login_linked.txt", escape = "none")]
struct LoginLinkedText<'a> {
    name: &'a str,
    provider: &'a str,
}

#[derive(Template)]
#[template(path = "login_linked.html")]
struct LoginLinkedHtml<'a> {
    name: &'a str,
    provider: &'a str,
}

#[derive(Template)]
#[template(path = "order_confirmation.txt", escape = "none")]
struct OrderConfirmationText<'a> {
    order: &'a OrderConfirmation,
}

/// The link stands beside the order, because `base.html` knows of no order.
#[derive(Template)]
#[template(path = "order_confirmation.html")]
struct OrderConfirmationHtml<'a> {
    order: &'a OrderConfirmation,
    link: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = r#"<b>"Ada" & Eve</b>"#;
    const ESCAPED_NAME: &str = "&#60;b&#62;&#34;Ada&#34; &#38; Eve&#60;/b&#62;";
    const LINK: &str = "https://api.example.com/verify-email?token=v1.AbC_dEf-123";

    /// Each letter, with what both of its forms must name.
    fn letters() -> Vec<(Letter, Vec<&'static str>)> {
        let (name, link) = (|| NAME.to_owned(), || LINK.to_owned());
        let verification = Letter::Verification {
            name: name(),
            link: link(),
        };
        let welcome = Letter::Welcome {
            name: name(),
            link: link(),
        };
        let password_reset = Letter::PasswordReset {
            name: name(),
            link: link(),
        };
        let invitation = Letter::Invitation {
            name: name(),
            link: link(),
        };
        let email_change_asked = Letter::EmailChangeAsked {
            name: name(),
            new_address: "eve@example.com".to_owned(),
        };
        let email_changed = Letter::EmailChanged {
            name: name(),
            new_address: "eve@example.com".to_owned(),
        };
        let login_linked = Letter::LoginLinked {
            name: name(),
            provider: "google".to_owned(),
        };
        let ignore = "ignore this mail; nothing happens.";
        vec![
            (verification, vec![LINK, "valid for 24 hours.", ignore]),
            (welcome, vec![LINK]),
            (password_reset, vec![LINK, "valid for 1 hour.", ignore]),
            (invitation, vec![LINK, "valid for 7 days.", ignore]),
            (
                email_change_asked,
                vec!["eve@example.com", "change the password."],
            ),
            (email_changed, vec!["eve@example.com"]),
            (login_linked, vec!["google", "set a new password."]),
            (
                Letter::OrderConfirmation(order()),
                vec![LINK, "A-17", "25.80", "12.30", "38.10", "6.08", "44.18"],
            ),
        ]
    }

    fn order() -> OrderConfirmation {
        let book = OrderLine {
            title: "Salt & <Pepper>".to_owned(),
            quantity: 2,
            total: "25.80".to_owned(),
        };
        let pen = OrderLine {
            title: "Pen".to_owned(),
            quantity: 1,
            total: "12.30".to_owned(),
        };
        OrderConfirmation {
            name: NAME.to_owned(),
            order_id: "A-17".to_owned(),
            lines: vec![book, pen],
            subtotal: "38.10".to_owned(),
            tax: "6.08".to_owned(),
            total: "44.18".to_owned(),
            currency: "EUR".to_owned(),
            link: LINK.to_owned(),
        }
    }

    #[test]
    fn both_forms_name_what_matters() {
        for (letter, facts) in letters() {
            let (text, html) = (letter.text().unwrap(), letter.html().unwrap());
            for fact in facts {
                assert!(text.contains(fact), "{fact} is not in {text}");
                assert!(html.contains(fact), "{fact} is not in {html}");
            }
        }
    }

    #[test]
    fn names_are_escaped_in_html_only() {
        for (letter, _) in letters() {
            let (text, html) = (letter.text().unwrap(), letter.html().unwrap());
            assert!(text.starts_with(&format!("Hello {NAME},\n\n")), "{text}");
            assert!(html.contains(&format!("Hello {ESCAPED_NAME},")), "{html}");
            assert!(!html.contains("<b>"), "{html}");
        }
    }

    #[test]
    fn html_loads_and_runs_nothing() {
        for (letter, _) in letters() {
            let html = letter.html().unwrap();
            assert!(html.starts_with("<!DOCTYPE html>"), "{html}");
            for trap in ["<script", "<img", "<link", "<iframe", "src=", "url("] {
                assert!(!html.contains(trap), "{trap} is in {html}");
            }
        }
    }

    #[test]
    fn a_link_stands_on_a_line_of_its_own() {
        for (letter, facts) in letters() {
            let text = letter.text().unwrap();
            let own_line = text.lines().any(|line| line == LINK);
            assert_eq!(own_line, facts.contains(&LINK), "{text}");
        }
    }

    #[test]
    fn an_order_lists_its_lines() {
        let letter = Letter::OrderConfirmation(order());
        let text = letter.text().unwrap();
        let lines =
            "order A-17:\n  2 x Salt & <Pepper>: 25.80 EUR\n  1 x Pen: 12.30 EUR\n\nSubtotal";
        assert!(text.contains(lines), "{text}");
        let html = letter.html().unwrap();
        let line = "<li>2 &times; Salt &#38; &#60;Pepper&#62;: 25.80&nbsp;EUR</li>";
        assert!(html.contains(line), "{html}");
    }

    #[test]
    fn a_warning_has_no_button() {
        let (name, new_address) = (NAME.to_owned(), "eve@example.com".to_owned());
        let asked = Letter::EmailChangeAsked {
            name: name.clone(),
            new_address: new_address.clone(),
        };
        let linked = Letter::LoginLinked {
            name: name.clone(),
            provider: "google".to_owned(),
        };
        for letter in [asked, linked, Letter::EmailChanged { name, new_address }] {
            assert!(!letter.html().unwrap().contains("href="));
        }
    }

    #[test]
    fn times_are_told_as_people_tell_them() {
        for (hours, told) in [
            (1, "1 hour"),
            (24, "24 hours"),
            (36, "36 hours"),
            (48, "2 days"),
            (168, "7 days"),
        ] {
            assert_eq!(lasting(hours), told);
        }
    }
}
