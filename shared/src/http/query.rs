//! Parameters of a query string.

use std::borrow::Cow;
use std::collections::BTreeSet;

use axum::extract::FromRequestParts;
use http::request::Parts;
use url::form_urlencoded;

use crate::error::{Error, FieldError, Result};
use crate::models::text::Invalid;

/// What a query asks for. 422 with every parameter that is not valid; unknown ones are ignored.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

/// What can be read from the parameters of a query.
pub trait FromParams: Sized {
    /// Reads it. What is wrong is noted in `params`, and then the answer counts for nothing.
    fn from_params(params: &mut Params<'_>) -> Self;
}

impl<A: FromParams, B: FromParams> FromParams for (A, B) {
    fn from_params(params: &mut Params<'_>) -> Self {
        (A::from_params(params), B::from_params(params))
    }
}

/// The parameters, and what was wrong with those that were read. Of several with one name the first counts.
pub struct Params<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    wrong: Vec<FieldError>,
    refused: Option<Error>,
}

impl Params<'_> {
    pub fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(known, _)| known == name)
    }

    /// A parameter, if it is there and right.
    pub fn read<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        let (_, text) = self.pairs.iter().find(|(known, _)| known == name)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(Invalid { code, message }) => {
                self.wrong(name, code, message);
                None
            }
        }
    }

    /// One of a few words.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        self.read(name, |text| {
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|(_, value)| *value).ok_or_else(|| {
                let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                Invalid::new("not_one_of", format!("must be one of {}", words.join(", ")))
            })
        })
    }

    pub fn flag(&mut self, name: &str) -> Option<bool> {
        self.word(name, &[("true", true), ("false", false)])
    }

    /// Notes every parameter of another name as not valid.
    pub fn only(&mut self, names: &[&str]) {
        let others: BTreeSet<_> = self.pairs.iter().map(|(name, _)| name.clone()).collect();
        for other in others.iter().filter(|other| !names.contains(&&***other)) {
            let message = format!("is not known here; there are {}", names.join(", "));
            self.wrong(other, "unknown_field", message);
        }
    }

    /// Notes a parameter that is not valid.
    pub fn wrong(&mut self, name: &str, code: &str, message: impl Into<String>) {
        self.wrong.push(FieldError {
            field: name.to_owned(),
            message: message.into(),
            code: code.to_owned(),
        });
    }

    /// Refuses a query whose parameters are right one by one.
    pub fn refuse(&mut self, error: Error) {
        self.refused.get_or_insert(error);
    }
}

/// Reads a query string.
pub(super) fn parse<T: FromParams>(query: &str) -> Result<T> {
    let mut params = Params {
        pairs: form_urlencoded::parse(query.as_bytes()).collect(),
        wrong: Vec::new(),
        refused: None,
    };
    let read = T::from_params(&mut params);
    match (params.wrong.is_empty(), params.refused) {
        (false, _) => Err(Error::Invalid(params.wrong)),
        (true, Some(refused)) => Err(refused),
        (true, None) => Ok(read),
    }
}

impl<S: Sync, T: FromParams> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        parse(parts.uri.query().unwrap_or_default()).map(Self)
    }
}
