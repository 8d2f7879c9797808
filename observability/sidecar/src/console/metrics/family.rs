//! One metric: its value at a glance, its series when opened; of a histogram a line per set of labels instead of one per bucket.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::exposition::{Distribution, Exemplar, Family, Sample};
use crate::console::format::{bytes, clip, count, counted, digits, seconds};
use crate::store::TraceId;

/// Series of a metric on the page; more when it was searched for.
const SERIES: usize = 40;
const SERIES_FOUND: usize = 400;
/// Exemplars of one series.
const EXEMPLARS: usize = 4;

/// The metric; open when it was searched for.
pub(super) fn draw(family: &Family, searched: bool) -> Markup {
    let distributed = matches!(family.kind.as_str(), "histogram" | "gaugehistogram");
    html! {
        details.family open[searched] {
            summary {
                code { @for part in clip(&family.name, 200).split_inclusive('_') { (part) wbr; } }
                span { span.badge { (clip(&family.kind, 20)) } }
                span.help { (clip(&family.help, 500)) }
                span.now { (now(family, distributed)) }
            }
            div.scroll {
                @if distributed { (histogram(family, searched)) } @else { (plain(family, searched)) }
            }
        }
    }
}

/// The value at a glance: the only one, or how many there are.
fn now(family: &Family, distributed: bool) -> String {
    match family.samples.as_slice() {
        [only] => value(&family.name, &only.name, only.value),
        _ if distributed => {
            let observed: f64 = family
                .samples
                .iter()
                .filter(|it| it.name.ends_with("_count"))
                .map(|it| it.value)
                .sum();
            format!("{} observed", digits(observed))
        }
        samples => counted(samples.len() as u64, "series", "series"),
    }
}

/// A value in the unit that its name tells.
fn value(family: &str, name: &str, value: f64) -> String {
    let name = name.strip_suffix("_total").unwrap_or(name);
    let moment = family.contains("start_time") || family.contains("timestamp");
    if name.ends_with("_count")
        || name.ends_with("_bucket")
        || moment
        || !value.is_finite()
        || value < 0.0
    {
        digits(value)
    } else if family.trim_end_matches("_total").ends_with("_bytes") {
        bytes(value as u64)
    } else if family.trim_end_matches("_total").ends_with("_seconds") {
        seconds(Some(value))
    } else {
        digits(value)
    }
}

fn labels(pairs: &[(String, String)], without: &str) -> Markup {
    html! {
        td.labels {
            @for (name, value) in pairs.iter().filter(|(name, value)| name != without && !value.is_empty()) {
                span { i { (clip(name, 80)) "=" } (clip(value, 200)) } " "
            }
        }
    }
}

fn plain(family: &Family, searched: bool) -> Markup {
    let most = if searched { SERIES_FOUND } else { SERIES };
    let suffixed = family.samples.iter().any(|sample| sample.name != family.samples[0].name);
    html! {
        table {
            thead.unseen { tr { th scope="col" { "Labels" } th scope="col" { "Value" } th scope="col" { "Example" } } }
            tbody {
                @for sample in family.samples.iter().take(most) {
                    tr {
                        @if suffixed {
                            td.labels { span { (clip(&sample.name, 200)) } @for (name, value) in &sample.labels { span { i { (clip(name, 80)) "=" } (clip(value, 200)) } " " } }
                        } @else { (labels(&sample.labels, "")) }
                        td.num { b { (value(&family.name, &sample.name, sample.value)) } }
                        td.nowrap { @if let Some(exemplar) = &sample.exemplar { (example(exemplar, &family.name)) } }
                    }
                }
            }
        }
        (more(family.samples.len(), most))
    }
}

fn more(all: usize, most: usize) -> Markup {
    html! { @if all > most { p.pager { "and " (count((all - most) as u64)) " more; search for the metric to see them" } } }
}

fn example(exemplar: &Exemplar, family: &str) -> Markup {
    let worth = value(family, family, exemplar.value);
    html! {
        @match exemplar.trace_id().and_then(|id| id.parse::<TraceId>().ok()) {
            Some(id) => { a.mono href=(format!("/traces/{id}")) title=(format!("Trace {id}")) { (id.to_string()[..8]) } " " span.muted { (worth) } },
            None => span.muted { "example " (worth) },
        }
    }
}

/// One line per set of labels instead of one per bucket.
#[derive(Default)]
struct Series<'a> {
    labels: Vec<(String, String)>,
    distribution: Distribution,
    exemplars: Vec<&'a Exemplar>,
}

fn series(family: &Family) -> Vec<Series<'_>> {
    let mut found: Vec<Series<'_>> = Vec::new();
    let mut index: BTreeMap<Vec<(String, String)>, usize> = BTreeMap::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        labels.retain(|(name, _)| name != "le");
        let at = *index.entry(labels).or_insert_with_key(|labels| {
            found.push(Series { labels: labels.clone(), ..Series::default() });
            found.len() - 1
        });
        found[at].add(sample);
    }
    for series in &mut found {
        series.distribution.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        // The slowest first: these are the examples that somebody looks for.
        series.exemplars.sort_by(|a, b| b.value.total_cmp(&a.value));
    }
    found
}

impl<'a> Series<'a> {
    fn add(&mut self, sample: &'a Sample) {
        self.exemplars.extend(&sample.exemplar);
        match sample.name.rsplit('_').next() {
            Some("bucket") => {
                let bound = match sample.label("le") {
                    Some("+Inf") => Some(f64::INFINITY),
                    Some(text) => text.parse().ok(),
                    None => None,
                };
                self.distribution.buckets.extend(bound.map(|bound| (bound, sample.value)));
            }
            Some("sum" | "gsum") => self.distribution.sum = sample.value,
            Some("count" | "gcount") => self.distribution.count = sample.value,
            _ => {}
        }
    }
}

fn histogram(family: &Family, searched: bool) -> Markup {
    let all = series(family);
    let most = if searched { SERIES_FOUND } else { SERIES };
    let shown = |estimate: Option<f64>| {
        estimate.map_or_else(|| "–".to_owned(), |it| value(&family.name, &family.name, it))
    };
    html! {
        table {
            thead {
                tr {
                    th scope="col" { "Labels" }
                    th.num scope="col" { "Observed" }
                    th.num scope="col" { "Mean" }
                    th.num scope="col" { "Median" }
                    th.num scope="col" { "95 %" }
                    th scope="col" { "Buckets" }
                    th scope="col" { "Slowest examples" }
                }
            }
            tbody {
                @for series in all.iter().take(most) {
                    @let distribution = &series.distribution;
                    tr {
                        (labels(&series.labels, "le"))
                        td.num { b { (digits(distribution.count)) } }
                        td.num { (shown(distribution.mean())) }
                        td.num { (shown(distribution.quantile(0.5))) }
                        td.num { (shown(distribution.quantile(0.95))) }
                        td { (spread(distribution)) }
                        td.nowrap { @for exemplar in series.exemplars.iter().take(EXEMPLARS) { span.example { (example(exemplar, &family.name)) } " " } }
                    }
                }
            }
        }
        (more(all.len(), most))
    }
}

/// How many observations are in each bucket.
fn spread(distribution: &Distribution) -> Markup {
    let mut before = 0.0;
    let own: Vec<f64> = distribution
        .buckets
        .iter()
        .map(|&(_, seen)| {
            let own = (seen - before).max(0.0);
            before = seen;
            own
        })
        .collect();
    let most = own.iter().copied().fold(0.0, f64::max);
    html! {
        @if most > 0.0 {
            svg.spread viewBox={ "0 0 " (own.len() * 10) " 100" } preserveAspectRatio="none" aria-hidden="true" {
                @for (at, own) in own.iter().enumerate() {
                    @if *own > 0.0 {
                        @let height = (own / most * 100.0).max(4.0);
                        rect x=(at * 10 + 1) y=(format!("{:.1}", 100.0 - height)) width="8" height=(format!("{height:.1}")) {}
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::exposition;
    use super::*;

    #[test]
    fn values_are_shown_in_the_unit_of_their_name() {
        assert_eq!(
            value("process_resident_memory_bytes", "process_resident_memory_bytes", 1_572_864.0),
            "1.5 MiB"
        );
        assert_eq!(
            value("request_duration_seconds", "request_duration_seconds", 0.0123),
            "12.3 ms"
        );
        assert_eq!(value("request_duration_seconds", "request_duration_seconds_count", 12.0), "12");
        assert_eq!(
            value("process_start_time_seconds", "process_start_time_seconds", 1_732_266_902.0),
            "1,732,266,902"
        );
        assert_eq!(value("musics", "musics_total", 26_159.0), "26,159");
        assert_eq!(value("x_bytes", "x_bytes", f64::NAN), "NaN");
    }

    #[test]
    fn buckets_become_one_line_per_set_of_labels() {
        let text = "# TYPE d_seconds histogram\n\
                    d_seconds_bucket{r=\"a\",le=\"0.1\"} 1 # {trace_id=\"1\"} 0.05\n\
                    d_seconds_bucket{r=\"a\",le=\"+Inf\"} 3 # {trace_id=\"2\"} 0.7\nd_seconds_sum{r=\"a\"} 1.5\nd_seconds_count{r=\"a\"} 3\n\
                    d_seconds_bucket{r=\"b\",le=\"+Inf\"} 0\nd_seconds_count{r=\"b\"} 0\n";
        let metrics = exposition::parse(text);
        let all = series(&metrics.families[0]);
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].distribution.count, all[0].distribution.mean()), (3.0, Some(0.5)));
        assert_eq!(all[0].exemplars.iter().map(|it| it.value).collect::<Vec<_>>(), [0.7, 0.05]);
    }
}
