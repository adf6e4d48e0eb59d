//! The first superuser: somebody has to be an administrator before anybody can make others one.

use anyhow::{Context, Result, anyhow};
use ring::rand::{SecureRandom, SystemRandom};
use shared::auth::passwords;
use shared::models::audit::AuditEntry;
use shared::models::password::NewPassword;
use shared::models::text::Email;
use shared::models::{Role, User};
use shared::{App, Config, Error};

use crate::environment::Variables;
use crate::shell;

/// Makes the first superuser from `FIRST_SUPERUSER` and `FIRST_SUPERUSER_PASSWORD`, if there is none of that
/// address. Without a password one is made up; the answer tells it, and nothing else ever will.
pub async fn first(variables: &Variables) -> Result<Option<String>> {
    let config = Config::from_lookup(|name| variables.get(name).cloned())?;
    let app = App::new(config)?;
    let email = shell::variable("FIRST_SUPERUSER");
    let email = email.unwrap_or_else(|| "admin@example.com".to_owned());
    match shell::variable("FIRST_SUPERUSER_PASSWORD") {
        Some(password) => {
            let made = ensure(&app, &email, &password).await?;
            Ok(made.then_some(email))
        }
        None => {
            let password = made_up_password()?;
            let made = ensure(&app, &email, &password).await?;
            Ok(made.then(|| format!("{email}, password {password} (shown only now)")))
        }
    }
}

/// Makes an active, verified administrator, unless somebody has that e-mail address already. Answers whether
/// one was made.
///
/// The account is made by the same transaction as a registration, and the password keeps the same rules.
pub async fn ensure(app: &App, email: &str, password: &str) -> Result<bool> {
    let email = Email::parse(email)
        .map_err(|error| anyhow!("FIRST_SUPERUSER {}: {email:?}", error.message))?;
    let password = NewPassword::parse(password)
        .map_err(|error| anyhow!("FIRST_SUPERUSER_PASSWORD {}", error.message))?;
    let hash = passwords::hash(password.reveal()).await?;
    let user = User {
        role: Role::Admin,
        is_verified: true,
        ..User::new(email)
    };
    let audit = AuditEntry::new("user.created_as_superuser", None, "local");
    match app.store.create_account(&user, &hash, &audit).await {
        Ok(()) => Ok(true),
        Err(Error::EmailTaken) => Ok(false),
        Err(error) => Err(error).context("the first superuser could not be made"),
    }
}

/// 96 random bits, with each kind of character that the rules ask for.
pub(crate) fn made_up_password() -> Result<String> {
    let mut bytes = [0; 12];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| anyhow!("the system has no random numbers to give"))?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("Aa1-{digits}"))
}
