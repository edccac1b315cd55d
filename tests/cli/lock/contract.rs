//! What every lock promises, whatever store it lives in: each test runs once with each store.

use std::process::{Command, Stdio};

use crate::lock::store::Store;
use crate::support::{Process, wait_for};

/// The short lease of tests that wait for its end: the least that etcd's usual timing grants.
const SHORT: &str = "2s";

#[test]
fn acquire_status_release() {
    Store::each(|store| {
        let got = store.run(&["lock", "acquire", "my-lock", "--reason", "a test", "--json"]).json();
        assert_eq!(got["schema"], "hardy.lock.acquire/v1");
        let data = &got["data"];
        assert_eq!((&data["name"], &data["ttl_ms"]), (&"my-lock".into(), &30_000.into()));
        assert!(data["deadline"].is_string() && data["waited_ms"].is_u64(), "{data}");
        assert!(data["handle"].as_str().unwrap().starts_with(data["store"].as_str().unwrap()));

        let status = store.run(&["lock", "status", "my-lock", "--json"]).json();
        let holder = &status["data"]["locks"][0]["holders"][0];
        assert_eq!((&holder["token"], &holder["reason"]), (&data["token"], &"a test".into()));
        assert_eq!(holder["mode"], "exclusive");
        assert!(holder["since"].is_string() && holder["pid"].is_u64(), "{holder}");
        let left = holder["left_ms"].as_u64().unwrap();
        assert!((20_000..=30_000).contains(&left), "{left}");

        let human = store.run(&["lock", "status"]);
        assert!(human.stdout.contains("my-lock") && human.stdout.contains("a test"), "{human:?}");
        assert!(human.stdout.lines().all(|line| line.chars().count() <= 80), "{human:?}");
        assert_eq!(store.run(&["lock", "release", "my-lock"]).code, Some(0));
        assert!(store.is_clean(), "nothing is left behind");
        assert!(store.run(&["lock", "status", "my-lock"]).stdout.contains("free"));
        assert!(store.run(&["lock", "status"]).stdout.starts_with("nobody"));
    });
}

#[test]
fn the_handle_is_all_that_stdout_carries() {
    Store::each(|store| {
        let acquired = store.run(&["lock", "acquire", "a:b", "--ttl", "1m"]);
        let handle = acquired.stdout.trim().to_owned();
        assert_eq!((acquired.stdout.lines().count(), acquired.stderr.as_str()), (1, ""));
        for (how, expected) in [("no-handle", 2), ("-", 0), (handle.as_str(), 76)] {
            let mut command = store.hardy();
            command.args(["lock", "release", "a:b", "--handle", how]).stdin(Stdio::piped());
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), acquired.stdout.as_bytes()).ok();
            assert_eq!(child.wait().unwrap().code(), Some(expected), "{how}");
        }
        let file = store.directory().join("handle");
        std::fs::write(&file, store.acquire("a:b")).unwrap();
        let renewed = store.run(&["lock", "renew", "a:b", "--handle", file.to_str().unwrap(), "--json"]);
        assert_eq!(renewed.json()["data"]["ttl_ms"], 30_000);
        let wrong = store.run(&["lock", "release", "b", "--handle", file.to_str().unwrap()]);
        assert!(wrong.code == Some(2) && wrong.stderr.contains("one of a:b, not of b"), "{wrong:?}");
        assert_eq!(store.run(&["lock", "release", "a:b"]).code, Some(0));
    });
}

#[test]
fn a_handle_of_another_store_is_refused() {
    Store::each(|store| {
        let foreign = "elsewhere-1:x:1:1";
        let refused = store.run(&["lock", "release", "x", "--handle", foreign]);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains("elsewhere-1"), "{refused:?}");
    });
}

#[test]
fn tokens_grow_with_every_acquisition() {
    Store::each(|store| {
        let mut last = 0;
        for _ in 0..5 {
            let token = token_of(&store.acquire("x"));
            assert!(token > last, "{token} after {last}");
            last = token;
            assert_eq!(store.run(&["lock", "release", "x"]).code, Some(0));
        }
    });
}

#[test]
fn a_try_says_who_has_it() {
    Store::each(|store| {
        store.acquire("x");
        let busy = store.run(&["lock", "acquire", "x", "--try", "--json"]);
        assert_eq!((busy.code, busy.stdout.as_str()), (Some(75), ""));
        assert!(busy.stderr.starts_with("error: x is held by "), "{busy:?}");
        assert_eq!(store.run(&["lock", "acquire", "x", "--wait", "0s", "-E", "9"]).code, Some(9));
        let ended = store.run(&["lock", "acquire", "x", "--wait", "300ms"]);
        assert_eq!(ended.code, Some(75), "{ended:?}");
        assert_eq!(store.queue("x"), (1, 0), "who gave up is gone");
    });
}

#[test]
fn first_come_first_served() {
    Store::each(|store| {
        let mut handle = store.acquire("x");
        let mut waiting = Vec::new();
        for count in 1..=3 {
            waiting.push(store.start(&["lock", "acquire", "x"]));
            wait_for("the waiter to queue", || (store.queue("x") == (1, count)).then_some(()));
        }
        let mut last = token_of(&handle);
        for (place, waiter) in waiting.into_iter().enumerate() {
            assert_eq!(store.run(&["lock", "release", "x", "--handle", &handle]).code, Some(0));
            let got = waiter.finish();
            assert_eq!(got.code, Some(0), "{got:?}");
            handle = got.stdout.trim().to_owned();
            assert!(token_of(&handle) > last);
            last = token_of(&handle);
            assert_eq!(store.queue("x"), (1, 2 - place));
        }
    });
}

#[test]
fn a_waiter_that_is_interrupted_leaves_nothing() {
    Store::each(|store| {
        store.acquire("x");
        for (signal, code) in [("INT", 130), ("TERM", 143)] {
            let waiter = store.start(&["lock", "acquire", "x"]);
            wait_for("the waiter to queue", || (store.queue("x") == (1, 1)).then_some(()));
            waiter.signal(signal);
            assert_eq!(waiter.finish().code, Some(code));
            assert_eq!(store.queue("x"), (1, 0));
        }
    });
}

#[test]
fn a_waiter_that_is_killed_blocks_nobody() {
    Store::each(|store| {
        let handle = store.acquire("x");
        let first = store.start(&["lock", "acquire", "x", "--ttl", SHORT]);
        wait_for("the first waiter", || (store.queue("x") == (1, 1)).then_some(()));
        let second = store.start(&["lock", "acquire", "x"]);
        wait_for("the second waiter", || (store.queue("x") == (1, 2)).then_some(()));
        first.signal("KILL");
        store.run(&["lock", "release", "x", "--handle", &handle]);
        let got = second.finish();
        assert_eq!(got.code, Some(0), "{got:?}");
    });
}

#[test]
fn readers_share_and_a_writer_waits_for_all_of_them() {
    Store::each(|store| {
        let readers = [store.acquire_with("x", &["--shared"]), store.acquire_with("x", &["--shared"])];
        assert_eq!(store.queue("x"), (2, 0));
        let writer = store.start(&["lock", "acquire", "x"]);
        wait_for("the writer to queue", || (store.queue("x") == (2, 1)).then_some(()));
        // No reader overtakes the writer: it would never get the lock.
        assert_eq!(store.run(&["lock", "acquire", "x", "--shared", "--try"]).code, Some(75));
        for reader in &readers {
            assert_eq!(store.queue("x").1, 1);
            assert_eq!(store.run(&["lock", "release", "x", "--handle", reader]).code, Some(0));
        }
        assert_eq!(writer.finish().code, Some(0));
    });
}

#[test]
fn a_semaphore_has_n_holders() {
    Store::each(|store| {
        let slots = ["--slots", "2"];
        let handles = [store.acquire_with("x", &slots), store.acquire_with("x", &slots)];
        assert_eq!(store.run(&["lock", "acquire", "x", "--slots", "2", "--try"]).code, Some(75));
        let third = store.start(&["lock", "acquire", "x", "--slots", "2"]);
        wait_for("the third to queue", || (store.queue("x") == (2, 1)).then_some(()));
        // Two are kept on this host: which one is meant has to be said.
        let which = store.run(&["lock", "release", "x"]);
        assert!(which.code == Some(2) && which.stderr.contains(&handles[1]), "{which:?}");
        assert_eq!(store.run(&["lock", "release", "x", "--handle", &handles[1]]).code, Some(0));
        assert_eq!(third.finish().code, Some(0));
        assert_eq!(store.queue("x"), (2, 0));
    });
}

#[test]
fn a_lease_ends_and_says_so() {
    Store::each(|store| {
        let handle = store.acquire_with("x", &["--ttl", SHORT]);
        assert_eq!(store.run(&["lock", "renew", "x"]).code, Some(0));
        let next = store.run(&["lock", "acquire", "x", "--wait", "20s"]);
        assert_eq!(next.code, Some(0), "{next:?}");
        for action in ["renew", "release"] {
            let lost = store.run(&["lock", action, "x", "--handle", &handle]);
            assert_eq!(lost.code, Some(76), "{lost:?}");
            assert!(lost.stderr.contains("is not held with token"), "{lost:?}");
        }
        assert_eq!(store.run(&["lock", "release", "x"]).code, Some(0), "the new holder's own");
    });
}

#[test]
fn names_that_would_block_each_other_are_refused() {
    Store::each(|store| {
        for (first, second) in [("foo", "foo/bar"), ("/a/b/c", "/a")] {
            store.acquire(first);
            for flags in [&["--try"][..], &["--wait", "5s"]] {
                let refused = store.run(&[&["lock", "acquire", second][..], flags].concat());
                assert_eq!(refused.code, Some(2), "{second} beside {first}: {refused:?}");
                assert!(refused.stderr.contains(first) && refused.stderr.contains(second), "{refused:?}");
            }
            assert_eq!(store.queue(second), (0, 0));
            store.run(&["lock", "release", first]);
        }
        store.acquire("foo-bar");
        store.acquire("foo");
    });
}

#[test]
fn a_lock_can_be_taken_away() {
    Store::each(|store| {
        let handle = store.acquire("x");
        let next = store.start(&["lock", "acquire", "x"]);
        wait_for("the next to queue", || (store.queue("x") == (1, 1)).then_some(()));
        let asked = store.run(&["lock", "break", "x"]);
        assert!(asked.code == Some(2) && asked.stderr.contains("--yes"), "{asked:?}");
        let taken = store.run(&["lock", "break", "x", "--yes", "--json"]).json();
        assert_eq!(taken["data"]["holders"][0]["token"], token_of(&handle));
        assert_eq!(next.finish().code, Some(0));
        assert_eq!(store.run(&["lock", "release", "x", "--handle", &handle]).code, Some(76));
        let nobody = store.run(&["lock", "break", "y", "--yes"]);
        assert_eq!((nobody.code, nobody.stdout.as_str()), (Some(0), "y is held by nobody\n"));
    });
}

#[test]
fn a_token_holds_until_a_newer_one() {
    Store::each(|store| {
        let old = token_of(&store.acquire("x"));
        let verify = |token: u64| store.run(&["lock", "verify", "x", &token.to_string(), "--json"]);
        assert_eq!(verify(old).code, Some(0));
        store.run(&["lock", "release", "x"]);
        assert_eq!(verify(old).code, Some(1));
        let new = token_of(&store.acquire("x"));
        let stale = verify(old);
        assert_eq!((stale.code, &stale.json()["data"]["newer"]), (Some(1), &new.into()));
        assert_eq!(verify(new).code, Some(0));
        let mut inside = store.hardy();
        inside.args(["lock", "verify"]).env("HARDY_LOCK_NAME", "x").env("HARDY_LOCK_TOKEN", new.to_string());
        assert!(inside.status().unwrap().success());
    });
}

#[test]
fn a_lock_is_kept_alive_for_a_process() {
    Store::each(|store| {
        let mut process = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = process.id().to_string();
        let kept = store.run(&["lock", "acquire", "x", "--ttl", SHORT, "--keep-alive-for-pid", &pid]);
        assert_eq!(kept.code, Some(0), "{kept:?}");
        // It would have ended twice by then.
        let busy = store.run(&["lock", "acquire", "x", "--wait", "5s"]);
        assert_eq!(busy.code, Some(75), "{busy:?}");
        process.kill().unwrap();
        process.wait().unwrap();
        wait_for("the lock to be given back", || (store.queue("x") == (0, 0)).then_some(()));
        assert!(store.is_clean());
        let nobody = store.run(&["lock", "acquire", "x", "--keep-alive-for-pid", &pid]);
        assert_eq!(nobody.code, Some(2), "{nobody:?}");
    });
}

#[test]
fn a_lock_that_is_kept_alive_has_an_end() {
    Store::each(|store| {
        let mut process = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = process.id().to_string();
        let args = ["lock", "acquire", "x", "--keep-alive-for-pid", &pid, "--max-hold", "1s"];
        assert_eq!(store.run(&args).code, Some(0));
        wait_for("the lock to be given back", || (store.queue("x") == (0, 0)).then_some(()));
        process.kill().unwrap();
        process.wait().unwrap();
    });
}

#[test]
fn a_lock_that_was_lost_while_it_was_kept_alive_is_said_to_be_lost() {
    Store::each(|store| {
        let mut process = Command::new("sleep").arg("60").spawn().unwrap();
        let args =
            ["lock", "acquire", "x", "--ttl", SHORT, "--keep-alive-for-pid", &process.id().to_string()];
        assert_eq!(store.run(&args).code, Some(0));
        store.run(&["lock", "break", "x", "--yes"]);
        process.kill().unwrap();
        process.wait().unwrap();
        assert_eq!(store.run(&["lock", "release", "x"]).code, Some(76));
    });
}

#[test]
fn a_lock_whose_handle_nobody_could_read_is_given_back() {
    Store::each(|store| {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let status = store.hardy().args(["lock", "acquire", "x"]).stdout(full).stderr(Stdio::null()).status();
        assert_eq!(status.unwrap().code(), Some(3));
        assert_eq!(store.queue("x"), (0, 0));
    });
}

#[test]
fn a_command_that_waits_for_its_own_lock_is_told_so() {
    Store::each(|store| {
        let hardy = env!("CARGO_BIN_EXE_hardy");
        let inner = format!("{hardy} lock run x -- true");
        let run = store.run(&["lock", "run", "x", "--", "sh", "-c", &inner]);
        assert!(run.code == Some(2) && run.stderr.contains("under"), "{run:?}");
        // Another lock, and the same store, even where only a flag said which.
        let other = format!("{hardy} lock run y -- {hardy} lock verify");
        assert_eq!(store.run(&["lock", "run", "x", "--", "sh", "-c", &other]).code, Some(0));
    });
}

#[test]
fn a_command_finds_the_store_that_a_flag_chose() {
    let directory = tempfile::tempdir().unwrap();
    let run = crate::support::run(&[
        "lock",
        "run",
        "x",
        "--store-dir",
        directory.path().to_str().unwrap(),
        "--",
        env!("CARGO_BIN_EXE_hardy"),
        "lock",
        "verify",
    ]);
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn a_run_is_reported_into_files_alone() {
    Store::each(|store| {
        let file = store.directory().join("run.json");
        let report = format!("json={}", file.display());
        let run = store.run(&[
            "lock",
            "run",
            "x",
            "--json",
            "--report",
            &report,
            "--",
            "sh",
            "-c",
            "echo out; exit 3",
        ]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(3), "out\n"));
        let document: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!(
            (&document["schema"], &document["data"]["exit_code"]),
            (&"hardy.lock.run/v1".into(), &3.into())
        );
        assert!(document["data"]["token"].is_u64() && document["data"]["lost"].is_null(), "{document}");
    });
}

#[test]
fn watch_tells_of_every_holder() {
    Store::each(|store| {
        let mut watching = store.lines(&["lock", "watch", "leader", "--json"]);
        let mut holder = || {
            let document: serde_json::Value = serde_json::from_str(&watching.next()).unwrap();
            document["data"]["holders"][0]["token"].as_u64()
        };
        assert_eq!(holder(), None);
        let token = token_of(&store.acquire("leader"));
        assert_eq!(holder(), Some(token));
        store.run(&["lock", "release", "leader"]);
        assert_eq!(holder(), None);
    });
}

#[test]
fn watch_runs_a_command_on_each_change() {
    Store::each(|store| {
        let log = store.directory().join("log");
        let say = format!("echo \"$HARDY_LOCK_NAME $HARDY_LOCK_TOKEN\" >>{}", log.display());
        let _watching = store.start(&["lock", "watch", "leader", "--exec", &say]);
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        wait_for("the first line", || (said() == "leader \n").then_some(()));
        let token = token_of(&store.acquire("leader"));
        wait_for("the holder", || (said() == format!("leader \nleader {token}\n")).then_some(()));
    });
}

#[test]
fn locks_are_completed_by_name() {
    Store::each(|store| {
        store.acquire("deploy/api");
        store.acquire("nightly");
        let mut command = store.hardy();
        command.args(["--", "hardy", "lock", "release", ""]);
        command.env("HARDY_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "3").env("_CLAP_IFS", "\n");
        command.env("_CLAP_COMPLETE_COMP_TYPE", "9").env("_CLAP_COMPLETE_SPACE", "true");
        let output = command.output().unwrap();
        let found = String::from_utf8_lossy(&output.stdout);
        assert!(found.contains("deploy/api") && found.contains("nightly"), "{found}");
        assert!(output.stderr.is_empty());
    });
}

#[test]
fn what_is_no_name_and_no_time_is_refused() {
    let long = "x".repeat(201);
    for name in ["", "a\nb", "a//b", "..", &long] {
        let refused = crate::support::run(&["lock", "acquire", name]);
        assert_eq!(refused.code, Some(2), "{name:?}: {refused:?}");
    }
    for args in [["--ttl", "1ms"], ["--ttl", "0s"], ["--wait", "soon"], ["--slots", "0"]] {
        let refused = crate::support::run(&[&["lock", "acquire", "x"][..], &args].concat());
        assert_eq!(refused.code, Some(2), "{args:?}: {refused:?}");
    }
    let grace = crate::support::run(&["lock", "acquire", "x", "--grace", "1s"]);
    assert!(grace.code == Some(2) && grace.stderr.contains("lock run"), "{grace:?}");
}

/// The token in a handle.
fn token_of(handle: &str) -> u64 {
    handle.trim().rsplit(':').nth(1).unwrap().parse().unwrap()
}

impl Store {
    /// A run that goes on in the background, with its stdout kept.
    fn start(&self, args: &[&str]) -> Process {
        Process::start(self.hardy().args(args).stdout(Stdio::piped()))
    }

    /// Acquires, and returns the handle.
    fn acquire(&self, name: &str) -> String {
        self.acquire_with(name, &[])
    }

    fn acquire_with(&self, name: &str, flags: &[&str]) -> String {
        let got = self.run(&[&["lock", "acquire", name, "--wait", "5s"][..], flags].concat());
        assert_eq!(got.code, Some(0), "{got:?}");
        got.stdout.trim().to_owned()
    }

    /// How many hold it and how many wait for it.
    fn queue(&self, name: &str) -> (usize, usize) {
        let status = self.run(&["lock", "status", name, "--json"]).json();
        let lock = &status["data"]["locks"][0];
        let count = |who: &str| lock[who].as_array().unwrap().len();
        (count("holders"), count("waiters"))
    }
}
