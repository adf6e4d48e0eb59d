//! OpenID providers: what they say of themselves, and what they say of a person.
//!
//! OpenID Connect Core 1.0 and Discovery 1.0, with the authorization code flow and PKCE, by the crate `openidconnect`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreErrorResponseType, CoreIdToken,
    CoreIdTokenClaims, CoreIdTokenVerifier, CoreJsonWebKeySet, CoreJwsSigningAlgorithm,
    CoreProviderMetadata, CoreUserInfoClaims,
};
use openidconnect::{
    AccessToken, AuthType, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret,
    CsrfToken, EndUserEmail, EndUserFamilyName, EndUserGivenName, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, IssuerUrl, LocalizedClaim, Nonce, OAuth2TokenResponse, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, SignatureVerificationError,
    StandardErrorResponse, TokenResponse, UserInfoError,
};
use shared::clock::Clock;
use shared::config::OidcProvider;
use shared::http::{PREFIX, RequestInfo};
use shared::models::text::{Email, Name};
use shared::models::time;
use shared::store::oidc::{OidcIdentity, OidcLogin};
use shared::{App, Context, Error, Result};

use super::Secrets;
use super::http::{Http, HttpError};

/// How long an instance believes what a provider has said of itself, in seconds.
const BELIEVED: i64 = 600;

/// Tokens with made-up key ids must not make us fetch the keys for each of them: seconds between two times.
const KEYS_AGAIN_AFTER: i64 = 60;

/// How long nobody waits for a provider that has just failed, in seconds: each try may take as long as two requests.
const TRY_AGAIN_AFTER: i64 = 10;

/// How far a provider's clock may be ahead of ours, in seconds.
const LEEWAY: i64 = 60;

/// How old an id token may be, in seconds: it is made for the code that we have just sent.
const OLDEST: i64 = 600;

/// What may sign an id token. Not `none`, and no HMAC: its key would be the client secret, which is no proof of who has
/// signed.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 3] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// What an instance knows of the providers.
#[derive(Clone, Default)]
pub(crate) struct Providers(Arc<Inner>);

#[derive(Default)]
struct Inner {
    http: OnceLock<Http>,
    known: Mutex<HashMap<String, Known>>,
    /// When a provider has last failed to tell of itself, or its keys.
    failed: Mutex<HashMap<String, i64>>,
}

struct Known {
    metadata: Arc<CoreProviderMetadata>,
    fetched_at: i64,
    /// When its keys were fetched once more.
    keys_fetched_at: Option<i64>,
}

/// A provider, as far as it is known now.
pub(super) struct Provider<'a> {
    config: &'a OidcProvider,
    /// Where it sends browsers back to.
    redirect_uri: RedirectUrl,
    http: &'a Http,
    providers: &'a Providers,
    metadata: Arc<CoreProviderMetadata>,
    clock: &'a Clock,
}

type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Who has logged in at a provider, by an id token that was verified.
pub(super) struct Proof {
    claims: CoreIdTokenClaims,
    access: AccessToken,
}

/// What a provider says of somebody, whose e-mail address it has verified.
pub(super) struct Person {
    pub(super) email: Email,
    pub(super) first_name: Option<Name>,
    pub(super) last_name: Option<Name>,
}

impl Person {
    fn read(
        email: Option<&EndUserEmail>,
        is_verified: Option<bool>,
        first_name: Option<&LocalizedClaim<EndUserGivenName>>,
        last_name: Option<&LocalizedClaim<EndUserFamilyName>>,
    ) -> Result<Self> {
        let verified = email.filter(|_| is_verified == Some(true));
        let email = verified.and_then(|email| Email::parse(email).ok());
        let email = email.ok_or(Error::OidcRefused(
            "the provider does not say that the e-mail address is verified",
        ));
        // A name that breaks our rules is no reason to turn somebody away.
        Ok(Self {
            email: email?,
            first_name: first_name.and_then(|name| Name::parse(name.get(None)?).ok()),
            last_name: last_name.and_then(|name| Name::parse(name.get(None)?).ok()),
        })
    }
}

impl Providers {
    /// The provider of this configuration. Asks it for its metadata and keys, unless that was done within ten minutes;
    /// 503 if it does not answer as it should, and for ten seconds after that without asking.
    pub(super) async fn get<'a>(
        &'a self,
        app: &'a App,
        info: &RequestInfo,
        config: &'a OidcProvider,
    ) -> Result<Provider<'a>> {
        let http = self.http(app.config.is_local())?;
        let now = app.clock.seconds();
        if self.has_just_failed(&config.name, now) {
            let cause = anyhow::Error::msg("it has just failed");
            return Err(unavailable("ask a provider about itself")(cause));
        }
        let metadata = match self.recall(&config.name, now) {
            Some(metadata) => metadata,
            None => {
                let found = discover(app, config, http).await;
                let found = found.inspect_err(|_| self.note_failure(&config.name, &app.clock));
                let metadata = Arc::new(found?);
                self.remember(config, metadata.clone(), now);
                metadata
            }
        };
        let (url, name) = (info.public_url(&app.config), &config.name);
        let redirect_uri = RedirectUrl::new(format!("{url}{PREFIX}/auth/oidc/{name}/callback"));
        Ok(Provider {
            config,
            redirect_uri: redirect_uri.context("make the redirect URI")?,
            http,
            providers: self,
            metadata,
            clock: &app.clock,
        })
    }

    /// Made when somebody logs in with a provider for the first time: most instances never need it.
    fn http(&self, local: bool) -> Result<&Http> {
        if let Some(http) = self.0.http.get() {
            return Ok(http);
        }
        let http = Http::new(local)?;
        Ok(self.0.http.get_or_init(|| http))
    }

    fn recall(&self, name: &str, now: i64) -> Option<Arc<CoreProviderMetadata>> {
        let known = self.known();
        let known = known.get(name)?;
        (now - known.fetched_at < BELIEVED).then(|| known.metadata.clone())
    }

    fn remember(&self, config: &OidcProvider, metadata: Arc<CoreProviderMetadata>, now: i64) {
        let known = &mut *self.known();
        let before = known.get(&config.name);
        let known_now = Known {
            metadata,
            fetched_at: now,
            keys_fetched_at: before.and_then(|known| known.keys_fetched_at),
        };
        known.insert(config.name.clone(), known_now);
    }

    /// Whether a provider's keys may be fetched once more now; if so, the next time has to wait.
    fn may_fetch_keys(&self, name: &str, now: i64) -> bool {
        let mut known = self.known();
        let Some(known) = known.get_mut(name) else {
            return false;
        };
        let waited = known
            .keys_fetched_at
            .is_none_or(|at| now - at >= KEYS_AGAIN_AFTER);
        if waited {
            known.keys_fetched_at = Some(now);
        }
        waited
    }

    fn replace_keys(&self, name: &str, keys: CoreJsonWebKeySet) {
        if let Some(known) = self.known().get_mut(name) {
            let metadata = CoreProviderMetadata::clone(&known.metadata);
            known.metadata = Arc::new(metadata.set_jwks(keys));
        }
    }

    fn has_just_failed(&self, name: &str, now: i64) -> bool {
        let failed = self.failed().get(name).copied();
        failed.is_some_and(|at| now - at < TRY_AGAIN_AFTER)
    }

    /// Takes the time anew: until it has failed, some seconds may have passed.
    fn note_failure(&self, name: &str, clock: &Clock) {
        self.failed().insert(name.to_owned(), clock.seconds());
        // Keys that could not be fetched are looked for again once the pause is over.
        if let Some(known) = self.known().get_mut(name) {
            known.keys_fetched_at = None;
        }
    }

    // A panic elsewhere cannot leave an entry half changed.
    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        self.0.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fetches what a provider says of itself, and its keys. The crate refuses the document of another issuer.
async fn discover(app: &App, config: &OidcProvider, http: &Http) -> Result<CoreProviderMetadata> {
    let issuer = IssuerUrl::new(config.issuer.clone()).context("read the issuer's URL")?;
    let found = CoreProviderMetadata::discover_async(issuer, http).await;
    let metadata = found.map_err(unavailable("ask a provider about itself"))?;
    // The one URL that a browser follows and not our client, which would refuse it.
    let login = metadata.authorization_endpoint().url();
    if login.scheme() != "https" && !app.config.is_local() {
        let insecure = anyhow::Error::msg("its login page is not https");
        return Err(Error::Unavailable(
            insecure.context("ask a provider about itself"),
        ));
    }
    Ok(metadata)
}

impl Provider<'_> {
    /// Where the browser goes to log in.
    pub(super) fn login_url(&self, secrets: &Secrets) -> String {
        let state = CsrfToken::new(secrets.state.reveal().to_owned());
        let nonce = Nonce::new(secrets.nonce.reveal().to_owned());
        let verifier = PkceCodeVerifier::new(secrets.verifier.reveal().to_owned());
        let client = self.client();
        let request = client.authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            move || state,
            move || nonce,
        );
        // The crate adds `openid` itself.
        let request = request
            .add_scope(Scope::new("email".to_owned()))
            .add_scope(Scope::new("profile".to_owned()))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        let (url, _, _) = request.url();
        url.into()
    }

    /// Exchanges the code that the browser has brought back for an id token, and verifies that.
    pub(super) async fn redeem(&self, code: String, login: OidcLogin) -> Result<Proof> {
        let client = self.client();
        let request = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(unavailable("find a provider's token endpoint"))?
            .set_pkce_verifier(PkceCodeVerifier::new(login.verifier));
        let answer = request.request_async(self.http).await;
        let answer = answer.map_err(|error| self.not_exchanged(error))?;
        let missing = || Error::OidcRefused("the provider's answer has no id token");
        let token = answer.id_token().ok_or_else(missing)?;
        let claims = self.verify(token, &Nonce::new(login.nonce)).await?;
        Ok(Proof {
            claims,
            access: answer.access_token().clone(),
        })
    }

    /// Who has logged in, as the store knows them.
    pub(super) fn identity(&self, proof: &Proof) -> OidcIdentity {
        let subject = proof.claims.subject().as_str();
        OidcIdentity::new(&self.config.name, &self.config.issuer, subject)
    }

    /// Name and address of who has logged in: from the id token, or from the userinfo endpoint if the token does not
    /// speak of an address. 400 unless the provider says that the address is verified.
    pub(super) async fn person(&self, proof: &Proof) -> Result<Person> {
        let claims = &proof.claims;
        if claims.email().is_some() && claims.email_verified().is_some() {
            return Person::read(
                claims.email(),
                claims.email_verified(),
                claims.given_name(),
                claims.family_name(),
            );
        }
        let info = self.user_info(proof).await?;
        Person::read(
            info.email(),
            info.email_verified(),
            info.given_name(),
            info.family_name(),
        )
    }

    async fn user_info(&self, proof: &Proof) -> Result<CoreUserInfoClaims> {
        let client = self.client();
        let subject = proof.claims.subject().clone();
        let request = client
            .user_info(proof.access.clone(), Some(subject))
            .map_err(|error| self.refuse("the provider does not tell the e-mail address", error))?;
        let answer: Result<CoreUserInfoClaims, _> = request.request_async(self.http).await;
        answer.map_err(|error| match error {
            UserInfoError::Request(error) => unavailable("ask a provider about a person")(error),
            error => self.refuse("the provider's user info is not valid", error),
        })
    }

    /// Verifies an id token, if need be by keys that are newer than those we know.
    async fn verify(&self, token: &CoreIdToken, nonce: &Nonce) -> Result<CoreIdTokenClaims> {
        let (name, now) = (&self.config.name, self.clock.seconds());
        let mut checked = self.check(token, self.metadata.jwks(), nonce);
        if is_unknown_key(&checked) && self.providers.may_fetch_keys(name, now) {
            let keys = CoreJsonWebKeySet::fetch_async(self.metadata.jwks_uri(), self.http).await;
            let keys = keys.inspect_err(|_| self.providers.note_failure(name, self.clock));
            let keys = keys.map_err(unavailable("fetch a provider's new keys"))?;
            checked = self.check(token, &keys, nonce);
            self.providers.replace_keys(name, keys);
        }
        checked.map_err(|error| self.refuse("the provider's id token is not valid", error))
    }

    /// OpenID Connect Core 1.0, section 3.1.3.7: signature, issuer, audience, expiry, time of issue, nonce.
    fn check(
        &self,
        token: &CoreIdToken,
        keys: &CoreJsonWebKeySet,
        nonce: &Nonce,
    ) -> Result<CoreIdTokenClaims, ClaimsVerificationError> {
        // As a public client it knows no client secret, and so no HMAC.
        let verifier = CoreIdTokenVerifier::new_public_client(
            ClientId::new(self.config.client_id.clone()),
            self.metadata.issuer().clone(),
            keys.clone(),
        );
        let verifier = verifier
            .set_allowed_algs(ALGORITHMS)
            // The crate wants us to be among the audiences. Others may be there if it was made for us: see below.
            .set_other_audience_verifier_fn(|_| true)
            .set_issue_time_verifier_fn(|issued| check_age(issued.timestamp()));
        let claims = token.claims(&verifier, nonce)?;
        let party = claims.authorized_party().map(|party| party.as_str());
        let is_ours = party == Some(self.config.client_id.as_str());
        let is_free = party.is_none() && claims.audiences().len() == 1;
        match is_ours || is_free {
            true => Ok(claims.clone()),
            false => Err(ClaimsVerificationError::InvalidAudience(
                "it was made for another client".to_owned(),
            )),
        }
    }

    fn client(&self) -> Client {
        let metadata = CoreProviderMetadata::clone(&self.metadata);
        let ways = metadata.token_endpoint_auth_methods_supported().cloned();
        let secret = self.config.client_secret.reveal().to_owned();
        let client = Client::from_provider_metadata(
            metadata,
            ClientId::new(self.config.client_id.clone()),
            Some(ClientSecret::new(secret)),
        );
        let client = client.set_redirect_uri(self.redirect_uri.clone());
        // A provider that does not say takes basic authentication (Discovery 1.0, section 3).
        let basic = CoreClientAuthMethod::ClientSecretBasic;
        match ways.is_none_or(|ways| ways.contains(&basic)) {
            true => client,
            false => client.set_auth_type(AuthType::RequestBody),
        }
    }

    fn not_exchanged(
        &self,
        error: RequestTokenError<HttpError, StandardErrorResponse<CoreErrorResponseType>>,
    ) -> Error {
        match error {
            RequestTokenError::Request(error) => unavailable("exchange a code")(error),
            RequestTokenError::ServerResponse(answer) if !is_of_the_code(answer.error()) => {
                // Our own mistake, as a wrong client secret.
                let refusal = anyhow::Error::msg(answer.to_string());
                Error::Refused(refusal.context("exchange a code"))
            }
            error => self.refuse("the provider does not take the code", error),
        }
    }

    /// Tells the log why, and the client what.
    fn refuse(&self, what: &'static str, why: impl Into<anyhow::Error>) -> Error {
        let (provider, why) = (&self.config.name, format!("{:#}", why.into()));
        tracing::warn!(provider, why, "a login was refused: {what}");
        Error::OidcRefused(what)
    }
}

/// Whether a refusal may be for the code, which is whatever a browser brings. To some providers, one that does not look
/// like theirs is an invalid request.
fn is_of_the_code(error: &CoreErrorResponseType) -> bool {
    matches!(
        error,
        CoreErrorResponseType::InvalidGrant | CoreErrorResponseType::InvalidRequest
    )
}

fn is_unknown_key(checked: &Result<CoreIdTokenClaims, ClaimsVerificationError>) -> bool {
    matches!(
        checked,
        Err(ClaimsVerificationError::SignatureVerification(
            SignatureVerificationError::NoMatchingKey
        ))
    )
}

fn check_age(issued: i64) -> Result<(), String> {
    let now = time::now().as_second();
    match (now - OLDEST..=now + LEEWAY).contains(&issued) {
        true => Ok(()),
        false => Err(format!("issued at {issued}, which is not now")),
    }
}

/// A provider that cannot be reached, or not be understood, may be mended.
fn unavailable<E: Into<anyhow::Error>>(doing: &'static str) -> impl FnOnce(E) -> Error {
    move |error| Error::Unavailable(error.into().context(doing))
}
