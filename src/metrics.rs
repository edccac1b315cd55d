//! The Prometheus text exposition format 0.0.4: values in, text out. It keeps no counters.

use std::fmt::Write as _;

/// What a metric's values mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets; samples carry the suffixes themselves.
    Histogram,
}

/// One metric family.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    suffix: &'static str,
    labels: Vec<(&'static str, String)>,
    value: f64,
}

impl Metric {
    /// A family that only grows; by convention its name ends in `_total`.
    pub fn counter(name: &'static str, help: &'static str) -> Metric {
        Metric { name, help, kind: Kind::Counter, samples: Vec::new() }
    }

    /// A family that goes up and down.
    pub fn gauge(name: &'static str, help: &'static str) -> Metric {
        Metric { kind: Kind::Gauge, ..Metric::counter(name, help) }
    }

    /// A histogram; add its parts with [`Metric::part`].
    pub fn histogram(name: &'static str, help: &'static str) -> Metric {
        Metric { kind: Kind::Histogram, ..Metric::counter(name, help) }
    }

    /// Adds one value with its labels.
    pub fn sample(&mut self, labels: &[(&'static str, &str)], value: f64) {
        self.part("", labels, value);
    }

    /// The same, as an expression.
    #[must_use]
    pub fn with(mut self, labels: &[(&'static str, &str)], value: f64) -> Metric {
        self.sample(labels, value);
        self
    }

    /// Adds one value of a histogram: `_bucket`, `_sum` or `_count`.
    pub fn part(&mut self, suffix: &'static str, labels: &[(&'static str, &str)], value: f64) {
        let labels = labels.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        self.samples.push(Sample { suffix, labels, value });
    }
}

/// Renders the families in the order given; one without samples is left out.
pub fn render(metrics: &[Metric]) -> String {
    let mut out = String::new();
    for metric in metrics.iter().filter(|m| !m.samples.is_empty()) {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# HELP {} {}", metric.name, escape(metric.help, false));
        let _ = writeln!(out, "# TYPE {} {kind}", metric.name);
        for sample in &metric.samples {
            let _ = write!(out, "{}{}", metric.name, sample.suffix);
            render_labels(&mut out, &sample.labels);
            let _ = writeln!(out, " {}", number(sample.value));
        }
    }
    out
}

fn render_labels(out: &mut String, labels: &[(&'static str, String)]) {
    if labels.is_empty() {
        return;
    }
    let text: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value, true))).collect();
    let _ = write!(out, "{{{}}}", text.join(","));
}

fn escape(text: &str, quoted: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if quoted { text.replace('"', "\\\"") } else { text }
}

fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_format() {
        let mut up = Metric::gauge("hardy_probe_up", "Whether\nit is up.");
        up.sample(&[("target", "a\"b\\c\nd")], 1.0);
        let mut seconds = Metric::histogram("x_seconds", "x");
        seconds.part("_bucket", &[("le", "+Inf")], 2.0);
        seconds.part("_sum", &[], 0.25);
        let empty = Metric::counter("none_total", "left out");
        assert_eq!(
            render(&[up, empty, seconds]),
            "# HELP hardy_probe_up Whether\\nit is up.\n# TYPE hardy_probe_up gauge\n\
             hardy_probe_up{target=\"a\\\"b\\\\c\\nd\"} 1\n\
             # HELP x_seconds x\n# TYPE x_seconds histogram\nx_seconds_bucket{le=\"+Inf\"} 2\nx_seconds_sum 0.25\n"
        );
    }
}
