//! What the ways back into an account have in common: their limits.

use shared::auth::OneTimeToken;
use shared::http::RequestInfo;
use shared::models::text::Email;
use shared::store::rates::Rule;
use shared::{App, Result};

/// Limits how often an address may try a token. Nobody guesses 256 bits; this keeps the noise down.
pub(crate) async fn limit_attempts(app: &App, info: &RequestInfo) -> Result<()> {
    let rule = Rule {
        name: "link",
        limit: app.config.limits.logins_per_minute,
        seconds: 60,
    };
    let window = rule.window(&info.limit_subject(), app.clock.now());
    info.note_limit(app.store.take(&window).await?);
    Ok(())
}

/// Limits how many mails a stranger can cause: from their address, and to one mail address, whether or not anybody
/// has that.
pub(crate) async fn limit_mails(
    app: &App,
    info: &RequestInfo,
    name: &'static str,
    email: &Email,
) -> Result<()> {
    let rule = Rule {
        name,
        limit: app.config.limits.recoveries_per_hour,
        seconds: 3_600,
    };
    let now = app.clock.now();
    // A counter's key needs no address in it.
    let hash = OneTimeToken::hash_of(email.as_str());
    let from = rule.window(&info.limit_subject(), now);
    info.note_limit(app.store.take(&from).await?);
    app.store.take(&rule.window(&hash, now)).await?;
    Ok(())
}
