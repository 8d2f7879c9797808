//! The frame of every page and the parts that several pages share.

use std::collections::{BTreeSet, HashMap};

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::assets;
use super::format::{bytes, clip, count, percent};

/// Which entry of the bar is the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nav {
    Traces,
    Logs,
    Services,
    Metrics,
    Alerts,
    Delivery,
    About,
    None,
}

/// How full the store is, for the foot of the page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fill {
    pub(super) used: u64,
    pub(super) capacity: u64,
    pub(super) evicted: u64,
}

impl Fill {
    /// Used share, 0 to 1.
    pub(super) fn share(self) -> f64 {
        if self.capacity == 0 { 0.0 } else { (self.used as f64 / self.capacity as f64).min(1.0) }
    }

    /// A bar for the share, as wide as its place.
    pub(super) fn meter(self, class: &'static str) -> Markup {
        let share = self.share();
        html! {
            svg class=(class) aria-hidden="true" preserveAspectRatio="none" {
                rect.track width="100%" height="100%" {}
                rect.level.high[share > 0.97] width=(percentage(share)) height="100%" {}
            }
        }
    }
}

/// A share of the whole as an SVG length.
pub(super) fn percentage(share: f64) -> String {
    format!("{:.3}%", share.clamp(0.0, 1.0) * 100.0)
}

/// A whole page.
pub(super) fn page(title: &str, current: Nav, fill: Option<Fill>, body: &Markup) -> Markup {
    let entries = [
        (Nav::Traces, "/", "Traces"),
        (Nav::Logs, "/logs", "Logs"),
        (Nav::Services, "/services", "Services"),
        (Nav::Metrics, "/metrics", "Metrics"),
        (Nav::Alerts, "/alerts", "Alerts"),
        (Nav::Delivery, "/delivery", "Delivery"),
    ];
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · MusicWallet telemetry" }
                link rel="icon" type="image/svg+xml" href=(assets::path("icon.svg"));
                link rel="stylesheet" href=(assets::path("style.css"));
                script src=(assets::path("app.js")) defer {}
            }
            body {
                a.skip href="#content" { "Skip to content" }
                header.top {
                    div {
                        a.brand href="/" { (PreEscaped(LOGO)) "MusicWallet " span { "telemetry" } }
                        nav aria-label="Pages" {
                            ul {
                                @for (nav, href, text) in entries {
                                    li { a href=(href) aria-current=[(nav == current).then_some("page")] { (text) } }
                                }
                            }
                        }
                        form.find action="/find" role="search" aria-label="Open a trace" {
                            label.unseen for="trace-id" { "Trace id, traceparent or link" }
                            input id="trace-id" name="id" type="text" required autocomplete="off" spellcheck="false"
                                autocapitalize="off" maxlength="2000" placeholder="Trace id, traceparent or link";
                            button type="submit" { "Open" }
                        }
                    }
                }
                main id="content" tabindex="-1" { (body) }
                footer {
                    div {
                        @if let Some(fill) = fill {
                            span.fill {
                                (fill.meter("meter"))
                                (bytes(fill.used)) " of " (bytes(fill.capacity)) " (" (percent(fill.share())) ")"
                            }
                            span { (count(fill.evicted)) " evicted" }
                        }
                        a href="/about" aria-current=[(current == Nav::About).then_some("page")] { "About this store" }
                        span.end { "MusicWallet " (env!("CARGO_PKG_VERSION")) }
                    }
                }
                div.unseen id="said" role="status" aria-live="polite" {}
            }
        }
    }
}

const LOGO: &str = r#"<svg viewBox="0 0 24 24" aria-hidden="true"><rect class="level" width="24" height="24" rx="6"/><g><rect x="5" y="6" width="14" height="3" rx="1.5"/><rect x="7" y="11" width="8" height="3" rx="1.5"/><rect x="11" y="16" width="6" height="3" rx="1.5"/></g></svg>"#;

/// A class per service for its colour. A service gets the slot of its name's hash, or the next free one, so that few
/// services never share a colour and a new one rarely moves the others.
#[derive(Debug, Default)]
pub(super) struct Palette(HashMap<String, &'static str>);

const SLOTS: [&str; 10] = ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9"];

impl Palette {
    /// Colours for all these services.
    pub(super) fn of<'a>(services: impl IntoIterator<Item = &'a str>) -> Self {
        let names: BTreeSet<&str> = services.into_iter().collect();
        let mut taken = [false; SLOTS.len()];
        let colours = names.into_iter().map(|name| {
            let hash = name
                .bytes()
                .fold(5381_usize, |hash, byte| hash.wrapping_mul(33) ^ usize::from(byte));
            let first = hash % SLOTS.len();
            let free = (0..SLOTS.len())
                .map(|step| (first + step) % SLOTS.len())
                .find(|slot| !taken[*slot]);
            let slot = free.unwrap_or(first);
            taken[slot] = true;
            (name.to_owned(), SLOTS[slot])
        });
        Self(colours.collect())
    }

    /// The class; without colour for a service that was not among them.
    pub(super) fn class(&self, service: &str) -> &'static str {
        self.0.get(service).copied().unwrap_or("")
    }

    /// The name with its colour before it.
    pub(super) fn chip(&self, service: &str) -> Markup {
        html! { span.chip.(self.class(service)) { (clip(service, 60)) } }
    }
}

/// An element of a list of applied filters, with the link that removes it.
pub(super) fn pill(text: &str, without: &super::params::Link) -> Markup {
    html! { span.pill { (text) a href=(without) aria-label=(format!("Remove filter {text}")) { "×" } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_services_have_ten_colours_and_an_eleventh_shares_one() {
        let names: Vec<String> = (0..11).map(|n| format!("service-{n}")).collect();
        let colours = |n: usize| {
            let palette = Palette::of(names[..n].iter().map(String::as_str));
            names[..n].iter().map(|name| palette.class(name)).collect::<BTreeSet<_>>().len()
        };
        assert_eq!((colours(3), colours(10), colours(11)), (3, 10, 10));
    }
}
