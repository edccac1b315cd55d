//! What is sent, from what was typed and configured. All files are read here, once and whole: one that vanishes or
//! changes in the middle of a run changes nothing.

mod source;

use std::path::PathBuf;

use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use reqwest::Url;

use crate::config;
use crate::error::Error;
use crate::load::request::choice::Choice;
use crate::load::request::table::RowOrder;
use crate::load::request::{Requests, framing};
use crate::load::schedule::Schedule;

use source::{Lines, Source};

/// What is sent.
#[derive(clap::Args, Debug, Default)]
#[command(next_help_heading = "Request")]
pub struct RequestArgs {
    /// HTTP method [default: GET, or POST with a body]
    #[arg(long, short, visible_short_alias = 'X', value_name = "NAME", value_parser = framing::method)]
    method: Option<Method>,
    /// Request header, in place of hardy's own of that name [repeatable]
    ///
    /// Without any there are host, user-agent and accept: */*.
    #[arg(long, short = 'H', value_name = "NAME: VALUE", value_parser = framing::typed_header)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// Request body
    #[arg(long, value_name = "TEXT", conflicts_with = "body_file", hide_short_help = true)]
    body: Option<String>,
    /// Request body from a file, which is read once at the start
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// Fill {number}, {uuid}, {csv:NAME} and the like into paths, header values and bodies
    ///
    /// {number}, or only its n, is the number of the request from 1; {random:1-100} a number of that range; {uuid} a
    /// random UUID; {time} the milliseconds since 1970; {csv:NAME}, or {NAME}, a value of --csv, and {line} the number
    /// of its row from 1. {{ and }} stand for braces. Values are percent-encoded in a path and stand as they are in a
    /// body. Without --template all braces are sent as they are.
    #[arg(long)]
    template: bool,
    /// Values for --template: a CSV file whose first line names its columns
    #[arg(long, value_name = "FILE", requires = "template", hide_short_help = true)]
    csv: Option<PathBuf>,
    /// Which row of --csv is next: turn, by the number of the request, or random
    #[arg(long, value_name = "ORDER", requires = "csv", hide_possible_values = true, hide_short_help = true)]
    csv_order: Option<CsvOrder>,
    /// Several requests to TARGET's host, one per line of a file: [WEIGHT] [METHOD] URL-or-/PATH
    ///
    /// Lines `NAME: VALUE` below such a line are its headers, a line `@FILE` is its body; `#` begins a comment. What a
    /// request does not say, flags say. Requests are sent in turn; with weights, by chance.
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    targets: Option<PathBuf>,
    /// Send the requests of an access log again, as far apart as they were
    ///
    /// Common or Combined Log Format, or JSON lines of `hardy serve`. Where a log knows whole seconds only, the requests
    /// of a second are spread evenly over it. Ends with the log, or before with --duration or --requests.
    #[arg(long, value_name = "LOG", conflicts_with_all = ["template", "method"])]
    replay: Option<PathBuf>,
    /// How many times faster than it was: 2, or 0.5
    #[arg(long, value_name = "X", requires = "replay", value_parser = speed, hide_short_help = true)]
    speed: Option<f64>,
    /// Replay methods other than GET and HEAD too, with --body as their body
    #[arg(long, requires = "replay", hide_short_help = true)]
    replay_unsafe: bool,
    /// Basic authentication with the first line of this file: USER:PASSWORD
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    user_file: Option<PathBuf>,
}

/// `--csv-order`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum CsvOrder {
    /// By the number of the request.
    Turn,
    /// By chance.
    Random,
}

fn speed(text: &str) -> Result<f64, &'static str> {
    let factor = text.strip_suffix('x').unwrap_or(text).parse().ok();
    factor
        .filter(|factor: &f64| factor.is_finite() && *factor > 0.0)
        .ok_or("expected a factor such as 2 or 0.5")
}

/// Where requests go to.
pub struct Origin<'a> {
    /// Its name, in the config where it has one there.
    pub name: &'a str,
    /// Where it is.
    pub url: &'a Url,
    /// The same as it was written, and what else the config says of it.
    pub definition: &'a config::Target,
    /// HTTP/1.1 connections are used for more than one request.
    pub keep_alive: bool,
}

/// What a run sends.
#[derive(Debug)]
pub struct Sent {
    /// The requests.
    pub requests: Requests,
    /// When they are due, if they have times of their own.
    pub schedule: Option<Schedule>,
    /// What people should know of it.
    pub warnings: Vec<String>,
}

/// The requests of a run.
///
/// # Errors
/// Usage errors that name flag, file and line.
pub fn resolve(args: &RequestArgs, origin: &Origin<'_>) -> Result<Sent, Error> {
    let mut source = Source::new(args, origin)?;
    if let Some(log) = &args.replay {
        if !args.replay_unsafe && (args.body.is_some() || args.body_file.is_some()) {
            return Err(Error::usage("with --replay a body has no meaning without --replay-unsafe"));
        }
        return source.replayed(log);
    }
    let Lines { requests, choice, places } = match &args.targets {
        None => Lines { requests: vec![source.single()?], choice: Choice::Turn, places: Vec::new() },
        Some(file) => source.several(file)?,
    };
    let requests = if args.template {
        let table = args.csv.as_deref().map(|file| source.table(file)).transpose()?;
        let order = match args.csv_order {
            Some(CsvOrder::Random) => RowOrder::Random,
            Some(CsvOrder::Turn) | None => RowOrder::Turn,
        };
        Requests::templates(&requests, choice, table, order).map_err(|wrong| {
            let place = places.get(wrong.request).map_or("--template", String::as_str);
            Error::usage(format!("{place}: {wrong}"))
        })?
    } else {
        Requests::of(requests, choice)
    };
    Ok(Sent { requests, schedule: None, warnings: Vec::new() })
}

#[cfg(test)]
mod tests;
