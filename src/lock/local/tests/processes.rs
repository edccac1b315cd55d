//! Real processes, killed at any moment: this binary once more, with one test of it as the process's work.

use super::*;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal};

const WORKER: &str = "lock::local::tests::processes::worker";

/// A process that gets the lock `x` in the store of its directory, says its token, and keeps it until it is killed.
struct Worker {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Store {
    fn command(&self, before: &[&str]) -> Command {
        fs::create_dir_all(self.root()).unwrap();
        let binary = std::env::current_exe().unwrap();
        let all: Vec<_> =
            before.iter().map(|word| word.to_string().into()).chain([binary.into_os_string()]).collect();
        let mut command = Command::new(&all[0]);
        command.args(&all[1..]).args(["--exact", WORKER, "--nocapture"]).current_dir(self.home.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    fn worker(&self) -> Worker {
        fs::write(self.home.path().join("work"), "").unwrap();
        let mut child = self.command(&[]).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Worker { child, said }
    }

    async fn waiting_worker(&self) -> Worker {
        let before = self.waiters(&name("x")).await;
        let worker = self.worker();
        until(async || self.waiters(&name("x")).await == before + 1).await;
        worker
    }
}

impl Worker {
    fn token(&mut self) -> u64 {
        let mut line = String::new();
        while self.said.read_line(&mut line).unwrap() > 0 {
            if let Some((_, token)) = line.split_once("token ") {
                return token.trim().parse().unwrap();
            }
            line.clear();
        }
        panic!("it said no token");
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        rustix::process::kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// No test, but what the processes of these tests do; nothing where it is not asked for.
#[tokio::test]
async fn worker() {
    let here = std::path::absolute("hardy").unwrap();
    if !here.with_file_name("work").exists() {
        return;
    }
    let locks = Locks::open(&Settings { directory: here.clone(), allow_network: false }).unwrap();
    let held = locks.acquire(&wanted("x"), &watch::Sender::default(), &CancellationToken::new()).await;
    let say = |text: String| std::io::stdout().write_all(text.as_bytes()).unwrap();
    match held {
        Ok(held) if here.with_file_name("once").exists() => {
            say(format!("token {}\n", held.grant().token()));
            held.release().await.unwrap();
        }
        Ok(held) => {
            say(format!("token {}\n", held.grant().token()));
            std::future::pending::<()>().await;
        }
        Err(error) => say(format!("refused: {error}\n")),
    }
}

#[tokio::test]
async fn a_killed_holder_head_or_waiter_is_in_nobodys_way() {
    let store = Store::new();
    let mut holder = store.worker();
    let first = holder.token();
    let head = store.waiting_worker().await;
    let second = store.waiting_worker().await;
    let third = store.waiting_worker().await;
    let mut last = store.waiting_worker().await;
    third.kill();
    head.kill();
    until(async || store.waiters(&name("x")).await == 2).await;
    holder.kill();
    let mut second = second;
    let token = second.token();
    assert!(token > first);
    second.kill();
    assert!(last.token() > token);
    last.kill();
    store.acquire(&at_once(wanted("x"))).await.unwrap().release().await.unwrap();
    assert!(store.entries().is_empty());
}

#[tokio::test]
async fn a_stopped_head_is_overtaken_and_keeps_its_place() {
    let store = Store::new();
    let shared = Wanted { mode: Mode::Shared, ..wanted("x") };
    let directory = Directory::open(&Settings { directory: store.root(), allow_network: false }).unwrap();
    let left_free =
        |wanted: &Wanted| Attempt::new(&directory, wanted).unwrap().is_left_free(u64::MAX).unwrap();
    let holder = store.acquire(&shared).await.unwrap();
    let first = holder.grant().token();
    let mut head = store.waiting_worker().await;
    head.signal(Signal::STOP);
    let (second, _) = store.wait(wanted("x")).await;
    let (third, _) = store.wait(wanted("x")).await;
    // One more could share it with the holder, but the head, who is in the way, could not.
    assert!(!left_free(&shared));
    holder.release().await.unwrap();
    assert!(left_free(&shared) && left_free(&wanted("x")));
    let second = soon(second).await.unwrap().unwrap();
    let overtaking = second.grant().token();
    assert!(overtaking > first && !left_free(&shared));
    assert_eq!(store.waiters(&name("x")).await, 2);
    head.signal(Signal::CONT);
    second.release().await.unwrap();
    let token = head.token();
    assert!(token > overtaking && !third.is_finished());
    head.kill();
    let third = soon(third).await.unwrap().unwrap();
    assert!(third.grant().token() > token);
    third.release().await.unwrap();
    assert!(store.entries().is_empty());
}

#[tokio::test]
async fn a_disk_that_is_full_at_any_byte_gives_no_token_twice_and_no_two_holders() {
    let store = Store::new();
    store.acquire(&wanted("x")).await.unwrap().release().await.unwrap();
    for file in ["work", "once"] {
        fs::write(store.home.path().join(file), "").unwrap();
    }
    let mut last = 1;
    let mut refused = 0;
    for limit in (0..260).step_by(7) {
        // No file may grow beyond that, as if the disk ended there.
        let script = format!("trap '' XFSZ; exec prlimit --fsize={limit} \"$@\"");
        let output = store.command(&["sh", "-c", &script, "sh"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{limit}: {text}");
        match text.split_once("token ") {
            Some((_, token)) => {
                let token = token.lines().next().unwrap().parse().unwrap();
                assert!(token > last, "{token} after {last} at {limit}");
                last = token;
            }
            None => {
                assert!(text.contains("refused: cannot write"), "{limit}: {text}");
                refused += 1;
            }
        }
        assert!(store.entries().is_empty(), "{limit}");
    }
    assert!(refused > 10 && refused < 35, "{refused}");
    let held = store.acquire(&at_once(wanted("x"))).await.unwrap();
    assert!(held.grant().token() > last);
}

#[tokio::test]
async fn users_who_may_write_to_the_directory_share_its_locks() {
    const GROUP: u32 = 64_000;
    // Only root can be two users; for anybody else these are two processes of one.
    let is_root = rustix::process::geteuid().is_root();
    for mode in [0o777, 0o770] {
        let store = Store::new();
        fs::write(store.home.path().join("work"), "").unwrap();
        fs::create_dir(store.root()).unwrap();
        for (path, mode) in [(store.home.path(), 0o755), (&store.root(), mode)] {
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        }
        if is_root {
            std::os::unix::fs::chown(store.root(), None, Some(GROUP)).unwrap();
        }
        let mut last = 0;
        for user in ["64001", "64002", "64001"] {
            let become_user = format!("exec setpriv --reuid {user} --regid {user} --groups {GROUP} \"$@\"");
            let before: &[_] = if is_root { &["sh", "-c", &become_user, "sh"] } else { &[] };
            let mut child = store.command(before).spawn().unwrap();
            let said = BufReader::new(child.stdout.take().unwrap());
            let mut worker = Worker { child, said };
            let token = worker.token();
            assert!(token > last, "{token} after {last}");
            last = token;
            // The next one has to clear away what this one leaves.
            worker.kill();
        }
        store.acquire(&wanted("x")).await.unwrap().release().await.unwrap();
        assert!(store.entries().is_empty());
    }
}
