//! What operations have in common, added by rule from what each says of itself, so that no handler has to repeat it.
//!
//! | an operation that | can also answer, or has |
//! |---|---|
//! | is for signed-in users | 401, 429; the login of the page |
//! | is for everybody and knows users | 401 for a bad token, 429; the same login |
//! | needs a scope | 403 |
//! | has an id in its path | 404 |
//! | has another word in its path | 400 `bad_request`, if that is no text |
//! | is paged by `cursor` | 400, 422 |
//! | takes a body of a type of ours | 400, 413, 415, 422 |
//! | answers 304 | `If-None-Match`, `ETag` |
//! | answers 412 | `If-Match`, `ETag` |
//! | takes an `Idempotency-Key` | `Idempotent-Replay` |
//! | is any | 500, 503, `x-request-id` |
//!
//! A response that a handler describes itself stays, and gets the codes that it does not name.

use serde_json::Value;
use utoipa::openapi::example::Example;
use utoipa::openapi::header::Header;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{AnyOf, ArrayItems};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{
    Components, Content, KnownFormat, ObjectBuilder, OpenApi, PathItem, Ref, RefOr, Required,
    Response, Schema, SchemaFormat, Type,
};

use crate::problems;
use crate::security::{BEARER, LOGIN};

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// A response that many operations have.
struct Shared {
    name: &'static str,
    status: u16,
    description: &'static str,
    codes: &'static [&'static str],
}

const fn shared(
    name: &'static str,
    status: u16,
    description: &'static str,
    codes: &'static [&'static str],
) -> Shared {
    Shared {
        name,
        status,
        description,
        codes,
    }
}

const SIGN_IN: Shared = shared(
    "SignIn",
    401,
    "No token, or none that is good: `token_missing` or `invalid_token`",
    &["token_missing", "invalid_token"],
);
const BAD_TOKEN: Shared = shared(
    "BadToken",
    401,
    "The token that was sent is not good: `invalid_token`",
    &["invalid_token"],
);
const MISSING_SCOPE: Shared = shared(
    "MissingScope",
    403,
    "The token has not the scope that this needs: `insufficient_scope`",
    &["insufficient_scope"],
);
const NOT_FOUND: Shared = shared("NotFound", 404, "Nothing has this id", &["not_found"]);
const BAD_PATH: Shared = shared(
    "BadPath",
    400,
    "The path is not UTF-8: `bad_request`",
    &["bad_request"],
);
const BAD_PAGE: Shared = shared(
    "BadPage",
    400,
    "`invalid_cursor` or `skip_too_deep`",
    &["invalid_cursor", "skip_too_deep"],
);
const BAD_PARAMETERS: Shared = shared(
    "BadParameters",
    422,
    "Every parameter that is not valid",
    &["validation_failed"],
);
const MALFORMED_BODY: Shared = shared(
    "MalformedBody",
    400,
    "The body cannot be read: `malformed_body`",
    &["malformed_body"],
);
const BODY_TOO_LARGE: Shared = shared(
    "BodyTooLarge",
    413,
    "The body is larger than 1 MiB",
    &["body_too_large"],
);
const OTHER_BODY: Shared = shared(
    "UnsupportedMediaType",
    415,
    "The body is of another type",
    &["unsupported_media_type"],
);
const BAD_FIELDS: Shared = shared(
    "BadFields",
    422,
    "Every field that is not valid",
    &["validation_failed"],
);
const RATE_LIMITED: Shared = shared(
    "RateLimited",
    429,
    "Too many requests; `Retry-After` says when to go on",
    &["rate_limited"],
);
const INTERNAL: Shared = shared(
    "Internal",
    500,
    "Something went wrong on our side",
    &["internal", "refused"],
);
const UNAVAILABLE: Shared = shared(
    "Unavailable",
    503,
    "Something that this needs does not answer; try again",
    &["unavailable"],
);

const SHARED: [&Shared; 14] = [
    &SIGN_IN,
    &BAD_TOKEN,
    &MISSING_SCOPE,
    &NOT_FOUND,
    &BAD_PATH,
    &BAD_PAGE,
    &BAD_PARAMETERS,
    &MALFORMED_BODY,
    &BODY_TOO_LARGE,
    &OTHER_BODY,
    &BAD_FIELDS,
    &RATE_LIMITED,
    &INTERNAL,
    &UNAVAILABLE,
];

/// Headers that responses tell something by.
const HEADERS: [(&str, Type, &str, &str); 9] = [
    (
        "x-request-id",
        Type::String,
        "Which request this was, to quote when asking for help: the client's own `x-request-id`, if it sent one of 8 to \
         36 letters, digits, `_` and `-`",
        "0198c8f5-6b1e-7c3a-9d52-2f0e8a41b7c6",
    ),
    (
        "x-ratelimit-limit",
        Type::Integer,
        "How many requests the window allows",
        "100",
    ),
    (
        "x-ratelimit-remaining",
        Type::Integer,
        "How many of them are left",
        "99",
    ),
    (
        "x-ratelimit-reset",
        Type::Integer,
        "Seconds until the window ends",
        "42",
    ),
    (
        "Retry-After",
        Type::Integer,
        "Seconds until it is worth trying again",
        "17",
    ),
    (
        "WWW-Authenticate",
        Type::String,
        "What would let the caller in (RFC 6750, RFC 7617)",
        "Bearer",
    ),
    (
        "ETag",
        Type::String,
        "The version, for `If-Match` and `If-None-Match`",
        "\"7\"",
    ),
    ("Location", Type::String, "Where it is", "/api/v1/…"),
    (
        "Idempotent-Replay",
        Type::String,
        "`true` if this is the answer to an earlier request with the same key",
        "true",
    ),
];

const LIMITS: [&str; 3] = [
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];

/// Applies the rules. `login` is whether the page can log in by itself.
pub(crate) fn apply(document: &mut OpenApi, login: bool) {
    let items = document.paths.paths.values_mut();
    for operation in items.flat_map(operations) {
        complete(operation, login);
    }
    let components = document.components.get_or_insert_default();
    name_items(components);
    loosen(components);
    describe(components);
}

/// What a page holds gets a name of its own: a list of items holds the same item that a request for one answers.
fn name_items(components: &mut Components) {
    let names = components.schemas.keys();
    let names = names.filter_map(|name| Some(name.strip_prefix("PageOf_")?.to_owned()));
    for name in names.collect::<Vec<_>>() {
        let known = components.schemas.get(&name).cloned();
        let page = components.schemas.get_mut(&format!("PageOf_{name}"));
        let Some(RefOr::T(Schema::Object(page))) = page else {
            continue;
        };
        let Some(RefOr::T(Schema::Array(list))) = page.properties.get_mut("items") else {
            continue;
        };
        let ArrayItems::RefOrSchema(item) = &mut list.items else {
            continue;
        };
        // Another type may have the name already.
        if matches!(**item, RefOr::T(_)) && known.is_none_or(|known| known == **item) {
            let reference = RefOr::Ref(Ref::from_schema_name(&name));
            let item = std::mem::replace(&mut **item, reference);
            components.schemas.insert(name, item);
        }
    }
}

/// What is one of several shapes without saying which may fit into two of them, where one has all the fields of the
/// other.
fn loosen(components: &mut Components) {
    for schema in components.schemas.values_mut() {
        if let RefOr::T(Schema::OneOf(shapes)) = schema
            && shapes.discriminator.is_none()
        {
            let mut any = AnyOf::new();
            any.items = std::mem::take(&mut shapes.items);
            any.description = shapes.description.take();
            *schema = RefOr::T(Schema::AnyOf(any));
        }
    }
}

pub(crate) fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let all = [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.patch,
    ];
    all.into_iter().flatten()
}

fn complete(operation: &mut Operation, login: bool) {
    let caller = Caller::of(operation);
    show_only(operation);
    if login {
        offer_login(operation);
    }
    for (status, response) in &mut operation.responses.responses {
        if let (RefOr::T(response), Ok(status)) = (response, status.parse()) {
            as_problem(response, status);
        }
    }
    if answers_as_oauth(operation) {
        complete_oauth(operation);
    } else {
        for shared in shared_by(operation, &caller) {
            add(operation, shared);
        }
    }
    let is_limited = operation.responses.responses.contains_key("429");
    let has = |status: &str| operation.responses.responses.contains_key(status);
    let (reads_tag, matches_tag) = (has("304"), has("412"));
    let is_idempotent = parameters(operation).any(|p| p.name == "Idempotency-Key");
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response {
            let is_success = status.starts_with('2') || status == "304";
            let is_tagged = match status.as_str() {
                "200" => reads_tag || matches_tag,
                "304" => true,
                _ => false,
            };
            let mut headers = headers_of(status);
            headers.extend(LIMITS.iter().filter(|_| is_limited && is_success));
            headers.extend(is_tagged.then_some("ETag"));
            headers.extend((is_idempotent && is_success).then_some("Idempotent-Replay"));
            name_headers(response, &headers);
        }
    }
    let listed = operation.parameters.get_or_insert_default();
    let conditions = [(reads_tag, "IfNoneMatch"), (matches_tag, "IfMatch")];
    let conditions = conditions.into_iter().filter(|(has, _)| *has);
    listed.extend(conditions.map(|(_, name)| {
        let reference = Ref::new(format!("#/components/parameters/{name}"));
        RefOr::Ref(reference)
    }));
    if listed.is_empty() {
        operation.parameters = None;
    }
}

/// Pages fill in the example of a parameter, and send it. One that may be left out is only to be looked at.
fn show_only(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && parameter.required == Required::False
        {
            let written = serde_json::to_value(&*parameter).unwrap_or_default();
            if let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema {
                schema.examples.extend(written.get("example").cloned());
                *parameter = ParameterBuilder::from(parameter.clone())
                    .example(None)
                    .build();
            }
        }
    }
}

/// Whom an operation is for, as its `security` says.
struct Caller {
    is_known: bool,
    may_be_anybody: bool,
    needs_scope: bool,
}

impl Caller {
    fn of(operation: &Operation) -> Self {
        let mut caller = Self {
            is_known: false,
            may_be_anybody: false,
            needs_scope: false,
        };
        for requirement in operation.security.iter().flatten() {
            let scopes = scopes(requirement, BEARER);
            caller.is_known |= scopes.is_some();
            caller.may_be_anybody |= *requirement == SecurityRequirement::default();
            caller.needs_scope |= scopes.is_some_and(|scopes| !scopes.is_empty());
        }
        caller
    }
}

/// The scopes that a requirement asks for of this scheme, if it asks for it.
fn scopes(requirement: &SecurityRequirement, scheme: &str) -> Option<Vec<String>> {
    let requirement = serde_json::to_value(requirement).ok()?;
    serde_json::from_value(requirement.get(scheme)?.clone()).ok()
}

/// Beside each token, a token that the page gets itself.
fn offer_login(operation: &mut Operation) {
    let offered = operation.security.take().map(|requirements| {
        let twice = requirements.into_iter().flat_map(|requirement| {
            let scopes = scopes(&requirement, BEARER);
            let login = scopes.map(|scopes| SecurityRequirement::new(LOGIN, scopes));
            [Some(requirement), login].into_iter().flatten()
        });
        twice.collect()
    });
    operation.security = offered;
}

fn parameters(operation: &Operation) -> impl Iterator<Item = &Parameter> {
    let listed = operation.parameters.iter().flatten();
    listed.filter_map(|parameter| match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    })
}

/// The shared responses of an operation.
fn shared_by(operation: &Operation, caller: &Caller) -> Vec<&'static Shared> {
    let mut shared = Vec::new();
    match (caller.is_known, caller.may_be_anybody) {
        (true, false) => shared.extend([&SIGN_IN, &RATE_LIMITED]),
        (true, true) => shared.extend([&BAD_TOKEN, &RATE_LIMITED]),
        (false, _) => {}
    }
    if caller.needs_scope {
        shared.push(&MISSING_SCOPE);
    }
    for parameter in parameters(operation) {
        match parameter.parameter_in {
            ParameterIn::Path if is_id(parameter) => shared.push(&NOT_FOUND),
            ParameterIn::Path => shared.push(&BAD_PATH),
            _ if parameter.name == "cursor" => shared.extend([&BAD_PAGE, &BAD_PARAMETERS]),
            _ => {}
        }
    }
    if takes_body_of_ours(operation) {
        shared.extend([&MALFORMED_BODY, &BODY_TOO_LARGE, &OTHER_BODY, &BAD_FIELDS]);
    }
    shared.extend([&INTERNAL, &UNAVAILABLE]);
    shared
}

fn is_id(parameter: &Parameter) -> bool {
    let uuid = SchemaFormat::KnownFormat(KnownFormat::Uuid);
    match &parameter.schema {
        Some(RefOr::T(Schema::Object(schema))) => schema.format == Some(uuid),
        _ => false,
    }
}

/// What somebody else defines, as a payment provider's event, is read by rules of its own.
fn takes_body_of_ours(operation: &Operation) -> bool {
    let Some(RefOr::T(body)) = &operation.request_body else {
        return false;
    };
    body.content.values().any(|content| match content {
        RefOr::T(content) => !matches!(&content.schema, Some(RefOr::T(Schema::Object(_))) | None),
        RefOr::Ref(_) => true,
    })
}

/// Adds a shared response. Where the handler has one of the same status, that stays, and gets the codes it lacks.
fn add(operation: &mut Operation, shared: &Shared) {
    let responses = &mut operation.responses.responses;
    let status = shared.status.to_string();
    let reference = RefOr::Ref(Ref::from_response_name(shared.name));
    match responses.remove(&status) {
        None => {
            responses.insert(status, reference);
        }
        Some(known) => {
            let known = match known {
                RefOr::T(response) => response,
                RefOr::Ref(reference) => resolved(&reference),
            };
            responses.insert(status, RefOr::T(with_codes(known, shared)));
        }
    }
}

fn resolved(reference: &Ref) -> Response {
    let mut all = SHARED.into_iter();
    let named = all.find(|shared| {
        reference
            .ref_location
            .ends_with(&format!("/{}", shared.name))
    });
    named.map(problem).unwrap_or_default()
}

fn with_codes(mut response: Response, shared: &Shared) -> Response {
    let Some(RefOr::T(content)) = response.content.get_mut(PROBLEM) else {
        return response;
    };
    for code in shared.codes {
        if !content.examples.contains_key(*code) {
            content.examples.extend([example(shared.status, code)]);
            // That fields can be wrong says nothing of what else is.
            if *code != "validation_failed" && *code != "not_found" {
                response.description += &format!("; `{code}`");
            }
        }
    }
    response
}

fn problem(shared: &Shared) -> Response {
    let codes = shared.codes.iter();
    let examples = codes.map(|code| example(shared.status, code));
    let mut content = Content::new(Some(Ref::from_schema_name("Problem")));
    content.examples = examples.collect();
    let mut response = Response::new(shared.description);
    response
        .content
        .insert(PROBLEM.to_owned(), RefOr::T(content));
    response
}

fn example(status: u16, code: &str) -> (String, RefOr<Example>) {
    let name = problems::name(status, code);
    let reference = Ref::new(format!("#/components/examples/{name}"));
    (code.to_owned(), RefOr::Ref(reference))
}

fn named(value: Value) -> RefOr<Example> {
    RefOr::T(Example::builder().value(Some(value)).build())
}

/// Gives a handler's own problem its type, and examples of the codes that its description names.
fn as_problem(response: &mut Response, status: u16) {
    let is_problem = |content: &RefOr<Content>| refers_to(content, "Problem");
    let found = response.content.iter().find(|(_, c)| is_problem(c));
    let Some(kind) = found.map(|(kind, _)| kind.clone()) else {
        return;
    };
    let Some(RefOr::T(mut content)) = response.content.shift_remove(&kind) else {
        return;
    };
    let mut codes = problems::codes_in(&response.description, status);
    if codes.is_empty() {
        codes.extend(usual_code(status));
    }
    let examples = codes.iter().map(|code| example(status, code));
    content.examples.extend(examples);
    response
        .content
        .insert(PROBLEM.to_owned(), RefOr::T(content));
}

/// What a response is that is described in words only.
fn usual_code(status: u16) -> Option<&'static str> {
    match status {
        401 => Some("invalid_token"),
        403 => Some("insufficient_scope"),
        404 => Some("not_found"),
        412 => Some("precondition_failed"),
        413 => Some("body_too_large"),
        415 => Some("unsupported_media_type"),
        422 => Some("validation_failed"),
        429 => Some("rate_limited"),
        500 => Some("internal"),
        503 => Some("unavailable"),
        // These have too many reasons.
        _ => None,
    }
}

fn refers_to(content: &RefOr<Content>, schema: &str) -> bool {
    match content {
        RefOr::T(Content {
            schema: Some(RefOr::Ref(reference)),
            ..
        }) => reference.ref_location == format!("#/components/schemas/{schema}"),
        _ => false,
    }
}

/// Whether the errors of an operation are those of OAuth.
fn answers_as_oauth(operation: &Operation) -> bool {
    let mut responses = operation.responses.responses.values();
    responses.any(|response| match response {
        RefOr::T(response) => response
            .content
            .values()
            .any(|c| refers_to(c, "OauthProblem")),
        RefOr::Ref(_) => false,
    })
}

/// OAuth has one form of errors, and words of its own for what is ours. What did not reach the handler's end, because it
/// panicked or took too long, is a problem all the same.
fn complete_oauth(operation: &mut Operation) {
    let usual = [
        (413, "The form is larger than 1 MiB: `invalid_request`"),
        (500, "Something went wrong on our side: `server_error`"),
        (
            503,
            "Something that this needs does not answer; try again: `temporarily_unavailable`",
        ),
    ];
    for (status, description) in usual {
        let mut response = match status {
            500 => problem(&INTERNAL),
            503 => problem(&UNAVAILABLE),
            _ => Response::default(),
        };
        response.description = description.to_owned();
        let content = Content::new(Some(Ref::from_schema_name("OauthProblem")));
        response.content.insert(JSON.to_owned(), RefOr::T(content));
        let responses = &mut operation.responses.responses;
        responses.insert(status.to_string(), RefOr::T(response));
    }
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else {
            continue;
        };
        let Some(RefOr::T(content)) = response.content.get_mut(JSON) else {
            continue;
        };
        let status = status.parse().unwrap_or_default();
        let examples = problems::oauth_in(&response.description, status);
        let examples = examples
            .into_iter()
            .map(|(code, body)| (code.to_owned(), named(body)));
        content.examples.extend(examples);
    }
}

/// The headers of each response of a status.
fn headers_of(status: &str) -> Vec<&'static str> {
    let mut headers = vec!["x-request-id"];
    match status {
        "401" | "403" => headers.push("WWW-Authenticate"),
        "301" | "302" | "303" | "307" | "308" => headers.push("Location"),
        "429" => {
            headers.push("Retry-After");
            headers.extend(LIMITS);
        }
        "503" => headers.push("Retry-After"),
        _ => {}
    }
    headers
}

/// Adds headers, and takes those that a handler has named by what all of that name are.
fn name_headers(response: &mut Response, more: &[&str]) {
    let own: Vec<_> = response.headers.keys().cloned().collect();
    let names = own.iter().map(String::as_str).chain(more.iter().copied());
    for name in names {
        if HEADERS.iter().any(|(known, ..)| *known == name) {
            let reference = Ref::new(format!("#/components/headers/{name}"));
            response
                .headers
                .insert(name.to_owned(), RefOr::Ref(reference));
        }
    }
}

/// What operations refer to.
fn describe(components: &mut Components) {
    for shared in SHARED {
        let mut response = problem(shared);
        name_headers(&mut response, &headers_of(&shared.status.to_string()));
        components
            .responses
            .insert(shared.name.to_owned(), RefOr::T(response));
    }
    let examples = problems::examples().into_iter();
    let examples = examples.map(|(name, body)| (name, named(body)));
    components.examples.extend(examples);
    for (name, kind, description, example) in HEADERS {
        let example = match kind {
            Type::Integer => example.parse().unwrap_or(Value::Null),
            _ => Value::from(example),
        };
        let mut header = Header::new(ObjectBuilder::new().schema_type(kind).build());
        header.description = Some(description.to_owned());
        header.example = Some(example);
        components.headers.insert(name.to_owned(), RefOr::T(header));
    }
    let conditions = [
        (
            "IfMatch",
            "If-Match",
            "Refuse the change with 412 unless one of these `ETag`s is the newest, as `\"7\"`",
        ),
        (
            "IfNoneMatch",
            "If-None-Match",
            "Answer 304 without a body if one of these `ETag`s is the newest, as `\"7\"`",
        ),
    ];
    for (key, name, description) in conditions {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let parameter = Parameter::builder()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(text.build()));
        let parameter = RefOr::T(parameter.build());
        components.parameters.insert(key.to_owned(), parameter);
    }
}
