//! `/metrics`: what each service exports at this moment, fetched when the page is. Exemplars lead to their traces.

mod exposition;
mod family;
mod scrape;

use axum::extract::State;
use maud::{Markup, html};

use self::exposition::Family;
use self::scrape::{Scraped, Target};
pub(super) use self::{exposition::Exposition, scrape::Scraper};
use super::Console;
use super::error::Error;
use super::format::{bytes, clip, counted, seconds};
use super::layout::{Nav, Palette, pill};
use super::params::Params;

/// `GET /metrics`.
pub(super) async fn list(State(console): State<Console>, params: Params) -> Result<Markup, Error> {
    params.only(&["q", "service"])?;
    let text = params.get("q").map(str::to_lowercase);
    let only = params.get("service");
    let answers = console.metrics.all().await;
    let services = answers.iter().map(|(target, _)| target.service.as_str());
    let stored = console.store.services();
    let palette = Palette::of(services.clone().chain(stored.iter().map(String::as_str)));
    let body = html! {
        div.head {
            h1 { "Metrics" }
            p { "As each service exports them, read just now." }
            div.end { a.button.small href=(params.link("/metrics")) { "Read again" } }
        }
        form.card.filters action="/metrics" data-auto role="search" aria-label="Filter metrics" {
            label.wide {
                "Metric"
                input name="q" type="search" data-find value=[params.get("q")] placeholder="Part of the name or the help text" autocomplete="off" spellcheck="false";
            }
            label.middle {
                "Service"
                select name="service" {
                    option value="" { "All services" }
                    @for service in services { option value=(service) selected[only == Some(service)] { (service) } }
                }
            }
            div.act { button.primary type="submit" { "Search" } }
        }
        @if text.is_some() || only.is_some() {
            div.applied {
                @if let Some(text) = params.get("q") { (pill(&format!("metric {}", clip(text, 60)), &params.link("/metrics").without("q"))) }
                @if let Some(only) = only { (pill(&format!("service {}", clip(only, 60)), &params.link("/metrics").without("service"))) }
                a href="/metrics" { "Clear all" }
            }
        }
        @if answers.is_empty() {
            div.card.empty { h2 { "No service is configured" } p { "CONSOLE_SCRAPE lists them: service=address of its metrics, separated by commas." } }
        }
        @for (target, answer) in answers.iter().filter(|(target, _)| only.is_none_or(|only| target.service == only)) {
            (card(target, answer, text.as_deref(), &palette))
        }
    };
    Ok(console.page("Metrics", Nav::Metrics, &body))
}

fn card(
    target: &Target,
    answer: &Result<Scraped, String>,
    text: Option<&str>,
    palette: &Palette,
) -> Markup {
    let fits = |family: &&Family| {
        text.is_none_or(|text| {
            family.name.to_lowercase().contains(text) || family.help.to_lowercase().contains(text)
        })
    };
    html! {
        section.card.target aria-label=(target.service) {
            header {
                h2 { (palette.chip(&target.service)) }
                code.muted { (target.address) }
                div.end {
                    @match answer {
                        Ok(scraped) => {
                            (counted(scraped.metrics.families.len() as u64, "metric", "metrics")) ", " (bytes(scraped.size as u64))
                            " in " (seconds(Some(scraped.took.as_secs_f64())))
                        }
                        Err(_) => span.badge.bad { "not available" },
                    }
                }
            }
            @match answer {
                Err(reason) => p.pager { (reason) },
                Ok(scraped) => {
                    @let mut families: Vec<&Family> = scraped.metrics.families.iter().filter(fits).collect();
                    @let () = families.sort_by(|a, b| a.name.cmp(&b.name));
                    @for family in &families { (family::draw(family, text.is_some())) }
                    @if families.is_empty() { p.pager { "Nothing fits." } }
                    @if scraped.metrics.unread > 0 { p.pager { (counted(scraped.metrics.unread as u64, "line was", "lines were")) " not understood and left out." } }
                }
            }
        }
    }
}
