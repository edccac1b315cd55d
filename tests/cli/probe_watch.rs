//! `hardy probe --watch`: who is told of changes, flapping, metrics, the terminal; and `--nagios`.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use super::fixtures::{Server, first_503, ok, refused, response};
use super::support::{DEADLINE, Process, Run, hardy, run, wait_for};

const PATIENT: [&str; 2] = ["--timeout", "20s"];

/// A receiver that answers its first requests with 503, and passes on the bodies of those that it takes.
fn receiver(failures: usize) -> (Server, Receiver<Value>) {
    let (sender, taken) = channel();
    let sender = std::sync::Mutex::new(sender);
    let server = Server::http(move |number, request| {
        if number < failures {
            return response(503, "", "not now");
        }
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /hook ") && head.contains("content-type: application/json"), "{head}");
        sender.lock().unwrap().send(serde_json::from_str(body).unwrap()).unwrap();
        response(204, "", "")
    });
    (server, taken)
}

fn notices(document: &Value, way: &str) -> Value {
    let all = document["data"]["notices"].as_array().unwrap();
    all.iter().find(|counts| counts["way"] == way).unwrap_or_else(|| panic!("no {way} in {all:?}")).clone()
}

/// The last of the documents of a watch.
fn last(run: &Run) -> Value {
    serde_json::from_str(run.stdout.lines().last().unwrap_or_else(|| panic!("{run:?}"))).unwrap()
}

#[test]
fn a_webhook_that_fails_first_gets_every_change_in_its_order() {
    let (hook, taken) = receiver(2);
    let target = Server::http(first_503(3));
    let (webhook, folder) = (hook.url("/hook"), tempfile::tempdir().unwrap());
    let report = folder.path().join("report.json");
    let file = format!("json={}", report.display());
    let args = ["--watch", "-i", "20ms", "--window", "100ms", "--webhook", &webhook, "--report", &file];
    let process = Process::start(
        hardy().args(["probe", &target.url("/")]).args(args).args(PATIENT).stdout(Stdio::null()),
    );
    let documents: Vec<Value> = (0..3).map(|_| taken.recv_timeout(DEADLINE).expect("a notice")).collect();
    let steps: Vec<_> = documents.iter().map(|d| (&d["data"]["from"], &d["data"]["to"])).collect();
    let [unknown, down, degraded, up] = ["unknown", "down", "degraded", "up"].map(Value::from);
    assert_eq!(steps, [(&unknown, &down), (&down, &degraded), (&degraded, &up)], "{documents:#?}");
    let first = &documents[0];
    assert_eq!((&first["schema"], &first["verdict"]), (&"hardy.probe.change/v1".into(), &"bad".into()));
    assert_eq!(first["data"]["name"], target.url("/"));
    assert_eq!((&first["data"]["reason"], &first["data"]["changes"]), (&"http.status".into(), &1.into()));
    assert_eq!(first["data"]["detail"], "expected 200-399, got 503");
    process.signal("INT");
    let run = process.finish();
    let report = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    let counts = notices(&report, "webhook");
    assert_eq!((&counts["sent"], &counts["retries"], &counts["failed"]), (&3.into(), &2.into(), &0.into()));
    assert_eq!(run.stderr, "", "what was delivered in the end needs no words");
}

#[test]
fn who_does_not_read_stdout_keeps_no_notice_back() {
    let (hook, taken) = receiver(0);
    // Far more documents than a pipe holds, and then it goes down.
    let target = Server::http(|number, _| response(if number < 300 { 200 } else { 503 }, "", ""));
    let webhook = hook.url("/hook");
    let args = ["--watch", "--json", "-i", "2ms", "--webhook", &webhook];
    let _process = Process::start(
        hardy().args(["probe", &target.url("/")]).args(args).args(PATIENT).stdout(Stdio::piped()),
    );
    assert_eq!(taken.recv_timeout(DEADLINE).expect("a notice")["data"]["to"], "down");
}

#[test]
fn a_command_finds_the_change_in_its_environment_and_on_stdin() {
    let folder = tempfile::tempdir().unwrap();
    let (environment, stdin) = (folder.path().join("environment"), folder.path().join("stdin"));
    let exec = format!(
        "cat >{}; echo \"$HARDY_TARGET|$HARDY_URL|$HARDY_KIND|$HARDY_OLD_STATE|$HARDY_STATE|$HARDY_REASON|$HARDY_CHANGES\" >>{}; echo noise",
        stdin.display(),
        environment.display()
    );
    let url = format!("tcp://{}", refused());
    let args = ["--watch", "--json", "-n", "3", "-i", "10ms", "--exec", &exec];
    let run = run(&[&["probe", &url], &args[..], &PATIENT].concat());
    let told = fs::read_to_string(&environment).unwrap();
    assert_eq!(told, format!("{url}|{url}|tcp|unknown|down|connect.refused|1\n"), "{run:?}");
    let document: Value = serde_json::from_str(&fs::read_to_string(stdin).unwrap()).unwrap();
    assert_eq!(document["data"]["to"], "down");
    assert_eq!(notices(&last(&run), "exec")["sent"], 1);
    assert!(!run.stdout.contains("noise") && run.stderr.is_empty(), "{run:?}");
}

#[test]
fn a_command_that_hangs_is_killed_with_its_children_and_holds_no_round_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("children");
    let exec = format!("sleep 600 & echo $! >>{}; wait", file.display());
    let target = Server::http(first_503(1));
    let args =
        ["--watch", "-i", "10ms", "--exec", &exec, "--notify-timeout", "300ms", "--notify-retries", "1"];
    let mut process = Process::start(
        hardy().args(["probe", &target.url("/")]).args(args).args(PATIENT).stdout(Stdio::piped()),
    );
    let before = wait_for("the command", || fs::metadata(&file).is_ok().then(|| target.hits()));
    wait_for("many rounds beside it", || (target.hits() > before + 10).then_some(()));
    let line = process.line("warning:");
    assert!(line.contains("is down\" after 2 attempts: no end within 300ms"), "{line}");
    process.signal("TERM");
    let run = process.finish();
    assert_eq!(run.code, Some(143), "{run:?}");
    for child in fs::read_to_string(&file).unwrap().lines() {
        wait_for("the children to be gone", || is_gone(child).then_some(()));
    }
}

fn is_gone(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat"));
    stat.map_or(true, |stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}

#[test]
fn a_webhook_that_nobody_answers_is_given_up_and_its_secret_not_said() {
    let nobody = refused();
    let webhook = format!("http://{nobody}/geheim");
    let url = format!("tcp://{}", refused());
    let args = ["--watch", "--json", "-n", "1", "--webhook", &webhook, "--notify-retries", "0"];
    let run = run(&[&["probe", &url], &args[..], &PATIENT].concat());
    assert_eq!(notices(&last(&run), "webhook")["failed"], 1);
    let said = "warning: the webhook at 127.0.0.1 did not take \"";
    assert!(run.stderr.starts_with(said) && run.stderr.contains("Connection refused"), "{run:?}");
    assert!(!run.stderr.contains("geheim") && !run.stdout.contains("geheim"), "{run:?}");
}

#[test]
fn a_target_that_flaps_is_told_once() {
    let (hook, taken) = receiver(0);
    // Two good answers, two bad ones, and so on.
    let target = Server::http(|number, _| response(if number % 4 < 2 { 200 } else { 503 }, "", ""));
    let webhook = hook.url("/hook");
    let flap = ["--flap-changes", "4", "--flap-window", "10m", "--volume", "1000000"];
    let args = ["--watch", "--json", "-n", "40", "-i", "10ms", "--webhook", &webhook];
    let run = run(&[&["probe", &target.url("/")], &args[..], &flap, &PATIENT].concat());
    let told: Vec<Value> = taken.try_iter().map(|document| document["data"]["to"].clone()).collect();
    assert_eq!(told, ["down", "degraded", "flapping"], "a target that is up at first is no news");
    let document = last(&run);
    let target = &document["data"]["targets"][0];
    assert!(target["changes"].as_u64().unwrap() > 10, "{target}");
    assert_eq!(target["flapping"]["changes"], 4);
    let changes = document["data"]["changes"].as_array().unwrap();
    assert_eq!(changes.last().unwrap()["to"], "flapping");
}

/// The body of a GET on a new connection.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn metrics_are_served_while_it_watches() {
    let (up, down) = (Server::http(ok), format!("tcp://{}", refused()));
    let args = ["--watch", "-i", "20ms", "--listen", "127.0.0.1:0", "--exec", "true"];
    let mut process = Process::start(
        hardy().args(["probe", &up.url("/"), &down]).args(args).args(PATIENT).stdout(Stdio::null()),
    );
    let line = process.line("metrics on http://");
    let address = line.split("http://").nth(1).unwrap().trim_end_matches("/metrics").to_owned();
    let metrics = wait_for("what was counted", || {
        let text = get(&address, "/metrics");
        let known = text.contains(&format!("hardy_probe_up{{target=\"{}\"}} 1", up.url("/")));
        (known && text.contains("hardy_probe_notices_total{way=\"exec\",result=\"sent\"} 1")).then_some(text)
    });
    for line in [
        format!("hardy_probe_up{{target=\"{down}\"}} 0"),
        format!("hardy_probe_flapping{{target=\"{down}\"}} 0"),
        format!("hardy_probe_state_changes_total{{target=\"{down}\"}} 1"),
        "# TYPE hardy_probe_rounds_total counter".to_owned(),
    ] {
        assert!(metrics.contains(&line), "no {line} in {metrics}");
    }
    assert!(get(&address, "/readyz").starts_with("HTTP/1.1 200"));
    assert!(get(&address, "/").starts_with("HTTP/1.1 404"));
    process.signal("INT");
    assert_eq!(process.finish().code, Some(130));
}

#[test]
fn what_cannot_be_is_refused_before_the_first_call() {
    let server = Server::http(ok);
    let taken = server.address.to_string();
    for (args, said) in [
        (&["--webhook", "http://h/"][..], "--webhook has no meaning without --watch"),
        (&["--exec", "true"], "--exec has no meaning without --watch"),
        (&["--listen", "127.0.0.1:0"], "--listen has no meaning without --watch"),
        (&["--watch", "--webhook", "hooks.example/geheim"], "--webhook is no http or https URL"),
        (&["--watch", "--listen", "nowhere"], "--listen: `nowhere` is not an address"),
        (&["--watch", "--listen", &taken], &taken),
        (&["--watch", "--flap-changes", "1"], "--flap-changes must be 0 or at least 2, not 1"),
        (&["--watch", "--nagios"], "cannot be used with"),
    ] {
        let run = run(&[&["probe", &server.url("/")], args].concat());
        // To a monitoring system 2 would be an outage.
        let code = if args.contains(&"--nagios") { 3 } else { 2 };
        assert_eq!((run.code, run.stdout.as_str()), (Some(code), ""), "{args:?}: {run:?}");
        assert!(run.stderr.contains(said) && !run.stderr.contains("geheim"), "{args:?}: {run:?}");
    }
    assert_eq!(server.hits(), 0);
}

#[test]
fn the_config_shows_no_webhook() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[profile.default.probe]\nwebhook = \"https://hooks.example/geheim\"\n";
    fs::write(folder.path().join("hardy.toml"), text).unwrap();
    let shown = super::support::run_in(folder.path(), &["config", "show"]);
    assert!(shown.stdout.contains("probe.webhook") && shown.stdout.contains("(redacted)"), "{shown:?}");
    assert!(!shown.stdout.contains("geheim"), "{shown:?}");
}

#[test]
fn nagios_reads_one_line_and_its_exit_codes() {
    let (up, slow, down) = (Server::http(ok), Server::http(ok), format!("tcp://{}", refused()));
    let up_url = up.url("/");
    let slow_url = slow.url("/");
    let numbers = ["--timeout", "20s"];
    for (targets, more, code, said) in [
        (&[up_url.as_str()][..], &[][..], 0, "PROBE OK - 1 up | "),
        (&[slow_url.as_str()], &["--slow", "1us"], 1, "PROBE WARNING - "),
        (&[up_url.as_str(), down.as_str()], &[], 2, "PROBE CRITICAL - tcp://"),
        (&["exec:/nonexistent"], &[], 3, "PROBE UNKNOWN - exec:/nonexistent is unknown (local.command"),
        (&[up_url.as_str()], &["--ca", "/nonexistent"], 3, "PROBE UNKNOWN - --ca: cannot read /nonexistent"),
    ] {
        let run = run(&[&["probe", "--nagios"], targets, more, &numbers].concat());
        assert_eq!(run.code, Some(code), "{targets:?} {more:?}: {run:?}");
        assert!(run.stdout.starts_with(said) && run.stdout.lines().count() == 1, "{run:?}");
    }
    let run = run(&["probe", "--nagios", "--timeout", "20s", &up.url("/")]);
    let perfdata = run.stdout.split(" | ").nth(1).unwrap().trim();
    let value = perfdata.strip_prefix(&format!("'{}'=", up.url("/"))).unwrap();
    let value = value.strip_suffix("s;;20.000000;0").unwrap();
    assert!(value.parse::<f64>().unwrap() > 0.0, "{perfdata}");
}

/// What a terminal of this size shows of a watch that is interrupted when that is enough.
fn shown(columns: u32, rows: u32, args: &[&str], enough: impl Fn(&str) -> bool) -> String {
    let hardy = hardy();
    let words: Vec<String> = args.iter().map(|word| format!("'{word}'")).collect();
    let program = hardy.get_program().to_str().unwrap();
    let line = format!("stty cols {columns} rows {rows}; exec {program} probe --watch {}", words.join(" "));
    let mut script = Command::new("script");
    script.args(["--quiet", "--command", &line, "/dev/null"]).env_remove("CI").env("TERM", "xterm");
    for (name, value) in hardy.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (sender, pieces) = channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = stdout.read(&mut bytes) {
            if sender.send(bytes[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    let mut bytes = Vec::new();
    let end = std::time::Instant::now() + DEADLINE;
    let plain = |bytes: &[u8]| anstream::adapter::strip_str(&String::from_utf8_lossy(bytes)).to_string();
    while !enough(&plain(&bytes)) {
        let left = end.saturating_duration_since(std::time::Instant::now());
        bytes.extend(pieces.recv_timeout(left).unwrap_or_else(|_| panic!("not enough: {}", plain(&bytes))));
    }
    stdin.write_all(b"\x03").unwrap();
    let _ = wait_for("the end", || child.try_wait().unwrap());
    bytes.extend(pieces.iter().flatten());
    plain(&bytes)
}

/// The draws of the live table in order; the report at the end is the last.
fn draws(text: &str) -> Vec<&str> {
    text.split("TARGET  ").skip(1).collect()
}

#[test]
fn a_terminal_has_the_table_and_the_changes_beneath_it() {
    let (up, down) = (Server::http(ok), format!("tcp://{}", refused()));
    let args = [&up.url("/"), &down, "-i", "50ms", "--timeout", "20s"];
    let both = |text: &str| text.contains("unknown -> down") && text.contains("unknown -> up");
    let text = shown(90, 24, &args, |text| draws(text).into_iter().any(both));
    let live = draws(&text).into_iter().find(|draw| both(draw)).unwrap();
    assert!(live.find("HISTORY") < live.find(" -> "), "beneath the table: {live}");
    assert!(live.contains('█') && live.contains('✗'), "a sparkline of each target: {live}");
    // At the end the report has them once more, and no line of theirs stands before it.
    let report = draws(&text).pop().unwrap();
    assert!(both(report) && report.contains("1 up, 1 down after"), "{report}");
    assert!(!text[..text.find("TARGET  ").unwrap()].contains(" -> "), "{text}");
}

#[test]
fn eighty_columns_have_room_for_the_history_and_for_what_changed() {
    let url =
        format!("http://{}/a/very/long/path/that/does/not/fit/into/eighty/columns/of/a/terminal", refused());
    let args = [&url, "-i", "50ms", "--timeout", "20s"];
    let settled = |draw: &&str| draw.contains("unknown -> down") && draw.contains("✗✗✗");
    let text = shown(80, 24, &args, |text| draws(text).iter().any(settled));
    let live = draws(&text).into_iter().find(|draw| settled(draw)).unwrap();
    assert!(live.contains("HISTORY") && live.matches("a/terminal").count() == 2, "{live}");
    assert!(!live.contains(&url), "a line of its own for the rest would push others out: {live}");
}

#[test]
fn a_low_terminal_is_not_overfilled() {
    let down = format!("tcp://{}", refused());
    let many: Vec<String> = (0..30).map(|n| format!("exec:true {n}")).collect();
    let mut args: Vec<&str> = many.iter().map(String::as_str).collect();
    args.extend([down.as_str(), "-i", "1s", "--timeout", "20s"]);
    let settled = |draw: &&str| draw.contains("  up  ") && draw.contains("... and ");
    let text = shown(80, 12, &args, |text| draws(text).iter().any(settled));
    let draw = draws(&text).into_iter().find(|draw| settled(draw)).unwrap();
    let table = &draw[..draw.find("... and ").unwrap()];
    assert!(table.chars().count() <= 9 * 80, "a heading and at most eight targets: {table}");
    assert!(table.contains("tcp://"), "the worst comes first: {table}");
}
