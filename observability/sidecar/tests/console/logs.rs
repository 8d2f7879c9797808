//! The log lines of all traces: filters, pages and the way to the trace.

use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use sidecar::Store;

use crate::{
    fixture::{MS, SERVER, Sender, ago},
    page::{Console, Element},
    scenes,
};

const READ: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const FAILED: u128 = 0x2c1e_55b0_93ad_4f02_8e11_6a2b_90f3_c4d5;

fn filled() -> Console {
    let console = Console::new();
    scenes::failure(&*console.store, FAILED, ago(600));
    scenes::read(&*console.store, READ, ago(10), 1.0);
    console
}

/// The lines of the list.
fn lines(page: &Element) -> Vec<&Element> {
    page.find("div.logs").last().map(|list| list.find("li")).unwrap_or_default()
}

#[tokio::test]
async fn the_latest_line_is_on_top_with_level_service_and_attributes() {
    let page = filled().page("/logs").await;
    let lines = lines(&page);
    assert_eq!(lines.len(), 8);
    let gateway = lines.iter().find(|it| it.text().contains("with 200")).unwrap();
    assert_eq!(
        (gateway.one(".sev").text(), gateway.one(".chip").text()),
        ("INFO".into(), "gateway".into())
    );
    assert!(gateway.one("details").text().contains("items 100"), "{}", gateway.text());
    assert!(page.text().contains("8 lines kept"), "{}", page.text());
}

#[tokio::test]
async fn each_filter_leaves_the_lines_that_fit() {
    let console = filled();
    for (query, found) in [
        ("q=DATABASE+is+locked", 2),
        ("level=error", 3),
        ("level=warn", 6),
        ("level=info", 7),
        ("level=debug", 8),
        ("service=gateway", 3),
        ("service=catalog&level=error", 2),
        ("service=nobody", 0),
        ("last=5m", 2),
        ("last=15m", 8),
        (&format!("trace={FAILED:032x}"), 6),
        (&format!("trace={FAILED:032x}&q=once+more"), 1),
    ] {
        let page = console.page(&format!("/logs?{query}")).await;
        assert_eq!(lines(&page).len(), found, "{query}");
        assert_eq!(page.find(".pill").len(), query.split('&').count(), "{query}");
        assert_eq!(page.text().contains("No line fits"), found == 0, "{query}");
    }
    let marked = console.page("/logs?q=DATABASE+is").await;
    assert_eq!(marked.texts("mark"), ["database is", "database is"]);
}

#[tokio::test]
async fn a_wrong_filter_is_a_page_that_names_it() {
    let console = filled();
    for (query, told) in [
        ("level=loud", "“level” is “loud”, but it can only be: trace, debug, info, warn, error."),
        ("last=1y", "“last” is “1y”"),
        ("trace=xyz", "“trace” is “xyz”, but it has to be 32 hexadecimal digits"),
        ("span=0", "“span” is “0”, but it has to be 16 hexadecimal digits"),
        ("before=now", "“before” is “now”, but it has to be a whole number"),
        ("text=x", "no parameter “text”"),
    ] {
        let text = console.refusal(&format!("/logs?{query}")).await;
        assert!(text.contains(told), "{query}: {text}");
    }
}

#[tokio::test]
async fn a_line_leads_to_its_span_and_a_span_to_its_lines() {
    let console = filled();
    let page = console.page("/logs?q=could+not+be+stored").await;
    let trace = console.page(&lines(&page)[0].follow("2c1e55b0")).await;
    assert_eq!(trace.one("article").one("h2").text(), "POST /musics");
    assert!(trace.one("article").text().contains("could not be stored"));
    let all = console.page(&trace.follow("Logs")).await;
    assert_eq!(lines(&all).len(), 8);
    let own = console.page(&trace.one("div.head").follow("Logs")).await;
    assert_eq!(lines(&own).len(), 6);
    assert_eq!(own.follow("Open the trace"), format!("/traces/{FAILED:032x}"));
}

#[tokio::test]
async fn every_line_is_on_one_of_the_pages() {
    let console = Console::new();
    let mut sender = Sender::new(READ, ago(60));
    let root = sender.span(None, "gateway", SERVER, "root", (0, 500 * MS), &[]);
    for n in 0..450 {
        sender.log(root, n * MS, 9, &format!("line {n}"), &[]);
    }
    sender.send(&*console.store);
    let (mut page, mut found) = (console.page("/logs?last=1h").await, Vec::new());
    for size in [200, 200, 50] {
        let lines = lines(&page);
        assert_eq!(lines.len(), size);
        found.extend(lines.iter().map(|it| it.one("summary").text()));
        if let Some(older) = page.link("Older lines") {
            page = console.page(&older).await;
        }
    }
    let expected: Vec<String> = (0..450).rev().map(|n| format!("line {n}")).collect();
    assert_eq!(found, expected);
    assert!(page.link("Older lines").is_none());
    assert_eq!(page.follow("Back to the newest"), "/logs?last=1h");
}

#[tokio::test]
async fn a_line_of_no_trace_is_shown_without_a_link() {
    let console = Console::new();
    let record = LogRecord {
        time_unix_nano: ago(1),
        severity_text: "Warning".to_owned(),
        ..LogRecord::default()
    };
    let scope = ScopeLogs { log_records: vec![record], ..ScopeLogs::default() };
    console
        .store
        .add_logs(vec![ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() }]);
    let page = console.page("/logs").await;
    let line = lines(&page)[0];
    assert_eq!(line.one(".sev").text(), "WARN");
    assert!(line.text().ends_with("no trace") && line.find("a").is_empty(), "{}", line.text());
}
