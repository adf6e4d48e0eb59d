//! TLS with services that are not AWS's.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use crate::error::{Context, Result};

/// Trusts whoever a public authority vouches for, by Mozilla's list, which is built in.
pub fn client_config() -> Result<ClientConfig> {
    let roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions();
    let tls = tls.context("set up TLS")?;
    Ok(tls.with_root_certificates(roots).with_no_client_auth())
}
