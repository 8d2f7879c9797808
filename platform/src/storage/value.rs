//! Parameters of a statement, the same for every dialect.

use sqlx::{Arguments as _, error::BoxDynError, postgres::PgArguments, sqlite::SqliteArguments};

/// A parameter of a statement. Each variant has its own null, because PostgreSQL wants to know the type of a null, too.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// True or false.
    Bool(Option<bool>),
    /// A whole number. Ids, counts, and times in milliseconds since 1970.
    Integer(Option<i64>),
    /// A number with a fraction.
    Real(Option<f64>),
    /// Text; PostgreSQL refuses the character U+0000 in it.
    Text(Option<String>),
    /// Bytes, such as the hash of a token.
    Bytes(Option<Vec<u8>>),
}

/// A type and its optional form, both into the same variant.
macro_rules! from {
    ($($type:ty => $variant:ident($value:ident) $convert:expr;)*) => { $(
        impl From<$type> for Value {
            fn from($value: $type) -> Value {
                Value::$variant(Some($convert))
            }
        }

        impl From<Option<$type>> for Value {
            fn from(value: Option<$type>) -> Value {
                Value::$variant(value.map(|$value| $convert))
            }
        }
    )* };
}

from! {
    bool => Bool(value) value;
    i64 => Integer(value) value;
    i32 => Integer(value) value.into();
    u32 => Integer(value) value.into();
    f64 => Real(value) value;
    String => Text(value) value;
    &str => Text(value) value.to_owned();
    &String => Text(value) value.clone();
    Vec<u8> => Bytes(value) value;
    &[u8] => Bytes(value) value.to_vec();
}

/// The parameters of a statement as a driver takes them.
macro_rules! arguments {
    ($values:expr, $arguments:ty) => {{
        let mut arguments = <$arguments>::default();
        for value in $values {
            match value {
                Value::Bool(value) => arguments.add(value)?,
                Value::Integer(value) => arguments.add(value)?,
                Value::Real(value) => arguments.add(value)?,
                Value::Text(value) => arguments.add(value)?,
                Value::Bytes(value) => arguments.add(value)?,
            }
        }
        Ok(arguments)
    }};
}

pub(super) fn sqlite(values: Vec<Value>) -> Result<SqliteArguments, BoxDynError> {
    arguments!(values, SqliteArguments)
}

pub(super) fn postgres(values: Vec<Value>) -> Result<PgArguments, BoxDynError> {
    arguments!(values, PgArguments)
}
