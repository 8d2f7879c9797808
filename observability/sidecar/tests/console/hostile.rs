//! Names and texts that try to break a page: they are shown, they are harmless, and they are bounded.

use std::collections::BTreeSet;

use crate::{
    alerts,
    fixture::{MS, SERVER, Sender, ago},
    metrics,
    page::{Console, Element, Part},
};

const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const SCRIPT: &str = "\"><script>alert('1')</script><img src=x onerror=alert(1)>&quot;";
const TURNED: &str = "safe\u{202e}gnp.exe\u{2066}\u{0}\u{1b}[31m";

/// A trace in which every text is `text`, with a line that was logged.
async fn filled(text: &str, service: &'static str) -> Console {
    let label = text.replace('"', "\\\"");
    let lines = [format!("# HELP songs {text}"), format!("songs{{genre=\"{label}\"}} 3")];
    let targets = format!("catalog={}", metrics::endpoint(lines.to_vec()).await);
    let console = Console::with(&[("CONSOLE_SCRAPE", &targets)]);
    let mut sender = Sender::new(TRACE, ago(10));
    let root =
        sender.span(None, service, SERVER, text, (0, 9 * MS), &[(text, text), ("key", text)]);
    sender.fail(root, text);
    sender.event(root, MS, text, &[(text, text)]);
    sender.event(root, MS, "exception", &[("exception.message", text)]);
    sender.log(root, MS, 17, text, &[(text, text)]);
    let child = sender.span(Some(root), service, SERVER, text, (MS, MS), &[]);
    sender.orphan(child);
    sender.send(&*console.store);
    let mut alert = alerts::alert(text, text, text);
    alert["labels"][text] = text.into();
    alert["annotations"]["runbook_url"] = text.into();
    alert["annotations"]["dashboard_url"] = format!("http://{text}").into();
    alerts::tell(&console, &[alert]).await;
    console
}

/// Every page that shows some of it, and every one that repeats what was asked for.
fn addresses(text: &str) -> Vec<String> {
    let text: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    vec![
        "/".to_owned(),
        format!("/?service={text}&op={text}&attr=key%3D{text}"),
        format!("/?min={text}"),
        format!("/?{text}=1"),
        format!("/traces/{TRACE:032x}"),
        format!("/traces/{TRACE:032x}?find={text}"),
        format!("/traces/{text}"),
        "/logs".to_owned(),
        format!("/logs?q={text}&service={text}"),
        format!("/logs?level={text}"),
        "/services".to_owned(),
        "/metrics".to_owned(),
        "/delivery".to_owned(),
        "/alerts".to_owned(),
        format!("/metrics?q={text}&service={text}"),
        format!("/find?id={text}"),
    ]
}

/// Names of elements and of their attributes.
fn anatomy(page: &Element) -> BTreeSet<(String, String)> {
    let of = |it: &Element| -> Vec<(String, String)> {
        let own = it.attributes.iter().map(|(name, _)| name.clone());
        own.chain([String::new()]).map(|name| (it.name.clone(), name)).collect()
    };
    page.all().into_iter().flat_map(of).collect()
}

#[tokio::test]
async fn markup_in_names_stays_text() {
    let (tame, wild) = (filled("tame", "tame").await, filled(SCRIPT, SCRIPT).await);
    for (known, path) in addresses("tame").iter().zip(addresses(SCRIPT)) {
        let answer = wild.get(&path).await;
        assert!(!answer.body.contains("<script>") && !answer.body.contains("<img"), "{path}");
        let page = answer.page();
        let known = anatomy(&tame.get(known).await.page());
        let found = anatomy(&page);
        assert_eq!(
            found.difference(&known).collect::<Vec<_>>(),
            [] as [&(String, String); 0],
            "{path}"
        );
        for link in page.find("a") {
            let href = link.get("href");
            assert!(!href.contains(['<', '>', '"', '\'', ' ']), "{path}: {href}");
        }
    }
    let trace = wild.page(&format!("/traces/{TRACE:032x}")).await;
    assert_eq!(
        (trace.one("h1").text(), trace.find(".op")[0].text()),
        (SCRIPT.into(), SCRIPT.into())
    );
    let found = wild.page(&trace.one("article").follow(SCRIPT)).await;
    assert_eq!(found.find("tr.row").len(), 1, "its links still mean it");
}

#[tokio::test]
async fn what_would_turn_a_line_around_is_made_visible() {
    let console = filled(TURNED, TURNED).await;
    for path in addresses(TURNED) {
        let page = console.get(&path).await.page();
        let texts = page.all().into_iter().chain([&page]).flat_map(|it| &it.inside);
        for part in texts {
            let Part::Text(text) = part else { continue };
            let odd = |c: char| "\u{202e}\u{2066}\u{0}\u{1b}".contains(c);
            assert!(!text.contains(odd), "{path}: {text:?}");
        }
        for element in page.all() {
            for name in ["title", "aria-label", "data-say"] {
                assert!(!element.get(name).contains('\u{202e}'), "{path}: {name}");
            }
        }
    }
    let row = console.page("/").await.find("tr.row")[0].text();
    assert!(row.contains("safe\u{fffd}gnp.exe"), "{row}");
}

#[tokio::test]
async fn very_long_names_do_not_make_very_long_pages() {
    let long: &'static str = "very long ".repeat(40_000).leak();
    let console = filled(long, long).await;
    for path in addresses("short") {
        let answer = console.get(&path).await;
        assert!(answer.body.len() < 150_000, "{path}: {} bytes", answer.body.len());
    }
    let row = console.page("/").await.find("tr.row")[0].text();
    assert!(row.contains("very long") && row.contains('…'), "{row}");
    let json = console.get(&format!("/traces/{TRACE:032x}.json")).await;
    assert!(json.body.contains(long), "the download has all of it");
}

#[tokio::test]
async fn an_address_with_too_much_in_it_is_refused() {
    let console = Console::new();
    let many: String = (0..200).map(|n| format!("attr=a%3D{n}&")).collect();
    assert!(console.refusal(&format!("/?{many}")).await.contains("more than 128 parameters"));
    let long = format!("/traces/{TRACE:032x}?find={}", "x".repeat(3_000));
    assert!(console.refusal(&long).await.contains("“find” is longer than 2048 bytes"));
    assert!(console.refusal(&format!("/traces/{}", "a".repeat(5_000))).await.len() < 600);
}
