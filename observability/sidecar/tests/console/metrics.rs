//! What the services export, fetched from a real endpoint.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, routing::get};

use crate::page::Console;

const LINES: [&str; 6] = [
    "songs{genre=\"rock\"} 3",
    "songs{genre=\"jazz\"} 1",
    "songs{genre=\"pop\"} 2",
    "took_seconds_bucket{route=\"/b\",le=\"+Inf\"} 5 # {trace_id=\"0af7651916cd43dd8448eb211c80319c\"} 0.25",
    "took_seconds_bucket{route=\"/a\",le=\"+Inf\"} 4",
    "took_seconds_count{route=\"/a\"} 4",
];

/// Where these lines are served, each time in another order, as a hash map would.
pub(crate) async fn endpoint(lines: Vec<String>) -> String {
    let answers = Arc::new(AtomicUsize::new(0));
    let metrics = async move || {
        let mut lines = lines.clone();
        let answer = answers.fetch_add(1, Ordering::Relaxed);
        let rotated = answer % lines.len();
        lines.rotate_left(rotated);
        format!("# TYPE songs gauge\n# TYPE took_seconds histogram\n{}\n", lines.join("\n"))
    };
    let router = Router::new().route("/metrics", get(metrics));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/metrics")
}

/// A service that has sold songs.
pub(crate) async fn shop() -> String {
    endpoint(LINES.map(str::to_owned).to_vec()).await
}

#[tokio::test]
async fn series_keep_their_order_from_load_to_load() {
    let targets = format!("catalog={}", shop().await);
    let console = Console::with(&[("CONSOLE_SCRAPE", &targets)]);
    for _ in 0..LINES.len() {
        let page = console.page("/metrics").await;
        assert_eq!(page.texts("summary").len(), 2);
        let labels: Vec<String> = page.texts("td.labels");
        assert_eq!(labels, ["genre= jazz", "genre= pop", "genre= rock", "route= /a", "route= /b"]);
    }
}

#[tokio::test]
async fn a_metric_is_found_by_its_name_and_its_exemplar_leads_to_the_trace() {
    let targets = format!("catalog={},broken=http://127.0.0.1:1/metrics", shop().await);
    let console = Console::with(&[("CONSOLE_SCRAPE", &targets)]);
    let page = console.page("/metrics?q=TOOK").await;
    assert_eq!(page.find("details").len(), 1);
    assert!(page.one("details").has("open"));
    assert_eq!(page.follow("0af76519"), "/traces/0af7651916cd43dd8448eb211c80319c");
    let cards = page.find("section.target");
    assert!(cards[1].text().contains("not available It cannot be reached"), "{}", cards[1].text());
    assert_eq!(console.page("/metrics?service=catalog").await.find("section.target").len(), 1);
}
