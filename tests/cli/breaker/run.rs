//! `hardy breaker run`: the command's streams, codes and end; the trip, the fallback, the recovery.

use std::io::Write;
use std::process::{Command, Stdio};

use super::{call, called, lines, shown, state, trip};
use crate::lock::store::Store;
use crate::support::{Process, Run, wait_for};

#[test]
fn the_articles_loop_trips_once_answers_from_the_cache_and_recovers() {
    Store::each(|store| {
        let script = format!(
            "for i in $(seq 50); do '{}' breaker run pay --cooldown 20s --window 10m --state-within 30s --fallback 'echo cached' -- \
             sh -c 'echo >>calls; exit 1'; done",
            env!("CARGO_BIN_EXE_hardy")
        );
        let mut sh = Command::new("sh");
        store.hardy().get_envs().for_each(|(name, value)| match value {
            Some(value) => drop(sh.env(name, value)),
            None => drop(sh.env_remove(name)),
        });
        let run: Run = sh.args(["-c", &script]).current_dir(store.directory()).output().unwrap().into();
        assert_eq!((run.code, run.stdout), (Some(0), "cached\n".repeat(50)));
        assert_eq!(lines(store, "calls"), 20, "called until it tripped, and not once more");
        assert_eq!(run.stderr.matches("pay is open now: 20 of 20 calls failed").count(), 1);
        assert_eq!(run.stderr.matches("pay is open: not called, next trial in").count(), 30);
    });
}

#[test]
fn it_recovers_when_the_command_does() {
    Store::each(|store| {
        trip(store, "200ms");
        let run = wait_for("a trial", || {
            let run = called(store, &["--cooldown", "200ms"], "echo works");
            (run.code != Some(75)).then_some(run)
        });
        assert_eq!((run.code, run.stdout.as_str()), (Some(0), "works\n"));
        assert!(run.stderr.contains("x is closed now: the trial succeeded"), "{run:?}");
        let shown = shown(store);
        let steps: Vec<_> = shown["transitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| step["to"].as_str().unwrap())
            .collect();
        assert_eq!(steps, ["open", "half_open", "closed"]);
    });
}

#[test]
fn streams_and_exit_code_are_the_commands() {
    Store::each(|store| {
        for (script, code) in [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -KILL $$", 137)] {
            let run = called(store, &[], script);
            assert_eq!(
                (run.code, run.stdout.as_str(), run.stderr.as_str()),
                (Some(code), "", ""),
                "{script}"
            );
        }
        let bytes: Vec<u8> = (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut command = call(store, &[], "tee /dev/stderr");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let sent = bytes.clone();
        let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.stdout == bytes && output.stderr == bytes);
        let shown = shown(store);
        let counts = ["successes", "failures", "excluded"].map(|key| shown[key].as_u64().unwrap());
        assert_eq!(counts, [2, 2, 1]);
    });
}

#[test]
fn a_command_that_cannot_run_says_nothing_about_the_target() {
    let store = Store::local();
    for (command, code) in [("no-such-command", 127), ("/etc/passwd", 126)] {
        let run = store.run(&["breaker", "run", "x", "--fallback", "echo no", "--", command]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(code), ""), "{run:?}");
        assert!(run.stderr.contains(command), "{run:?}");
    }
    let shown = shown(&store);
    assert_eq!(
        (&shown["excluded"], &shown["requests"], &shown["in_flight"]),
        (&2.into(), &0.into(), &0.into())
    );
}

#[test]
fn at_the_timeout_the_whole_group_ends() {
    Store::each(|store| {
        let script = "trap '' TERM; (trap '' TERM; sleep 1000) & echo $! >child; wait; sleep 1000";
        let run = called(store, &["--timeout", "300ms", "--grace", "100ms"], script);
        assert_eq!(run.code, Some(124), "{run:?}");
        assert_eq!(run.stderr, "x: no end within 300ms, stopped\n");
        let child = std::fs::read_to_string(store.directory().join("child")).unwrap();
        let stat = format!("/proc/{}/stat", child.trim());
        wait_for("the grandchild to be gone", || {
            let stat = std::fs::read_to_string(&stat).unwrap_or_default();
            (stat.is_empty() || stat.contains(") Z ")).then_some(())
        });
        assert_eq!(shown(store)["timeouts"], 1);
    });
}

#[test]
fn refused_is_75_and_one_line_unless_quiet() {
    Store::each(|store| {
        trip(store, "10m");
        let run = called(store, &[], "echo no");
        assert_eq!((run.code, run.stdout.as_str(), run.stderr.lines().count()), (Some(75), "", 1), "{run:?}");
        assert!(run.stderr.starts_with("x is open: not called, next trial in "), "{run:?}");
        let quiet = called(store, &["-q"], "echo no");
        assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(75), ""));
        assert_eq!(shown(store)["short_circuited"], 2);
    });
}

#[test]
fn the_fallback_knows_why_and_its_exit_code_is_ours() {
    Store::each(|store| {
        let told = "echo $HARDY_BREAKER_NAME $HARDY_BREAKER_OUTCOME $HARDY_BREAKER_EXIT";
        let flags = [
            "--fallback",
            told,
            "--timeout",
            "300ms",
            "--grace",
            "100ms",
            "--volume",
            "3",
            "--max-concurrent",
            "1",
        ];
        let expect = |script: &str, said: &str| {
            let run = called(store, &flags, script);
            assert_eq!((run.code, run.stdout.trim()), (Some(0), said), "{run:?}");
        };
        expect("exit 7", "x failure 7");
        expect("sleep 1000", "x timeout 124");
        expect("exit 1", "x failure 1");
        expect("echo not called", "x short_circuited 75");
        assert_eq!(called(store, &["--fallback", "exit 9"], "true").code, Some(9));
        let counts = &shown(store)["fallbacks"];
        assert_eq!((&counts["successes"], &counts["failures"]), (&4.into(), &1.into()));
    });
}

#[test]
fn no_more_than_ten_fallbacks_run_at_once() {
    let store = Store::local();
    trip(&store, "10m");
    let fallback = "echo >>running; until test -e go; do sleep 0.02; done";
    let start = || Process::start(&mut call(&store, &["--timeout", "60s", "--fallback", fallback], "true"));
    let running: Vec<_> = (0..10).map(|_| start()).collect();
    wait_for("ten fallbacks", || (lines(&store, "running") == 10).then_some(()));
    let more = called(&store, &["--fallback", "echo one more"], "true");
    assert_eq!((more.code, more.stdout.as_str()), (Some(75), ""), "{more:?}");
    assert!(more.stderr.contains("too many fallbacks are running"), "{more:?}");
    std::fs::write(store.directory().join("go"), "").unwrap();
    running.into_iter().for_each(|process| assert_eq!(process.finish().code, Some(0)));
    assert_eq!(called(&store, &["--fallback", "echo one more"], "true").stdout, "one more\n");
    let counts = &shown(&store)["fallbacks"];
    assert_eq!((&counts["successes"], &counts["rejected"]), (&11.into(), &1.into()));
}

#[test]
fn which_exit_codes_are_failures_can_be_said() {
    let store = Store::local();
    for (codes, code) in [("2-125", 1), ("2-125", 2), ("3", 3), ("3", 127)] {
        assert_eq!(called(&store, &["--fail-on-exit", codes], &format!("exit {code}")).code, Some(code));
    }
    let shown = shown(&store);
    let counts = ["successes", "failures", "excluded"].map(|key| shown[key].as_u64().unwrap());
    assert_eq!(counts, [1, 2, 1]);
    let wrong = store.run(&["breaker", "run", "x", "--fail-on-exit", "0-5", "--", "true"]);
    assert!(wrong.code == Some(2) && wrong.stderr.contains("exit code 0 is never a failure"), "{wrong:?}");
}

#[test]
fn slow_calls_trip_when_asked() {
    let store = Store::local();
    let flags = ["--slow", "1ms", "--volume", "2", "--cooldown", "10m"];
    assert_eq!(called(&store, &flags, "sleep 0.05").code, Some(0));
    assert_eq!(called(&store, &flags, "sleep 0.05; echo fine").stdout, "fine\n");
    assert_eq!((state(&store).as_str(), &shown(&store)["slow"]), ("open", &2.into()));
}

#[test]
fn a_signal_goes_to_the_command_and_is_not_counted() {
    Store::each(|store| {
        let process = Process::start(&mut call(store, &[], "echo >ready; sleep 1000"));
        wait_for("the command", || store.directory().join("ready").exists().then_some(()));
        process.signal("TERM");
        assert_eq!(process.finish().code, Some(143));
        let shown = shown(store);
        assert_eq!(
            (&shown["excluded"], &shown["requests"], &shown["in_flight"]),
            (&1.into(), &0.into(), &0.into())
        );
        std::fs::remove_file(store.directory().join("ready")).unwrap();
    });
}

#[test]
fn how_it_went_is_told_to_a_report() {
    let store = Store::local();
    let file = store.directory().join("report.json");
    let to = format!("json={}", file.display());
    assert_eq!(called(&store, &["--report", &to, "--volume", "1"], "exit 3").code, Some(3));
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!((&report["schema"], &report["verdict"]), (&"hardy.breaker.run/v1".into(), &"bad".into()));
    let data = &report["data"];
    assert_eq!(
        (&data["outcome"], &data["exit_code"], &data["counted"]),
        (&"failure".into(), &3.into(), &true.into())
    );
    assert_eq!(data["transition"]["to"], "open");
}

#[test]
fn numbers_out_of_their_bounds_are_named() {
    let store = Store::local();
    for (flags, said) in [
        (["--timeout", "0s"], "--timeout must be at least 1ms, not 0s"),
        (["--error-threshold", "12.5%"], "--error-threshold must be a whole percentage, not 12.5%"),
        (["--quorum", "0"], "--quorum"),
    ] {
        let run = store.run(&["breaker", "run", "x", flags[0], flags[1], "--", "true"]);
        assert!(run.code == Some(2) && run.stderr.contains(said), "{run:?}");
    }
    let run = store.run(&["breaker", "run", "a\nb", "--", "true"]);
    assert!(run.code == Some(2) && run.stderr.contains("no control characters"), "{run:?}");
}
