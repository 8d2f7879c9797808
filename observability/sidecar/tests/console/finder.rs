//! The box in the header: whatever somebody has of a trace leads to it.

use crate::{fixture::ago, page::Console, scenes};

const ID: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "00f067aa0ba902b7";

/// Where the box of the first page leads with this text in it.
async fn find(console: &Console, text: &str) -> (u16, String) {
    let page = console.page("/").await;
    let form = page.one("form.find");
    let input = form.one("input").get("name").to_owned();
    let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let answer = console.get(&format!("{}?{input}={encoded}", form.get("action"))).await;
    (answer.status, answer.header("location").to_owned())
}

#[tokio::test]
async fn an_id_in_any_spelling_leads_to_its_trace() {
    let console = Console::new();
    scenes::read(&*console.store, u128::from_str_radix(ID, 16).unwrap(), ago(10), 1.0);
    let trace = format!("/traces/{ID}");
    for text in [
        ID.to_owned(),
        ID.to_uppercase(),
        format!("  {ID}\n"),
        format!("http://localhost:16686/trace/{ID}?uiFind=x"),
        format!("https://example.org/x?traceId={}&y=1", ID.to_uppercase()),
        "0af76519-16cd-43dd-8448-eb211c80319c".to_owned(),
    ] {
        assert_eq!(find(&console, &text).await, (303, trace.clone()), "{text}");
    }
    assert_eq!(console.page(&trace).await.one("h1").text(), "GET /api/musics/");
}

#[tokio::test]
async fn a_traceparent_leads_to_its_span() {
    let console = Console::new();
    let target = format!("/traces/{ID}?span={SPAN}");
    for text in [
        format!("00-{ID}-{SPAN}-01"),
        format!("traceparent: 00-{}-{}-01", ID.to_uppercase(), SPAN.to_uppercase()),
    ] {
        assert_eq!(find(&console, &text).await, (303, target.clone()), "{text}");
    }
}

#[tokio::test]
async fn what_is_no_id_is_refused_with_a_sentence() {
    let console = Console::new();
    for (text, told) in [
        ("", "The box was empty."),
        ("hello+world", "“hello world” has no run of 32 or 16 hexadecimal digits."),
        ("abc123", "“abc123” has 6 digits."),
        ("00000000000000000000000000000000", "A trace id of zeros is not valid"),
        ("%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "has no run of 32"),
        ("a%E2%80%AEb", "“a\u{fffd}b” has no run"),
    ] {
        let text = console.refusal(&format!("/find?id={text}")).await;
        assert!(text.contains(told), "{text}");
    }
    let text = console.refusal("/find?trace=1").await;
    assert!(text.contains("no parameter “trace”"), "{text}");
}
