//! The filters above the list: a form, what is applied, and the way to what is slower than usual.

use maud::{Markup, html};

use super::Filter;
use crate::console::Console;
use crate::console::error::Error;
use crate::console::format::{clip, counted, duration, now};
use crate::console::layout::pill;
use crate::console::params::LONGEST;
use crate::console::services::answers;
use crate::store::{Bucket, Operation, Store};

const HOUR_NS: u64 = 3_600_000_000_000;
/// Operations offered while typing.
const OFFERED: usize = 300;

/// The form with the filters, and what it knows beside them.
pub(super) struct Form {
    pub(super) markup: Markup,
    pub(super) summary: String,
}

impl Form {
    pub(super) async fn ask(console: &Console, filter: &Filter) -> Result<Self, Error> {
        let (service, operation) = (filter.service.clone(), filter.operation.clone());
        let (mut services, operations, slow) = console
            .ask(move |store| {
                let services = store.services();
                let operations: Vec<Operation> = match &service {
                    Some(service) => store.operations(service, None),
                    None => services
                        .iter()
                        .flat_map(|service| store.operations(service, None))
                        .collect(),
                };
                let slow = service.and_then(|service| p95(store, &service, operation.as_deref()));
                (services, operations, slow)
            })
            .await?;
        // What is longer could not be asked for.
        services.retain(|service| service.len() <= LONGEST);
        let mut names: Vec<&str> =
            operations.iter().map(|operation| operation.name.as_str()).collect();
        names.retain(|name| name.len() <= LONGEST);
        names.sort_unstable();
        names.dedup();
        let stats = console.store.stats();
        let summary = format!(
            "{} kept, with {}",
            counted(stats.traces as u64, "trace", "traces"),
            counted(stats.spans as u64, "span", "spans")
        );
        let markup = html! {
            (fields(filter, &services, &names))
            @if !filter.is_empty() || slow.is_some() { (applied(filter, slow)) }
        };
        Ok(Self { markup, summary })
    }
}

/// The duration that 95 % of the calls of the last hour stayed below: of an operation, else of what the service answers.
fn p95(store: &dyn Store, service: &str, operation: Option<&str>) -> Option<u64> {
    let now = now();
    let rollups = store.red(now.saturating_sub(HOUR_NS), u64::MAX);
    let own = rollups.iter().filter(|rollup| &*rollup.service == service);
    let mut total = Bucket::empty(0);
    for rollup in own {
        let counts = match operation {
            Some(operation) => &*rollup.operation == operation,
            None => answers(rollup.kind),
        };
        if counts {
            total.merge(&rollup.total());
        }
    }
    total.quantile_ns(0.95)
}

fn fields(filter: &Filter, services: &[String], operations: &[&str]) -> Markup {
    // A filter that is set stays visible, though its service may have left the store.
    let gone = filter.service.as_ref().filter(|service| !services.contains(service));
    html! {
        form.card.filters action="/" data-auto role="search" aria-label="Filter traces" {
            label.middle {
                "Service"
                select name="service" {
                    option value="" { "All services" }
                    @for service in services.iter().chain(gone) {
                        option value=(service) selected[filter.service.as_ref() == Some(service)] { (clip(service, 60)) }
                    }
                }
            }
            label.wide {
                "Operation"
                input name="op" list="operations" value=[filter.operation.as_deref()] placeholder="GET /api/musics/" autocomplete="off";
            }
            datalist id="operations" { @for name in operations.iter().take(OFFERED) { option value=(name) {} } }
            // The field edits the last attribute; the others, added by clicking them, stay.
            @for other in filter.params.all("attr").take(filter.attributes.len().saturating_sub(1)) {
                input type="hidden" name="attr" value=(other);
            }
            label.wide {
                "Attribute"
                input name="attr" value=[filter.params.get("attr")] placeholder="http.response.status_code=500" autocomplete="off" spellcheck="false";
            }
            label.narrow {
                "At least"
                input name="min" value=[filter.params.get("min")] placeholder="250ms" autocomplete="off" size="8";
            }
            label.check {
                input type="checkbox" name="errors" value="1" checked[filter.errors];
                "Errors only"
            }
            div.act {
                button.primary type="submit" { "Search" }
            }
        }
    }
}

fn applied(filter: &Filter, slow: Option<u64>) -> Markup {
    let link = || filter.link("/").without("before");
    html! {
        div.applied {
            @if !filter.is_empty() { "One span of each trace has:" }
            @if let Some(service) = &filter.service { (pill(&format!("service {}", clip(service, 60)), &link().without("service"))) }
            @if let Some(operation) = &filter.operation { (pill(&format!("operation {}", clip(operation, 80)), &link().without("op"))) }
            @for text in filter.params.all("attr") { (pill(&clip(text, 120), &link().without_pair("attr", text))) }
            @if let Some(min) = filter.min_ns { (pill(&format!("{} or more", duration(min)), &link().without("min"))) }
            @if filter.errors { (pill("an error", &link().without("errors"))) }
            @if !filter.is_empty() { a href="/" { "Clear all" } }
            @if let Some(slow) = slow.filter(|slow| filter.min_ns != Some(*slow)) {
                a href=(link().set("min", format!("{}us", slow / 1_000))) { "Slower than 95 % (" (duration(slow)) ")" }
            }
        }
    }
}
