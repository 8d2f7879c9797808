//! The query of a page and the links to its neighbours. All state of the console is in the URL, so a link can be sent.

use std::fmt;

use axum::extract::{FromRequestParts, Query};
use http::request::Parts;

use super::error::Error;
use super::format::clip;

/// Longest accepted value of one parameter, in bytes.
pub(super) const LONGEST: usize = 2048;
/// Most parameters of one address.
const MOST: usize = 128;

/// The parameters of a request in order, empty ones left out: an empty field of a form means "not set".
#[derive(Debug, Clone, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let Query(mut pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| Error::bad("The part of the address after “?” cannot be read."))?;
        pairs.retain(|(_, value)| !value.trim().is_empty());
        if pairs.len() > MOST {
            return Err(Error::bad(format!("The address has more than {MOST} parameters.")));
        }
        if let Some((key, _)) = pairs.iter().find(|(_, value)| value.len() > LONGEST) {
            return Err(Error::bad(format!("“{}” is longer than {LONGEST} bytes.", shown(key))));
        }
        Ok(Self(pairs))
    }
}

impl Params {
    /// # Errors
    /// 400 when there is a parameter that this page does not know: a misspelt filter must not look like no filter.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Error> {
        match self.0.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some((key, _)) => Err(Error::bad(format!(
                "This page has no parameter “{}”. It knows: {}.",
                shown(key),
                known.join(", ")
            ))),
        }
    }

    /// The trimmed value; the last one counts if there are several.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.trim())
    }

    /// All values of a parameter that may be given several times.
    pub(super) fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.trim())
    }

    /// The value when it is one of a few words.
    ///
    /// # Errors
    /// 400 that names the words.
    pub(super) fn one_of<T: Copy>(
        &self,
        key: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match words.iter().find(|(word, _)| *word == value) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => {
                let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                Err(Error::bad(format!(
                    "“{key}” is “{}”, but it can only be: {}.",
                    shown(value),
                    known.join(", ")
                )))
            }
        }
    }

    /// A whole number.
    ///
    /// # Errors
    /// 400 that names the parameter and its largest value.
    pub(super) fn number(&self, key: &str, most: u64) -> Result<Option<u64>, Error> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.parse() {
            Ok(number) if number <= most => Ok(Some(number)),
            _ => Err(Error::bad(format!(
                "“{key}” is “{}”, but it has to be a whole number from 0 to {most}.",
                shown(value)
            ))),
        }
    }

    /// A duration in nanoseconds: `250ms`, `1.5s`, `2m`, or a bare number of milliseconds.
    ///
    /// # Errors
    /// 400 with examples.
    pub(super) fn duration(&self, key: &str) -> Result<Option<u64>, Error> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match parse_duration(value) {
            Some(nanos) => Ok(Some(nanos)),
            None => Err(Error::bad(format!(
                "“{key}” is “{}”, which is not a duration. Write for example 250ms, 1.5s or 2m.",
                shown(value)
            ))),
        }
    }

    /// A link to `path` with these parameters, to be changed further.
    pub(super) fn link(&self, path: &str) -> Link {
        Link { path: path.to_owned(), pairs: self.0.clone() }
    }
}

fn parse_duration(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim());
    let nanos_per_unit = match unit {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "" | "ms" => 1e6,
        "s" => 1e9,
        "m" | "min" => 60e9,
        "h" => 3600e9,
        _ => return None,
    };
    let nanos = number.parse::<f64>().ok()? * nanos_per_unit;
    (0.0..1e18).contains(&nanos).then_some(nanos as u64)
}

/// What somebody typed, short and visible enough to be repeated in a sentence.
pub(super) fn shown(text: &str) -> String {
    clip(text, 60)
}

/// A relative address with its query; `Display` encodes it.
#[derive(Debug, Clone)]
pub(super) struct Link {
    path: String,
    pairs: Vec<(String, String)>,
}

impl Link {
    /// A path of fixed text or percent-safe parts.
    pub(super) fn to(path: impl Into<String>) -> Self {
        Self { path: path.into(), pairs: Vec::new() }
    }

    /// Replaces every parameter of this name.
    pub(super) fn set(mut self, key: &str, value: impl fmt::Display) -> Self {
        self = self.without(key);
        self.pairs.push((key.to_owned(), value.to_string()));
        self
    }

    /// The value of a parameter.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The parameters.
    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// Removes one of several values of a parameter.
    pub(super) fn without_pair(mut self, key: &str, value: &str) -> Self {
        self.pairs.retain(|(name, other)| !(name == key && other.trim() == value));
        self
    }

    /// Removes the parameter.
    pub(super) fn without(mut self, key: &str) -> Self {
        self.pairs.retain(|(name, _)| name != key);
        self
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        for (at, (key, value)) in self.pairs.iter().enumerate() {
            f.write_str(if at == 0 { "?" } else { "&" })?;
            encode(key, f)?;
            f.write_str("=")?;
            encode(value, f)?;
        }
        Ok(())
    }
}

/// Percent encoding of a query part; what is legible and harmless there stays as it is.
fn encode(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'-'
            | b'_'
            | b'.'
            | b'~'
            | b'/'
            | b':'
            | b','
            | b'@' => {
                fmt::Write::write_char(f, byte.into())?;
            }
            b' ' => f.write_str("+")?,
            _ => write!(f, "%{byte:02X}")?,
        }
    }
    Ok(())
}

impl maud::Render for Link {
    fn render_to(&self, buffer: &mut String) {
        self.to_string().as_str().render_to(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_milliseconds_are_assumed() {
        for (text, nanos) in [
            ("250ms", 250_000_000),
            ("1.5s", 1_500_000_000),
            ("40", 40_000_000),
            ("7µs", 7_000),
            ("2 m", 120_000_000_000),
        ] {
            assert_eq!(parse_duration(text), Some(nanos), "{text}");
        }
        for text in ["", "s", "-1ms", "1.2.3s", "fast", "9e99s", "99999999999h"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_link_encodes_what_could_end_a_value_or_an_attribute() {
        let link = Link::to("/").set("attr", "a=b&c=\"<é>").set("page", 2).set("page", 3);
        assert_eq!(link.to_string(), "/?attr=a%3Db%26c%3D%22%3C%C3%A9%3E&page=3");
        assert_eq!(link.without("attr").without("page").to_string(), "/");
    }
}
