//! Rate, errors and durations of each service and operation.

use crate::{
    fixture::{MS, SERVER, Sender, ago},
    page::Console,
    scenes,
};

/// A hundred requests within the last minutes: the n-th takes n ms, each tenth failed.
fn filled() -> Console {
    let console = Console::new();
    for n in 1..=100_u64 {
        let mut sender = Sender::new(n.into(), ago(100 + n));
        let span = sender.span(None, "shop", SERVER, "GET /songs", (0, n * MS), &[]);
        if n % 10 == 0 {
            sender.fail(span, "");
        }
        sender.send(&*console.store);
    }
    console
}

/// `9.7 ms` in milliseconds.
fn ms(text: &str) -> f64 {
    text.trim().strip_suffix(" ms").unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

fn near(text: &str, expected: f64) -> bool {
    (ms(text) / expected - 1.0).abs() < 0.2
}

#[tokio::test]
async fn a_service_has_its_rate_errors_and_percentiles() {
    let page = filled().page("/services").await;
    let figures = page.one("section.service").texts("figcaption");
    let rate = figures[0].strip_prefix("Requests answered ").unwrap();
    let (rate, rest) = rate.split_once(" /s").or_else(|| rate.split_once("/s")).unwrap();
    // Since the bar of the first one, which began 200 to 260 s ago.
    assert!((0.37..0.51).contains(&rate.parse::<f64>().unwrap()), "{rate}");
    assert_eq!(rest.trim(), "100 in the last 1h");
    assert_eq!(figures[1], "Failed 10 % 10 errors");
    let quantiles = figures[2].strip_prefix("Duration: median, 95 %, 99 % ").unwrap();
    let (median, others) = quantiles.split_once(" ms ").unwrap();
    let (p95, p99) = others.split_once(" · ").unwrap();
    assert!(
        near(&format!("{median} ms"), 50.0) && near(p95, 95.0) && near(p99, 99.0),
        "{quantiles}"
    );
}

#[tokio::test]
async fn an_operation_has_its_calls_and_leads_to_its_traces() {
    let console = filled();
    let page = console.page("/services").await;
    let row = &page.one("table.ops").one("tbody").find("tr")[0];
    let cells = row.texts("td");
    assert_eq!(cells[..4], ["GET /songs", "server", "100", "10 %"]);
    assert!(near(&cells[4], 50.0) && near(&cells[5], 95.0) && near(&cells[6], 99.0), "{cells:?}");
    let all = console.page(&row.follow("GET /songs")).await;
    assert_eq!(all.find("tr.row").len(), 50);
    let failed = console.page(&row.follow("10 %")).await;
    assert_eq!(failed.find("tr.row").len(), 10);
    let slow = console.page(&row.follow(&cells[5])).await;
    assert!((1..15).contains(&slow.find("tr.row").len()), "{}", slow.text());
}

#[tokio::test]
async fn a_shorter_time_leaves_out_what_ended_before_it() {
    let console = filled();
    let page = console.page("/services").await;
    assert_eq!(page.follow("15m"), "/services?last=15m");
    let mut sender = Sender::new(1_000, ago(600));
    sender.span(None, "batch", SERVER, "nightly", (0, MS), &[]);
    sender.send(&*console.store);
    for (range, services) in [("5m", vec!["shop"]), ("15m", vec!["batch", "shop"])] {
        let page = console.page(&format!("/services?last={range}")).await;
        assert_eq!(page.texts("h2"), services, "{range}");
    }
    let text = console.refusal("/services?last=1d").await;
    assert!(text.contains("“last” is “1d”, but it can only be: 5m, 15m, 1h."), "{text}");
}

#[tokio::test]
async fn every_service_of_the_store_has_a_card_with_its_links() {
    let console = Console::new();
    assert!(
        console.page("/services").await.text().contains("No service has sent a span within 1h")
    );
    scenes::failure(&*console.store, 7, ago(30));
    let page = console.page("/services").await;
    assert_eq!(page.texts("h2"), ["accounts", "catalog", "gateway"]);
    let catalog = page.find("section.service")[1];
    assert_eq!(console.page(&catalog.follow("Errors")).await.find("tr.row").len(), 1);
    assert_eq!(catalog.follow("Logs"), "/logs?service=catalog");
}
