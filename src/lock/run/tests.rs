//! Real commands under a lock that does what the test says.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::Boot;
use crate::lock::Handle;

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

const LONG: Duration = Duration::from_secs(3600);

/// A lock that is lost, renewed and released as the test wants it.
struct Fake {
    grant: Grant,
    lost: RefCell<Option<oneshot::Receiver<()>>>,
    renewed: RefCell<Option<watch::Receiver<Option<Lease>>>>,
    released: std::rc::Rc<Cell<bool>>,
    lost_at_release: bool,
    stopped: RefCell<Option<(PathBuf, Boot)>>,
}

fn lost(handle: &Handle) -> LockError {
    LockError::Lost { name: handle.name.clone(), token: handle.token, why: "taken away".into() }
}

impl Keep for Fake {
    fn grant(&self) -> &Grant {
        &self.grant
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    async fn keep(
        &self,
        lease: &watch::Sender<Option<Lease>>,
        _: &CancellationToken,
    ) -> Result<(), LockError> {
        if let Some((file, end)) = self.stopped.take() {
            std::fs::write(file, "").unwrap();
            while Boot::now() < end {
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
        let renewed = self.renewed.take();
        let renewals = async {
            let Some(mut renewed) = renewed else { return std::future::pending().await };
            while renewed.changed().await.is_ok() {
                lease.send_replace(*renewed.borrow_and_update());
            }
            std::future::pending().await
        };
        let lost_now = async {
            match self.lost.take() {
                Some(told) => told.await.unwrap(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = renewals => Ok(()),
            () = lost_now => Err(lost(&self.grant.handle)),
        }
    }

    async fn release(self) -> Result<(), LockError> {
        self.released.set(true);
        if self.lost_at_release { Err(lost(&self.grant.handle)) } else { Ok(()) }
    }
}

/// All that a test can turn.
struct Case {
    rules: Rules,
    lease: Option<Lease>,
    lost: Option<oneshot::Receiver<()>>,
    renewed: Option<watch::Receiver<Option<Lease>>>,
    lost_at_release: bool,
    /// This process makes that file, and then does not run until then.
    stopped: Option<(PathBuf, Boot)>,
    watchdog: std::process::Command,
    asked: Vec<i32>,
    /// Sent as soon as the command says that it runs.
    signals: UnboundedSender<i32>,
    receiver: UnboundedReceiver<i32>,
    released: std::rc::Rc<Cell<bool>>,
}

impl Case {
    fn new() -> Case {
        let (signals, receiver) = unbounded_channel();
        Case {
            rules: Rules { grace: LONG, inherit: true, max_hold: None, prefix: String::new() },
            lease: None,
            lost: None,
            renewed: None,
            lost_at_release: false,
            stopped: None,
            watchdog: std::process::Command::new("cat"),
            asked: Vec::new(),
            signals,
            receiver,
            released: std::rc::Rc::default(),
        }
    }

    async fn run(self, program: &str, arguments: &[&str]) -> (Result<Ended, Error>, Vec<String>) {
        let handle = "local-9f:x:17:5".parse().unwrap();
        let lock = Fake {
            grant: Grant { handle, lease: self.lease, waited: Duration::ZERO },
            lost: self.lost.into(),
            renewed: self.renewed.into(),
            released: self.released.clone(),
            lost_at_release: self.lost_at_release,
            stopped: self.stopped.into(),
        };
        self.asked.iter().for_each(|number| self.signals.send(*number).unwrap());
        let arguments = arguments.iter().map(Into::into).collect();
        let command = Command { program: program.into(), arguments, environment: Vec::new() };
        let noted = RefCell::new(Vec::new());
        let notes = |event: Event| noted.borrow_mut().push(format!("{event:?}"));
        let surroundings = Signals::listen(self.receiver).map(|signals| Surroundings {
            signals,
            terminal: None,
            watchdog: self.watchdog,
            notes: &notes,
        });
        let run = under(lock, command, &self.rules, surroundings, &notes);
        let ended = tokio::time::timeout(DEADLINE, run).await.expect("it does not end");
        assert!(self.released.get(), "the lock was not given back");
        (ended, noted.into_inner())
    }

    async fn sh(self, text: &str) -> (Ended, Vec<String>) {
        let (ended, noted) = self.run("sh", &["-c", text]).await;
        (ended.unwrap(), noted)
    }
}

/// A lease whose SIGTERM is due in that time, if the grace is zero.
fn lease_with(time: Duration) -> Lease {
    let ttl = Duration::from_secs(100);
    Lease { ttl, deadline: Boot::now() + margin(ttl) + time }
}

/// Long enough for a command to start on a busy machine.
const A_WHILE: Duration = Duration::from_millis(500);

const SOON: Duration = Duration::from_millis(100);

async fn exists(path: &Path) {
    let there = async {
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, there).await.expect("the command did not start");
}

#[tokio::test]
async fn the_commands_own_end_is_passed_on() {
    let (ended, noted) = Case::new().sh("exit 7").await;
    assert_eq!((ended.status, ended.stopped, ended.leftovers), (Status::Exited(7), false, false));
    assert!(ended.cut.is_none() && ended.release.is_ok() && noted.is_empty(), "{noted:?}");
    let (ended, _) = Case::new().sh("kill -USR1 $$").await;
    assert_eq!(ended.status, Status::Killed(10));
}

#[tokio::test]
async fn it_is_told_of_its_lock() {
    let (ended, _) = Case::new().sh("test $HARDY_LOCK_NAME-$HARDY_LOCK_TOKEN = x-17").await;
    assert_eq!(ended.status, Status::Exited(0));
}

#[tokio::test]
async fn one_that_cannot_be_started_leaves_no_lock() {
    let (ended, _) = Case::new().run("/no/such/command", &[]).await;
    assert!(matches!(ended, Err(Error::Start(StartError::NotFound(_)))));
}

#[tokio::test]
async fn signals_before_the_start_prevent_it_and_later_ones_are_passed_on() {
    let case = Case { asked: vec![15], ..Case::new() };
    assert!(matches!(case.run("false", &[]).await.0, Err(Error::Interrupted(15))));

    let directory = tempfile::tempdir().unwrap();
    let ready = directory.path().join("ready");
    let text = format!("trap 'exit 3' INT; echo >{}; while :; do sleep 0.01; done", ready.display());
    let case = Case::new();
    let signals = case.signals.clone();
    let (ended, ()) = tokio::join!(case.sh(&text), async {
        exists(&ready).await;
        signals.send(2).unwrap();
    });
    assert_eq!((ended.0.status, ended.0.stopped), (Status::Exited(3), false));
}

#[tokio::test]
async fn a_lost_lock_ends_the_command() {
    let (sender, lost) = oneshot::channel();
    sender.send(()).unwrap();
    let (ended, noted) = Case { lost: Some(lost), ..Case::new() }.sh("sleep 60 & sleep 60").await;
    assert_eq!((ended.status, ended.stopped), (Status::Killed(15), true));
    assert!(matches!(ended.cut, Some(Cut::Lost(_))) && ended.release.is_ok());
    assert!(noted.len() == 1 && noted[0] == r#"Stopping("the lock is lost")"#, "{noted:?}");
}

#[tokio::test]
async fn one_that_does_not_end_is_killed_with_its_children() {
    let directory = tempfile::tempdir().unwrap();
    let ready = directory.path().join("ready");
    let (sender, lost) = oneshot::channel();
    let mut case = Case { lost: Some(lost), ..Case::new() };
    case.rules.grace = SOON;
    let text = format!("trap '' TERM; echo >{}; sleep 60 & sleep 60", ready.display());
    let ((ended, noted), ()) = tokio::join!(case.sh(&text), async {
        exists(&ready).await;
        sender.send(()).unwrap();
    });
    assert_eq!(ended.status, Status::Killed(9));
    assert!(noted.last().unwrap() == "Killing", "{noted:?}");
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_ends_the_command_before_itself() {
    let mut case = Case { lease: Some(lease_with(A_WHILE)), ..Case::new() };
    case.rules.grace = Duration::ZERO;
    let deadline = case.lease.unwrap().deadline;
    let (ended, noted) = case.sh("trap '' TERM; sleep 60 & sleep 60").await;
    assert!(Boot::now() < deadline);
    assert!(matches!(ended.status, Status::Killed(_)));
    assert!(ended.stopped && matches!(ended.cut, Some(Cut::Unrenewed)), "{noted:?}");
}

#[tokio::test]
async fn a_renewed_lease_does_not() {
    let (sender, renewed) = watch::channel(None);
    let mut case = Case { lease: Some(lease_with(A_WHILE)), renewed: Some(renewed), ..Case::new() };
    case.rules.grace = Duration::ZERO;
    sender.send(Some(lease_with(LONG))).unwrap();
    let (ended, noted) = case.sh("sleep 0.7").await;
    assert_eq!((ended.status, ended.cut.is_none()), (Status::Exited(0), true), "{noted:?}");
}

#[tokio::test]
async fn after_a_stop_nobody_says_that_the_lock_was_ours() {
    let directory = tempfile::tempdir().unwrap();
    for over in [false, true] {
        let file = directory.path().join(over.to_string());
        let text = format!("until test -e {}; do sleep 0.01; done", file.display());
        let lease = lease_with(A_WHILE);
        let until = if over { lease.deadline } else { lease.deadline - margin(lease.ttl) };
        let mut case = Case { lease: Some(lease), stopped: Some((file, until)), ..Case::new() };
        case.rules.grace = Duration::ZERO;
        let (ended, noted) = case.sh(&text).await;
        assert_eq!((ended.status, ended.stopped), (Status::Exited(0), true));
        let as_expected = match ended.cut {
            Some(Cut::Over) => over,
            Some(Cut::Unrenewed) => !over,
            _ => false,
        };
        assert!(as_expected && noted.is_empty(), "{noted:?}");
    }
}

#[tokio::test]
async fn a_lease_that_is_nearly_over_starts_nothing() {
    let case = Case { lease: Some(lease_with(Duration::ZERO)), ..Case::new() };
    assert!(matches!(case.run("false", &[]).await.0, Err(Error::Late)));
}

#[tokio::test]
async fn a_lock_is_held_no_longer_than_allowed() {
    let mut case = Case::new();
    case.rules.max_hold = Some(SOON);
    let (ended, _) = case.sh("sleep 60").await;
    assert_eq!((ended.status, ended.stopped), (Status::Killed(15), true));
    assert!(matches!(ended.cut, Some(Cut::Held(SOON))));
}

#[tokio::test]
async fn a_lock_that_was_lost_unseen_is_called_lost() {
    let (ended, noted) = Case { lost_at_release: true, ..Case::new() }.sh("exit 0").await;
    assert_eq!((ended.status, ended.stopped), (Status::Exited(0), false));
    assert!(matches!(ended.cut, Some(Cut::Lost(_))) && ended.release.is_ok(), "{noted:?}");
}

#[tokio::test]
async fn what_a_command_leaves_behind_ends_before_the_lock_is_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let (pid, ready) = (directory.path().join("pid"), directory.path().join("ready"));
    let (sleep, ready) = ("trap '' TERM; echo >$0; exec sleep 60", ready.to_str().unwrap());
    let text = format!("mkfifo $0; ({sleep}) & echo $! >{}; read line <$0; exit 4", pid.display());
    let mut case = Case::new();
    case.rules.grace = SOON;
    let (ended, noted) = case.run("sh", &["-c", &text, ready]).await;
    let ended = ended.unwrap();
    assert_eq!((ended.status, ended.stopped, ended.leftovers), (Status::Exited(4), false, true));
    assert!(ended.cut.is_none());
    assert_eq!(noted, ["Leftovers", "Killing"]);
    let pid = std::fs::read_to_string(pid).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    // Gone, or dead and not yet waited for.
    assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
}

#[tokio::test]
async fn the_watchdog_knows_the_group_and_the_moments() {
    let directory = tempfile::tempdir().unwrap();
    let orders = directory.path().join("orders");
    let mut watchdog = std::process::Command::new("sh");
    watchdog.args(["-c", "exec cat >\"$0\""]).arg(&orders);
    let lease = lease_with(LONG);
    let mut case = Case { lease: Some(lease), watchdog, ..Case::new() };
    case.rules = Rules { grace: Duration::from_secs(2), inherit: false, ..case.rules };
    let text = "until test $(wc -l <$0) = 2; do sleep 0.01; done
        { read unknown same; read group term kill grace ends; } <$0
        test $unknown = - -a \"$same\" = \"$term $kill $grace $ends\" -a $group = $$ && echo $term $kill $grace $ends";
    let text = format!("{text} >{0}.seen", orders.display());
    let (ended, _) = case.run("sh", &["-c", &text, orders.to_str().unwrap()]).await;
    assert_eq!(ended.unwrap().status, Status::Exited(0));
    let seen = std::fs::read_to_string(directory.path().join("orders.seen")).unwrap();
    let kill = lease.deadline.as_millis() - 1000;
    assert_eq!(seen.trim(), format!("{} {kill} 2000 1", kill - 2000 + 50));
}

#[tokio::test]
async fn without_a_watchdog_it_goes_on_and_says_so() {
    let watchdog = std::process::Command::new("/no/such/watchdog");
    let case = Case { lease: Some(lease_with(2 * LONG)), watchdog, ..Case::new() };
    let (ended, noted) = case.sh("exit 0").await;
    assert_eq!((ended.status, ended.cut.is_none()), (Status::Exited(0), true));
    assert!(noted.len() == 1 && noted[0].starts_with("Watchdog(Missing"), "{noted:?}");
}
