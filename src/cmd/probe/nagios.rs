//! A report as monitoring plugins give it: one line with perfdata, and exit codes 0 OK, 1 WARNING, 2 CRITICAL and
//! 3 UNKNOWN (<https://www.monitoring-plugins.org/doc/guidelines.html>).

use super::report::{Report, not_called};
use crate::error::Error;
use crate::exit::{Exit, Verdict};
use crate::probe::{State, TargetReport};
use crate::text::printable;

/// In the order of what outweighs what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Status {
    Ok,
    Unknown,
    Warning,
    Critical,
}

impl Status {
    fn id(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::Warning => "WARNING",
            Status::Critical => "CRITICAL",
            Status::Unknown => "UNKNOWN",
        }
    }

    fn code(self) -> u8 {
        match self {
            Status::Ok => 0,
            Status::Warning => 1,
            Status::Critical => 2,
            Status::Unknown => 3,
        }
    }
}

/// The exit code.
pub fn exit(report: &Report) -> Exit {
    Exit::of_command(overall(report).code())
}

/// The line.
pub fn line(report: &Report) -> String {
    let mut said: Vec<String> = report.targets.iter().filter_map(trouble).collect();
    for state in [State::Up, State::Degraded, State::Down, State::Unknown] {
        let count = report.targets.iter().filter(|target| target.state == state).count();
        if count > 0 {
            said.push(format!("{count} {}", state.id()));
        }
    }
    let perfdata: Vec<String> = report.targets.iter().map(perfdata).collect();
    format!("PROBE {} - {} | {}", overall(report).id(), plain(&said.join(", ")), perfdata.join(" "))
}

/// The line of a run that did not come about.
pub fn unable(error: &Error) -> String {
    let causes = error.causes().into_iter().map(|cause| format!(": {cause}"));
    format!("PROBE UNKNOWN - {}\n", plain(&format!("{error}{}", causes.collect::<String>())))
}

/// That of the worst target.
fn overall(report: &Report) -> Status {
    let status = |target: &TargetReport| match report.judge(target.state) {
        Verdict::Good if target.state == State::Degraded => Status::Warning,
        Verdict::Good => Status::Ok,
        Verdict::Bad => Status::Critical,
        Verdict::Unknown => Status::Unknown,
    };
    report.targets.iter().map(status).max().unwrap_or(Status::Unknown)
}

fn trouble(target: &TargetReport) -> Option<String> {
    if target.state == State::Up {
        return None;
    }
    let failed = target.last_failure.as_ref().and_then(|last| {
        let detail = last.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
        Some(format!(" ({}{detail})", last.reason?))
    });
    let why = failed.or_else(|| Some(format!(" ({})", not_called(target)?)));
    Some(format!("{} is {}{}", target.name, target.state.id(), why.unwrap_or_default()))
}

/// `'label'=value;warning;critical;minimum`: the last latency, slow from and timeout in seconds.
fn perfdata(target: &TargetReport) -> String {
    let seconds = |us: u64| format!("{:.6}", us as f64 / 1e6);
    let label = plain(&target.name).replace('=', "_").replace('\'', "''");
    let value = target.last.as_ref().map_or("U".to_owned(), |last| seconds(last.latency_us) + "s");
    let numbers = &target.breaker.config;
    let slow = numbers.slow_ms.map(|ms| seconds(ms.saturating_mul(1000))).unwrap_or_default();
    format!("'{label}'={value};{slow};{};0", seconds(numbers.timeout_ms.saturating_mul(1000)))
}

/// One line, without the sign that ends the text.
fn plain(text: &str) -> String {
    printable(text).replace('\n', " ").replace('|', "/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::probe::report::tests::{found, settings};
    use crate::config::FailOn;

    #[tokio::test]
    async fn the_worst_target_decides() {
        use State::{Degraded, Down, Unknown, Up};
        let mut report = found(&settings(&["exec:true", "exec:true"], FailOn::Down)).await;
        for (states, fail_on, text, code) in [
            ([Up, Up], FailOn::Down, "PROBE OK - 2 up | ", 0),
            ([Degraded, Up], FailOn::Down, "PROBE WARNING - exec:true is degraded, 1 up, 1 degraded | ", 1),
            ([Degraded, Up], FailOn::Degraded, "PROBE CRITICAL - ", 2),
            ([Up, Down], FailOn::Down, "PROBE CRITICAL - exec:true is down, 1 up, 1 down | ", 2),
            ([Unknown, Down], FailOn::Down, "PROBE CRITICAL - ", 2),
            ([Unknown, Degraded], FailOn::Down, "PROBE WARNING - ", 1),
            ([Unknown, Up], FailOn::Down, "PROBE UNKNOWN - ", 3),
        ] {
            report.fail_on = fail_on;
            for (target, state) in report.targets.iter_mut().zip(states) {
                target.state = state;
            }
            let line = line(&report);
            assert!(line.starts_with(text) && exit(&report).code() == code, "{states:?}: {line}");
        }
    }

    #[tokio::test]
    async fn nothing_in_a_name_or_an_answer_breaks_the_line() {
        let mut report = found(&settings(&["exec:echo 'a|b=c' >&2; exit 3"], FailOn::Down)).await;
        let line = line(&report);
        let (text, perfdata) = line.split_once(" | ").unwrap();
        assert!(text.contains("exec.status") && !text.contains('|') && !line.contains('\n'), "{line}");
        assert!(perfdata.starts_with("'exec:echo ''a/b_c'' >&2; exit 3'=0."), "{line}");
        assert!(perfdata.ends_with("s;;20.000000;0"), "{line}");
        report.targets[0].last = None;
        assert!(super::line(&report).ends_with("=U;;20.000000;0"));
    }
}
