//! Lists of songs by pages: how many, and from where on.

use platform::problem::FieldError;

/// How many songs a page has when nothing is said.
pub const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 500;

/// How many songs a page is to have: 1 to 500.
///
/// # Errors
/// When it is no such number. The caller knows the pointer.
pub fn limit(value: &str) -> Result<u32, FieldError> {
    number(value, 1, MAX_LIMIT)
}

/// A whole number from `least` to `most`.
///
/// # Errors
/// When it is none. The caller knows the pointer.
pub fn number(value: &str, least: u32, most: u32) -> Result<u32, FieldError> {
    match value.parse::<i64>() {
        Ok(given) => match u32::try_from(given) {
            Ok(given) if (least..=most).contains(&given) => Ok(given),
            _ => {
                let limit = if given < i64::from(least) { least } else { most };
                Err(FieldError::new("", format!("must be {least} to {most}")).limit(limit))
            }
        },
        Err(_) => {
            let detail = format!("must be a whole number, {least} to {most}");
            Err(FieldError::new("", detail).limit(most))
        }
    }
}

/// The cursor of the page that begins behind the entry `id`.
pub fn cursor(id: i64) -> String {
    format!("{id:016x}")
}

/// The entry that a page begins behind.
///
/// # Errors
/// When it is not from [`cursor`]. The caller knows the pointer.
pub fn behind(cursor: &str) -> Result<i64, FieldError> {
    let plain =
        cursor.len() == 16 && cursor.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
    let id = if plain { i64::from_str_radix(cursor, 16).ok() } else { None };
    id.ok_or_else(|| FieldError::new("", "is not a cursor of this list; leave it out"))
}

/// Ids divided by commas, `most` at most.
///
/// # Errors
/// When there are more, or none. The caller knows the pointer.
pub fn ids(value: &str, most: usize) -> Result<Vec<i64>, FieldError> {
    if value.split(',').count() > most {
        return Err(FieldError::new("", format!("must have {most} ids at most")).limit(most));
    }
    let ids: Result<Vec<i64>, _> = value.split(',').map(str::parse).collect();
    ids.map_err(|_| FieldError::new("", "must be whole numbers divided by commas"))
}

/// Reads the parameters of a query, each by `read`, which says `None` to a name that it does not know.
///
/// # Errors
/// Every parameter that is wrong, unknown or there twice, in their order; `known` says which there are,
/// as in `limit and cursor are`.
pub fn parameters(
    given: Vec<(String, String)>,
    known: &str,
    mut read: impl FnMut(&str, &str) -> Option<Result<(), FieldError>>,
) -> Result<(), Vec<FieldError>> {
    let (mut seen, mut wrong) = (Vec::new(), Vec::new());
    for (name, value) in given {
        let outcome = if seen.contains(&name) {
            Err(FieldError::new("", "is there twice"))
        } else {
            let unknown = || FieldError::new("", format!("is not known; {known}"));
            read(&name, &value).unwrap_or_else(|| Err(unknown()))
        };
        if let Err(error) = outcome {
            wrong.push(FieldError { pointer: format!("?{name}"), ..error });
        }
        seen.push(name);
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_and_nothing_else_is_one() {
        for id in [0, 1, 26_229, i64::MAX] {
            assert_eq!(behind(&cursor(id)), Ok(id));
        }
        for wrong in
            ["", "1", "ffffffffffffffff", "000000000000000G", "+00000000000000f", "é00000000000000"]
        {
            assert!(behind(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_number_out_of_bounds_is_told_the_bound_that_it_crossed() {
        let bound = |value| number(value, 1, 500).map_err(|it| it.limit.unwrap().as_i64().unwrap());
        assert_eq!((bound("1"), bound("500")), (Ok(1), Ok(500)));
        assert_eq!((bound("0"), bound("-9223372036854775808")), (Err(1), Err(1)));
        for wrong in ["501", "9223372036854775807", "9223372036854775808", "1e2", "", " 1"] {
            assert_eq!(bound(wrong), Err(500), "{wrong:?}");
        }
        assert_eq!(number("0", 0, 100), Ok(0));
    }
}
