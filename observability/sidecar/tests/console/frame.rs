//! What all pages have in common: headers, errors, use without a script, and use without eyes or a mouse.

use std::collections::HashSet;

use http::Method;

use crate::{
    alerts,
    fixture::ago,
    metrics,
    page::{Console, Element},
    scenes,
};

const FAILED: &str = "/traces/2c1e55b093ad4f028e116a2b90f3c4d5";
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

async fn filled() -> Console {
    let targets = format!("catalog={}", metrics::shop().await);
    let console = Console::with(&[("CONSOLE_SCRAPE", &targets)]);
    for n in 0..60 {
        scenes::read(&*console.store, 0x100 + u128::from(n), ago(100 + n), 1.0);
    }
    scenes::failure(&*console.store, 0x2c1e_55b0_93ad_4f02_8e11_6a2b_90f3_c4d5, ago(30));
    let all = ["Down", "Watchdog"].map(|name| alerts::alert(name, "page", "Look."));
    alerts::tell(&console, &all).await;
    console
}

/// Each page in a state with much on it, and pages with errors.
async fn pages(console: &Console) -> Vec<(String, Element)> {
    let mut pages = Vec::new();
    for path in [
        "/",
        "/?service=gateway&errors=1&min=1ms&attr=a%3Db&attr=c%3Dd",
        "/?service=nobody",
        FAILED,
        &format!("{FAILED}?find=insert&logs=off"),
        "/logs?level=warn&q=database&service=catalog",
        "/services",
        "/metrics?q=s",
        "/alerts",
        "/about",
        "/?min=fast",
        "/find?id=x",
        "/nowhere",
        "/traces/00000000000000000000000000000001",
    ] {
        pages.push((path.to_owned(), console.get(path).await.page()));
    }
    pages.push(("empty".to_owned(), Console::new().page("/").await));
    pages
}

#[tokio::test]
async fn every_answer_has_the_headers_that_protect_its_reader() {
    let console = filled().await;
    let style = console.page("/").await.find("link")[1].get("href").to_owned();
    for (method, path, status) in [
        (Method::GET, "/", 200),
        (Method::HEAD, "/", 200),
        (Method::GET, FAILED, 200),
        (Method::GET, &format!("{FAILED}.json"), 200),
        (Method::GET, &style, 200),
        (Method::GET, "/find?id=0af7651916cd43dd8448eb211c80319c", 303),
        (Method::GET, "/?min=fast", 400),
        (Method::GET, "/traces/x", 400),
        (Method::GET, "/traces/%FF", 404),
        (Method::GET, "/assets/%FF/app.js", 404),
        (Method::GET, "/assets/old/app.js", 404),
        (Method::GET, "/nowhere", 404),
        (Method::POST, "/logs", 405),
    ] {
        let answer = console.ask(method, path, &[]).await;
        assert_eq!(answer.status, status, "{path}");
        for (name, value) in [
            ("content-security-policy", POLICY),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), value, "{path}");
        }
        let kept = if path == style { "public, max-age=31536000, immutable" } else { "no-store" };
        assert_eq!(answer.header("cache-control"), kept, "{path}");
    }
}

#[tokio::test]
async fn an_unknown_address_is_a_page_with_404_and_a_change_is_one_with_405() {
    let console = filled().await;
    for path in ["/nowhere", "/traces", "/traces/", "/traces/%FF", "/assets/old/app.js"] {
        let answer = console.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.page().one("h1").text(), "There is no such page", "{path}");
        assert_eq!(answer.page().follow("Newest traces"), "/", "{path}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = console.ask(method, FAILED, &[]).await;
        assert_eq!((answer.status, answer.header("allow")), (405, "GET,HEAD"));
        assert_eq!(answer.page().one("h1").text(), "Pages can only be read");
    }
}

#[tokio::test]
async fn style_and_script_are_kept_by_the_browser_until_they_change() {
    let console = filled().await;
    let page = console.page("/").await;
    for (address, kind) in [
        (page.find("link")[0].get("href"), "image/svg+xml"),
        (page.find("link")[1].get("href"), "text/css; charset=utf-8"),
        (page.one("script").get("src"), "text/javascript; charset=utf-8"),
    ] {
        let answer = console.get(address).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, kind), "{address}");
        let tag = answer.header("etag");
        let again = console.ask(Method::GET, address, &[("if-none-match", tag)]).await;
        assert_eq!((again.status, again.body.as_str()), (304, ""), "{address}");
    }
}

#[tokio::test]
async fn without_a_script_every_form_asks_by_get_and_every_control_works() {
    for (path, page) in pages(&filled().await).await {
        for form in page.find("form") {
            assert!(form.get("action").starts_with('/'), "{path}");
            assert!(!form.has("method"), "{path}: GET is what a form does by itself");
            // A search within a trace is sent by the enter key.
            let buttons = form.find("button");
            let sent = buttons.iter().any(|it| it.get("type") == "submit");
            assert!(
                sent || form.find("input").iter().filter(|it| it.get("type") != "hidden").count()
                    == 1
            );
        }
        for link in page.find("a") {
            let href = link.get("href");
            let local = href.starts_with('/') || href.starts_with('#');
            assert!(local || href.starts_with("http://"), "{path}: {href}");
        }
        // What only a script can do is not there without one.
        for button in page.find("button") {
            assert!(button.get("type") == "submit" || button.has("hidden"), "{path}");
        }
        for element in page.all() {
            assert!(!element.has("style") && element.name != "style", "{path}: {}", element.name);
            assert!(!element.attributes.iter().any(|(name, _)| name.starts_with("on")), "{path}");
            assert!(element.name != "script" || element.text().is_empty(), "{path}");
        }
    }
}

#[tokio::test]
async fn every_page_has_a_language_a_title_one_heading_and_a_way_past_the_bar() {
    let pages = pages(&filled().await).await;
    for (path, page) in &pages {
        assert_eq!(page.one("html").get("lang"), "en", "{path}");
        assert!(page.one("title").text().ends_with("· MusicWallet telemetry"), "{path}");
        assert_eq!(page.find("h1").len(), 1, "{path}");
        let first = page.one("body").find("a")[0];
        let target = first.get("href").strip_prefix('#').unwrap();
        assert!(first.is("skip") && page.one("main").get("id") == target, "{path}");
        assert_eq!(page.find("nav").len(), 1, "{path}");
        let mut ids = HashSet::new();
        for element in page.all() {
            let id = element.get("id");
            assert!(id.is_empty() || ids.insert(id), "{path}: {id} twice");
            let order = element.get("tabindex");
            assert!(["", "0", "-1"].contains(&order), "{path}: tabindex {order}");
        }
    }
    for (at, name) in
        [(0, "Traces"), (3, "Traces"), (5, "Logs"), (6, "Services"), (7, "Metrics"), (8, "Alerts")]
    {
        let (path, page) = &pages[at];
        let entries = page.one("nav").find("a");
        let current: Vec<_> =
            entries.iter().filter(|it| it.get("aria-current") == "page").collect();
        assert_eq!((current.len(), current[0].text()), (1, name.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn everything_that_is_read_aloud_has_a_name() {
    for (path, page) in pages(&filled().await).await {
        let labels = page.find("label");
        let labelled = |field: &Element| {
            labels.iter().any(|label| {
                let by_id = field.has("id") && label.get("for") == field.get("id");
                let fields = label.find("input").into_iter().chain(label.find("select"));
                let around = fields.into_iter().any(|it| std::ptr::eq(it, field));
                (by_id || around) && !label.text().is_empty()
            })
        };
        for field in page.find("input").into_iter().chain(page.find("select")) {
            let hidden = field.get("type") == "hidden";
            assert!(hidden || labelled(field), "{path}: {}", field.get("name"));
        }
        for element in page.find("a").into_iter().chain(page.find("button")) {
            let named = !element.text().is_empty() || !element.get("aria-label").is_empty();
            assert!(named, "{path}: {:?}", element.attributes);
        }
        for picture in page.find("svg") {
            let named = picture.get("role") == "img" && !picture.get("aria-label").is_empty();
            assert!(named || picture.get("aria-hidden") == "true", "{path}");
        }
        for heading in page.find("th") {
            assert!(heading.has("scope") && !heading.text().is_empty(), "{path}");
        }
    }
}

#[tokio::test]
async fn the_waterfall_is_a_tree_grid() {
    let page = filled().await.page(FAILED).await;
    let grid = page.one("table");
    assert_eq!(grid.get("role"), "treegrid");
    assert!(!grid.get("aria-label").is_empty());
    let rows: Vec<&Element> =
        grid.find("tr").into_iter().filter(|row| row.is("span") || row.is("log")).collect();
    assert_eq!(grid.get("aria-rowcount"), rows.len().to_string());
    let mut level = 0;
    for (at, row) in rows.iter().enumerate() {
        assert_eq!((row.get("role"), row.get("aria-rowindex")), ("row", &*(at + 1).to_string()));
        let own: usize = row.get("aria-level").parse().unwrap();
        assert!(own <= level + 1, "row {at} skips a level");
        level = own;
        let below =
            rows.get(at + 1).is_some_and(|next| next.get("aria-level") > row.get("aria-level"));
        assert_eq!(row.get("aria-expanded") == "true", below, "row {at}");
        assert!(row.find("td").iter().all(|cell| cell.get("role") == "gridcell"));
    }
    let chosen: Vec<_> =
        grid.find("a.pick").into_iter().filter(|it| it.get("aria-current") == "true").collect();
    assert_eq!(chosen.len(), 1);
}
