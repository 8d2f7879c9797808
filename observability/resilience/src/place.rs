//! Where a call goes: the template that names it in spans, and the path with the ids in it.

use std::fmt::{self, Write as _};

/// A path of another service, with a `{name}` for each id in it.
///
/// The ids come in only by [`Route::at`], as numbers: so the template is all that a span's name can hold, and a path can be neither left
/// empty nor led elsewhere (`..`) by what somebody sent. How many ids there are is checked when the program is built.
///
/// ```
/// use resilience::Route;
///
/// const MUSIC: Route<1> = Route::new("/musics/{id}");
/// assert_eq!(MUSIC.at([17]).path(), "/musics/17");
/// ```
///
/// ```compile_fail
/// const MUSIC: resilience::Route<2> = resilience::Route::new("/musics/{id}");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Route<const IDS: usize> {
    template: &'static str,
}

impl<const IDS: usize> Route<IDS> {
    /// # Panics
    /// When the template does not begin with `/` or has other than `IDS` names in braces; as a constant it does not compile then.
    pub const fn new(template: &'static str) -> Self {
        let bytes = template.as_bytes();
        assert!(!bytes.is_empty() && bytes[0] == b'/', "a path begins with a slash");
        let (mut at, mut opened, mut closed) = (0, 0, 0);
        while at < bytes.len() {
            match bytes[at] {
                b'{' => opened += 1,
                b'}' => closed += 1,
                b'?' | b'#' | b'%' => panic!("a template is a plain path"),
                _ => {}
            }
            assert!(opened == closed || opened == closed + 1, "braces are not nested");
            at += 1;
        }
        assert!(opened == IDS && closed == IDS, "there is an id for each name in braces");
        Route { template }
    }

    /// The place with these ids, in the order of their names.
    pub fn at(self, ids: [i64; IDS]) -> Place {
        let mut path = String::with_capacity(self.template.len() + 20 * IDS);
        let mut rest = self.template;
        for id in ids {
            let (before, after) = rest.split_once('{').unwrap_or((rest, ""));
            // Writing to a string cannot fail.
            let _ = write!(path, "{before}{id}");
            rest = after.split_once('}').map_or("", |(_name, rest)| rest);
        }
        path.push_str(rest);
        Place { template: self.template, path }
    }
}

/// A [`Route`] with its ids.
#[derive(Clone, Debug)]
pub struct Place {
    template: &'static str,
    path: String,
}

impl Place {
    /// What spans are named after: `/musics/{id}`.
    pub fn template(&self) -> &'static str {
        self.template
    }

    /// What is asked for: `/musics/17`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl From<Route<0>> for Place {
    fn from(route: Route<0>) -> Place {
        route.at([])
    }
}

/// A text as it stands in a query: all but letters, digits and `-._~` are percent-encoded.
///
/// ```
/// assert_eq!(resilience::Encoded("a b&c=é").to_string(), "a%20b%26c%3D%C3%A9");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a>(pub &'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    f.write_char(byte.into())?;
                }
                _ => write!(f, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_into_the_path_and_not_into_the_template() {
        const SEVERAL: Route<2> = Route::new("/users/{user}/musics/{music}/edit");
        let place = SEVERAL.at([i64::MIN, 7]);
        assert_eq!(place.path(), "/users/-9223372036854775808/musics/7/edit");
        assert_eq!(place.template(), "/users/{user}/musics/{music}/edit");
    }

    #[test]
    fn a_route_without_ids_is_a_place() {
        const MUSICS: Route<0> = Route::new("/musics");
        assert_eq!(Place::from(MUSICS).path(), "/musics");
    }
}
