//! The types that a setting can have.

use std::{fmt, net::SocketAddr, num::NonZeroUsize, path::PathBuf, str::FromStr, time::Duration};

/// A type that a setting can have.
pub trait Value: Sized {
    /// What a value looks like, to be read after "set it to".
    const EXPECTED: &'static str;

    /// # Errors
    /// What is wrong with `text`, to be read after it.
    fn parse(text: &str) -> Result<Self, String>;

    /// `text` as messages and `musicwallet config` show it, right or wrong: without what can be a secret.
    fn shown(text: &str) -> String {
        text.to_owned()
    }

    /// What counts when nothing is set and there is no default; `None`: then that is a mistake.
    fn absent() -> Option<Self> {
        None
    }
}

impl<T: Value> Value for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn parse(text: &str) -> Result<Self, String> {
        T::parse(text).map(Some)
    }

    fn shown(text: &str) -> String {
        T::shown(text)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl Value for String {
    const EXPECTED: &'static str = "a text";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl Value for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }
}

/// A list, separated by commas; empty items do not count.
impl Value for Vec<String> {
    const EXPECTED: &'static str = "a list separated by commas";

    fn parse(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        Ok(items.map(str::to_owned).collect())
    }

    fn absent() -> Option<Self> {
        Some(Vec::new())
    }
}

impl Value for Duration {
    const EXPECTED: &'static str = "a duration such as 10s, 250ms or 1m 30s";

    fn parse(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text).map_err(|_| "is not a duration".to_owned())
    }
}

/// Types whose own [`FromStr`] says all there is to say.
macro_rules! from_str {
    ($($type:ty => $wrong:literal, $expected:literal;)*) => { $(
        impl Value for $type {
            const EXPECTED: &'static str = $expected;

            fn parse(text: &str) -> Result<Self, String> {
                <$type>::from_str(text.trim()).map_err(|_| $wrong.to_owned())
            }
        }
    )* };
}

from_str! {
    SocketAddr => "is not an address with a port", "an IP address and a port such as 127.0.0.1:8080 (port 0: any free one)";
    bool => "is neither true nor false", "true or false";
    u64 => "is not a whole number from 0 on", "a whole number from 0 on";
    NonZeroUsize => "is not a whole number from 1 on", "a whole number from 1 on";
}

/// A number of bytes: `64MiB`, `32 KiB`, `1GiB` or plain `4096`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(usize);

impl ByteSize {
    /// The number.
    pub fn bytes(self) -> usize {
        self.0
    }
}

impl Value for ByteSize {
    const EXPECTED: &'static str = "a size such as 64MiB, 512KiB or 4096";

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let shift = match text[digits..].trim() {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return Err("has no unit of KiB, MiB or GiB".to_owned()),
        };
        let number: usize = text[..digits].parse().map_err(|_| "is not a size".to_owned())?;
        number.checked_mul(1 << shift).map(ByteSize).ok_or_else(|| "is too large".to_owned())
    }
}

/// The base of `http://` addresses, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl(String);

impl HttpUrl {
    /// The text, to which a path that begins with `/` can be appended.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Value for HttpUrl {
    // There is no TLS between our own processes yet, so `https` is refused here rather than at the first call.
    const EXPECTED: &'static str =
        "an address such as http://127.0.0.1:9101 (http only, no user, no query, no fragment)";

    fn parse(text: &str) -> Result<Self, String> {
        let url = reqwest::Url::parse(text.trim()).map_err(|_| "is not an address".to_owned())?;
        if url.scheme() != "http" || url.host_str().is_none() {
            return Err("does not begin with http:// and a host".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err("has a user, a password or a query".to_owned());
        }
        if url.fragment().is_some() {
            return Err("has a fragment (#)".to_owned());
        }
        Ok(HttpUrl(url.as_str().trim_end_matches('/').to_owned()))
    }

    /// Users, passwords, queries and fragments are `***`. It need not be an address: what was mistyped can hold a password, too.
    fn shown(text: &str) -> String {
        let scheme = ["http://", "https://"].into_iter().find(|it| text.starts_with(it));
        let scheme = scheme.unwrap_or_default();
        let rest = &text[scheme.len()..];
        let (user, rest) = rest.rfind('@').map_or(("", rest), |at| ("***", &rest[at..]));
        match rest.find(['?', '#']) {
            Some(end) => format!("{scheme}{user}{}***", &rest[..=end]),
            None => format!("{scheme}{user}{rest}"),
        }
    }
}

/// A share, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio(f64);

impl Ratio {
    /// As a number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Value for Ratio {
    const EXPECTED: &'static str = "a number from 0 to 1 such as 0.25";

    fn parse(text: &str) -> Result<Self, String> {
        let ratio = text.trim().parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        ratio.map(Ratio).ok_or_else(|| "is not a number from 0 to 1".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        let bytes = |text| ByteSize::parse(text).map(ByteSize::bytes);
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bytes("3 KiB"), Ok(3072));
        assert_eq!(bytes("17"), Ok(17));
        assert!(bytes("10MB").is_err() && bytes("MiB").is_err() && bytes("-1").is_err());
        assert!(
            bytes("99999999999999999999").is_err() && bytes("18446744073709551615GiB").is_err()
        );
    }

    #[test]
    fn addresses_are_plain_http_without_credentials() {
        let url = HttpUrl::parse("http://127.0.0.1:9101/").unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:9101");
        for wrong in ["https://x", "http://u:p@x", "127.0.0.1:9101", "http://x/?a=b", "http://x/#a"]
        {
            assert!(HttpUrl::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_is_shown_without_what_can_be_a_secret() {
        for (text, shown) in [
            ("http://127.0.0.1:9101", "http://127.0.0.1:9101"),
            ("http://ada:s3cret@host:80/a?key=s3cret#s3cret", "http://***@host:80/a?***"),
            ("http://x/#s3cret", "http://x/#***"),
            ("http://ada:s3/cr@et@host", "http://***@host"),
            ("ada:s3cret@host", "***@host"),
            ("http:/ada:s3cret@host", "***@host"),
            ("http://ada:s3?cr@et@host", "http://***@host"),
            ("ada:s3cret://x@host", "***@host"),
        ] {
            assert_eq!(Option::<HttpUrl>::shown(text), shown, "{text}");
        }
    }
}
