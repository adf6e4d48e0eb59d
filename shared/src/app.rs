//! The state of an instance: what its configuration, clients and keys are.

use std::ops::Deref;
use std::sync::Arc;

use aws_types::SdkConfig;
use jsonwebtoken::Validation;

use crate::auth::{Keyring, Signing, SigningKeys, tokens};
use crate::cache::Caches;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Context, Result};
use crate::leases::Leases;
use crate::metrics::Metrics;
use crate::models::setting::Settings;
use crate::store::Store;
use crate::views::Views;

/// Cheap to clone; handlers take it as axum's state.
#[derive(Clone)]
pub struct App(Arc<Inner>);

pub struct Inner {
    pub config: Config,
    /// What a client of another service is made of.
    pub sdk: SdkConfig,
    pub store: Store,
    pub clock: Clock,
    pub metrics: Metrics,
    pub keyring: Keyring,
    pub leases: Leases,
    pub caches: Caches,
    pub views: Views,
    /// What access tokens are checked against.
    pub validation: Validation,
    /// What tokens are signed with; only `auth` has keys.
    pub signing: Signing,
}

impl App {
    /// Makes the clients; opens no connection yet.
    pub fn new(config: Config) -> anyhow::Result<Self> {
        let sdk = crate::aws::sdk_config(&config.aws)?;
        Ok(Self::with_sdk(config, sdk, Clock::default()))
    }

    /// The same with clients that are made of `sdk`, and with a clock. For tests, which put faults and time between.
    pub fn with_sdk(config: Config, sdk: SdkConfig, clock: Clock) -> Self {
        crate::auth::install_crypto();
        let metrics = Metrics::default();
        let store = Store::new(&sdk, &config, clock.clone(), metrics.clone());
        Self(Arc::new(Inner {
            validation: tokens::validation(),
            config,
            sdk,
            store,
            clock,
            metrics,
            keyring: Keyring::default(),
            leases: Leases::default(),
            caches: Caches::default(),
            views: Views::default(),
            signing: Signing::default(),
        }))
    }

    /// The settings and feature flags, up to half a minute old. One query where they are older.
    pub async fn settings(&self) -> Result<Arc<Settings>> {
        let load = self.store.settings();
        self.caches.settings.get(self.clock.seconds(), load).await
    }

    /// Reads the keys that tokens are verified with, which opens the connection to DynamoDB: an instance has more
    /// processor while it starts than a small function has afterwards.
    pub async fn warm_up(&self) {
        if let Err(error) = self.keyring.fetch(&self.store).await {
            // The first request will try again; a function that answers with 503 is better than none.
            tracing::error!(cause = ?error, "cannot read the published keys");
        }
    }

    /// Lets this instance sign tokens, and publishes the key that others verify them with.
    pub async fn sign_with(&self, keys: SigningKeys) -> Result<()> {
        let published = self.store.publish_key(keys.public_key()).await?;
        self.keyring.learn(&published);
        self.signing.take(keys, self.clock.seconds());
        Ok(())
    }

    /// The keys to sign with; only `auth` has them.
    pub fn signing(&self) -> Result<Arc<SigningKeys>> {
        let keys = self.signing.keys();
        keys.context("this function signs no tokens")
    }
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
