//! What a reader must know before believing the numbers of a run.

use std::time::Duration;

use super::parts::{Bottleneck, Mode, Trend};
use super::report::Report;
use crate::units::{brief, grouped};

/// Each one a sentence without its full stop.
pub fn of(report: &Report) -> Vec<String> {
    let mut all = Vec::new();
    match report.generator.bottleneck {
        Some(Bottleneck::Processor) => all.push(format!(
            "the generator was a bottleneck: its busiest thread used {:.0}% of a processor; take more threads, or \
             more machines",
            report.generator.busiest * 100.0
        )),
        Some(Bottleneck::LateSends) => all.push(format!(
            "{} sent more than 1ms late: no connection was free, or this host was busy; response times count \
             that; take more connections to wait less",
            were(report.generator.late_over_1ms.unwrap_or(0))
        )),
        None => {}
    }
    if report.generator.benched > 0 {
        all.push(
            "this process may not open more files, and went on with fewer connections; raise the limit (ulimit -n) \
             or take fewer"
                .to_owned(),
        );
    }
    if report.unsent > 0 {
        all.push(format!("{} due and never sent", were(report.unsent)));
    }
    if let (1.., Some(oldest)) = (report.cut_off, report.cut_off_us.max_us) {
        let age = brief(Duration::from_micros(oldest));
        all.push(format!(
            "{} cut off at the end, after up to {age}; the times leave them out",
            were(report.cut_off)
        ));
    }
    all.extend(report.trend.and_then(|trend| not_steady(trend, report.mode)));
    all
}

/// In the open loop the rate is what was asked for.
fn not_steady(trend: Trend, mode: Mode) -> Option<String> {
    if trend.rate.or(trend.p50).is_none() {
        let hung = "not steady: for half of the time or more no request ended".to_owned();
        return Some(hung).filter(|_| mode == Mode::Closed);
    }
    let rate = trend.rate.filter(|_| mode == Mode::Closed).map(|change| moved("the rate", change));
    let p50 = trend.p50.map(|change| moved("the p50", change));
    let changes: Vec<String> = rate.into_iter().chain(p50).collect();
    let text = || {
        format!(
            "not steady: {} from beginning to end; longer runs or --warm-up tell more",
            changes.join(" and ")
        )
    };
    (!changes.is_empty()).then(text)
}

fn moved(what: &str, change: f64) -> String {
    format!("{what} {} by {:.0}%", if change < 0.0 { "fell" } else { "rose" }, change.abs() * 100.0)
}

fn were(requests: u64) -> String {
    let (s, were) = if requests == 1 { ("", "was") } else { ("s", "were") };
    format!("{} request{s} {were}", grouped(requests))
}
