//! A value of the template with the path that leads to it, so that an error can say where it is.

use anyhow::{Context, Result, anyhow, bail};
use yaml_serde::Value;

/// A plain value, or a call of a CloudFormation function, written short (`!Ref X`) or long (`Ref: X`).
#[derive(Clone, Debug)]
pub(super) struct Node {
    path: String,
    value: Value,
}

impl Node {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let value = yaml_serde::from_str(text).context("it is not YAML")?;
        Ok(Self {
            path: String::new(),
            value,
        })
    }

    /// The field of this name, if this is a mapping that has it.
    pub(super) fn get(&self, name: &str) -> Option<Node> {
        let value = self.value.as_mapping()?.get(name)?;
        Some(self.below(name, value))
    }

    pub(super) fn need(&self, name: &str) -> Result<Node> {
        self.get(name)
            .ok_or_else(|| anyhow!("{}{name} is missing", prefix(&self.path)))
    }

    /// What a run of fields leads to, if each is there.
    pub(super) fn find(&self, names: &[&str]) -> Option<Node> {
        let mut node = self.clone();
        for name in names {
            node = node.get(name)?;
        }
        Some(node)
    }

    /// Each field of a mapping, in the order of the file.
    pub(super) fn fields(&self) -> Result<Vec<(String, Node)>> {
        let mapping = self
            .value
            .as_mapping()
            .ok_or_else(|| self.error("must be a mapping"))?;
        mapping
            .iter()
            .map(|(name, value)| {
                let name = name
                    .as_str()
                    .ok_or_else(|| self.error("has a key that is not text"))?;
                Ok((name.to_owned(), self.below(name, value)))
            })
            .collect()
    }

    pub(super) fn items(&self) -> Result<Vec<Node>> {
        let list = self
            .value
            .as_sequence()
            .ok_or_else(|| self.error("must be a list"))?;
        Ok(list
            .iter()
            .enumerate()
            .map(|(at, value)| self.below(&at.to_string(), value))
            .collect())
    }

    /// A scalar as text: CloudFormation takes `5` and `"5"` for the same.
    pub(super) fn text(&self) -> Result<String> {
        match &self.value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Bool(yes) => Ok(yes.to_string()),
            _ => Err(self.error(&match self.call() {
                Some((function, _)) => {
                    format!("calls {function}, which cannot be evaluated without AWS")
                }
                None => "must be text".to_owned(),
            })),
        }
    }

    pub(super) fn number(&self) -> Result<u32> {
        let text = self.text()?;
        text.parse()
            .map_err(|_| self.error(&format!("is `{text}`, which is not a whole number")))
    }

    /// The function that this calls and its argument: `Ref` or `Fn::…`.
    pub(super) fn call(&self) -> Option<(String, Node)> {
        match &self.value {
            Value::Tagged(tagged) => {
                let tag = tagged.tag.to_string();
                let name = tag.trim_start_matches('!');
                let function = match name {
                    "Ref" | "Condition" => name.to_owned(),
                    name => format!("Fn::{name}"),
                };
                Some((function, self.at(&tagged.value)))
            }
            Value::Mapping(mapping) if mapping.len() == 1 => {
                let (name, argument) = mapping.iter().next()?;
                let name = name.as_str()?;
                let is_call = name == "Ref" || name.starts_with("Fn::");
                is_call.then(|| (name.to_owned(), self.at(argument)))
            }
            _ => None,
        }
    }

    /// The logical id of the resource or parameter that `!Ref X` names.
    pub(super) fn reference(&self) -> Option<String> {
        match self.call() {
            Some((function, argument)) if function == "Ref" => argument.text().ok(),
            _ => None,
        }
    }

    /// The logical id of the resource whose ARN this is: `!GetAtt X.Arn`.
    pub(super) fn arn_of(&self) -> Result<String> {
        let argument = match self.call() {
            Some((function, argument)) if function == "Fn::GetAtt" => argument,
            _ => {
                return Err(self.error("must be the ARN of a resource here, as in `!GetAtt X.Arn`"));
            }
        };
        let (resource, attribute) = match argument.items() {
            Ok(parts) => match parts.as_slice() {
                [resource, attribute] => (resource.text()?, attribute.text()?),
                _ => return Err(self.error("must name a resource and an attribute")),
            },
            Err(_) => {
                let text = argument.text()?;
                match text.split_once('.') {
                    Some((resource, attribute)) => (resource.to_owned(), attribute.to_owned()),
                    None => return Err(self.error("must name a resource and an attribute")),
                }
            }
        };
        if attribute != "Arn" {
            bail!(self.error(&format!("is the {attribute} of {resource}, not its ARN")));
        }
        Ok(resource)
    }

    pub(super) fn error(&self, what: &str) -> anyhow::Error {
        anyhow!("{} {what}", self.path)
    }

    fn below(&self, name: &str, value: &Value) -> Node {
        Node {
            path: format!("{}{name}", prefix(&self.path)),
            value: value.clone(),
        }
    }

    fn at(&self, value: &Value) -> Node {
        Node {
            path: self.path.clone(),
            value: value.clone(),
        }
    }
}

fn prefix(path: &str) -> String {
    if path.is_empty() {
        String::new()
    } else {
        format!("{path}.")
    }
}
