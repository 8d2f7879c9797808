//! The body of a write: every mistake at once, and none of them quotes what was written, for it could be a password.

use platform::problem::{FieldError, Problem};
use secrecy::SecretString;
use serde_json::{Map, Value};

/// The fields of a body, to be taken out one by one.
pub(crate) struct Form {
    fields: Map<String, Value>,
    mistakes: Vec<FieldError>,
}

impl Form {
    /// # Errors
    /// 400 when the body is no object.
    pub(crate) fn new(body: Value) -> Result<Form, Problem> {
        match body {
            Value::Object(fields) => Ok(Form { fields, mistakes: Vec::new() }),
            other => {
                let detail = format!("has to be an object, not {}", kind(&other));
                Err(Problem::invalid(vec![FieldError::new("", detail)]))
            }
        }
    }

    /// Takes the text `name` and turns it into something; `None` is a mistake, and noted.
    pub(crate) fn text<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, FieldError>,
    ) -> Option<T> {
        let outcome = match self.fields.remove(name) {
            Some(Value::String(text)) => read(&text),
            Some(other) => Err(FieldError::new(
                pointer(name),
                format!("has to be a text, not {}", kind(&other)),
            )),
            None => Err(FieldError::new(pointer(name), "is missing")),
        };
        self.note(outcome)
    }

    /// Whether there is a field `name`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Takes the text `name`, which nobody is to see.
    pub(crate) fn secret(&mut self, name: &str) -> Option<SecretString> {
        self.text(name, |text| Ok(SecretString::from(text)))
    }

    /// The value, or `None` and a mistake more.
    pub(crate) fn note<T>(&mut self, outcome: Result<T, FieldError>) -> Option<T> {
        outcome.map_err(|mistake| self.mistakes.push(mistake)).ok()
    }

    /// Drops fields that answers contain and nobody can set: what was read can be sent back.
    pub(crate) fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.fields.remove(*name);
        }
    }

    /// What was made of the fields, which is `None` where one of them was wrong.
    ///
    /// # Errors
    /// 400 with all mistakes. A field that nobody took is one.
    pub(crate) fn finish<T>(mut self, made: Option<T>) -> Result<T, Problem> {
        for name in self.fields.keys() {
            self.mistakes.push(FieldError::new(pointer(name), "is not known here"));
        }
        match made {
            Some(made) if self.mistakes.is_empty() => Ok(made),
            _ => Err(Problem::invalid(self.mistakes)),
        }
    }
}

/// RFC 6901. A name that a stranger chose is cut: it is only there to be recognised.
fn pointer(name: &str) -> String {
    let name: String = name.chars().take(60).collect();
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
