//! `GET /files/{id}`

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, LOCATION};
use jiff::Timestamp;
use shared::auth::Visitor;
use shared::bucket::{Bucket, Download, keys};
use shared::http::{FromParams, Id, Params, Problem, Query};
use shared::{App, Context, Error, Result};
use utoipa::IntoParams;

use crate::file;

/// How long a link to a private file is good for, in seconds.
const PRIVATE_SECONDS: u32 = 300;

/// Within so many seconds all get the same link to a public file, so that whoever keeps what is behind it can use it
/// again. A link is good for twice as long, and is handed on in the first half.
const WINDOW: u32 = 600;

/// A file itself
///
/// Sends the client to where the bytes are, for a few minutes. Avatars and images of items are there for anybody; what
/// is private, for its owner, and with the scope `admin:all`. An image is shown by a browser, a document is downloaded.
#[utoipa::path(
    get, path = "/{id}", tag = "files", security((), ("bearer" = [])), params(("id" = Uuid, Path), Wanted),
    responses(
        (status = 302, description = "To the bytes. The link to a private file is good for five minutes and for \
            whoever has it; one to a public file may be kept as `Cache-Control` says"),
        (status = 404, description = "No file that the caller may see has this id, or it has no such variant, or not \
            yet", body = Problem),
    )
)]
pub(crate) async fn get_file(
    State(app): State<App>,
    visitor: Visitor,
    Id(id): Id,
    Query(Wanted { variant }): Query<Wanted>,
) -> Result<Response> {
    let file = file::find(&app, &visitor, id).await?;
    let hash = file.hash.as_deref();
    let hash = hash.context("a file that is ready has a hash")?;
    let (key, content_type) = match variant {
        None => (keys::stored(id, hash), file.content_type),
        Some(name) => {
            let variant = file.variants.get(&name);
            let variant = variant.ok_or(Error::NotFound("variant of this name"))?;
            (keys::variant(id, hash, &name), variant.content_type)
        }
    };
    let terms = match file.purpose.is_public() {
        true => Terms::public(app.clock.now())?,
        false => Terms::private(app.clock.now()),
    };
    let filename = file.filename.with_extension_of(content_type);
    let download = Download {
        content_type,
        disposition: file::disposition(&filename, content_type),
        cache_control: Some(terms.object_kept.to_owned()),
    };
    let bucket = Bucket::new(&app)?;
    let link = bucket.link(&key, &download, terms.from, terms.seconds);
    let headers = [(LOCATION, link.await?), (CACHE_CONTROL, terms.link_kept)];
    Ok((StatusCode::FOUND, headers).into_response())
}

/// From when on a link is good, for how long, and how long it and what is behind it may be kept.
struct Terms {
    from: Timestamp,
    seconds: u32,
    link_kept: String,
    object_kept: &'static str,
}

impl Terms {
    fn private(now: Timestamp) -> Self {
        Self {
            from: now,
            seconds: PRIVATE_SECONDS,
            link_kept: "no-store".to_owned(),
            object_kept: "private, no-store",
        }
    }

    fn public(now: Timestamp) -> Result<Self> {
        let since = now.as_second().rem_euclid(WINDOW.into());
        let from = Timestamp::from_second(now.as_second() - since);
        let left = i64::from(WINDOW) - since;
        Ok(Self {
            from: from.context("tell when a link begins")?,
            seconds: 2 * WINDOW,
            link_kept: format!("public, max-age={left}"),
            // No object changes, and after the link nobody asks for it by this address.
            object_kept: "public, max-age=1200, immutable",
        })
    }
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// The name of one of its `variants`; the whole, unless given.
    #[param(example = "256")]
    variant: Option<String>,
}

impl FromParams for Wanted {
    fn from_params(params: &mut Params<'_>) -> Self {
        Self {
            variant: params.read("variant", |name| Ok(name.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_link_is_the_same_for_ten_minutes_and_good_for_ten_more() {
        for (now, from, left) in [
            (1_700_000_400, 1_700_000_400, 600),
            (1_700_000_401, 1_700_000_400, 599),
            (1_700_000_999, 1_700_000_400, 1),
            (1_700_001_000, 1_700_001_000, 600),
        ] {
            let terms = Terms::public(Timestamp::from_second(now).unwrap()).unwrap();
            assert_eq!(terms.from.as_second(), from, "{now}");
            assert_eq!(terms.link_kept, format!("public, max-age={left}"), "{now}");
            let ends = from + i64::from(terms.seconds);
            assert_eq!(ends - (now + left), i64::from(WINDOW), "{now}");
        }
    }
}
