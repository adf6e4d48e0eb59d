//! The environment variables of the functions, which under `cargo lambda watch` share one environment.
//!
//! They are those of `template.yaml`, with local resources in the place of deployed ones. What only AWS could tell, and
//! what has to differ locally, the caller adds.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::aws::{ACCESS_KEY_ID, Endpoints, REGION, SECRET_ACCESS_KEY};
use crate::provision::References;
use crate::template::{Template, Variable};

pub type Variables = BTreeMap<String, String>;

/// Variables of a developer's shell that would lead the functions to a real account.
pub const FOREIGN: [&str; 4] = [
    "AWS_PROFILE",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_SESSION_TOKEN",
];

/// The variables of the template. A text in it is only the default of what `shell` says, so that
/// `LOG_LEVEL=debug cargo dev` does as it reads; the name of a table or queue is not for the shell to change.
pub fn from_template(
    template: &Template,
    references: &References,
    shell: impl Fn(&str) -> Option<String>,
) -> Result<Variables> {
    let mut variables = Variables::new();
    for function in &template.functions {
        for (name, variable) in &function.variables {
            let value = match variable {
                Variable::Text(text) => shell(name).unwrap_or_else(|| text.clone()),
                Variable::Resource(id) => match references.get(id) {
                    Some(value) => value.clone(),
                    None => continue,
                },
                Variable::Computed => continue,
            };
            match variables.get(name) {
                Some(other) if *other != value => bail!(
                    "template.yaml gives {name} two values, `{other}` and `{value}`, but locally \
                     the functions share one environment"
                ),
                _ => variables.insert(name.clone(), value),
            };
        }
    }
    Ok(variables)
}

/// Where the local AWS is, and the credentials that it takes.
pub fn aws(endpoints: &Endpoints) -> Variables {
    [
        ("AWS_ENDPOINT_URL_DYNAMODB", endpoints.dynamodb.as_str()),
        ("AWS_ENDPOINT_URL_SQS", &endpoints.sqs),
        ("AWS_ENDPOINT_URL_S3", &endpoints.s3),
        ("AWS_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(worker_limit: &str) -> Template {
        Template::parse(&format!(
            "
Parameters: {{ LogLevel: {{ Type: String, Default: info }}, Needed: {{ Type: String }} }}
Globals:
  Function:
    Environment:
      Variables: {{ LOG_LEVEL: !Ref LogLevel, APP_TABLE: !Ref AppTable, LIMIT: '100', NEEDED: !Ref Needed }}
Resources:
  Auth:
    Type: AWS::Serverless::Function
    Metadata: {{ BuildProperties: {{ Binary: auth }} }}
    Properties: {{ Environment: {{ Variables: {{ SECRET: !Ref Secret, URL: !Sub 'https://x' }} }} }}
  Worker:
    Type: AWS::Serverless::Function
    Metadata: {{ BuildProperties: {{ Binary: worker }} }}
    Properties: {{ Environment: {{ Variables: {{ LIMIT: {worker_limit} }} }} }}
"
        ))
        .unwrap()
    }

    fn references() -> References {
        References::from([("AppTable".to_owned(), "app-table".to_owned())])
    }

    #[test]
    fn the_template_gives_text_and_local_names() {
        let variables = from_template(&template("100"), &references(), |_| None).unwrap();
        let expected = [
            ("APP_TABLE", "app-table"),
            ("LIMIT", "100"),
            ("LOG_LEVEL", "info"),
        ];
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(variables, expected);
    }

    #[test]
    fn the_shell_changes_text_and_not_names() {
        let variables = from_template(&template("100"), &references(), |name| {
            Some(format!("my {name}"))
        })
        .unwrap();
        assert_eq!(variables["LOG_LEVEL"], "my LOG_LEVEL");
        assert_eq!(variables["APP_TABLE"], "app-table");
    }

    #[test]
    fn two_values_for_one_name_are_refused() {
        let error = from_template(&template("200"), &references(), |_| None).unwrap_err();
        assert!(error.to_string().contains("LIMIT two values"), "{error}");
    }
}
