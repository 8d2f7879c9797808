//! A console over a store, and its pages read the way a browser reads them: as elements with attributes and text.

use std::sync::Arc;

use axum::{Router, body::Body};
use http::{HeaderMap, Method, Request, header};
use http_body_util::BodyExt;
use sidecar::{Agent, Alerts, Config, MemoryStore};
use tower::ServiceExt;

/// Elements that have neither content nor an end.
const VOID: [&str; 7] = ["br", "col", "hr", "input", "link", "meta", "wbr"];

/// The pages over a store of their own.
pub(crate) struct Console {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) alerts: Alerts,
    router: Router,
}

impl Console {
    /// Over an empty store, with the settings that are the default.
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(settings: &[(&str, &str)]) -> Self {
        let store = Arc::new(MemoryStore::new(64 << 20, 32 << 20));
        let (alerts, config) = (Alerts::default(), Config::from_pairs(settings));
        let router =
            sidecar::console::router(store.clone(), Agent::default(), alerts.clone(), &config);
        Self { store, alerts, router }
    }

    /// Over what a whole sidecar has made.
    pub(crate) fn over(router: Router) -> Self {
        Self { store: Arc::new(MemoryStore::new(0, 0)), alerts: Alerts::default(), router }
    }

    /// Any answer.
    pub(crate) async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap_or_else(|error| panic!("{path}: {error}"));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[]).await
    }

    /// A page that there is.
    pub(crate) async fn page(&self, path: &str) -> Element {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.page()
    }

    /// The sentences of a page with 400.
    pub(crate) async fn refusal(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.body);
        answer.page().one("main").text()
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// A header's value, empty if there is none.
    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as HTML.
    pub(crate) fn page(&self) -> Element {
        assert_eq!(self.header(header::CONTENT_TYPE), "text/html; charset=utf-8");
        read(&self.body)
    }
}

/// An element with all that is in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) inside: Vec<Part>,
}

/// A piece of an element's content.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Text(String),
    Element(Element),
}

impl Element {
    /// All elements below, in the order of the page.
    pub(crate) fn all(&self) -> Vec<&Element> {
        let mut found = Vec::new();
        for part in &self.inside {
            if let Part::Element(element) = part {
                found.push(element);
                found.extend(element.all());
            }
        }
        found
    }

    /// Those that `css` names: `tr`, `tr.span`, `.badge`.
    pub(crate) fn find(&self, css: &str) -> Vec<&Element> {
        let mut words = css.split('.');
        let name = words.next().unwrap_or_default();
        let classes: Vec<&str> = words.collect();
        let mut found = self.all();
        found.retain(|it| {
            (name.is_empty() || it.name == name) && classes.iter().all(|class| it.is(class))
        });
        found
    }

    /// The only one.
    pub(crate) fn one(&self, css: &str) -> &Element {
        match self.find(css).as_slice() {
            [one] => one,
            found => panic!("{} times {css} in {}", found.len(), self.text()),
        }
    }

    /// An attribute's value, empty if there is none.
    pub(crate) fn get(&self, attribute: &str) -> &str {
        let found = self.attributes.iter().find(|(name, _)| name == attribute);
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|(name, _)| name == attribute)
    }

    /// Whether it has the class.
    pub(crate) fn is(&self, class: &str) -> bool {
        self.get("class").split(' ').any(|it| it == class)
    }

    /// The text in it, with single spaces.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.collect(&mut text);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn collect(&self, text: &mut String) {
        for part in &self.inside {
            match part {
                Part::Text(it) => text.push_str(it),
                Part::Element(it) => it.collect(text),
            }
            text.push(' ');
        }
    }

    /// Texts of the elements that `css` names.
    pub(crate) fn texts(&self, css: &str) -> Vec<String> {
        self.find(css).into_iter().map(Element::text).collect()
    }

    /// The address behind the first link whose text begins so, without its fragment.
    pub(crate) fn link(&self, begin: &str) -> Option<String> {
        let named = |it: &&&Element| {
            it.text().starts_with(begin) || it.get("aria-label").starts_with(begin)
        };
        let links = self.find("a");
        let href = links.iter().find(named)?.get("href");
        Some(href.split('#').next().unwrap_or_default().to_owned())
    }

    /// The address behind a link that has to be there.
    pub(crate) fn follow(&self, begin: &str) -> String {
        self.link(begin).unwrap_or_else(|| panic!("no link “{begin}” in {}", self.text()))
    }
}

/// Reads what maud writes: every attribute in double quotes or without a value, every element closed. Panics at anything else.
fn read(html: &str) -> Element {
    let mut open = vec![Element::default()];
    let mut rest = html.strip_prefix("<!DOCTYPE html>").unwrap_or(html);
    while let Some(at) = rest.find('<') {
        let (text, tag) = rest.split_at(at);
        add(&mut open, Part::Text(plain(text)));
        let mut element = Element::default();
        let name = tag[1..].find([' ', '>']).unwrap() + 1;
        element.name = tag[1..name].to_owned();
        rest = &tag[name..];
        while let Some(next) = rest.strip_prefix(' ') {
            let end = next.find(['=', ' ', '>']).unwrap();
            let (name, after) = next.split_at(end);
            rest = after;
            let mut value = "";
            if let Some(quoted) = after.strip_prefix("=\"") {
                (value, rest) = quoted.split_once('"').unwrap();
            }
            assert!(!element.has(name), "{name} twice in {}", element.name);
            element.attributes.push((name.to_owned(), plain(value)));
        }
        let end = rest.find('>').unwrap();
        let alone = match &rest[..end] {
            "" => VOID.contains(&element.name.as_str()),
            "/" => true,
            other => panic!("a tag ends with {other}"),
        };
        rest = &rest[end + 1..];
        if let Some(name) = element.name.strip_prefix('/') {
            let closed = open.pop().unwrap();
            assert_eq!(closed.name, name);
            add(&mut open, Part::Element(closed));
        } else if alone {
            add(&mut open, Part::Element(element));
        } else {
            open.push(element);
        }
    }
    add(&mut open, Part::Text(plain(rest)));
    assert_eq!(open.len(), 1, "{} is not closed", open[1].name);
    open.remove(0)
}

fn add(open: &mut [Element], part: Part) {
    open.last_mut().unwrap().inside.push(part);
}

fn plain(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    text.replace("&amp;", "&")
}
