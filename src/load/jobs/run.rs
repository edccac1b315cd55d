//! Starts the workers, tells how it goes, and ends them.

use std::fs::File;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::alarm::{Alarm, Level};
use super::books::Books;
use super::desk::Desk;
use super::input::Input;
use super::joblog::{Joblog, Past, Resume};
use super::leash::Leash;
use super::printer::{Printer, Sink};
use super::template::Values;
use super::worker::{Shared, lock, work};
use super::{End, Error, Event, Form, Outcome, Plan, Snapshot};
use crate::load::plan;
use crate::load::recorder::SHOWN_EVERY;
use crate::load::turns::{Tickets, Turns};
use crate::process::find;

/// After the last process was killed, nothing but a reader that does not read can hold a worker for so long.
const STUCK: Duration = Duration::from_secs(3);

/// Who wants to hear of a run.
#[derive(Debug, Default)]
pub struct Observers {
    /// How it stands, ten times a second.
    pub snapshots: Option<watch::Sender<Snapshot>>,
    /// What happens.
    pub events: Option<mpsc::UnboundedSender<Event>>,
}

/// What is asked of a run from outside.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    /// Start nothing more, and end what runs.
    pub stop: CancellationToken,
    /// Do not wait for it.
    pub kill: CancellationToken,
}

/// Runs a job for each line of the input.
///
/// # Errors
/// It could not begin. What comes up later is its [`End`].
pub async fn run(
    plan: Plan,
    input: File,
    sink: impl Sink,
    observers: Observers,
    orders: &Orders,
) -> Result<Outcome, Error> {
    let grace = plan.grace;
    let shared = Arc::new(prepare(plan, input, Box::new(sink), observers.events)?);
    let mut over = start(&shared)?;
    let mut tick = interval(SHOWN_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut stopped, mut killed, mut given_up) = (false, false, None);
    loop {
        tokio::select! {
            none = over.recv() => if none.is_none() { break },
            () = orders.stop.cancelled(), if !stopped => {
                stopped = true;
                lock(&shared.books).close(End::Stopped);
                shared.alarm.raise(Level::Terminate);
                given_up = Some(Instant::now() + grace + STUCK);
            }
            () = orders.kill.cancelled(), if !killed => {
                killed = true;
                shared.kill();
                given_up = Some(Instant::now() + STUCK);
            }
            () = sleep_until(given_up.unwrap_or_else(Instant::now)), if given_up.is_some() => {
                shared.kill();
                break;
            }
            _ = tick.tick(), if observers.snapshots.is_some() => {
                if let Some(snapshots) = &observers.snapshots {
                    snapshots.send_replace(lock(&shared.books).snapshot());
                }
            }
        }
    }
    Ok(lock(&shared.books).outcome())
}

fn prepare(
    plan: Plan,
    input: File,
    sink: Box<dyn Sink>,
    events: Option<mpsc::UnboundedSender<Event>>,
) -> Result<Shared, Error> {
    let program = match plan.command.fill(Values { line: b"", number: 0, slot: 0 }).first() {
        Some(name) if plan.command.has_one_program() => Some(find(name, &plan.search_path)?),
        _ => None,
    };
    let (joblog, past) = open_joblog(&plan)?;
    let input = Input::new(input, plan.null);
    let in_order = plan.form == Form::InOrder;
    Ok(Shared {
        alarm: Alarm::new().map_err(Error::System)?,
        leashes: (0..plan.workers).map(|_| Leash::default()).collect(),
        desk: Mutex::new(Desk::new(&plan, input, past, turns(&plan))),
        books: Mutex::new(Books::new(joblog, plan.halt)),
        printer: Mutex::new(Printer::new(sink, in_order, plan.temporary.clone())),
        reader_gone: AtomicBool::new(false),
        short_of_room: AtomicBool::new(false),
        program,
        events,
        plan,
    })
}

type Log = Option<(std::path::PathBuf, Joblog)>;

fn open_joblog(plan: &Plan) -> Result<(Log, Option<(Past, Resume)>), Error> {
    let Some((path, resume)) = &plan.joblog else { return Ok((None, None)) };
    let opened = Joblog::open(path, resume.is_some());
    let (log, past) = opened.map_err(|error| Error::Joblog(path.clone(), error))?;
    Ok((Some((path.clone(), log)), resume.map(|resume| (past, resume))))
}

/// When jobs are due: the turns of one thread, which the desk is.
fn turns(plan: &Plan) -> Turns {
    let paced = plan::Plan {
        pace: plan.pace.clone(),
        stop: plan::Stop { requests: None, duration: plan.stop.duration },
        workers: 1,
        threads: 1,
        warm_up: Duration::ZERO,
        ramp_up: Duration::ZERO,
        timeout: Duration::MAX,
        grace: Duration::MAX,
        expected: plan::Expected::default(),
    };
    Turns::new(&paced, 0, Arc::new(Tickets::new(None)), fastrand::u64(..))
}

/// The end of what comes out says that all workers are done.
fn start(shared: &Arc<Shared>) -> Result<mpsc::Receiver<()>, Error> {
    let (alive, over) = mpsc::channel(1);
    for slot in 1..=shared.plan.workers {
        let (ours, alive) = (shared.clone(), alive.clone());
        let thread = std::thread::Builder::new().name(format!("job-{slot}")).spawn(move || {
            work(&ours, slot);
            drop(alive);
        });
        if let Err(error) = thread {
            return few(shared, slot, error).map(|()| over);
        }
    }
    Ok(over)
}

/// Fewer workers than wanted are better than none.
fn few(shared: &Shared, slot: usize, error: io::Error) -> Result<(), Error> {
    if slot == 1 {
        return Err(Error::System(error));
    }
    super::desk::Surroundings::tell(shared, Event::Exhausted(format!("{} workers: {error}", slot - 1)));
    Ok(())
}
