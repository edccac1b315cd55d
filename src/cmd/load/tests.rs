//! Runs made by hand, from nothing at all to more than anybody waits for, in every form.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use super::live::View;
use super::parts::{Bottleneck, Condition};
use super::report::{Report, Subject};
use super::warnings;
use crate::exit::Verdict;
use crate::load::batch::{Batch, Sample};
use crate::load::outcome::{End, Outcome, Snapshot};
use crate::load::plan::{Expected, Pace, Plan, Stop};
use crate::load::recorder::{Recorder, Shown};
use crate::load::schedule::{Arrivals, Schedule, Stage};
use crate::load::timeline::Timeline;
use crate::load::turns::{Tickets, Turns};
use crate::metrics;
use crate::output::{Human, Outcome as CaseOutcome, Report as _};
use crate::reason::Reason;

const SECOND: u64 = 1_000_000_000;

/// What became of a request.
type Answer = Result<u16, Reason>;

fn plan(open: bool) -> Plan {
    let stages = Schedule::Stages(vec![Stage::for_ever(1000.0)], Arrivals::Constant);
    Plan {
        pace: if open { Pace::Open(Arc::new(stages)) } else { Pace::Closed },
        stop: Stop::default(),
        workers: 64,
        threads: 1,
        warm_up: Duration::ZERO,
        ramp_up: Duration::ZERO,
        timeout: Duration::from_secs(1),
        grace: Duration::from_secs(1),
        expected: Expected::default(),
    }
}

/// What a thread would have written of these.
fn batch(open: bool, samples: &[(Sample, Answer)]) -> Batch {
    let (plan, shown) = (plan(open), Arc::new(Mutex::new(Shown::default())));
    let mut recorder = Recorder::new(&plan, shown.clone());
    for (sample, answer) in samples {
        recorder.sent(sample.due, sample.sent, 64);
        recorder.received(150);
        match answer {
            Ok(status) => recorder.answered(*sample, *status),
            Err(reason) => recorder.failed(*sample, *reason),
        }
    }
    recorder.connected(420_000);
    let mut turns = Turns::new(&plan, 0, Arc::new(Tickets::new(None)), 0);
    recorder.show(0, &mut turns, 0);
    shown.lock().unwrap().batch.clone()
}

fn outcome(open: bool, totals: Batch, timeline: Timeline, elapsed: Duration) -> Outcome {
    let offered = open.then_some(totals.requests());
    Outcome {
        totals,
        timeline,
        elapsed,
        sending: elapsed,
        offered,
        unsent: 0,
        end: End::Done,
        busiest: 0.41,
        peak_memory: None,
    }
}

/// Windows of a quarter of a second with the same in each.
fn timeline(batch: &Batch, windows: u64) -> Timeline {
    let mut timeline = Timeline::default();
    for n in 0..windows {
        timeline.add(n * SECOND / 4, (n + 1) * SECOND / 4, batch, n);
    }
    timeline
}

fn subject() -> Subject {
    Subject {
        target: "http://127.0.0.1:8080/".into(),
        started_at: "2026-01-02T03:04:05Z".into(),
        connections: 64,
        fail_if: Vec::new(),
        settings: [("timeout".to_owned(), "5s".to_owned())].into(),
        plots: true,
    }
}

/// Ten seconds of an ordinary open loop: times like those of a service, a stall, and refusals after it.
fn ordinary(open: bool) -> Report {
    let mut random = fastrand::Rng::with_seed(7);
    let (mut totals, mut timeline) = (Batch::default(), Timeline::default());
    for window in 0..40u64 {
        let start = window * SECOND / 4;
        let stalled = (20..24).contains(&window);
        let samples: Vec<(Sample, Answer)> = (0..250u64)
            .map(|n| {
                let due = start + n * 1_000_000;
                let late = if stalled { 1_000_000 * (250 - n) } else { 20_000 };
                let took =
                    900_000.0 * (1.0 + (-(1.0 - random.f64()).ln()) * 0.4) * if stalled { 8.0 } else { 1.0 };
                let sent = if open { due + late } else { due };
                let sample = Sample { due: if open { due } else { sent }, sent, ended: sent + took as u64 };
                let answer = match window {
                    24 if n % 5 == 0 => Ok(503),
                    25 if n % 9 == 0 => Err(Reason::ConnectReset),
                    _ => Ok(200),
                };
                (sample, answer)
            })
            .collect();
        let batch = batch(open, &samples);
        totals.merge(&batch);
        timeline.add(start, start + SECOND / 4, &batch, if stalled { 200 + window } else { 0 });
    }
    for age in [3, 40, 900] {
        totals.cut_off.record(Duration::from_millis(age));
    }
    totals.cpu = 4 * SECOND;
    let mut outcome = outcome(open, totals, timeline, Duration::from_secs(10));
    outcome.unsent = 17 * u64::from(open);
    let mut subject = subject();
    subject.fail_if =
        ["p99>300ms", "error_rate>=0.1%", "ok_p99.99>1s"].map(|text| text.parse().unwrap()).into();
    Report::new(outcome, subject)
}

fn of(open: bool, samples: &[(Sample, Answer)]) -> Report {
    let totals = batch(open, samples);
    let timeline = timeline(&totals, 2);
    Report::new(outcome(open, totals, timeline, Duration::from_millis(500)), subject())
}

fn one(took: u64, answer: Answer) -> (Sample, Answer) {
    (Sample { due: 0, sent: 0, ended: took }, answer)
}

/// More requests than anybody waits for, some of them for ages.
fn huge(open: bool) -> Report {
    let mut totals =
        batch(open, &[one(SECOND, Ok(200)), one(u64::MAX, Err(Reason::TlsCertificateNotYetValid))]);
    for reason in Reason::ALL {
        totals.merge(&batch(open, &[one(1, Err(*reason))]));
    }
    for status in 100..140 {
        totals.merge(&batch(open, &[one(1000, Ok(status))]));
    }
    totals.cpu = 1;
    for _ in 0..40 {
        totals.merge(&totals.clone());
    }
    totals.cut_off.record(Duration::MAX);
    totals.service.failed.record(Duration::MAX);
    if open {
        totals.response.failed.record(Duration::MAX);
    }
    let timeline = timeline(&totals, 300);
    let mut outcome = outcome(open, totals, timeline, Duration::from_secs(864_000));
    (outcome.unsent, outcome.busiest) = (u64::MAX, 1.0);
    outcome.end = End::Hopeless("error_rate>=1%".into());
    Report::new(outcome, Subject { connections: u64::MAX, ..subject() })
}

/// Every kind of run.
static ALL: LazyLock<Vec<Report>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for open in [false, true] {
        let nothing = outcome(open, Batch::default(), Timeline::default(), Duration::ZERO);
        all.push(Report::new(nothing, subject()));
        all.push(of(open, &[one(1_234_000, Ok(200))]));
        all.push(of(open, &[one(1_000, Err(Reason::ConnectRefused)), one(2_000, Err(Reason::Timeout))]));
        all.push(of(open, &[one(0, Ok(200)), one(0, Ok(200))]));
        all.push(ordinary(open));
        all.push(huge(open));
    }
    all
});

fn human(report: &Report, width: usize, color: bool) -> String {
    let mut out = Vec::new();
    report.human(&mut Human::new(&mut out, width, color)).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_report_fits_its_schema() {
    let schema = serde_json::to_value(schemars::schema_for!(Report)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for report in ALL.iter() {
        let document = serde_json::to_value(report).unwrap();
        let errors: Vec<_> =
            validator.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}

#[test]
fn the_json_form_has_what_pipelines_ask_for() {
    let data = serde_json::to_value(ordinary(true)).unwrap();
    assert_eq!(data["requests"], 10_000);
    assert_eq!((&data["ok"], &data["failed"]), (&9922.into(), &78.into()));
    assert_eq!((&data["cut_off"], &data["unsent"]), (&3.into(), &17.into()));
    assert_eq!(data["errors"], serde_json::json!({"connect.reset": 28, "http.status": 50}));
    assert_eq!(data["status"], serde_json::json!({"200": 9922, "503": 50}));
    assert_eq!(data["rate"], serde_json::json!({"offered": 1000.0, "achieved": 1000.0}));
    assert_eq!((&data["mode"], &data["end"]), (&"open".into(), &"done".into()));
    assert!(data["response_us"]["p99_us"].as_u64() > data["service_us"]["p99_us"].as_u64());
    assert!(data["response_us"]["p9999_us"].is_u64());
    assert_eq!(data["response_failed_us"]["p99_us"], serde_json::Value::Null);
    assert_eq!(data["timeline"].as_array().unwrap().len(), 40);
    // Nothing is due in the closed loop, so that nothing can be said about it.
    let closed = serde_json::to_value(ordinary(false)).unwrap();
    assert!(
        closed["response_us"].is_null() && closed["late_us"].is_null() && closed["rate"]["offered"].is_null()
    );
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for report in ALL.iter() {
        for width in [80, 100, 200] {
            let text = human(report, width, false);
            let wide: Vec<_> = text.lines().filter(|line| line.chars().count() > width).collect();
            assert!(wide.is_empty(), "{width}: {wide:#?}\n{text}");
            let color = human(report, width, true);
            assert_eq!(anstream::adapter::strip_str(&color).to_string().trim_end(), text.trim_end());
        }
    }
}

#[test]
fn people_read_what_came_of_it() {
    let text = human(&ordinary(true), 80, false);
    for part in [
        "http://127.0.0.1:8080/  open loop at 1,000/s, 64 connections, 10.0s\n",
        "1,000/s requests, 9,922 ok, 78 failed, 3 cut off, 17 unsent\n",
        "status    200 ×9,922, 503 ×50\n",
        "failures  connect.reset ×28, http.status ×50\n",
        "fail if p99>300ms: no, it was 236ms\n",
        "fail if error_rate>=0.1%: yes, it was 0.78%\n",
        "fail if ok_p99.99>1s: too few samples to tell\n",
        "response times\n",
        "over time\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!text.contains("closed loop"), "{text}");
    let closed = human(&ordinary(false), 80, false);
    assert!(closed.contains("closed loop: waiting before sending is not in them"), "{closed}");
    let plain = human(&Report { plots: false, ..ordinary(true) }, 80, false);
    assert!(!plain.contains("over time") && plain.contains("p99.9"), "{plain}");
}

#[test]
fn the_verdict_follows_from_answers_and_conditions() {
    let condition = |holds| Condition { text: "p99>1s".into(), holds, found: None };
    let ok = one(1000, Ok(200));
    let refused = one(1000, Err(Reason::ConnectRefused));
    let own = one(1000, Err(Reason::LocalPorts));
    for (samples, conditions, verdict) in [
        (vec![ok], vec![], Verdict::Good),
        (vec![ok, refused], vec![], Verdict::Good),
        (vec![refused], vec![], Verdict::Bad),
        (vec![one(1000, Ok(503))], vec![], Verdict::Bad),
        (vec![own], vec![], Verdict::Unknown),
        (vec![own, refused], vec![], Verdict::Bad),
        (vec![], vec![], Verdict::Unknown),
        (vec![ok], vec![Some(false)], Verdict::Good),
        (vec![ok], vec![Some(false), Some(true)], Verdict::Bad),
        (vec![ok], vec![None], Verdict::Unknown),
        (vec![ok], vec![None, Some(true)], Verdict::Bad),
        // A server that refuses everything is fast; that is no reason to call it good.
        (vec![refused], vec![Some(false)], Verdict::Bad),
    ] {
        let mut report = of(false, &samples);
        report.conditions = conditions.iter().map(|holds| condition(*holds)).collect();
        assert_eq!(report.verdict(), verdict, "{samples:?} {conditions:?}");
    }
    let mut hung = outcome(false, Batch::default(), Timeline::default(), Duration::from_secs(1));
    hung.totals.cut_off.record(Duration::from_secs(1));
    assert_eq!(Report::new(hung, subject()).verdict(), Verdict::Bad, "nobody was answered");
    let mut opened = outcome(false, batch(false, &[ok]), Timeline::default(), Duration::from_secs(1));
    opened.end = End::BreakerOpened;
    assert_eq!(Report::new(opened, subject()).verdict(), Verdict::Bad);
}

#[test]
fn the_generator_says_when_it_was_in_the_way() {
    let late = |late: u64| Sample { due: 0, sent: late, ended: late + 1000 };
    let samples = |slow: usize| -> Vec<_> {
        (0..1000).map(|n| (late(if n < slow { 1_100_000 } else { 900_000 }), Ok(200))).collect()
    };
    assert_eq!(of(true, &samples(10)).generator.bottleneck, None);
    let report = of(true, &samples(11));
    assert_eq!(report.generator.bottleneck, Some(Bottleneck::LateSends));
    assert_eq!(report.generator.late_over_1ms, Some(11));
    assert!(
        warnings::of(&report)[0].contains("11 requests were sent more than 1ms late"),
        "{:?}",
        warnings::of(&report)
    );
    assert_eq!(of(false, &samples(1000)).generator.bottleneck, None, "nothing is late in the closed loop");
    let mut busy = outcome(false, batch(false, &samples(0)), Timeline::default(), Duration::from_secs(1));
    busy.busiest = 0.97;
    let report = Report::new(busy, subject());
    assert_eq!(report.generator.bottleneck, Some(Bottleneck::Processor));
    assert!(warnings::of(&report)[0].contains("97% of a processor"), "{:?}", warnings::of(&report));
}

#[test]
fn a_server_that_hung_most_of_the_time_is_not_steady() {
    let (batch, mut windows) = (batch(false, &[one(1000, Ok(200))]), Timeline::default());
    for n in 0..40 {
        let nothing = Batch::default();
        windows.add(n * SECOND / 4, (n + 1) * SECOND / 4, if n < 25 { &nothing } else { &batch }, 0);
    }
    let report = Report::new(outcome(false, batch, windows, Duration::from_secs(10)), subject());
    assert_eq!(report.steady, Some(false));
    let said = warnings::of(&report);
    assert!(said.iter().eq(["not steady: for half of the time or more no request ended"]), "{said:?}");
}

#[test]
fn a_case_for_the_requests_and_one_for_each_condition() {
    let cases = ordinary(true).cases();
    let names: Vec<_> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(
        names,
        ["a request succeeds", "fail if p99>300ms", "fail if error_rate>=0.1%", "fail if ok_p99.99>1s"]
    );
    let message = "it was 0.78%".to_owned();
    assert_eq!(cases[2].outcome, CaseOutcome::Fail { reason: "condition".into(), message });
    assert!(matches!(cases[3].outcome, CaseOutcome::Error { .. }));
    let down = of(false, &[one(1000, Err(Reason::ConnectRefused))]).cases();
    assert!(matches!(&down[0].outcome, CaseOutcome::Fail { reason, .. } if reason == "connect.refused"));
}

#[test]
fn metrics_have_the_counts_and_seconds() {
    let text = metrics::render(&ordinary(true).metrics());
    for line in [
        "hardy_load_requests_total{target=\"http://127.0.0.1:8080/\",result=\"ok\"} 9922",
        "hardy_load_requests_total{target=\"http://127.0.0.1:8080/\",result=\"cut_off\"} 3",
        "hardy_load_failures_total{target=\"http://127.0.0.1:8080/\",reason=\"connect.reset\"} 28",
        "hardy_load_responses_total{target=\"http://127.0.0.1:8080/\",status=\"503\"} 50",
        "hardy_load_rate{target=\"http://127.0.0.1:8080/\",kind=\"offered\"} 1000",
        "hardy_load_condition{target=\"http://127.0.0.1:8080/\",condition=\"error_rate>=0.1%\"} 1",
        "kind=\"connect\",outcome=\"ok\",stat=\"max\"} 0.00042",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("p99.999"), "what is not known is absent");
}

#[test]
fn pages_are_well_formed_and_load_nothing() {
    for report in ALL.iter() {
        let page = report.html().unwrap();
        let mut reader = quick_xml::Reader::from_str(&page);
        reader.config_mut().check_end_names = true;
        loop {
            match reader.read_event() {
                Ok(quick_xml::events::Event::Eof) => break,
                Ok(_) => {}
                Err(error) => panic!("{error} at {}: {page}", reader.error_position()),
            }
        }
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
        let outside = page.replace("http://127.0.0.1:8080/", "");
        for loads in ["http://", "https://", "url(", "@import", " src=", " href=", "<script", "<link"] {
            assert!(!outside.contains(loads), "{loads}");
        }
    }
}

#[test]
fn what_is_foreign_stays_text_in_every_form() {
    let hostile = "http://h/\u{1b}[2J\u{9b}31m<script>alert('x\")</script>&\u{202e}";
    let subject = Subject {
        target: hostile.into(),
        settings: [(hostile.to_owned(), hostile.to_owned())].into(),
        ..subject()
    };
    let totals = batch(false, &[one(1000, Ok(200))]);
    let mut outcome = outcome(false, totals, Timeline::default(), Duration::from_secs(1));
    outcome.end = End::Hopeless(hostile.into());
    let mut report = Report::new(outcome, subject);
    report.conditions =
        vec![Condition { text: hostile.into(), holds: Some(true), found: Some(hostile.into()) }];
    for text in [human(&report, 80, false), report.html().unwrap()] {
        let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(steers), "{text:?}");
    }
    let page = report.html().unwrap();
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
}

#[test]
fn the_live_view_keeps_within_any_width() {
    let views = [
        View::default(),
        View { target: "http://127.0.0.1:8080/".into(), requests: Some(1_000_000), duration: None },
        View { target: "x\u{1b}[2J".repeat(50), requests: Some(0), duration: Some(Duration::ZERO) },
        View { duration: Some(Duration::from_secs(10)), ..View::default() },
    ];
    let totals = batch(true, &[one(1000, Ok(200)), one(5_000_000, Err(Reason::Timeout))]);
    let busy = Snapshot {
        elapsed: Duration::from_secs(3),
        warm_up: true,
        sent: u64::MAX,
        ok: 1,
        failed: u64::MAX,
        in_flight: u64::MAX,
        backlog: u64::MAX,
        so_far: Arc::new((totals.clone(), timeline(&totals, 119))),
    };
    for view in &views {
        for snapshot in [&Snapshot::default(), &busy] {
            for width in 1..120 {
                let mut out = Vec::new();
                view.draw(&mut Human::new(&mut out, width, false), snapshot).unwrap();
                let text = String::from_utf8(out).unwrap();
                assert!(text.lines().all(|line| line.chars().count() <= width), "{width}: {text}");
                assert!(!text.contains('\u{1b}'), "{text:?}");
            }
        }
    }
}

#[test]
fn the_live_view_tells_how_far_and_how_fast() {
    let totals = batch(false, &[one(1_000_000, Ok(200)); 100]);
    let snapshot = Snapshot {
        elapsed: Duration::from_secs(5),
        sent: 250,
        in_flight: 64,
        so_far: Arc::new((totals.clone(), timeline(&totals, 20))),
        ..Snapshot::default()
    };
    let drawn = |view: &View| {
        let mut out = Vec::new();
        view.draw(&mut Human::new(&mut out, 80, false), &snapshot).unwrap();
        String::from_utf8(out).unwrap()
    };
    let by_count = drawn(&View { requests: Some(1000), ..View::default() });
    assert!(by_count.contains(" 25%  5s, 15s left"), "{by_count}");
    assert!(
        by_count.contains("400/s  p50 1.00ms  p99 1.00ms  0 failed  64 in flight  250 sent"),
        "{by_count}"
    );
    let by_time = drawn(&View { duration: Some(Duration::from_secs(8)), ..View::default() });
    assert!(by_time.contains(" 62%  5s, 3s left"), "{by_time}");
    // Whichever is first ends the run.
    let both = View { requests: Some(500), duration: Some(Duration::from_secs(100)), ..View::default() };
    assert!(drawn(&both).contains(" 50%  5s, 5s left"), "{}", drawn(&both));
    let endless = drawn(&View::default());
    assert!(endless.lines().nth(1) == Some("5s") && !endless.contains('%'), "{endless}");
}
