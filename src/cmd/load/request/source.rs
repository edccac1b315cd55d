//! Where the parts of requests come from: flags, over the config, over what every request has; and files.

use std::fmt::Display;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use hyper::Method;
use hyper::header::{AUTHORIZATION, CONNECTION, HeaderValue};
use reqwest::Url;

use super::{Origin, RequestArgs, Sent};
use crate::error::Error;
use crate::load::request::choice::Choice;
use crate::load::request::framing::{self, Header};
use crate::load::request::replay::{self, LeftOut, ReplayError, Taken};
use crate::load::request::table::Table;
use crate::load::request::targets::{self, Target};
use crate::load::request::{Request, Requests};
use crate::load::schedule::Schedule;

/// Bytes that all files of a run may have together, but for a log to be replayed.
const MOST: u64 = 1 << 30;

/// What all requests of a run have in common.
pub(super) struct Source<'a> {
    args: &'a RequestArgs,
    origin: &'a Origin<'a>,
    headers: Vec<Header>,
    method: Option<Method>,
    body: Option<Vec<u8>>,
    /// Bytes that further files may have.
    left: u64,
}

/// The requests of a file of targets.
pub(super) struct Lines {
    pub requests: Vec<Request>,
    pub choice: Choice,
    /// Flag, file and line of each.
    pub places: Vec<String>,
}

impl<'a> Source<'a> {
    pub fn new(args: &'a RequestArgs, origin: &'a Origin<'a>) -> Result<Source<'a>, Error> {
        let mut source = Source { args, origin, headers: Vec::new(), method: None, body: None, left: MOST };
        source.headers = source.headers()?;
        source.method = source.method()?;
        source.body = source.body()?;
        Ok(source)
    }

    fn wrong(&self, key: &str, error: &dyn Display) -> Error {
        Error::usage(format!("targets.{}.{key}: {error}", self.origin.name))
    }

    /// hardy's own, below those of the config, below those that were typed.
    fn headers(&mut self) -> Result<Vec<Header>, Error> {
        let url = self.origin.url;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let host = HeaderValue::from_str(&(url.host_str().unwrap_or_default().to_owned() + &port));
        let host = host.map_err(|e| Error::usage("the host of the target is no header").because(e))?;
        let configured =
            self.origin.definition.headers.iter().map(|(name, value)| framing::header(name, value));
        let configured: Vec<Header> =
            configured.collect::<Result<_, _>>().map_err(|error| self.wrong("headers", &error))?;
        let mut headers = framing::over(framing::defaults(host), &configured);
        headers = framing::over(headers, &self.user()?);
        headers = framing::over(headers, &self.args.header);
        if !self.origin.keep_alive {
            headers.push((CONNECTION, HeaderValue::from_static("close")));
        }
        Ok(headers)
    }

    /// Who it is that asks, from a file or from the URL.
    fn user(&mut self) -> Result<Vec<Header>, Error> {
        let url = self.origin.url;
        let basic = if let Some(file) = &self.args.user_file {
            if self.args.header.iter().any(|(name, _)| name == AUTHORIZATION) {
                return Err(Error::usage("--user-file cannot be used with --header authorization"));
            }
            let text = String::from_utf8_lossy(&self.read("user-file", file)?).into_owned();
            let wrong = |error| Error::usage(format!("--user-file {}: {error}", file.display()));
            framing::basic(&text).map_err(wrong)?
        } else if !url.username().is_empty() || url.password().is_some() {
            let user = format!("{}:{}", url.username(), url.password().unwrap_or_default());
            let user = percent_encoding::percent_decode_str(&user).decode_utf8_lossy();
            framing::basic(&user).map_err(|_| Error::usage("the user in the URL cannot be sent"))?
        } else {
            return Ok(Vec::new());
        };
        Ok(vec![(AUTHORIZATION, basic)])
    }

    fn method(&self) -> Result<Option<Method>, Error> {
        let configured = self.origin.definition.method.as_deref().map(framing::method).transpose();
        let configured = configured.map_err(|error| self.wrong("method", &error))?;
        Ok(self.args.method.clone().or(configured))
    }

    fn body(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if let Some(file) = &self.args.body_file {
            return self.read("body-file", file).map(Some);
        }
        let text = self.args.body.as_ref().or(self.origin.definition.body.as_ref());
        Ok(text.map(|text| text.clone().into_bytes()))
    }

    /// The whole file.
    fn read(&mut self, flag: &str, path: &Path) -> Result<Vec<u8>, Error> {
        let cannot = |error| Error::usage(format!("--{flag}: cannot read {}", path.display())).because(error);
        let mut bytes = Vec::new();
        File::open(path).and_then(|file| file.take(self.left + 1).read_to_end(&mut bytes)).map_err(cannot)?;
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or_else(|| {
            Error::usage(format!(
                "--{flag}: with {} the files of this run have more than 1 GiB",
                path.display()
            ))
        })?;
        Ok(bytes)
    }

    /// A request of its own method, path, headers and body, as far as it has them.
    fn request(
        &self,
        method: Option<Method>,
        path: String,
        headers: &[Header],
        body: Option<Vec<u8>>,
    ) -> Request {
        let body = body.or_else(|| self.body.clone());
        let implied = if body.is_some() { Method::POST } else { Method::GET };
        let method = method.or_else(|| self.method.clone()).unwrap_or(implied);
        let headers = framing::over(self.headers.clone(), headers);
        Request { method, path, headers, body: body.unwrap_or_default() }
    }

    /// What is asked for where there is no file of targets.
    pub fn single(&self) -> Result<Request, Error> {
        let path = if self.args.template {
            raw_path(&self.origin.definition.url)
        } else {
            let url = self.origin.url;
            url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
        };
        Ok(self.request(None, path, &[], None))
    }

    /// The requests of a file of targets.
    pub fn several(&mut self, file: &Path) -> Result<Lines, Error> {
        let place = |line: usize| format!("--targets {}:{line}", file.display());
        let text = String::from_utf8(self.read("targets", file)?)
            .map_err(|_| Error::usage(format!("--targets: {} is no UTF-8 text", file.display())))?;
        let targets = targets::parse(&text)
            .map_err(|error| Error::usage(format!("{}: {}", place(error.line), error.cause)))?;
        let (mut requests, mut places) = (Vec::new(), Vec::new());
        for target in &targets {
            let path = self.path(target).map_err(|error| error.within(&place(target.line)))?;
            let body = target.body.as_ref().map(|(line, file)| {
                self.read("targets", Path::new(file)).map_err(|error| error.within(&place(*line)))
            });
            requests.push(self.request(target.method.clone(), path, &target.headers, body.transpose()?));
            places.push(place(target.line));
        }
        Ok(Lines { requests, choice: targets::choice(&targets), places })
    }

    /// The path of a line, which must lead to the one origin of the run.
    fn path(&self, target: &Target) -> Result<String, Error> {
        if target.place.starts_with('/') {
            return Ok(without_fragment(&target.place).to_owned());
        }
        let origin = self.origin.url.origin();
        let url = Url::parse(&target.place).ok().filter(|url| url.origin() == origin);
        let url = url.ok_or_else(|| {
            let error =
                Error::usage(format!("only requests to {} can be in it", origin.ascii_serialization()));
            error.hint("a run has one target: give paths, or another run for the other one")
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::usage("users and passwords do not belong here").hint("use --user-file"));
        }
        Ok(raw_path(&target.place))
    }

    /// The values of templates.
    pub fn table(&mut self, file: &Path) -> Result<Table, Error> {
        let bytes = self.read("csv", file)?;
        Table::read(&bytes[..]).map_err(|error| Error::usage(format!("--csv {}: {error}", file.display())))
    }

    /// The requests of a log, and when they are due.
    pub fn replayed(&self, log: &Path) -> Result<Sent, Error> {
        let name = log.display();
        let cannot = |error| Error::usage(format!("--replay: cannot read {name}")).because(error);
        let file = BufReader::with_capacity(64 << 10, File::open(log).map_err(cannot)?);
        let taken = Taken { speed: self.args.speed.unwrap_or(1.0), all_methods: self.args.replay_unsafe };
        let replay = replay::read(file, taken).map_err(|error| match error {
            ReplayError::Io(error) => cannot(error),
            ReplayError::TooLarge => Error::usage(format!("--replay {name}: {error}")),
            ReplayError::Nothing(left_out) => {
                let error =
                    Error::usage(format!("--replay {name}: {}", ReplayError::Nothing(left_out.clone())));
                match left_out_lines(&left_out).pop() {
                    Some(why) => error.hint(why),
                    None => error.hint("it has no line at all"),
                }
            }
        })?;
        let body = self.body.as_deref().unwrap_or_default();
        let warnings = left_out_lines(&replay.left_out).into_iter().map(|line| format!("{name}: {line}"));
        Ok(Sent {
            requests: Requests::replay(&replay.requests, replay.order, &self.headers, body),
            warnings: warnings.collect(),
            schedule: Some(Schedule::Times(replay.times)),
        })
    }
}

/// What of a log is not sent again, and why.
fn left_out_lines(left_out: &LeftOut) -> Vec<String> {
    let LeftOut { unreadable, first, not_safe } = left_out;
    let unreadable = first.as_ref().map(|(line, text)| {
        format!("lines that cannot be read: {unreadable}, the first of them line {line}: {text}")
    });
    let not_safe = (*not_safe > 0).then(|| {
        format!("requests other than GET and HEAD, left out: {not_safe}; --replay-unsafe sends them too")
    });
    unreadable.into_iter().chain(not_safe).collect()
}

/// Path and query as they were written: where a URL was parsed, its path has no braces any more.
fn raw_path(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let start = if scheme.eq_ignore_ascii_case("unix+http") {
        rest.find(":/").map(|colon| colon + 1)
    } else {
        rest.find(['/', '?', '#'])
    };
    let path = without_fragment(start.map_or("", |start| &rest[start..]));
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

fn without_fragment(path: &str) -> &str {
    path.split('#').next().unwrap_or_default()
}
