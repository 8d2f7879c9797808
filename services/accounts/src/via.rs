//! Which credential a caller used: the assertion says it, and only accounts gave it.

use std::fmt;

use platform::identity::Caller;

/// A credential that was exchanged for the assertion of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// The token with this id.
    Token(i64),
    /// The session with this id.
    Session(i64),
    /// Name and password; also what an assertion does not say.
    Basic,
}

impl Via {
    pub(crate) fn of(caller: &Caller) -> Via {
        let (kind, id) = caller.via.split_once(':').unwrap_or_default();
        match (kind, id.parse()) {
            ("token", Ok(id)) => Via::Token(id),
            ("session", Ok(id)) => Via::Session(id),
            _ => Via::Basic,
        }
    }
}

/// As an assertion has it.
impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Via::Token(id) => write!(f, "token:{id}"),
            Via::Session(id) => write!(f, "session:{id}"),
            Via::Basic => f.write_str("basic"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood() {
        let of = |via: &str| Via::of(&Caller { id: 1, name: "ada".into(), via: via.into() });
        for via in [Via::Token(12), Via::Session(7), Via::Basic] {
            assert_eq!(of(&via.to_string()), via);
        }
        for unsaid in ["", "token", "token:", "token:x", "device:1"] {
            assert_eq!(of(unsaid), Via::Basic, "{unsaid}");
        }
    }
}
