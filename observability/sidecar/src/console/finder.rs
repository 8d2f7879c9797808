//! The box in the header: a trace id however somebody happens to have it, and the way to its trace.

use axum::response::{IntoResponse, Redirect, Response};

use super::error::Error;
use super::params::{Params, shown};

/// What was found in the box: a trace, and the span if a `traceparent` named one.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    trace: String,
    span: Option<String>,
}

/// `GET /find?id=…`: to the trace. Whether it is stored is said there.
pub(super) async fn find(params: Params) -> Result<Response, Error> {
    params.only(&["id"])?;
    let Some(text) = params.get("id") else {
        return Err(Error::bad(
            "The box was empty. Paste a trace id, a traceparent or a link that contains one.",
        ));
    };
    let Found { trace, span } = read(text).map_err(Error::bad)?;
    let target = match span {
        Some(span) => format!("/traces/{trace}?span={span}"),
        None => format!("/traces/{trace}"),
    };
    Ok(Redirect::to(&target).into_response())
}

/// Finds the id in a bare id of 32 or 16 digits (with leading zeros cut off, too), a UUID, a `traceparent`, or any text
/// or address that has one of these in it. 16 digits are the lower half of an id, as Jaeger prints them.
fn read(text: &str) -> Result<Found, String> {
    let text = text.trim().to_ascii_lowercase();
    let hex = |word: &str| word.bytes().all(|byte| byte.is_ascii_hexdigit());
    // Runs of hexadecimal digits and dashes; everything else separates.
    let runs: Vec<&str> = text
        .split(|c: char| !c.is_ascii_hexdigit() && c != '-')
        .map(|run| run.trim_matches('-'))
        .filter(|run| !run.is_empty())
        .collect();
    let pieces = || runs.iter().flat_map(|run| run.split('-'));
    let traceparent = runs.iter().find_map(|run| {
        let parts: Vec<&str> = run.split('-').collect();
        parts
            .windows(2)
            .find(|pair| pair[0].len() == 32 && pair[1].len() == 16)
            .map(|pair| (pair[0], pair[1]))
    });
    let found = if let Some((trace, span)) = traceparent {
        Found { trace: trace.to_owned(), span: Some(span.to_owned()).filter(|span| !zeros(span)) }
    } else if let Some(long) = pieces().find(|piece| piece.len() == 32) {
        Found { trace: long.to_owned(), span: None }
    } else if let Some(uuid) =
        runs.iter().map(|run| run.replace('-', "")).find(|joined| joined.len() == 32)
    {
        Found { trace: uuid, span: None }
    } else if let Some(half) = pieces().find(|piece| piece.len() == 16) {
        Found { trace: format!("{half:0>32}"), span: None }
    } else if (14..32).contains(&text.len()) && hex(&text) {
        Found { trace: format!("{text:0>32}"), span: None }
    } else {
        return Err(why_not(&text, hex(&text)));
    };
    if zeros(&found.trace) {
        return Err(
            "A trace id of zeros is not valid: it means that there was no trace.".to_owned()
        );
    }
    Ok(found)
}

fn zeros(id: &str) -> bool {
    id.bytes().all(|digit| digit == b'0')
}

fn why_not(text: &str, hex: bool) -> String {
    let reason = if hex {
        format!("has {} digits", text.len())
    } else {
        "has no run of 32 or 16 hexadecimal digits".to_owned()
    };
    format!(
        "“{}” {reason}. A trace id has 32 hexadecimal digits (0-9, a-f), or 16 in its short form.",
        shown(text)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn every_spelling_of_an_id_is_read() {
        for text in [
            ID,
            "  4BF92F3577B34DA6A3CE929D0E0E4736\n",
            "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
            "{4bf92f35-77b3-4da6-a3ce-929d0e0e4736}",
            "trace_id=4bf92f3577b34da6a3ce929d0e0e4736",
            "\"traceId\": \"4bf92f3577b34da6a3ce929d0e0e4736\"",
            "http://localhost:16686/trace/4bf92f3577b34da6a3ce929d0e0e4736?uiFind=x",
            "https://grafana/explore?left={\"query\":\"4bf92f3577b34da6a3ce929d0e0e4736\"}",
        ] {
            assert_eq!(read(text), Ok(Found { trace: ID.to_owned(), span: None }), "{text}");
        }
    }

    #[test]
    fn a_traceparent_leads_to_its_span() {
        for text in [
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "traceparent: 00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01",
            "curl -H 'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00' http://x",
        ] {
            let span = Some("00f067aa0ba902b7".to_owned());
            assert_eq!(read(text), Ok(Found { trace: ID.to_owned(), span }), "{text}");
        }
    }

    #[test]
    fn short_ids_are_filled_with_zeros() {
        for text in ["a3ce929d0e0e4736", "http://x/trace/A3CE929D0E0E4736/"] {
            assert_eq!(read(text).unwrap().trace, "0000000000000000a3ce929d0e0e4736", "{text}");
        }
        assert_eq!(
            read("3ce929d0e0e4736").unwrap().trace,
            "00000000000000000".to_owned() + "3ce929d0e0e4736"
        );
    }

    #[test]
    fn what_is_no_id_is_answered_with_the_reason() {
        assert!(read("abc123").unwrap_err().contains("has 6 digits"));
        assert!(read("4bf92f3577b34da6a3ce929d0e0e473612").unwrap_err().contains("has 34 digits"));
        assert!(read("hello world").unwrap_err().contains("no run of 32 or 16 hexadecimal digits"));
        assert!(read("00000000000000000000000000000000").unwrap_err().contains("zeros"));
        assert!(read(&"x".repeat(2000)).unwrap_err().chars().count() < 250);
        assert!(read("é€😀-–").is_err());
    }
}
