//! Settings: a flag, else the environment, else the default; all mistakes at once.
//!
//! Each part of the program declares its settings once with [`settings!`](crate::settings). From that one declaration come the struct
//! that the part receives, its `--help`, the list that `musicwallet config` prints and the messages about mistakes.
//! Nobody else reads the environment, and nobody reads it later than at the start.
//!
//! ```
//! platform::settings! {
//!     /// Where the shop listens.
//!     pub struct Config {
//!         /// Address and port for customers.
//!         pub listen: std::net::SocketAddr = "127.0.0.1:8080", "SHOP_LISTEN";
//!         /// Where the catalogue is; without it the shop has its own.
//!         pub catalogue: Option<platform::config::HttpUrl> = none, "SHOP_CATALOGUE_URL";
//!     }
//! }
//! let config = Config::from_pairs(&[("SHOP_LISTEN", "127.0.0.1:0")]);
//! assert_eq!(config.listen.port(), 0);
//! ```

mod networks;
pub mod telemetry;
mod value;

use std::{collections::BTreeMap, fmt};

use clap::{Arg, ArgAction, ArgMatches, parser::ValueSource};

pub use networks::Networks;
pub use value::{ByteSize, HttpUrl, Ratio, Value};

/// One setting as it was declared.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The environment variable, which is also its name in messages: `CATALOG_LISTEN`.
    pub variable: &'static str,
    /// What it is for, the lines of its doc comment.
    pub help: &'static [&'static str],
    /// What counts when neither flag nor variable is set.
    pub default: Option<&'static str>,
    /// What a value has to look like, for messages.
    pub expected: &'static str,
}

impl Setting {
    /// The flag: the variable in kebab-case, without the dashes in front.
    pub fn flag(&self) -> String {
        self.variable.to_ascii_lowercase().replace('_', "-")
    }
}

/// The settings of one part of the program; implemented by [`settings!`](crate::settings).
pub trait Part: Sized {
    /// All of them, in the order of the declaration.
    const SETTINGS: &'static [Setting];

    /// Takes the values out of `reader`. `None` when one of them is wrong; the reader knows which and why.
    fn read(reader: &mut Reader) -> Option<Self>;
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A flag of the command line.
    Flag,
    /// The environment variable.
    Environment,
    /// The declared default, or nothing.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Flag => "flag",
            Source::Environment => "environment",
            Source::Default => "default",
        })
    }
}

/// A setting with the value that counts, for `musicwallet config`.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The setting.
    pub setting: Setting,
    /// The value as it was written, but for what can be a secret; `None` where nothing was set and there is no default.
    pub value: Option<String>,
    /// Where it came from.
    pub source: Source,
}

/// A value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The setting's variable.
    pub variable: &'static str,
    /// What is wrong, with the value and the remedy.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = self.variable.to_ascii_lowercase().replace('_', "-");
        write!(f, "{} (--{flag}): {}", self.variable, self.message)
    }
}

/// Every mistake of a start, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0.len() == 1 { "setting is" } else { "settings are" };
        write!(f, "{} {plural} wrong:", self.0.len())?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl std::error::Error for Mistakes {}

/// Hands raw values to the parts and collects what was wrong with them.
#[derive(Debug, Default)]
pub struct Reader {
    raw: BTreeMap<String, (String, Source)>,
    effective: Vec<Effective>,
    mistakes: Vec<Mistake>,
}

impl Reader {
    /// The values that clap found for the arguments of [`arguments`].
    pub fn from_matches(matches: &ArgMatches) -> Reader {
        let raw = matches
            .ids()
            .filter_map(|id| {
                let name = id.as_str();
                let source = match matches.value_source(name)? {
                    ValueSource::CommandLine => Source::Flag,
                    ValueSource::EnvVariable => Source::Environment,
                    _ => return None,
                };
                let value = matches.try_get_one::<String>(name).ok()??;
                Some((name.to_owned(), (value.clone(), source)))
            })
            .collect();
        Reader { raw, ..Reader::default() }
    }

    /// Values by variable, as if they had stood in the environment.
    pub fn from_pairs(pairs: &[(&str, &str)]) -> Reader {
        let pair = |(name, value): &(&str, &str)| {
            ((*name).to_owned(), ((*value).to_owned(), Source::Environment))
        };
        Reader { raw: pairs.iter().map(pair).collect(), ..Reader::default() }
    }

    /// The value of one setting, parsed. `None` is a mistake, and noted.
    pub fn value<T: Value>(&mut self, setting: &Setting) -> Option<T> {
        // An empty variable counts as unset, as OpenTelemetry's specification has it for its own.
        let given = self.raw.get(setting.variable).filter(|(value, _)| !value.is_empty()).cloned();
        let (value, source) = match (given, setting.default) {
            (Some((value, source)), _) => (Some(value), source),
            (None, default) => (default.map(str::to_owned), Source::Default),
        };
        let shown = value.as_deref().map(T::shown);
        self.effective.push(Effective { setting: *setting, value: shown, source });
        let parsed = match &value {
            Some(value) => {
                T::parse(value).map_err(|wrong| format!("{:?} {wrong}", T::shown(value)))
            }
            None => T::absent().ok_or_else(|| "is not set".to_owned()),
        };
        match parsed {
            Ok(parsed) => Some(parsed),
            Err(wrong) => {
                self.mistake(setting.variable, format!("{wrong}; set it to {}", setting.expected));
                None
            }
        }
    }

    /// Notes a mistake that only several settings together show.
    pub fn mistake(&mut self, variable: &'static str, message: impl Into<String>) {
        self.mistakes.push(Mistake { variable, message: message.into() });
    }

    /// Every setting that was read so far, in order.
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// Where the value of a setting that was read came from.
    pub fn source(&self, variable: &str) -> Option<Source> {
        let read = self.effective.iter().find(|it| it.setting.variable == variable);
        read.map(|it| it.source)
    }

    /// # Errors
    /// All the mistakes, if there was one.
    pub fn finish(self) -> Result<(), Mistakes> {
        if self.mistakes.is_empty() { Ok(()) } else { Err(Mistakes(self.mistakes)) }
    }
}

/// The settings of a part as arguments for clap, under `heading` in the help.
pub fn arguments<P: Part>(heading: &'static str) -> impl Iterator<Item = Arg> {
    P::SETTINGS.iter().map(move |setting| {
        let help = setting.help.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
        let default = setting.default.map(|it| format!(" [default: {it}]")).unwrap_or_default();
        // The default is only told, not given to clap: the reader has to see what was set and what was not.
        Arg::new(setting.variable)
            .long(setting.flag())
            .env(setting.variable)
            .hide_env_values(true)
            .value_name("VALUE")
            .action(ArgAction::Set)
            .allow_hyphen_values(true)
            .help(format!("{help}{default}"))
            .help_heading(heading)
            .hide_short_help(true)
    })
}

/// Declares a struct of settings and implements [`Part`] for it; see the [module](self) for an example.
///
/// A line is `name: type = default, "VARIABLE";` where the default is a string or `none`.
#[macro_export]
macro_rules! settings {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $( $(#[doc = $help:literal])+ $field_vis:vis $field:ident : $type:ty = $default:tt, $variable:literal ; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        $vis struct $name {
            $( $(#[doc = $help])+ $field_vis $field: $type, )*
        }

        impl $crate::config::Part for $name {
            const SETTINGS: &'static [$crate::config::Setting] = &[
                $( $crate::config::Setting {
                    variable: $variable,
                    help: &[$($help),+],
                    default: $crate::settings!(@default $default),
                    expected: <$type as $crate::config::Value>::EXPECTED,
                }, )*
            ];

            fn read(reader: &mut $crate::config::Reader) -> Option<Self> {
                let mut settings = <Self as $crate::config::Part>::SETTINGS.iter();
                // Every value is read before the first `?`, so that all mistakes are found.
                $( let $field = settings.next().and_then(|setting| reader.value(setting)); )*
                Some($name { $( $field: $field?, )* })
            }
        }

        impl $name {
            /// The settings from variables and their values, else the defaults: for tests and examples.
            ///
            /// # Panics
            /// With all mistakes, if there is one.
            $vis fn from_pairs(pairs: &[(&str, &str)]) -> Self {
                let mut reader = $crate::config::Reader::from_pairs(pairs);
                let settings = <Self as $crate::config::Part>::read(&mut reader);
                match (reader.finish(), settings) {
                    (Ok(()), Some(settings)) => settings,
                    (mistakes, _) => panic!("{mistakes:?}"),
                }
            }
        }
    };
    (@default none) => { None };
    (@default $default:literal) => { Some($default) };
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use super::*;

    settings! {
        /// A part for the tests.
        struct Config {
            /// Where to listen.
            listen: SocketAddr = "127.0.0.1:1", "TEST_LISTEN";
            /// How long to wait.
            wait: Duration = "2s", "TEST_WAIT";
            /// How much to keep.
            keep: ByteSize = "64MiB", "TEST_KEEP";
            /// Where the other one is.
            other: Option<HttpUrl> = none, "TEST_OTHER";
            /// Who.
            name: String = none, "TEST_NAME";
        }
    }

    #[test]
    fn defaults_count_where_nothing_is_set() {
        let config = Config::from_pairs(&[("TEST_NAME", "x"), ("TEST_OTHER", "")]);
        assert_eq!((config.listen.port(), config.wait), (1, Duration::from_secs(2)));
        assert_eq!((config.keep.bytes(), config.other), (64 << 20, None));
        assert_eq!(config.name, "x");
    }

    #[test]
    fn all_mistakes_are_reported_at_once_with_the_remedy() {
        let pairs = [("TEST_LISTEN", "nowhere"), ("TEST_WAIT", "soon"), ("TEST_OTHER", "ftp://x")];
        let mut reader = Reader::from_pairs(&pairs);
        assert!(Config::read(&mut reader).is_none());
        let told = reader.finish().unwrap_err().to_string();
        for part in [
            "4 settings are wrong",
            "TEST_LISTEN (--test-listen): \"nowhere\"",
            "TEST_WAIT (--test-wait): \"soon\"",
            "TEST_OTHER (--test-other): \"ftp://x\"",
            "TEST_NAME (--test-name): is not set; set it to a text",
        ] {
            assert!(told.contains(part), "{part} is missing in: {told}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_neither_told_nor_shown() {
        let mut reader = Reader::from_pairs(&[("TEST_OTHER", "http://ada:s3cret@x/?key=s3cret")]);
        assert!(Config::read(&mut reader).is_none());
        let shown = format!("{:?}", reader.effective());
        let told = reader.finish().unwrap_err().to_string();
        assert!(told.contains("http://***@x/?***") && shown.contains("http://***@x/?***"));
        assert!(!told.contains("s3cret") && !shown.contains("s3cret"), "{told} {shown}");
    }

    #[test]
    fn a_flag_beats_the_environment_and_the_source_is_known() {
        let command = clap::Command::new("test").args(arguments::<Config>("Test"));
        let matches = command
            .try_get_matches_from(["test", "--test-listen", "127.0.0.1:7", "--test-name=n"])
            .unwrap();
        let mut reader = Reader::from_matches(&matches);
        let config = Config::read(&mut reader).unwrap();
        assert_eq!(config.listen.port(), 7);
        let sources: Vec<Source> = reader.effective().iter().map(|it| it.source).collect();
        assert_eq!(sources[..2], [Source::Flag, Source::Default]);
    }
}
