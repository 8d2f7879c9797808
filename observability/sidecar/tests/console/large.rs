//! A trace of ten thousand spans: answers stay small, and everything in it can be reached.

use std::collections::HashSet;

use crate::{
    fixture::ago,
    page::{Console, Element},
    scenes,
};

const HUGE: &str = "/traces/3bb000000000000000000000dead0002";
const SPANS: usize = 10_001;
/// Rows that one answer may have.
const ROWS: usize = 300;
/// Bytes that one answer may have.
const BYTES: usize = 600_000;

fn filled() -> Console {
    let console = Console::new();
    scenes::huge(&*console.store, 0x3bb0_0000_0000_0000_0000_0000_dead_0002, ago(30), 100);
    console
}

/// A page, checked for its size.
async fn page(console: &Console, path: &str) -> Element {
    let answer = console.get(path).await;
    assert_eq!(answer.status, 200, "{path}");
    assert!(answer.body.len() < BYTES, "{path}: {} bytes", answer.body.len());
    let page = answer.page();
    assert!(page.find("tr.span").len() + page.find("tr.log").len() <= ROWS, "{path}");
    page
}

#[tokio::test]
async fn an_answer_has_a_bounded_size_and_the_failed_span_in_it() {
    let console = filled();
    let page = page(&console, HUGE).await;
    assert!(page.text().contains("Spans 10,001"), "{}", page.text());
    let rows = page.find("tr.span");
    let failed = rows.iter().find(|row| row.one(".op").is("bad")).unwrap();
    assert_eq!((failed.get("aria-level"), failed.is("open")), ("3", true));
    assert_eq!(page.one(".why").text(), "disk I/O error");
    assert!(page.one("article").text().contains("the index could not be written"));
    let folded = rows.iter().filter(|row| row.get("aria-expanded") == "false");
    assert_eq!(folded.count(), 99);
}

#[tokio::test]
async fn every_span_is_reached_by_the_links_between_the_windows() {
    let console = filled();
    let first = page(&console, HUGE).await.follow("Expand all");
    let mut shown = page(&console, &format!("{first}&from=0")).await;
    let (mut ids, mut index) = (HashSet::new(), 0);
    loop {
        for row in shown.find("tr.span") {
            index += 1;
            assert_eq!(row.get("aria-rowindex"), index.to_string());
            ids.insert(row.one("a.pick").get("id").to_owned());
        }
        assert_eq!(shown.one("table").get("aria-rowcount"), SPANS.to_string());
        let Some(next) = shown.link("↓ Next") else { break };
        shown = page(&console, &next).await;
    }
    assert_eq!((index, ids.len()), (SPANS, SPANS));
    let before = page(&console, &shown.follow("↑")).await;
    assert_eq!(before.find("tr.span").len(), ROWS);
    let way = before.one("table").text();
    assert!(way.contains("Inside: rebuild search index › batch"), "{way}");
    let end = page(&console, &before.follow("To the end")).await;
    let last = end.find("tr.span").last().unwrap().get("aria-rowindex").to_owned();
    assert_eq!(last, SPANS.to_string());
}

#[tokio::test]
async fn a_search_opens_the_way_to_its_first_match_and_goes_on_to_the_others() {
    let console = filled();
    let one = page(&console, &format!("{HUGE}?find=9000")).await;
    assert!(one.one("div.tools").text().starts_with("Find in this trace 1 of 1 match "));
    let hits = one.find("tr.hit");
    assert_eq!((hits.len(), hits[0].is("open"), hits[0].get("aria-level")), (1, true, "3"));
    assert!(one.one("article").text().contains("music.id 9000"));

    let mut many = page(&console, &format!("{HUGE}?find=BATCH")).await;
    for position in 1..4 {
        let text = many.one("div.tools").text();
        assert!(text.contains(&format!(" {position} of 100 matches ")), "{text}");
        many = page(&console, &many.follow("Next match")).await;
    }
    many = page(&console, &many.follow("Previous match")).await;
    assert!(many.one("div.tools").text().contains(" 3 of 100 matches "));

    for (text, found) in [("i/o+error", 1), ("index+could+not", 1), ("nothing+like+it", 0)] {
        let page = page(&console, &format!("{HUGE}?find={text}")).await;
        assert_eq!(page.find("tr.hit").len(), found, "{text}");
    }
}

#[tokio::test]
async fn opening_everything_by_hand_keeps_the_addresses_short() {
    let console = filled();
    let mut shown = page(&console, HUGE).await;
    for _ in 0..40 {
        let next = shown.follow("Expand");
        assert!(next.len() < 1_500, "{next}");
        shown = page(&console, &next).await;
    }
}
