//! One request, put together as far as it can be before the run.

use std::io::Write as _;
use std::sync::Arc;

use hyper::Method;
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue};

use super::framing::Header;
use super::table::Table;
use super::template::{Place, Template, TemplateError, Values};
use super::{Part, Request};

/// A request whose parts may change.
pub(super) struct Form {
    pub method: Method,
    pub path: Template,
    pub rest: Arc<Rest>,
    /// As it goes over the wire, where nothing changes. A replay, which may have very many requests, has none.
    pub wire: Option<Vec<u8>>,
}

/// What the many requests of a replay have in common.
pub(super) struct Rest {
    /// All headers but those that frame the body, as HTTP/1.1 has them.
    lines: Template,
    /// For HTTP/2: the value of `host`, all others that never change, and those that do.
    pub authority: Template,
    fixed: HeaderMap,
    changing: Vec<(HeaderName, Template)>,
    body: Template,
}

/// Buffers that are used again for every request.
#[derive(Default)]
pub(super) struct Buffers {
    pub wire: Vec<u8>,
    pub path: Vec<u8>,
    pub authority: Vec<u8>,
    pub body: Vec<u8>,
}

/// How texts become templates: as they are, or with parts that change.
#[derive(Clone, Copy)]
pub(super) enum Reading<'a> {
    Plain,
    Templates(Option<&'a Table>),
}

impl Reading<'_> {
    fn read(self, text: &[u8], place: Place) -> Result<Template, TemplateError> {
        match self {
            Reading::Plain => Ok(Template::literal(text, place)),
            Reading::Templates(table) => Template::compile(text, place, table),
        }
    }
}

impl Form {
    /// # Errors
    /// The part that is no template, and why.
    pub fn new(request: &Request, reading: Reading<'_>) -> Result<Form, (Part, TemplateError)> {
        let path = reading.read(request.path.as_bytes(), Place::Path).map_err(|e| (Part::Path, e))?;
        let rest = Arc::new(Rest::new(&request.headers, &request.body, reading)?);
        let mut form = Form { method: request.method.clone(), path, rest, wire: None };
        form.wire = form.constant();
        Ok(form)
    }

    fn constant(&self) -> Option<Vec<u8>> {
        [&self.path, &self.rest.lines, &self.rest.body]
            .iter()
            .try_for_each(|part| part.constant().map(drop))?;
        let mut buffers = Buffers::default();
        let mut values = Values { number: 0, row: None, random: &mut fastrand::Rng::with_seed(0) };
        self.http1(&mut values, &mut buffers);
        Some(buffers.wire)
    }

    /// Head and body for HTTP/1.1 (RFC 9112), into the buffer of the wire.
    pub fn http1(&self, values: &mut Values<'_>, buffers: &mut Buffers) {
        let Buffers { wire, body, .. } = buffers;
        wire.clear();
        wire.extend_from_slice(self.method.as_str().as_bytes());
        wire.push(b' ');
        self.path.render(values, wire);
        wire.extend_from_slice(b" HTTP/1.1\r\n");
        self.rest.lines.render(values, wire);
        let body = self.rest.body(values, body);
        // RFC 9110, 8.6: a length also where a body is expected and there is none.
        if !body.is_empty() || matches!(self.method, Method::POST | Method::PUT | Method::PATCH) {
            // Writing to a Vec cannot fail.
            let _ = write!(wire, "content-length: {}\r\n", body.len());
        }
        wire.extend_from_slice(b"\r\n");
        wire.extend_from_slice(body);
    }
}

impl Rest {
    pub fn new(headers: &[Header], body: &[u8], reading: Reading<'_>) -> Result<Rest, (Part, TemplateError)> {
        let mut rest = Rest {
            lines: Template::default(),
            authority: Template::default(),
            fixed: HeaderMap::new(),
            changing: Vec::new(),
            body: reading.read(body, Place::Body).map_err(|error| (Part::Body, error))?,
        };
        for (name, value) in headers {
            let wrong = |error| (Part::Header(name.clone()), error);
            let template = reading.read(value.as_bytes(), Place::Header).map_err(wrong)?;
            rest.push(name, value, template);
        }
        Ok(rest)
    }

    fn push(&mut self, name: &HeaderName, value: &HeaderValue, template: Template) {
        self.lines.push_literal(name.as_str().as_bytes(), Place::Header);
        self.lines.push_literal(b": ", Place::Header);
        self.lines.push(&template);
        self.lines.push_literal(b"\r\n", Place::Header);
        match template.constant().map(HeaderValue::from_bytes) {
            _ if name == HOST => self.authority = template,
            // RFC 9113, 8.2.2: HTTP/2 has no headers about the connection.
            _ if name == CONNECTION => {}
            Some(Ok(mut constant)) => {
                constant.set_sensitive(value.is_sensitive());
                // Only fails above 32,768 headers, which no server reads.
                let _ = self.fixed.try_append(name, constant);
            }
            _ => self.changing.push((name.clone(), template)),
        }
    }

    /// All headers for HTTP/2 but `host`.
    pub fn headers(&self, values: &mut Values<'_>, buffer: &mut Vec<u8>) -> HeaderMap {
        let mut headers = self.fixed.clone();
        for (name, template) in &self.changing {
            buffer.clear();
            template.render(values, buffer);
            // All that can be filled in can stand in a header: this was seen to when it was compiled.
            if let Ok(value) = HeaderValue::from_bytes(buffer) {
                let _ = headers.try_append(name, value);
            }
        }
        headers
    }

    /// The body, from the buffer where it changes.
    pub fn body<'a>(&'a self, values: &mut Values<'_>, buffer: &'a mut Vec<u8>) -> &'a [u8] {
        if let Some(constant) = self.body.constant() {
            return constant;
        }
        buffer.clear();
        self.body.render(values, buffer);
        buffer
    }
}
