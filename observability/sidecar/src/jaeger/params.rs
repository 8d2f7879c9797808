//! Query parameters, read as Go programs read them.

use std::{collections::BTreeMap, convert::Infallible, time::SystemTime};

use axum::extract::{FromRequestParts, Query};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::request::Parts;

use crate::store::TraceId;

/// More traces than that are not told at once, whatever is asked for: as many as Jaeger's page can ask for.
const MOST_TRACES: usize = 1_500;

/// Why a parameter is wrong, as a sentence with its name.
pub(super) type Refusal = String;

/// The parameters behind the `?`, in their order. An empty one counts as absent.
pub(super) struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Params, Infallible> {
        // Pairs of texts can always be made: what is no UTF-8 is replaced.
        Ok(Params(Query::try_from_uri(&parts.uri).map(|Query(it)| it).unwrap_or_default()))
    }
}

impl Params {
    /// The first that has one of these names.
    pub(super) fn get(&self, names: &[&str]) -> Option<&str> {
        let first = |name: &&str| self.0.iter().find(|(it, _)| it == name);
        let found = names.iter().find_map(|name| first(name).filter(|(_, it)| !it.is_empty()));
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn text(&self, names: &[&str]) -> Option<String> {
        self.get(names).map(str::to_owned)
    }

    /// All of this name, also empty ones.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    fn parsed<T>(
        &self,
        names: &[&str],
        parse: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Result<Option<T>, Refusal> {
        let Some(text) = self.get(names) else { return Ok(None) };
        let name = names.iter().find(|it| self.get(&[it]).is_some()).unwrap_or(&names[0]);
        parse(text).map(Some).map_err(|why| format!("unable to parse param '{name}': {why}"))
    }

    /// A time as a whole number of units of so many nanoseconds since 1970; what is before then, counts as then.
    pub(super) fn time(&self, names: &[&str], unit: u64) -> Result<Option<u64>, Refusal> {
        self.parsed(names, |text| {
            let count: i64 = text.parse().map_err(|_| no_integer(text))?;
            Ok(u64::try_from(count).unwrap_or(0).saturating_mul(unit))
        })
    }

    /// A length of time as a whole number of milliseconds, in nanoseconds.
    pub(super) fn millis(&self, names: &[&str]) -> Result<Option<u64>, Refusal> {
        self.parsed(names, |text| {
            let count: u64 = text.parse().map_err(|_| no_integer(text))?;
            Ok(count.saturating_mul(1_000_000))
        })
    }

    /// A time in RFC 3339.
    pub(super) fn rfc3339(&self, names: &[&str]) -> Result<Option<u64>, Refusal> {
        self.parsed(names, |text| {
            let time = humantime::parse_rfc3339(text).or_else(|_| with_offset(text));
            let time = time.map_err(|()| format!("{text:?} is no time in RFC 3339"))?;
            let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            Ok(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
        })
    }

    /// A duration as Go writes it, not below zero.
    pub(super) fn duration(&self, names: &[&str]) -> Result<Option<u64>, Refusal> {
        self.parsed(names, |text| {
            go_duration(text)
                .ok_or_else(|| format!("{text:?} is no duration such as \"1.2s\" or \"300us\""))
        })
    }

    /// `1`, `t`, `true`, `0`, ...; `false` where there is none.
    pub(super) fn flag(&self, names: &[&str]) -> Result<bool, Refusal> {
        let parse = |text: &str| match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err(format!("{text:?} is neither true nor false")),
        };
        self.parsed(names, parse).map(Option::unwrap_or_default)
    }

    /// How many traces: 100 where nothing is said.
    pub(super) fn limit(&self, names: &[&str]) -> Result<usize, Refusal> {
        let parse = |text: &str| match text.parse::<i32>() {
            Ok(count) if count > 0 => Ok(MOST_TRACES.min(count as usize)),
            Ok(_) => Err("it has to be greater than 0".to_owned()),
            Err(_) => Err(no_integer(text)),
        };
        self.parsed(names, parse).map(|it| it.unwrap_or(100))
    }

    /// Key and value of each `tag=key:value`, and of the JSON objects in `tags`; the last value of a key counts.
    pub(super) fn tags(&self, pair: &str, object: &str) -> Result<Vec<(String, String)>, Refusal> {
        let mut tags = BTreeMap::new();
        for tag in self.all(pair) {
            let (key, value) = tag.split_once(':').ok_or_else(|| {
                format!("malformed '{pair}' parameter, expecting key:value, received: {tag}")
            })?;
            tags.insert(key.to_owned(), value.to_owned());
        }
        for text in self.all(object).filter(|it| !it.is_empty()) {
            let more: BTreeMap<String, String> = serde_json::from_str(text).map_err(|why| {
                format!("malformed '{object}' parameter, it has to be an object of strings: {why}")
            })?;
            tags.extend(more);
        }
        Ok(tags.into_iter().collect())
    }

    pub(super) fn pretty(&self) -> bool {
        self.get(&["prettyPrint"]).is_some_and(|it| it != "false")
    }
}

fn no_integer(text: &str) -> String {
    format!("{text:?} is no whole number within the limits")
}

/// A trace id: 1 to 32 hexadecimal digits, or 16 bytes in base64. Zero is the id of no trace, but it is an id.
pub(super) fn trace_id(text: &str) -> Result<TraceId, Refusal> {
    let hex = (1..=32).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_hexdigit());
    if hex && let Ok(id) = u128::from_str_radix(text, 16) {
        return Ok(TraceId(id.to_be_bytes()));
    }
    let bytes = STANDARD.decode(text).ok().and_then(|it| it.try_into().ok());
    bytes.map(TraceId).ok_or_else(|| format!("{text:?} is no trace id: 1 to 32 hexadecimal digits"))
}

/// Nanoseconds of a duration such as `1h15m30.918s`; `None` for what is none or below zero. What is too long, counts as the longest.
fn go_duration(text: &str) -> Option<u64> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0_f64;
    let mut whole = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let (unit, length) = UNITS.iter().find(|(unit, _)| {
            after.strip_prefix(unit).is_some_and(|it| !it.starts_with(char::is_alphabetic))
        })?;
        let (count, fraction) = number.split_once('.').unwrap_or((number, ""));
        if count.is_empty() && fraction.is_empty() {
            return None;
        }
        let count: u64 = if count.is_empty() { 0 } else { count.parse().ok()? };
        whole = whole.saturating_add(count.saturating_mul(*length));
        if !fraction.is_empty() {
            total += format!("0.{fraction}").parse::<f64>().ok()? * *length as f64;
        }
        rest = &after[unit.len()..];
    }
    (!text.is_empty() && text != "+").then_some(whole.saturating_add(total.round() as u64))
}

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// `humantime` reads UTC only.
fn with_offset(text: &str) -> Result<SystemTime, ()> {
    let at = text.len().checked_sub(6).filter(|at| text.is_char_boundary(*at)).ok_or(())?;
    let (local, offset) = text.split_at(at);
    let time = humantime::parse_rfc3339(&format!("{local}Z")).map_err(|_| ())?;
    let (hours, minutes) = offset.get(1..).and_then(|it| it.split_once(':')).ok_or(())?;
    let (hours, minutes): (u64, u64) =
        (hours.parse().map_err(|_| ())?, minutes.parse().map_err(|_| ())?);
    if hours > 23 || minutes > 59 {
        return Err(());
    }
    let shift = std::time::Duration::from_secs(hours * 3600 + minutes * 60);
    let shifted = match offset.as_bytes()[0] {
        b'+' => time.checked_sub(shift),
        b'-' => time.checked_add(shift),
        _ => None,
    };
    shifted.ok_or(())
}

#[cfg(test)]
mod tests {
    use super::go_duration;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let read = [
            ("0", 0),
            ("1.2s", 1_200_000_000),
            ("1h15m30.918s", 4_530_918_000_000),
            ("300us", 300_000),
            ("5µs", 5_000),
            (".5ms", 500_000),
            ("1.ms", 1_000_000),
            ("+2ns", 2),
            ("99999999999h", u64::MAX),
        ];
        for (text, nanoseconds) in read {
            assert_eq!(go_duration(text), Some(nanoseconds), "{text}");
        }
        for text in ["", "1", "s", ".s", "-1s", "1x", "1 s", "1sx", "1.2.3s", "ms", "+"] {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }
}
