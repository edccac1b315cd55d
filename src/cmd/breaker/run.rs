//! `hardy breaker run`: the article's breaker in front of any command.

use std::ffi::OsString;
use std::io;
use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::failing::ExitCodes;
use super::settings::{self, StoreArgs, Unavailable, refused};
use crate::app::App;
use crate::breaker::{Outcome, Refusal, Transition};
use crate::circuit::run::{self, Ended};
use crate::circuit::{Answer, Asked, Circuit, Name, Pass, Place, Terms, Trouble, why};
use crate::cmd::breaker_config::breaker_config;
use crate::cmd::names::Names;
use crate::config::{BreakerKnobs, Layer};
use crate::error::Error;
use crate::exit::{Exit, Verdict};
use crate::output::{self, Case, Human};
use crate::process::{Command, Signals, StartError};
use crate::units;

/// Run a command through a breaker: not while it is open, and no longer than the timeout
#[derive(clap::Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  hardy breaker run pay -- curl -fsS https://pay.example/v1/rates
  hardy breaker run pay --fallback 'echo cached' -- ./rates.sh
  hardy breaker run mail --timeout 5s --slow 2s --volume 5 --window 1m -- sendmail -t <message.txt
  hardy breaker run geo --endpoints http://etcd1:2379 --quorum 3 -- ./geo.sh      # one breaker for a fleet

The command has its own process group; its stdin, stdout, stderr and exit code are its own, and signals are passed on.
What it leaves behind in its group is ended when it has ended; a service is started with setsid(1), or by its manager.
How it went is told only to --report. At --timeout the whole group gets SIGTERM, and SIGKILL --grace later: exit 124.
While the breaker is open, or as many calls run as may, the command is not run, and one line on stderr says so: exit 75.
In each of these cases, and when the command fails, --fallback is run by `sh -c`; then its exit code is ours. It finds
HARDY_BREAKER_NAME, HARDY_BREAKER_OUTCOME (failure, timeout, short_circuited, rejected or unavailable) and
HARDY_BREAKER_EXIT in its environment, and has --timeout, too. At most 10 fallbacks of one breaker run at once.

All who give the same name share the breaker, each by its own numbers; only the window is that of who came first, until
no call is in it. With --quorum a host sees it failing when the share of its own calls that failed has reached
--error-threshold, however few they are; --volume is for the calls of all. A store that does not answer delays a call by at most --state-within, before it and after it.")]
pub struct Args {
    // First, because those that follow take what it looks at.
    #[command(flatten)]
    names: Names,
    /// The breaker: any text without control characters, such as pay or db/replica
    #[arg(value_name = "NAME", add = settings::names())]
    name: Name,
    /// The command and its arguments
    #[arg(value_name = "CMD", last = true, required = true)]
    command: Vec<OsString>,
    #[command(flatten)]
    knobs: BreakerKnobs,
    /// Trip only when so many hosts see it failing
    #[arg(long, value_name = "K", default_value = "1", help_heading = "Circuit breaker")]
    quorum: NonZeroU32,
    /// Exit codes that are failures of the target
    ///
    /// Other codes are successes, but for 126 and more, which say nothing about the target and are not counted. A
    /// command that is killed has failed, unless it was interrupted.
    #[arg(long, value_name = "CODES", default_value = "1-125", help_heading = "Circuit breaker")]
    fail_on_exit: ExitCodes,
    /// Run this by `sh -c` when the command was not run, or failed
    #[arg(long, value_name = "CMD")]
    fallback: Option<String>,
    /// Between SIGTERM and SIGKILL, when the command has to be stopped
    #[arg(long, value_name = "D", default_value = "1s", hide_short_help = true)]
    grace: units::Duration,
    /// Without an answer of the store: allow calls, or deny them
    #[arg(long, value_name = "HOW", default_value = "allow", hide_possible_values = true)]
    state_unavailable: Unavailable,
    /// Wait no longer for the store, before a call and after it [default: 1s, on this host 5s]
    #[arg(long, value_name = "D", hide_short_help = true)]
    state_within: Option<units::Duration>,
    #[command(flatten)]
    store: StoreArgs,
}

/// Runs it; its exit code, or that of its fallback, is ours.
pub async fn run(args: Args, app: &App) -> Result<Exit, Error> {
    let knobs = args.knobs.clone().or(app.config.profile.breaker.clone());
    let config = breaker_config(knobs, |field| args.names.of("breaker", field))?;
    let patience = args.state_within.map(|units::Duration(time)| time);
    let terms = Terms { grace: args.grace.0, quorum: args.quorum.get(), patience, ..Terms::of(config) };
    let circuit = args.store.circuit(args.name.clone(), terms, &app.config)?;
    let (asked, unavailable) = ask(&args, &circuit, app).await?;
    let Some(signals) = app.shutdown.hand_over() else {
        return Ok(Exit::signal(app.shutdown.signal().unwrap_or_default()));
    };
    let signals = Signals::listen(signals)
        .map_err(|error| Error::unknown("cannot supervise a command").because(error))?;
    let mut call = Call { args: &args, circuit: &circuit, app, signals };
    let mut report = Report { name: args.name.to_string(), unavailable, ..Report::default() };
    let ended = match asked {
        Some(Asked::Refused(refusal, place)) => call.refused(refusal, place, &mut report).await,
        Some(Asked::Admitted(pass)) => call.made(Some(pass), &mut report).await,
        None if args.state_unavailable == Unavailable::Allow => call.made(None, &mut report).await,
        None => call.denied(&mut report).await,
    };
    report.exit_code = ended.as_ref().map_or_else(|error| error.exit(), |exit| *exit).code();
    if let Err(error) = app.console.file(&report) {
        // The exit code stays that of the command.
        app.console.warn(&error.to_string());
    }
    ended
}

/// Asks the breaker; none, and why, without an answer.
async fn ask(args: &Args, circuit: &Circuit, app: &App) -> Result<(Option<Asked>, Option<String>), Error> {
    let ask = async { Ok(circuit.ask(args.fallback.is_some()).await) };
    match app.unless_interrupted(ask).await? {
        Ok(Answer { asked, damaged, .. }) => {
            if damaged {
                app.console.warn(&Trouble::Damaged(args.name.clone()).to_string());
            }
            Ok((Some(asked), None))
        }
        Err(error) => {
            let allowed = args.state_unavailable == Unavailable::Allow;
            app.console.warn(&Trouble::unavailable(&args.name, &error, allowed).to_string());
            Ok((None, Some(why(&error))))
        }
    }
}

/// What one call needs.
struct Call<'a> {
    args: &'a Args,
    circuit: &'a Circuit,
    app: &'a App,
    signals: Signals,
}

impl Call<'_> {
    async fn made(&mut self, pass: Option<Pass>, report: &mut Report) -> Result<Exit, Error> {
        let command = match self.args.command.split_first() {
            Some((program, arguments)) => self.command(program.clone(), arguments.to_vec(), Vec::new()),
            None => return Err(Error::usage("no command to run")),
        };
        report.called = true;
        let ended = match self.supervise(&command).await {
            Ok(ended) => ended,
            Err(error) => {
                // Our own fault says nothing about the target.
                self.count(pass, Outcome::Excluded, Duration::ZERO, false, report).await;
                return Err(not_run(error));
            }
        };
        let outcome = self.args.fail_on_exit.outcome(&ended);
        let failed = matches!(outcome, Outcome::Failure | Outcome::Timeout);
        let wants = failed && self.args.fallback.is_some() && !ended.interrupted;
        report.ended(outcome, &ended);
        let place = self.count(pass, outcome, ended.latency, wants, report).await;
        let exit = if ended.timed_out {
            let (name, timeout) = (&self.args.name, units::Duration(self.circuit.terms().config.timeout));
            self.app.console.note(&format!("{name}: no end within {timeout}, stopped"));
            Exit::WAIT_ENDED
        } else {
            Exit::of_command(ended.status.code())
        };
        if !wants {
            return Ok(exit);
        }
        let word = if ended.timed_out { "timeout" } else { "failure" };
        Ok(self.fall_back(place, word, exit, report).await.unwrap_or(exit))
    }

    async fn refused(&mut self, refusal: Refusal, place: Place, report: &mut Report) -> Result<Exit, Error> {
        let word = match refusal {
            Refusal::ShortCircuited { .. } => "short_circuited",
            Refusal::Rejected { .. } => "rejected",
        };
        let text = refused(&self.args.name, refusal);
        self.app.console.note(&text);
        report.outcome = word;
        Ok(self.fall_back(place, word, Exit::REFUSED, report).await.unwrap_or(Exit::REFUSED))
    }

    /// Nobody knows whether it may be called.
    async fn denied(&mut self, report: &mut Report) -> Result<Exit, Error> {
        report.outcome = "unavailable";
        let place = Place::Uncounted;
        Ok(self.fall_back(place, "unavailable", Exit::UNKNOWN, report).await.unwrap_or(Exit::UNKNOWN))
    }

    /// Counts the call, and says what it has changed.
    async fn count(
        &self,
        pass: Option<Pass>,
        outcome: Outcome,
        latency: Duration,
        wants_fallback: bool,
        report: &mut Report,
    ) -> Place {
        let Some(pass) = pass else { return Place::Uncounted };
        match self.circuit.report(pass, outcome, latency, wants_fallback).await {
            Ok(reported) => {
                report.counted = true;
                report.transition = reported.transition;
                if let Some(Transition { to, why, .. }) = reported.transition {
                    self.app.console.note(&format!("{} is {to} now: {why}", self.args.name));
                }
                reported.place
            }
            Err(error) => {
                let name = &self.args.name;
                self.app.console.warn(&format!("the call of {name} may not be counted: {error}"));
                Place::Uncounted
            }
        }
    }

    /// The exit code of the fallback; none if there was none, or no place for it, or it did not end in time.
    async fn fall_back(
        &mut self,
        place: Place,
        outcome: &str,
        exit: Exit,
        report: &mut Report,
    ) -> Option<Exit> {
        let text = self.args.fallback.as_ref()?;
        if matches!(place, Place::Full) {
            let name = &self.args.name;
            self.app.console.note(&format!("{name}: too many fallbacks are running, this one is not run"));
            report.fallback = Some("rejected");
            return None;
        }
        let told = vec![
            ("HARDY_BREAKER_NAME".to_owned(), self.args.name.to_string()),
            ("HARDY_BREAKER_OUTCOME".to_owned(), outcome.to_owned()),
            ("HARDY_BREAKER_EXIT".to_owned(), exit.code().to_string()),
        ];
        let command = self.command("sh".into(), vec!["-c".into(), text.into()], told);
        let ended = self.supervise(&command).await;
        let good = matches!(&ended, Ok(ended) if !ended.timed_out && ended.status.code() == 0);
        report.fallback = Some(if good { "success" } else { "failure" });
        if let Place::Granted(place) = place
            && let Err(error) = self.circuit.fell_back(place, good).await
        {
            self.app.console.warn(&format!("the fallback of {} may not be counted: {error}", self.args.name));
        }
        match ended {
            Ok(ended) if !ended.timed_out => Some(Exit::of_command(ended.status.code())),
            _ => {
                self.app.console.note(&format!("{}: the fallback has not ended in time", self.args.name));
                None
            }
        }
    }

    async fn supervise(&mut self, command: &Command) -> Result<Ended, run::Error> {
        let terms = self.circuit.terms();
        run::run(command, terms.config.timeout, terms.grace, &mut self.signals).await
    }

    fn command(
        &self,
        program: OsString,
        arguments: Vec<OsString>,
        environment: Vec<(String, String)>,
    ) -> Command {
        Command { program, arguments, environment }
    }
}

fn not_run(error: run::Error) -> Error {
    let text = error.to_string();
    match error {
        run::Error::Start(StartError::NotFound(_)) => Error::usage(text).with_exit(Exit::NOT_FOUND),
        run::Error::Start(StartError::Refused(_, cause)) => {
            Error::usage(text).with_exit(Exit::NOT_EXECUTABLE).because(cause)
        }
        run::Error::System(cause) => return Error::unknown(text).because(cause),
    }
    .hint("what follows `--` is a program and its arguments")
}

/// How it went, for `--report`; stdout is the command's own.
#[derive(Default, Serialize, JsonSchema)]
struct Report {
    name: String,
    /// `success`, `failure`, `timeout`, `excluded`, `short_circuited`, `rejected` or `unavailable`.
    outcome: &'static str,
    /// Whether the command was run.
    called: bool,
    /// Whether the breaker has counted the call.
    counted: bool,
    /// Of the command, or of its fallback.
    exit_code: u8,
    latency_us: Option<u64>,
    /// What the call has changed.
    transition: Option<Transition>,
    /// `success`, `failure` or `rejected`; null if none was run.
    fallback: Option<&'static str>,
    /// Why the store did not answer.
    unavailable: Option<String>,
}

impl Report {
    fn ended(&mut self, outcome: Outcome, ended: &Ended) {
        self.latency_us = Some(u64::try_from(ended.latency.as_micros()).unwrap_or(u64::MAX));
        self.outcome = match outcome {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Timeout => "timeout",
            Outcome::Excluded => "excluded",
        };
    }
}

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.breaker.run/v1";

    fn verdict(&self) -> Verdict {
        if self.exit_code == 0 { Verdict::Good } else { Verdict::Bad }
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        out.line(format!("{}: {}, exit {}", self.name, self.outcome, self.exit_code))
    }

    fn cases(&self) -> Vec<Case> {
        let outcome = match self.exit_code {
            0 => output::Outcome::Pass,
            code => output::Outcome::Fail {
                reason: self.outcome.to_owned(),
                message: format!("{}, exit {code}", self.outcome),
            },
        };
        let time = Duration::from_micros(self.latency_us.unwrap_or(0));
        vec![Case { name: self.name.clone(), time, outcome }]
    }
}
