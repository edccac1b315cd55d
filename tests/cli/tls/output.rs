//! What is printed, for people and for machines, and the exit codes.

use std::fs;
use std::path::Path;

use crate::fixtures::refused;
use crate::serve::client::Server;
use crate::support::{Run, hardy, run, run_in};

fn check(args: &[&str]) -> Run {
    run(&[&["tls", "check"], args].concat())
}

/// An address where nobody listens.
fn nowhere() -> String {
    format!("https://{}", refused())
}

fn directory(name: &str, text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join(name), text).expect("a file");
    directory
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn what_cannot_be_tested_is_exit_3_in_every_form() {
    let files = tempfile::tempdir().expect("a directory");
    let path = |name: &str| files.path().join(name);
    let reports =
        ["junit", "sarif", "prometheus", "json"].map(|form| format!("{form}={}", path(form).display()));
    let mut args = vec!["tls", "check"];
    let target = nowhere();
    args.push(&target);
    reports.iter().for_each(|report| args.extend(["--report", report]));
    let run = run(&args);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stdout.starts_with("ERROR  https://127.0.0.1:"), "{run:?}");
    assert!(run.stdout.contains("endpoint.reachable"), "{run:?}");
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 80), "{run:?}");
    assert!(text(&path("junit")).contains("errors=\"1\""));
    let sarif: serde_json::Value = serde_json::from_str(&text(&path("sarif"))).expect("JSON");
    assert_eq!(sarif["runs"][0]["invocations"][0]["executionSuccessful"], false);
    assert_eq!(sarif["runs"][0]["results"][0]["kind"], "open");
    assert!(!text(&path("prometheus")).contains("hardy_tls_ok"));
    let json: serde_json::Value = serde_json::from_str(&text(&path("json"))).expect("JSON");
    assert_eq!((&json["schema"], &json["verdict"]), (&"hardy.tls.check/v1".into(), &"unknown".into()));
    assert_eq!(json["data"]["targets"][0]["status"], "error");
}

#[test]
fn monitoring_systems_have_codes_of_their_own() {
    let run = check(&[&nowhere(), "--exit", "nagios"]);
    assert_eq!(run.code, Some(3));
    assert!(run.stdout.starts_with("TLS UNKNOWN - 1 of 1 target: https://127.0.0.1"), "{run:?}");
    for wrong in [
        &["http://h"][..],
        &["h", "--at", "soon"],
        &["h", "--no-such-flag"],
        &["h", "--config", "/no/such/file"],
        &["h", "--report", "html=x.html"],
    ] {
        for words in [&["--exit", "nagios"][..], &["--exit=nagios"]] {
            let run = check(&[words, wrong].concat());
            assert_eq!((run.code, run.stdout.as_str()), (Some(3), ""), "2 would be an outage: {run:?}");
        }
        assert_eq!(check(wrong).code, Some(2), "{wrong:?}");
    }
    assert_eq!(crate::support::run(&["probe", "--nagios", "--cuont", "3"]).code, Some(3));
}

#[test]
fn mistakes_are_usage_errors_before_any_work() {
    let policy = directory(
        "p.toml",
        "base = \"modern\"\n[[waive]]\nid = \"cert.expire\"\ntarget = \"*\"\nreason = \"x\"\nuntil = \"2027-01-01\"\n",
    );
    let cases: [(&[&str], &[&str]); 13] = [
        (&[], &["no target to check", "hardy tls check api.example"]),
        (&["h", "--policy", "intermedate"], &["is no policy", "did you mean `intermediate`?"]),
        (
            &["h", "--policy", "p.toml"],
            &["p.toml:3:6: unknown rule `cert.expire`", "did you mean `cert.expiry`?"],
        ),
        (&["http://h"], &["http has no TLS to check"]),
        (&["h", "--at", "soon"], &["--at", "expected 2027-01-01"]),
        (&["h", "--warn", "30"], &["--warn", "a time such as 30d"]),
        (&["h", "--warn", "10d", "--crit", "20d"], &["--crit (20d) must not be longer than --warn (10d)"]),
        (&["h", "--max-conns", "0"], &["--max-conns must be at least 1"]),
        (&["h", "--timeout", "0s"], &["--timeout must be at least 1ms"]),
        (&["h", "--baseline", "none.json"], &["--baseline none.json cannot be used", "--save FILE"]),
        (&["h", "--save", "no/such/x.json"], &["--save no/such/x.json cannot be written"]),
        (&["h", "--client-cert", "x.pem"], &["--client-key"]),
        (&["h", "--report", "html=x.html"], &["no report as html"]),
    ];
    for (args, parts) in cases {
        let run = run_in(policy.path(), &[&["tls", "check"], args].concat());
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{args:?}: {run:?}");
        for part in parts {
            assert!(run.stderr.contains(part), "{args:?}: no {part:?} in {}", run.stderr);
        }
    }
    let elsewhere = run(&["config", "show", "--report", "sarif=/tmp/never.sarif"]);
    assert_eq!((elsewhere.code, elsewhere.stdout.as_str()), (Some(2), ""));
    assert!(elsewhere.stderr.contains("no report as sarif") && elsewhere.stderr.contains("hardy tls check"));
}

#[test]
fn the_config_has_the_settings_and_is_checked() {
    let text = "[targets.api]\nurl = \"https://127.0.0.1:1\"\n[targets.plain]\nurl = \"http://127.0.0.1:1\"\n\
                [profile.ci.tls]\npolicy = \"modern\"\nwarn = \"60d\"\n[profile.bad.tls]\npolicy = \"old\"\n";
    let directory = directory("hardy.toml", text);
    let checked = run_in(directory.path(), &["config", "check"]);
    assert_eq!(checked.code, Some(2));
    assert!(checked.stderr.contains("profile `bad`: tls.policy: `old` is no policy"), "{checked:?}");
    let run = run_in(directory.path(), &["--profile", "ci", "tls", "check", "--json"]);
    let data = &run.json()["data"];
    assert_eq!((run.code, &data["policy"]), (Some(3), &"modern-6.0".into()), "{run:?}");
    let targets: Vec<_> = data["targets"].as_array().expect("targets").iter().map(|t| &t["target"]).collect();
    assert_eq!(targets, ["api"], "those that have TLS");
    let plain = run_in(directory.path(), &["tls", "check", "plain"]);
    assert_eq!(plain.code, Some(2));
    assert!(plain.stderr.contains("targets.plain.url has no TLS"), "{plain:?}");
    let show = run_in(directory.path(), &["config", "show", "--profile", "ci"]);
    assert!(
        show.stdout.lines().any(|line| line.contains("tls.warn") && line.contains("profile.ci")),
        "{show:?}"
    );
}

#[test]
fn policies_and_targets_are_completed() {
    let directory = directory("hardy.toml", "[targets.orders]\nurl = \"https://h\"\n");
    let complete = |words: &[&str]| {
        let output = hardy()
            .env_remove("HARDY_CONFIG")
            .env("HARDY_COMPLETE", "bash")
            .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
            .env("_CLAP_IFS", "\n")
            .current_dir(directory.path())
            .arg("--")
            .args(words)
            .output()
            .expect("hardy runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let policies = complete(&["hardy", "tls", "check", "--policy", ""]);
    for name in ["modern", "intermediate", "article", "hardy.toml"] {
        assert!(policies.lines().any(|line| line == name), "{name}: {policies}");
    }
    assert!(complete(&["hardy", "tls", "check", "ord"]).contains("orders"));
}

#[test]
fn a_self_signed_server_reads_what_is_wrong_and_how_to_mend_it() {
    let server = Server::start(&["--tls", "self-signed"]);
    let target = format!("https://localhost:{}", server.address().port());
    let found = check(&[&target]);
    assert_eq!(found.code, Some(1), "{found:?}");
    assert!(found.stdout.starts_with(&format!("FAIL  {target} (127.0.0.1:")), "{found:?}");
    assert!(found.stdout.lines().all(|line| line.chars().count() <= 80), "{}", found.stdout);
    for part in [
        "FAIL   cert.self_signed",
        "hardy tls cert",
        "FAIL   chain.untrusted",
        "WARN   http.hsts",
        " connections, ",
    ] {
        assert!(found.stdout.contains(part), "no {part:?} in {}", found.stdout);
    }
    assert_eq!(found.stdout.matches("\n  FAIL ").count(), 2, "nothing but who has signed: {}", found.stdout);
    assert!(!found.stdout.contains("pass   kx.pq"));
    assert!(check(&[&target, "-v"]).stdout.contains("pass   kx.pq"));
    assert_eq!(check(&[&target, "--exit", "nagios"]).code, Some(2));
    let fast = check(&[&target, "--fast", "--json"]).json();
    assert_eq!(fast["data"]["targets"][0]["connections"], 1);
}

/// The policy of the article, as far as it goes: of groups for after quantum computers it knows none.
#[test]
fn the_server_of_the_article_keeps_its_policy() {
    let home = tempfile::tempdir().expect("a directory");
    let cert = |args: &[&str]| -> Run {
        let mut command = hardy();
        command.args(["tls", "cert"]).args(args).current_dir(home.path());
        command.env("HARDY_STORE_DIRECTORY", home.path().join("state")).output().expect("hardy runs").into()
    };
    assert_eq!(cert(&["localhost"]).code, Some(0));
    fs::write(home.path().join("ca.pem"), cert(&["--print-ca"]).stdout).expect("a file");
    let at = |name: &str| home.path().join(name).to_str().expect("UTF-8").to_owned();
    let (certificate, key, ca) = (at("localhost.pem"), at("localhost-key.pem"), at("ca.pem"));
    let article = ["--tls-cert", &certificate, "--tls-key", &key, "--tls-groups", "P-256,X25519"];
    let judged = |more: &[&str]| {
        let server = Server::start(&[&article[..], more].concat());
        let target = format!("https://localhost:{}", server.address().port());
        let run = check(&[&target, "--policy", "article", "--ca", &ca, "--json"]);
        let findings = run.json()["data"]["targets"][0]["findings"].as_array().expect("findings").clone();
        let bad = findings
            .into_iter()
            .filter(|one| !["pass", "skip"].contains(&one["status"].as_str().expect("one")));
        let bad: Vec<_> =
            bad.map(|one| format!("{} {}", one["status"], one["id"]).replace('"', "")).collect();
        (run.code, bad)
    };
    assert_eq!(judged(&["--tls-prefer-server-order"]), (Some(0), vec!["warn kx.pq".to_owned()]));
    let expected = vec!["fail order.server".to_owned(), "warn kx.pq".to_owned()];
    assert_eq!(judged(&[]), (Some(1), expected), "the client's order");
}

#[test]
fn what_is_waived_counts_again_when_its_day_is_over() {
    let policy = directory(
        "p.toml",
        "base = \"intermediate\"\nhsts_min_age = \"0s\"\n[[waive]]\nid = \"c*\"\ntarget = \"https://localhost:*\"\n\
         reason = \"OPS-7\"\nuntil = \"2030-06-30\"\n",
    );
    let server = Server::start(&["--tls", "self-signed"]);
    let target = format!("https://localhost:{}", server.address().port());
    let at = |date: &str| {
        run_in(policy.path(), &["tls", "check", &target, "--policy", "p.toml", "--at", date, "-v"])
    };
    let held = at("2030-06-30");
    assert_eq!(held.code, Some(0), "{held:?}");
    assert!(held.stdout.contains("why   OPS-7, until 2030-06-30"), "{held:?}");
    let over = at("2030-07-01");
    assert_eq!(over.code, Some(1), "{over:?}");
    assert!(over.stdout.contains("WARN   policy.waiver"), "{over:?}");
}

#[test]
fn a_policy_has_must_haves() {
    let policy = directory("p.toml", "require_groups = [\"X25519MLKEM768\"]\nrequire_alpn = [\"h2\"]\n");
    let ids = |args: &[&str]| -> Vec<String> {
        let server = Server::start(&[&["--tls", "self-signed"], args].concat());
        let target = format!("https://localhost:{}", server.address().port());
        let run = run_in(policy.path(), &["tls", "check", &target, "--policy", "p.toml", "--json"]);
        let findings = run.json()["data"]["targets"][0]["findings"].as_array().expect("findings").clone();
        let failed = findings.iter().filter(|finding| finding["status"] == "fail");
        failed.map(|finding| finding["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert!(!ids(&[]).contains(&"kx.pq".to_owned()));
    assert!(ids(&["--tls-groups", "X25519"]).contains(&"kx.pq".to_owned()));
}
