//! What is sent: requests with parts that change from one to the next, chosen by weight or in turn.
//!
//! - `template`  parts that change; `table` rows of a CSV file for them
//! - `targets`   several requests from a file; `choice` which of them is next
//! - `replay`    requests and their times from an access log
//! - `framing`   methods and headers that users give; `form` a request put together
//!
//! A thread has a [`Cursor`] of its own. What never changes is put together once, before the run. Refuses to read
//! files: bodies come in whole, so that a file that vanishes in the middle of a run changes nothing. Nothing here
//! shows header values, bodies or queries in its `Debug` form, for they may be secrets.

pub mod choice;
mod form;
pub mod framing;
pub mod replay;
pub mod table;
pub mod targets;
pub mod template;

use std::fmt;
use std::sync::Arc;

use hyper::Method;
use hyper::header::{HeaderMap, HeaderName};

use choice::Choice;
use form::{Buffers, Form, Reading, Rest};
use framing::Header;
use table::{RowOrder, Table};
use template::{Template, TemplateError, Values};

/// One request, before its changing parts are filled in.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query. What cannot be sent as it is, is percent-encoded; what is encoded already stays so.
    pub path: String,
    /// All headers but those that frame the body; `host` is among them.
    pub headers: Vec<Header>,
    /// The body.
    pub body: Vec<u8>,
}

/// A part of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Path and query.
    Path,
    /// The value of this header.
    Header(HeaderName),
    /// The body.
    Body,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Path => f.write_str("path"),
            Part::Header(name) => write!(f, "header {name}"),
            Part::Body => f.write_str("body"),
        }
    }
}

/// A part of a request is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {cause}")]
pub struct Wrong {
    /// Which request, from 0.
    pub request: usize,
    /// Which part of it.
    pub part: Part,
    /// Why.
    pub cause: TemplateError,
}

/// All requests of a run.
#[derive(Clone)]
pub struct Requests(Arc<Set>);

struct Set {
    /// At least one.
    forms: Vec<Form>,
    choice: Choice,
    table: Option<Table>,
    rows: RowOrder,
}

impl Requests {
    /// Always the same.
    pub fn one(request: Request) -> Requests {
        Requests::of(vec![request], Choice::Turn)
    }

    /// Several that never change, at least one.
    pub fn of(requests: Vec<Request>, choice: Choice) -> Requests {
        // Plain texts are never wrong.
        let forms = requests.iter().filter_map(|request| Form::new(request, Reading::Plain).ok()).collect();
        Requests::set(forms, choice, None, RowOrder::Turn)
    }

    /// Several whose paths, header values and bodies are templates, at least one. Columns are those of the table.
    ///
    /// # Errors
    /// The first that is none.
    pub fn templates(
        requests: &[Request],
        choice: Choice,
        table: Option<Table>,
        rows: RowOrder,
    ) -> Result<Requests, Wrong> {
        let reading = Reading::Templates(table.as_ref());
        let forms = requests.iter().enumerate().map(|(at, request)| {
            Form::new(request, reading).map_err(|(part, cause)| Wrong { request: at, part, cause })
        });
        let forms = forms.collect::<Result<_, _>>()?;
        Ok(Requests::set(forms, choice, table, rows))
    }

    /// Those of an access log, in its order. `GET` and `HEAD` have no body; all others have this one.
    pub fn replay(
        requests: &[(Method, String)],
        order: Vec<u32>,
        headers: &[Header],
        body: &[u8],
    ) -> Requests {
        // Plain texts are never wrong.
        let rest = |body| Rest::new(headers, body, Reading::Plain).ok().map(Arc::new);
        let (without, with) = (rest(b""), rest(body));
        let forms = requests.iter().filter_map(|(method, path)| {
            let rest = if matches!(*method, Method::GET | Method::HEAD) { &without } else { &with };
            let path = Template::literal(path.as_bytes(), template::Place::Path);
            Some(Form { method: method.clone(), path, rest: rest.clone()?, wire: None })
        });
        Requests::set(forms.collect(), Choice::Order(order), None, RowOrder::Turn)
    }

    fn set(forms: Vec<Form>, choice: Choice, table: Option<Table>, rows: RowOrder) -> Requests {
        debug_assert!(!forms.is_empty());
        Requests(Arc::new(Set { forms, choice, table, rows }))
    }

    /// A thread's way through them. `seed` differs from thread to thread.
    pub fn cursor(&self, seed: u64) -> Cursor {
        Cursor { requests: self.clone(), random: fastrand::Rng::with_seed(seed), buffers: Buffers::default() }
    }
}

/// Where one thread is in the requests of a run.
pub struct Cursor {
    requests: Requests,
    random: fastrand::Rng,
    buffers: Buffers,
}

/// A request ready for HTTP/1.1.
#[derive(Clone, Copy)]
pub struct Http1<'a> {
    /// Head and body.
    pub bytes: &'a [u8],
    /// The method is HEAD: its answer has no body, whatever its head says.
    pub is_head: bool,
}

/// A request ready for HTTP/2.
pub struct Http2<'a> {
    /// The method.
    pub method: &'a Method,
    /// The host, with the port where it is not the scheme's: what is in the header `host`.
    pub authority: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// All headers but `host`, which is the authority, and `connection`, which HTTP/2 does not have.
    pub headers: HeaderMap,
    /// The body.
    pub body: &'a [u8],
}

impl Set {
    fn pick(&self, number: u64, random: &mut fastrand::Rng) -> &Form {
        &self.forms[self.choice.pick(number, self.forms.len(), random)]
    }

    /// What is filled into the request of this number: the same row everywhere in it.
    fn values<'a>(&'a self, number: u64, random: &'a mut fastrand::Rng) -> Values<'a> {
        let row = self.table.as_ref().map(|table| match self.rows {
            RowOrder::Turn => (table, (number % table.rows() as u64) as usize),
            RowOrder::Random => (table, random.usize(0..table.rows())),
        });
        Values { number, row, random }
    }
}

impl Cursor {
    /// The request of this number, for HTTP/1.1. Allocates nothing once its buffers have grown.
    pub fn http1(&mut self, number: u64) -> Http1<'_> {
        let set = &*self.requests.0;
        let form = set.pick(number, &mut self.random);
        let is_head = form.method == Method::HEAD;
        if let Some(bytes) = &form.wire {
            return Http1 { bytes, is_head };
        }
        form.http1(&mut set.values(number, &mut self.random), &mut self.buffers);
        Http1 { bytes: &self.buffers.wire, is_head }
    }

    /// The request of this number, for HTTP/2.
    pub fn http2(&mut self, number: u64) -> Http2<'_> {
        let set = &*self.requests.0;
        let form = set.pick(number, &mut self.random);
        let mut values = set.values(number, &mut self.random);
        let Buffers { wire, path, authority, body } = &mut self.buffers;
        let headers = form.rest.headers(&mut values, wire);
        Http2 {
            method: &form.method,
            authority: text(&form.rest.authority, &mut values, authority),
            path: text(&form.path, &mut values, path),
            headers,
            body: form.rest.body(&mut values, body),
        }
    }
}

/// A part that is ASCII, or was so when it was asked for; empty otherwise.
fn text<'a>(template: &'a Template, values: &mut Values<'_>, buffer: &'a mut Vec<u8>) -> &'a str {
    let bytes = match template.constant() {
        Some(constant) => constant,
        None => {
            buffer.clear();
            template.render(values, buffer);
            buffer
        }
    };
    std::str::from_utf8(bytes).unwrap_or_default()
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split('?').next().unwrap_or_default();
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        write!(f, "Request({} {path}, {names:?}, {} bytes)", self.method, self.body.len())
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Requests({})", self.0.forms.len())
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({:?})", self.requests)
    }
}

impl fmt::Debug for Http1<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Http1({} bytes)", self.bytes.len())
    }
}

impl fmt::Debug for Http2<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "Http2({} {path}, {} bytes)", self.method, self.body.len())
    }
}

#[cfg(test)]
mod tests;
