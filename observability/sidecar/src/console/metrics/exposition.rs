//! Reads what a `/metrics` endpoint says: Prometheus text 0.0.4 and OpenMetrics 1.0, with exemplars.
//!
//! Lenient by intent: this is for looking at, so a line that cannot be read is counted and the rest is shown.

use std::collections::HashMap;

/// Most samples that are kept of one endpoint; the rest is counted as unread.
const MOST_SAMPLES: usize = 50_000;
/// What a family's samples may have behind its name.
const SUFFIXES: [&str; 8] =
    ["_total", "_bucket", "_sum", "_count", "_created", "_info", "_gsum", "_gcount"];

/// All metrics of one endpoint.
#[derive(Debug, Default)]
pub(in crate::console) struct Exposition {
    /// In the order of their first line.
    pub(in crate::console) families: Vec<Family>,
    /// Lines that say nothing that can be understood, or came after the limit.
    pub(super) unread: usize,
}

/// A metric with its series.
#[derive(Debug, Default)]
pub(in crate::console) struct Family {
    pub(in crate::console) name: String,
    pub(super) help: String,
    /// `counter`, `gauge`, `histogram`, `summary`, …; `unknown` if nothing was said.
    pub(super) kind: String,
    /// By name and labels, because exporters keep series in hash maps, so that their order changes; buckets as they came.
    pub(in crate::console) samples: Vec<Sample>,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::console) struct Sample {
    pub(in crate::console) name: String,
    pub(super) labels: Vec<(String, String)>,
    pub(in crate::console) value: f64,
    pub(super) exemplar: Option<Exemplar>,
}

/// One observation kept as an example, with the trace it happened in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Exemplar {
    pub(super) labels: Vec<(String, String)>,
    pub(in crate::console) value: f64,
}

impl Exemplar {
    /// The trace id under the names in use.
    pub(super) fn trace_id(&self) -> Option<&str> {
        self.labels
            .iter()
            .find(|(name, _)| matches!(name.as_str(), "trace_id" | "traceID"))
            .map(|(_, id)| id.as_str())
    }
}

impl Sample {
    /// The labels without the bucket's bound.
    fn series(&self) -> impl Iterator<Item = &(String, String)> {
        self.labels.iter().filter(|(name, _)| name != "le")
    }

    /// The value of a label.
    pub(in crate::console) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Reads a whole answer.
pub(super) fn parse(text: &str) -> Exposition {
    let mut found = Exposition::default();
    let mut index: HashMap<String, usize> = HashMap::new();
    let mut samples = 0;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix('#') {
            let mut words = comment.trim_start().splitn(3, ' ');
            let (Some(word), Some(name)) = (words.next(), words.next()) else { continue };
            let rest = words.next().unwrap_or_default().trim();
            match word {
                "HELP" => family(&mut found, &mut index, name).help = unescape(rest, false),
                "TYPE" => family(&mut found, &mut index, name).kind = rest.to_owned(),
                _ => {}
            }
            continue;
        }
        match (samples < MOST_SAMPLES).then(|| sample(line)).flatten() {
            Some(sample) => {
                samples += 1;
                let name = owner(&index, &sample.name).to_owned();
                family(&mut found, &mut index, &name).samples.push(sample);
            }
            None => found.unread += 1,
        }
    }
    found.families.retain(|family| !family.samples.is_empty());
    for family in &mut found.families {
        family.samples.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.series().cmp(b.series())));
    }
    found
}

/// The family that a sample belongs to: its own name, or a declared one that it only extends.
fn owner<'a>(index: &HashMap<String, usize>, name: &'a str) -> &'a str {
    if index.contains_key(name) {
        return name;
    }
    SUFFIXES
        .iter()
        .filter_map(|suffix| name.strip_suffix(suffix))
        .find(|base| index.contains_key(*base))
        .unwrap_or(name)
}

fn family<'a>(
    found: &'a mut Exposition,
    index: &mut HashMap<String, usize>,
    name: &str,
) -> &'a mut Family {
    let at = *index.entry(name.to_owned()).or_insert_with(|| {
        found.families.push(Family {
            name: name.to_owned(),
            kind: "unknown".to_owned(),
            ..Family::default()
        });
        found.families.len() - 1
    });
    &mut found.families[at]
}

/// `name{label="value",…} 1.5 [timestamp] [# {label="value"} 0.2 [timestamp]]`
fn sample(line: &str) -> Option<Sample> {
    let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, rest) = line.split_at(end);
    if name.is_empty() {
        return None;
    }
    let (labels, rest) = if rest.starts_with('{') { labels(rest)? } else { (Vec::new(), rest) };
    let (numbers, exemplar) = match rest.split_once(" # ") {
        Some((numbers, text)) => (numbers, exemplar(text)),
        None => (rest, None),
    };
    let value = number(numbers.split_whitespace().next()?)?;
    Some(Sample { name: name.to_owned(), labels, value, exemplar })
}

fn exemplar(text: &str) -> Option<Exemplar> {
    let (labels, rest) = labels(text.trim_start())?;
    Some(Exemplar { labels, value: number(rest.split_whitespace().next()?)? })
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok(),
    }
}

/// Reads `{a="b",…}` at the start and gives what follows it.
fn labels(text: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    let mut rest = text.strip_prefix('{')?.trim_start();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, value) = rest.split_once("=\"")?;
        let end = closing_quote(value)?;
        labels.push((name.trim().to_owned(), unescape(&value[..end], true)));
        rest = value[end + 1..].trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

fn unescape(text: &str, quotes: bool) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, chars.as_str().chars().next()) {
            ('\\', Some('n')) => plain.push('\n'),
            ('\\', Some('\\')) => plain.push('\\'),
            ('\\', Some('"')) if quotes => plain.push('"'),
            _ => {
                plain.push(c);
                continue;
            }
        }
        chars.next();
    }
    plain
}

/// A histogram's or summary's state for one set of labels, read from its buckets.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Distribution {
    /// Upper bound and cumulated count, rising; the last bound is infinite.
    pub(super) buckets: Vec<(f64, f64)>,
    pub(super) sum: f64,
    pub(super) count: f64,
}

impl Distribution {
    /// The mean, if anything was observed.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }

    /// The estimate that `histogram_quantile` makes: linear within its bucket, the last finite bound at most.
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        let total = self.buckets.last()?.1;
        if total <= 0.0 {
            return None;
        }
        let rank = q * total;
        let at = self.buckets.iter().position(|&(_, seen)| seen >= rank)?;
        let (upper, seen) = self.buckets[at];
        let (lower, before) = if at == 0 { (0.0, 0.0) } else { self.buckets[at - 1] };
        if upper.is_infinite() {
            return (at > 0).then_some(lower);
        }
        Some(if seen > before {
            lower + (upper - lower) * (rank - before) / (seen - before)
        } else {
            upper
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN_METRICS: &str = r##"# HELP http_server_request_duration_seconds Time to answer.\nBy route.
# TYPE http_server_request_duration_seconds histogram
# UNIT http_server_request_duration_seconds seconds
http_server_request_duration_seconds_bucket{http_route="/api/musics/",le="0.005"} 4 # {trace_id="4bf92f3577b34da6a3ce929d0e0e4736",span_id="00f067aa0ba902b7"} 0.0031 1732266902.114
http_server_request_duration_seconds_bucket{http_route="/api/musics/",le="0.01"} 8
http_server_request_duration_seconds_bucket{http_route="/api/musics/",le="+Inf"} 10
http_server_request_duration_seconds_sum{http_route="/api/musics/"} 0.07
http_server_request_duration_seconds_count{http_route="/api/musics/"} 10
# TYPE musics_created counter
musics_created_total 26159.0
# TYPE process_open_fds gauge
process_open_fds 21
# EOF
"##;

    #[test]
    fn series_have_the_same_order_whatever_the_order_of_the_lines() {
        let lines = [
            "a{x=\"2\",y=\"1\"} 1",
            "b_bucket{r=\"q\",le=\"+Inf\"} 2",
            "a{x=\"1\",y=\"2\"} 3",
            "b_bucket{r=\"p\",le=\"+Inf\"} 4",
            "a 5",
        ];
        let values = |lines: &[&str]| -> Vec<f64> {
            let mut families = parse(&lines.join("\n")).families;
            families.sort_by(|a, b| a.name.cmp(&b.name));
            families.iter().flat_map(|family| &family.samples).map(|it| it.value).collect()
        };
        let reversed: Vec<&str> = lines.iter().rev().copied().collect();
        assert_eq!(values(&lines), [5.0, 3.0, 1.0, 4.0, 2.0]);
        assert_eq!(values(&reversed), values(&lines));
    }

    #[test]
    fn families_keep_their_help_type_samples_and_exemplars() {
        let found = parse(OPEN_METRICS);
        assert_eq!(found.unread, 0);
        let names: Vec<_> = found
            .families
            .iter()
            .map(|f| (f.name.as_str(), f.kind.as_str(), f.samples.len()))
            .collect();
        assert_eq!(
            names,
            [
                ("http_server_request_duration_seconds", "histogram", 5),
                ("musics_created", "counter", 1),
                ("process_open_fds", "gauge", 1)
            ]
        );
        let family = &found.families[0];
        assert_eq!(family.help, "Time to answer.\nBy route.");
        let exemplar = family.samples[0].exemplar.as_ref().unwrap();
        assert_eq!(
            (exemplar.trace_id(), exemplar.value),
            (Some("4bf92f3577b34da6a3ce929d0e0e4736"), 0.0031)
        );
    }

    #[test]
    fn label_values_may_hold_anything_that_is_escaped() {
        let line = r#"x{a="say \"hi\"\\\n} # {",b="",c="é,d=\"1\""} NaN"#;
        let sample = sample(line).unwrap();
        assert_eq!(sample.label("a"), Some("say \"hi\"\\\n} # {"));
        assert_eq!(sample.label("b"), Some(""));
        assert_eq!(sample.label("c"), Some("é,d=\"1\""));
        assert!(sample.value.is_nan());
    }

    #[test]
    fn lines_that_say_nothing_are_counted_and_the_others_shown() {
        let found =
            parse("a 1\n{} 3\nb{c=\"d} 1\nc\nd x\n\u{fffd}\u{fffd}\ne{f=\"g\"} +Inf 1732266902\n");
        assert_eq!(found.unread, 5);
        assert_eq!(found.families.len(), 2);
        assert_eq!(found.families[1].samples[0].value, f64::INFINITY);
    }

    #[test]
    fn quantiles_are_estimated_as_prometheus_does() {
        let d = Distribution {
            buckets: vec![(0.1, 50.0), (0.2, 90.0), (f64::INFINITY, 100.0)],
            sum: 12.0,
            count: 100.0,
        };
        assert_eq!(d.quantile(0.5), Some(0.1));
        assert!((d.quantile(0.7).unwrap() - 0.15).abs() < 1e-9);
        assert_eq!(d.quantile(0.99), Some(0.2));
        assert_eq!(Distribution::default().quantile(0.5), None);
    }
}
