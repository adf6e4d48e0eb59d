//! `POST /files/process-image`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, LOCATION};
use serde::Serialize;
use shared::auth::CurrentUser;
use shared::bucket::Bucket;
use shared::http::{PREFIX, Problem};
use shared::media::{self, Checked, Refusal, Resize};
use shared::models::file::{ContentType, File, Filename, MOST_DIRECT_BYTES, Purpose};
use shared::{App, Error, Result, files};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::file;
use crate::form::Form;

/// What is made at once has so many pixels at most: more takes longer than anybody waits for an answer.
const MOST_PIXELS: u64 = 4_000_000;

/// The largest side that can be asked for.
const MOST_SIDE: u32 = 8_192;

const QUALITY: u8 = 85;

/// Make an image smaller
///
/// As a JPEG that fits into `resize_width` and `resize_height`, as far as these are given: its ratio is kept, it is
/// never enlarged, what is transparent becomes white, and nothing of what the camera has noted stays. One of up to 4
/// megapixels comes back at once, if it comes out below 4 MB, and is not kept. Others are made by a task, whose result
/// names a private file.
#[utoipa::path(
    post, path = "/process-image", tag = "files", security(("bearer" = [])),
    request_body(content = ProcessForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "The image", body = String, content_type = "image/jpeg"),
        (status = 202, description = "A task makes it; its `result` is `{file_id, url}`", body = Processing,
            headers(("Location" = String))),
        (status = 409, description = "`quota_exceeded`", body = Problem),
        (status = 413, description = "A form of more than 4.4 MB", body = Problem),
        (status = 422, description = "Every field that is not valid: `unsupported_content`, `too_large`, \
            `too_many_pixels`, `broken_image`, `empty`, `out_of_range`", body = Problem),
    )
)]
pub(crate) async fn process_image(
    State(app): State<App>,
    current: CurrentUser,
    mut form: Form,
) -> Result<Response> {
    let sent = form.file("file");
    let resize = Resize {
        width: form.number("resize_width", 1..=MOST_SIDE),
        height: form.number("resize_height", 1..=MOST_SIDE),
        quality: form.number("quality", 1..=100).unwrap_or(QUALITY),
    };
    form.finish()?;
    let (filename, image) = sent.small_enough()?;
    let filename = filename.with_extension_of(ContentType::Jpeg);
    let pixels = media::pixels_of(&image).map_err(refused)?;
    if pixels <= MOST_PIXELS {
        let made = media::process(image.clone(), &resize).map_err(refused)?;
        if made.bytes.len() < MOST_DIRECT_BYTES {
            return Ok(answer(&filename, made));
        }
    }
    put_off(&app, &current, filename, image, resize).await
}

/// The image itself.
fn answer(filename: &Filename, made: Checked) -> Response {
    let headers = [
        (CONTENT_TYPE, made.content_type.to_string()),
        (
            CONTENT_DISPOSITION,
            file::disposition(filename, made.content_type),
        ),
    ];
    (headers, made.bytes).into_response()
}

/// Leaves the image to a task.
async fn put_off(
    app: &App,
    current: &CurrentUser,
    filename: Filename,
    image: Vec<u8>,
    resize: Resize,
) -> Result<Response> {
    let content_type = media::content_of(&image).map_err(refused)?;
    let bucket = Bucket::new(app)?;
    let file = File::new(
        current.user.id,
        Purpose::Processed,
        filename,
        ContentType::Jpeg,
        image.len() as u64,
        app.clock.now(),
    );
    let input = (image, content_type);
    let task_id = files::begin_processing(app, &bucket, &file, input, resize).await?;
    let processing = Processing {
        task_id,
        file_id: file.id,
    };
    let location = format!("{PREFIX}/tasks/{task_id}");
    let body = Json(processing);
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], body).into_response())
}

fn refused(refusal: Refusal) -> Error {
    files::refused("file", &refusal)
}

/// Who makes the image, and what it is going to be known by.
#[derive(Serialize, ToSchema)]
pub(crate) struct Processing {
    task_id: Uuid,
    /// There once the task has succeeded.
    file_id: Uuid,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes")]
pub(crate) struct ProcessForm {
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// In pixels.
    #[schema(minimum = 1, maximum = 8192, example = 1200)]
    resize_width: Option<u32>,
    /// In pixels.
    #[schema(minimum = 1, maximum = 8192, example = 800)]
    resize_height: Option<u32>,
    #[schema(minimum = 1, maximum = 100, default = 85)]
    quality: Option<u8>,
}
