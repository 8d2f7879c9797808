//! One trace: its waterfall, log lines, errors and details.

use std::collections::HashSet;

use http::header;
use serde_json::Value;

use crate::{
    fixture::{INTERNAL, MS, SERVER, Sender, ago},
    page::{Console, Element},
    scenes,
};

const READ: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const FAILED: u128 = 0x2c1e_55b0_93ad_4f02_8e11_6a2b_90f3_c4d5;

fn filled() -> Console {
    let console = Console::new();
    scenes::read(&*console.store, READ, ago(10), 1.0);
    scenes::failure(&*console.store, FAILED, ago(30));
    console
}

fn address(trace: u128) -> String {
    format!("/traces/{trace:032x}")
}

/// Operation and service of each span's row.
fn spans(page: &Element) -> Vec<(String, String)> {
    let service = |row: &Element| {
        let named = row.one("a.pick").find("span");
        named.iter().rfind(|it| it.is("svc") || it.is("unseen")).unwrap().text()
    };
    page.find("tr.span").into_iter().map(|row| (row.one(".op").text(), service(row))).collect()
}

#[tokio::test]
async fn every_span_is_a_row_with_its_name_service_and_time() {
    let page = filled().page(&address(READ)).await;
    let expected = [
        ("GET /api/musics/", "gateway"),
        ("POST /credentials/exchange", "gateway"),
        ("POST /credentials/exchange", "accounts"),
        ("SELECT tokens", "accounts"),
        ("GET /musics", "gateway"),
        ("GET /musics", "catalog"),
        ("search", "catalog"),
        ("SELECT musics", "catalog"),
        ("GET /users/names", "gateway"),
        ("GET /users/names", "accounts"),
        ("SELECT users", "accounts"),
    ];
    assert_eq!(spans(&page), expected.map(|(op, service)| (op.to_owned(), service.to_owned())));
    let bars: Vec<&str> = page
        .find("tr.span")
        .iter()
        .map(|row| row.one(".line").one("svg").get("aria-label"))
        .collect();
    assert_eq!(bars[0], "42.3 ms, 0 s after the start");
    assert_eq!(bars[4], "27.9 ms, 4.1 ms after the start");
    let facts = page.find("dl.facts")[0].texts("div");
    for fact in ["Duration 42.3 ms", "Services 3", "Spans 11", "Errors 0", "Log lines 2", "Depth 5"]
    {
        assert!(facts.iter().any(|it| it == fact), "{fact}: {facts:?}");
    }
}

#[tokio::test]
async fn log_lines_stand_at_their_spans_by_time_and_can_be_hidden() {
    let console = filled();
    let page = console.page(&address(FAILED)).await;
    let mut rows = page.find("tr");
    rows.retain(|row| row.is("span") || row.is("log"));
    let place = |text: &str| rows.iter().position(|row| row.text().contains(text)).unwrap();
    let (insert, waited) = (place("INSERT musics"), place("the writer has waited for 450 ms"));
    let level = |at: usize| rows[at].get("aria-level").parse::<u32>().unwrap();
    assert!(insert < waited && waited < place("music could not be stored"));
    assert_eq!((rows[waited].is("log"), level(waited)), (true, level(insert) + 1));
    assert!(rows[waited].text().starts_with("WARN"));
    assert_eq!(rows[waited].one("svg").get("aria-label"), "logged 459 ms after the start");
    let hidden = console.page(&page.follow("Hide log lines")).await;
    assert_eq!(
        (hidden.find("tr.log").len(), hidden.find("tr.span").len()),
        (0, spans(&page).len())
    );
    let shown = console.page(&hidden.follow("Show log lines")).await;
    assert_eq!(shown.find("tr.log").len(), page.find("tr.log").len());
}

#[tokio::test]
async fn the_cause_of_a_failure_is_chosen_and_told() {
    let console = filled();
    let page = console.page(&address(FAILED)).await;
    let detail = page.one("article");
    assert_eq!(
        detail.text().split("Duration").next().unwrap(),
        "catalog client error INSERT musics "
    );
    assert_eq!(detail.one(".why").text(), "database is locked");
    let text = detail.text();
    for told in ["Exceptions", "sqlx::Error", "at platform/src/storage/writer.rs:88", "error.type"]
    {
        assert!(text.contains(told), "{told}: {text}");
    }
    let chosen: Vec<_> = page.find("tr.open").iter().map(|row| row.one(".op").text()).collect();
    assert_eq!(chosen, ["INSERT musics"]);
}

#[tokio::test]
async fn the_link_to_the_next_error_goes_round_all_of_them() {
    let console = filled();
    let mut page = console.page(&address(FAILED)).await;
    let mut chosen = Vec::new();
    for _ in 0..8 {
        let row = page.one("tr.open");
        assert!(row.one(".op").is("bad"));
        chosen.push(row.one("a.pick").get("id").to_owned());
        page = console.page(&page.follow("Next error")).await;
    }
    assert_eq!(chosen[7], chosen[0]);
    assert_eq!(chosen.into_iter().collect::<HashSet<_>>().len(), 7);
}

#[tokio::test]
async fn the_keys_reach_matches_and_log_lines() {
    let console = filled();
    let mut page = console.page(&format!("{}?find=musics", address(READ))).await;
    for mark in ["data-next", "data-previous", "data-next"] {
        let link = page.find("a.button").into_iter().find(|it| it.has(mark)).unwrap();
        let (target, address) = (link.get("data-to").to_owned(), link.get("href").to_owned());
        assert_eq!(address.split_once('#').unwrap().1, target, "where the focus goes");
        page = console.page(&address).await;
        let row = page.one("tr.open").one("a.pick");
        assert_eq!((row.get("id"), row.has("data-row")), (target.as_str(), true));
    }
    let page = console.page(&address(FAILED)).await;
    let lines = page.find("tr.log");
    assert!(!lines.is_empty());
    for line in lines {
        let target = line.all().into_iter().find(|it| it.has("data-row")).unwrap();
        assert_eq!(target.get("tabindex"), "-1");
    }
}

#[tokio::test]
async fn an_error_deep_in_a_wide_trace_is_there_although_its_level_is_folded() {
    let console = Console::new();
    let mut sender = Sender::new(FAILED, ago(5));
    let root = sender.span(None, "job", INTERNAL, "root", (0, 900 * MS), &[]);
    for n in 0..200 {
        let mut parent =
            sender.span(Some(root), "job", INTERNAL, "item", (n * 4 * MS, 3 * MS), &[]);
        for level in 0..20 {
            let name = format!("level {level}");
            parent = sender.span(Some(parent), "job", INTERNAL, &name, (0, 2 * MS), &[]);
        }
        if n == 120 {
            sender.fail(parent, "it broke");
        }
    }
    sender.send(&*console.store);
    let page = console.page(&address(FAILED)).await;
    let failed: Vec<_> =
        page.find("tr.span").into_iter().filter(|row| row.one(".op").is("bad")).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].get("aria-level"), "22");
    assert_eq!(page.one(".why").text(), "it broke");
    // The way to it is open, and nothing else of its level.
    let deep = page.find("tr.span").into_iter().filter(|row| row.one(".op").text() == "level 19");
    assert_eq!(deep.count(), 1);
}

#[tokio::test]
async fn a_chosen_span_shows_its_attributes_events_links_and_log_lines() {
    let console = filled();
    let mut sender = Sender::new(READ + 1, ago(5));
    let root = sender.span(None, "gateway", SERVER, "root", (0, 9 * MS), &[("http.route", "/x")]);
    sender.event(root, 2 * MS, "cache miss", &[("key", "blue")]);
    sender.link(root, READ, 0x00f0_67aa_0ba9_02b7);
    sender.log(root, MS, 9, "said at the root", &[("items", "3")]);
    let child = sender.span(Some(root), "gateway", INTERNAL, "child", (MS, MS), &[]);
    sender.send(&*console.store);
    let page = console.page(&address(READ + 1)).await;
    let detail = page.one("article");
    let text = detail.text();
    for told in [
        "gateway server",
        "Duration 9 ms 100 %",
        "Own work 8 ms",
        "Log lines 1 +1 ms INFO said at the root items 3",
        "Events 1 +2 ms cache miss key blue",
        "Attributes 1 http.route /x",
        "Links 1",
        "service.version 0.1.0",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert_eq!(detail.follow("/x"), "/?attr=http.route%3D/x");
    let linked = detail.follow(&format!("{READ:032x}"));
    assert_eq!(linked, format!("{}?span=00f067aa0ba902b7", address(READ)));
    assert_eq!(console.get(&linked).await.status, 200);
    let other = console.page(&page.follow("child")).await;
    assert_eq!(other.one("article").one("h2").text(), "child");
    assert!(other.follow("child").ends_with(&format!("span={:016x}", child.id())));
}

#[tokio::test]
async fn a_span_without_its_parent_is_shown_at_the_root_with_a_note() {
    let console = Console::new();
    let mut sender = Sender::new(READ, ago(5));
    let lost = sender.span(None, "catalog", SERVER, "lost", (0, MS), &[]);
    sender.span(Some(lost), "catalog", INTERNAL, "below", (0, MS), &[]);
    sender.orphan(lost);
    sender.send(&*console.store);
    let page = console.page(&address(READ)).await;
    let note = page.one(".note").text();
    assert!(note.starts_with("1 span names a parent that is not here. It may still be on its way"));
    let levels: Vec<_> = page.find("tr.span").iter().map(|row| row.get("aria-level")).collect();
    assert_eq!(levels, ["1", "2"]);
    assert!(page.one("article").text().contains("Its parent 00000000deadbeef is not here."));
    assert!(console.page("/").await.text().contains("Root not here catalog incomplete"));
}

#[tokio::test]
async fn a_span_is_closed_and_opened_by_links() {
    let console = filled();
    let page = console.page(&address(READ)).await;
    let closed = console.page(&page.find("tr.span")[0].follow("Collapse")).await;
    assert_eq!(spans(&closed).len(), 1);
    assert!(closed.one("tr.span").text().contains("+10"), "{}", closed.one("tr.span").text());
    let open = console.page(&closed.one("tr.span").follow("Expand")).await;
    assert_eq!(spans(&open).len(), 11);
    let one = console.page(&page.one("div.tools").follow("Collapse")).await;
    assert_eq!(spans(&one).len(), 4, "the root and what it calls");
}

#[tokio::test]
async fn the_download_is_otlp_json_with_every_span() {
    let console = filled();
    let page = console.page(&address(READ)).await;
    let answer = console.get(&page.follow("Download JSON")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header(header::CONTENT_TYPE), "application/json");
    assert_eq!(
        answer.header(header::CONTENT_DISPOSITION),
        format!("attachment; filename=\"trace-{READ:032x}.json\"")
    );
    let json: Value = serde_json::from_str(&answer.body).unwrap();
    let senders = json["resourceSpans"].as_array().unwrap();
    let spans: Vec<&Value> = senders
        .iter()
        .flat_map(|it| it["scopeSpans"].as_array().unwrap())
        .flat_map(|it| it["spans"].as_array().unwrap())
        .collect();
    assert_eq!((senders.len(), spans.len()), (3, 11));
    assert!(spans.iter().all(|span| span["traceId"] == format!("{READ:032x}")));
    assert!(spans.iter().all(|span| span["startTimeUnixNano"].is_string()));
}

#[tokio::test]
async fn what_cannot_be_shown_is_said() {
    let console = filled();
    let missing = console.get(&address(1)).await;
    assert_eq!(missing.status, 404);
    assert!(missing.page().text().contains("No span of trace 00000000000000000000000000000001"));
    assert_eq!(console.get(&format!("{}.json", address(1))).await.status, 404);
    let upper = console.get(&format!("/traces/{READ:032X}?find=x")).await;
    assert_eq!(
        (upper.status, upper.header("location")),
        (303, &*format!("{}?find=x", address(READ)))
    );
    let trace = address(READ);
    for (path, told) in [
        ("/traces/hello".to_owned(), "“hello” is no trace id"),
        (format!("{trace}?span=x"), "“span” is “x”"),
        (format!("{trace}?level=deep"), "“level” is “deep”"),
        (format!("{trace}?open=1,x"), "“open” is “x”"),
        (format!("{trace}?logs=yes"), "“logs” is “yes”"),
        (format!("{trace}?color=red"), "no parameter “color”"),
    ] {
        let text = console.refusal(&path).await;
        assert!(text.contains(told), "{path}: {text}");
    }
}
