//! The list of traces: its order, its filters, its pages, and what it says while there is nothing.

use std::collections::BTreeSet;

use http::Method;

use crate::{
    fixture::{CLIENT, MS, SERVER, Sender, ago},
    page::{Console, Element},
    scenes,
};

const READ: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const SLOW: u128 = 0x1af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const FAILED: u128 = 0x2c1e_55b0_93ad_4f02_8e11_6a2b_90f3_c4d5;

/// A read, a slow read before it, and a failure before that one.
fn filled() -> Console {
    let console = Console::new();
    scenes::read(&*console.store, READ, ago(10), 1.0);
    scenes::read(&*console.store, SLOW, ago(20), 10.0);
    scenes::failure(&*console.store, FAILED, ago(30));
    console
}

/// The ids in the list, from its top.
fn ids(page: &Element) -> Vec<u128> {
    let rows = page.find("tr.row");
    rows.iter().map(|row| u128::from_str_radix(row.get("data-key"), 16).unwrap()).collect()
}

#[tokio::test]
async fn the_newest_trace_is_on_top_with_its_root_services_spans_and_duration() {
    let page = filled().page("/").await;
    assert_eq!(ids(&page), [READ, SLOW, FAILED]);
    let rows = page.find("tr.row");
    assert_eq!(rows[0].follow("GET /api/musics/"), format!("/traces/{READ:032x}"));
    assert_eq!(rows[0].one(".chips").texts("span"), ["accounts 4", "catalog 3", "gateway 4"]);
    assert!(rows[0].text().ends_with("11 spans 42.3 ms"), "{}", rows[0].text());
    assert_eq!(rows[0].texts(".badge"), [""; 0]);
    assert_eq!(rows[2].texts(".badge"), ["7 errors"]);
    assert!(page.text().contains("3 traces kept, with 31 spans"), "{}", page.text());
}

#[tokio::test]
async fn each_filter_leaves_the_traces_that_fit_and_says_that_it_is_applied() {
    let console = filled();
    for (query, found, pill) in [
        ("service=accounts", &[READ, SLOW, FAILED][..], "service accounts"),
        ("op=SELECT+musics", &[READ, SLOW], "operation SELECT musics"),
        ("op=POST+/api/musics/", &[FAILED], "operation POST /api/musics/"),
        ("errors=1", &[FAILED], "an error"),
        ("min=400ms", &[SLOW, FAILED], "400 ms or more"),
        ("min=1s", &[FAILED], "1 s or more"),
        ("attr=error.type%3DSQLITE_BUSY", &[FAILED], "error.type=SQLITE_BUSY"),
        (
            "attr=http.response.status_code%3D200&attr=url.path%3D/api/musics/",
            &[READ, SLOW],
            "http.response.status_code=200",
        ),
        ("service=accounts&errors=1", &[], "service accounts"),
        ("service=nobody", &[], "service nobody"),
    ] {
        let page = console.page(&format!("/?{query}")).await;
        assert_eq!(ids(&page), found, "{query}");
        let pills = page.texts(".pill");
        assert_eq!(pills[0], format!("{pill} ×"), "{query}");
        assert!(page.link("Remove filter").is_some(), "{query}");
        assert_eq!(page.text().contains("No trace fits"), found.is_empty(), "{query}");
    }
}

#[tokio::test]
async fn the_form_shows_what_is_set_and_a_removed_filter_leaves_the_others() {
    let console = filled();
    let page = console
        .page("/?service=catalog&op=GET+/musics&min=5ms&attr=a%3D1&attr=b%3D2&errors=1")
        .await;
    let form = page.one("form.filters");
    let value = |name: &str| -> Vec<String> {
        let inputs = form.find("input").into_iter().filter(|it| it.get("name") == name);
        inputs.map(|it| it.get("value").to_owned()).collect()
    };
    assert_eq!(value("op"), ["GET /musics"]);
    assert_eq!(value("min"), ["5ms"]);
    assert_eq!(value("attr"), ["a=1", "b=2"]);
    let chosen: Vec<_> = form.find("option").into_iter().filter(|it| it.has("selected")).collect();
    assert_eq!(chosen.iter().map(|it| it.get("value")).collect::<Vec<_>>(), ["catalog"]);
    assert!(form.find("input").iter().any(|it| it.get("name") == "errors" && it.has("checked")));
    let offered: Vec<&str> =
        form.one("datalist").find("option").iter().map(|it| it.get("value")).collect();
    assert!(offered.contains(&"SELECT musics") && !offered.contains(&"GET /api/musics/"));
    assert_eq!(
        page.follow("Remove filter a=1"),
        "/?service=catalog&op=GET+/musics&min=5ms&attr=b%3D2&errors=1"
    );
}

#[tokio::test]
async fn a_wrong_filter_is_a_page_that_names_it_and_the_remedy() {
    let console = filled();
    for (query, name, remedy) in [
        ("errors=maybe", "“errors” is “maybe”", "1, 0"),
        ("min=fast", "“min” is “fast”", "250ms"),
        ("attr=novalue", "“attr” is “novalue”", "http.route=/api/musics/"),
        ("before=x", "“before” is “x”", "a dash and its id"),
        ("servcie=gateway", "no parameter “servcie”", "service, op, attr"),
    ] {
        let text = console.refusal(&format!("/?{query}")).await;
        assert!(text.contains(name) && text.contains(remedy), "{query}: {text}");
    }
    let long = console.refusal(&format!("/?op={}", "x".repeat(3_000))).await;
    assert!(long.contains("“op” is longer than 2048 bytes"), "{long}");
}

#[tokio::test]
async fn every_trace_is_on_one_of_the_pages_also_those_that_start_together_or_overlap() {
    let console = Console::new();
    let begin = ago(60);
    for n in 0..130_u64 {
        // Four at a time start together; the catalog's span begins long after its trace did.
        let mut sender = Sender::new(u128::from(n) + 1, begin + n / 4 * MS);
        let root = sender.span(None, "gateway", SERVER, "read", (0, 90 * MS), &[]);
        sender.span(Some(root), "catalog", CLIENT, "search", (n % 7 * 10 * MS, MS), &[]);
        sender.send(&*console.store);
    }
    for first in ["/", "/?service=catalog"] {
        let (mut page, mut found) = (console.page(first).await, BTreeSet::new());
        for size in [50, 50, 30] {
            let ids = ids(&page);
            assert_eq!(ids.len(), size, "{first}");
            found.extend(ids);
            match page.link("Older traces") {
                Some(older) => page = console.page(&older).await,
                None => assert_eq!(size, 30, "{first}"),
            }
        }
        assert_eq!(found.len(), 130, "{first}");
        assert_eq!(page.follow("Back to the newest"), first);
    }
}

#[tokio::test]
async fn the_list_alone_is_answered_once_per_arrival() {
    let console = filled();
    let live = console.page("/?service=gateway").await;
    let section = live.find("section")[0];
    assert_eq!(section.get("data-live"), "/live?service=gateway");
    let poll = format!("/live?service=gateway&mark={}", section.get("data-mark"));
    assert_eq!(console.get(&poll).await.status, 204);
    scenes::read(&*console.store, READ + 1, ago(1), 1.0);
    let answer = console.get(&poll).await;
    assert_eq!(ids(&answer.page()), [READ + 1, READ, SLOW, FAILED]);
    assert_ne!(answer.header("x-mark"), section.get("data-mark"));
}

#[tokio::test]
async fn before_anything_arrives_the_page_tells_how_to_send_it_to_the_host_that_was_asked() {
    let console = Console::with(&[("SIDECAR_OTLP_HTTP_LISTEN", "0.0.0.0:14318")]);
    let answer = console.ask(Method::GET, "/", &[("host", "telemetry.example:8081")]).await;
    let text = answer.page().text();
    assert!(text.contains("Waiting for the first trace"), "{text}");
    assert!(text.contains("curl http://telemetry.example:14318/v1/traces"), "{text}");
}
