//! A call by running a command: good when it ends with the expected status.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use tokio::time::{Instant, timeout};

use super::Call;
use crate::probe::classify::spawn_fault;
use crate::probe::shell::{self, Capture, Ended};
use crate::probe::target::Target;
use crate::reason::{Fault, Reason};
use crate::units::Duration;

/// Runs `command` by `sh -c`; at the timeout its whole process group is killed.
pub(super) async fn call(target: &Target, command: &str) -> Call {
    let start = Instant::now();
    let capture = if target.expect.reads_body() { Capture::Both } else { Capture::Stderr };
    let limit = target.timeout();
    let ended = timeout(limit, shell::run(command, &[], capture)).await;
    let latency = start.elapsed();
    let unmet = match ended {
        Ok(Ok(ended)) => check(target, &ended, latency),
        Ok(Err(error)) => vec![spawn_fault(&error)],
        Err(_) => {
            vec![Reason::Timeout.because(format!("still running after {}, killed", Duration(limit)))]
        }
    };
    let (phases, result) = ([None; 5], Fault::first_of(unmet));
    Call { result, latency, phases, status: None, answer: None, certificate: None }
}

fn check(target: &Target, ended: &Ended, latency: std::time::Duration) -> Vec<Fault> {
    let expect = &target.expect;
    let mut unmet = Vec::new();
    if let Err(mut fault) = check_status(target, ended.status) {
        if let Some(words) = ended.last_words() {
            fault.detail = format!("{}: {words}", fault.detail);
        }
        let tested = fault.reason == Reason::ExecStatus;
        unmet.push(fault);
        if !tested {
            return unmet;
        }
    }
    unmet.extend(expect.check_body(&ended.stdout));
    unmet.extend(expect.check_latency(latency).err());
    unmet
}

fn check_status(target: &Target, status: ExitStatus) -> Result<(), Fault> {
    if let Some(signal) = status.signal() {
        return Err(Reason::ExecSignal.because(format!("ended by signal {signal}")));
    }
    // An exit status is 0 to 255.
    let code = status.code().and_then(|code| u16::try_from(code).ok()).unwrap_or_default();
    target.expect.check_exec_status(code).map_err(|fault| match code {
        // By the shell's convention the target was not tested at all.
        126 => Reason::LocalCommand.because("the command cannot be executed"),
        127 => Reason::LocalCommand.because("the command was not found"),
        _ => fault,
    })
}
