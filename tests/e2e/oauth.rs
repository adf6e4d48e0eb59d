//! A real OAuth client, Authlib, which knows nothing of us.

use std::process::Command;

use serde_json::json;

use crate::bundle::{Bundle, EMAIL, PASSWORD};
use crate::python;

const PACKAGES: &str = "authlib==1.9.8 requests==2.32.5";

/// Finds the routes by the metadata; gets a service's token, uses it and asks what it is worth; gets a user's tokens by
/// password, refreshes them, and revokes them.
const SCRIPT: &str = r#"
import sys
import requests
from authlib.integrations.requests_client import OAuth2Session

url, client_id, client_secret, email, password = sys.argv[1:]
meta = requests.get(url + "/.well-known/oauth-authorization-server").json()
assert meta["issuer"] == url, meta

for method in ("client_secret_basic", "client_secret_post"):
    service = OAuth2Session(client_id, client_secret, token_endpoint_auth_method=method, scope="users:read tokens:introspect")
    token = service.fetch_token(meta["token_endpoint"], grant_type="client_credentials")
    assert token["token_type"].lower() == "bearer", token
    assert token["scope"].split() == ["users:read", "tokens:introspect"], token
    assert "refresh_token" not in token, token
    seen = service.introspect_token(meta["introspection_endpoint"], token=token["access_token"]).json()
    assert seen["active"] and seen["client_id"] == client_id, seen

user = OAuth2Session("a-page", token_endpoint_auth_method="none")
token = user.fetch_token(meta["token_endpoint"], username=email, password=password)
me = user.get(url + "/api/v1/users/me")
assert me.status_code == 200 and me.json()["email"] == email, me.text
first = token["refresh_token"]
token = user.refresh_token(meta["token_endpoint"], refresh_token=first)
assert token["refresh_token"] != first
me = user.get(url + "/api/v1/users/me")
assert me.status_code == 200, me.text
seen = service.introspect_token(meta["introspection_endpoint"], token=token["access_token"]).json()
assert seen["active"] and seen["sub"] == me.json()["id"], seen
service.revoke_token(meta["revocation_endpoint"], token=token["refresh_token"]).raise_for_status()
assert user.get(url + "/api/v1/users/me").status_code == 401
seen = service.introspect_token(meta["introspection_endpoint"], token=token["access_token"]).json()
assert seen == {"active": False}, seen
print("authlib is content")
"#;

pub(crate) fn a_real_oauth_client_gets_and_refreshes_tokens(bundle: &Bundle) {
    let admin = bundle.log_in();
    let client = json!({"name": "billing", "scopes": ["users:read", "tokens:introspect"]});
    let client = bundle
        .send("POST", "/api/v1/auth/clients", Some(&admin), Some(client))
        .expect(201);
    let text = |field: &str| client[field].as_str().unwrap().to_owned();
    let output = Command::new(python::with("authlib", PACKAGES))
        .args(["-c", SCRIPT])
        .args([bundle.url(""), text("client_id"), text("client_secret")])
        .args([EMAIL, PASSWORD])
        // Authlib refuses http otherwise.
        .env("AUTHLIB_INSECURE_TRANSPORT", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", bundle.output());
}
