//! `hardy load` against servers whose truth is known, with real commands, and with the files that it keeps.

mod compare;
mod ends;
mod find;
mod jobs;
mod jobs_ends;
mod limits;
mod refused;
mod requests;
mod truth;
mod verdicts;

use std::process::Stdio;

use serde_json::Value;

use crate::serve::client::Server;
use crate::support::{Run, hardy};

/// Loads the server with these arguments; the data of its report.
fn load(server: &Server, args: &[&str]) -> Value {
    let run = run(&[&[server.urls[0].as_str()], args].concat());
    assert!(run.code.is_some_and(|code| code <= 1), "{run:?}");
    run.json()["data"].clone()
}

/// `hardy load run` with these arguments, to its end.
fn run(args: &[&str]) -> Run {
    hardy().args(["load", "run", "--json"]).args(args).output().unwrap().into()
}

/// A server that says at its end what it saw.
fn server(args: &[&str]) -> Server {
    Server::start_with(hardy().arg("--json").stdout(Stdio::piped()), args)
}

/// Ends the server; what it saw.
fn seen(server: Server) -> Value {
    server.stop().json()["data"].clone()
}

/// Requests of all kinds in a report.
fn sum(data: &Value, names: &[&str]) -> u64 {
    names.iter().map(|name| data[name].as_u64().unwrap_or_else(|| panic!("no {name} in {data}"))).sum()
}
