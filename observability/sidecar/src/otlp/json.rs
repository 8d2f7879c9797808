//! OTLP as JSON, with what the decoder of `opentelemetry-proto` does not know.
//!
//! It wants `values` in each list and map, although empty fields may be left out, and numbers for doubles, although JSON has to write some
//! of them as text. Both are rare, so what it refuses is mended and tried once more.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{status::Refusal, weight};

/// Decodes; asks `room` for the bytes that this is going to take before it takes them.
pub(crate) fn read<T: DeserializeOwned>(
    text: &[u8],
    mut room: impl FnMut(usize) -> Result<(), Refusal>,
) -> Result<T, Refusal> {
    room(weight::of_json(text))?;
    let error = match serde_json::from_slice(text) {
        Ok(read) => return Ok(read),
        Err(error) if error.is_data() => error,
        Err(error) => return Err(Refusal::BadData(error.to_string())),
    };
    // The error of the first try tells line and column, that of a tree nothing.
    let refused = || Refusal::BadData(error.to_string());
    room(weight::of_json_tree(text))?;
    let mut tree: Value = serde_json::from_slice(text).map_err(|_| refused())?;
    mend(&mut tree);
    serde_json::from_value(tree).map_err(|_| refused())
}

fn mend(tree: &mut Value) {
    match tree {
        Value::Array(values) => values.iter_mut().for_each(mend),
        Value::Object(fields) => {
            for list in ["arrayValue", "kvlistValue"] {
                if let Some(Value::Object(list)) = fields.get_mut(list) {
                    let values = list.entry("values").or_insert(Value::Null);
                    if values.is_null() {
                        *values = json!([]);
                    }
                }
            }
            let double = match fields.get("doubleValue") {
                Some(Value::String(text)) => Some(text.clone()),
                _ => None,
            };
            // What is no number of JSON cannot get through serde_json as a double: it is kept as the text that shows it.
            match double.as_deref().map(|text| (text, text.parse::<f64>())) {
                Some((text, Ok(number))) if number.is_finite() || is_no_number(text) => {
                    let key = if number.is_finite() { "doubleValue" } else { "stringValue" };
                    let value = if number.is_finite() { number.into() } else { text.into() };
                    fields.remove("doubleValue");
                    fields.insert(key.to_owned(), value);
                }
                _ => {}
            }
            fields.values_mut().for_each(mend);
        }
        _ => {}
    }
}

/// As protobuf's JSON writes them.
fn is_no_number(text: &str) -> bool {
    matches!(text, "NaN" | "Infinity" | "-Infinity")
}
