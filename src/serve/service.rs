//! What happens to one request: probes first, then faults, then the answer.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use hyper::body::{Body as _, Incoming};
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};

use super::access_log::Line;
use super::body::{self, Body, Broken, Exchange, Faulty, Kind, Unread};
use super::connection::{Connection, Role};
use super::counters;
use super::fault::{Decision, End};
use super::respond::Prepared;
use super::shared::Handler;
use super::{echo, files, probes};

/// Answers the requests of one connection.
#[derive(Clone)]
pub(super) struct Service(pub(super) Arc<Connection>);

/// The answer, or the way to it.
pub(super) enum Reply {
    /// No waiting, no allocation.
    Now(Option<Response<Body>>),
    /// Anything else.
    Later(Pin<Box<dyn Future<Output = Result<Response<Body>, Broken>> + Send>>),
}

impl Future for Reply {
    type Output = Result<Response<Body>, Broken>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Reply::Now(response) => Poll::Ready(response.take().ok_or(Broken)),
            Reply::Later(future) => future.as_mut().poll(cx),
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Body>;
    type Error = Broken;
    type Future = Reply;

    fn call(&self, request: Request<Incoming>) -> Reply {
        let connection = &self.0;
        let shared = &connection.shared;
        if !is_sound(&request) {
            let line = shared.log.as_ref().map(|_| Box::new(Line::new(connection.peer, &request)));
            let exchange = Exchange::begin(connection, connection.role == Role::Main, line);
            let draft = refuse(StatusCode::BAD_REQUEST, connection, request.version());
            return Reply::Now(Some(finish(draft, exchange, request.version())));
        }
        if (connection.role == Role::Admin || shared.probes_on_main)
            && let Some(probe) = probes::find(request.uri().path(), connection.role)
        {
            let exchange = Exchange::begin(connection, false, None);
            let draft = probes::answer(probe, request.method(), shared);
            return Reply::Now(Some(finish(draft, exchange, request.version())));
        }
        let line = shared.log.as_ref().map(|_| Box::new(Line::new(connection.peer, &request)));
        let exchange = Exchange::begin(connection, true, line);
        match &shared.handler {
            Handler::Respond(prepared) if shared.plan.is_empty() && is_plain(&request) => {
                let version = request.version();
                // Even the request's header map is used again.
                let draft = prepared.draft(request.into_parts().0.headers);
                Reply::Now(Some(finish(draft, exchange, version)))
            }
            _ => Reply::Later(Box::pin(exchange_with_care(request, exchange))),
        }
    }
}

/// What hyper lets pass and RFC 9112 does not: anything but one valid `Host` (3.2), or a doubtful framing (6.1).
/// Whoever stands before this server may have read such a request otherwise. RFC 9113, 8.3.1: a path.
fn is_sound(request: &Request<Incoming>) -> bool {
    let version = request.version();
    if version > Version::HTTP_11 {
        return *request.method() == Method::CONNECT || has_path(request.uri());
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let valid = match hosts.next() {
        Some(host) => host.as_bytes().iter().all(|&byte| may_be_in_host(byte)),
        None => version < Version::HTTP_11,
    };
    valid && hosts.next().is_none() && (request.body().is_end_stream() || is_framed(request.headers()))
}

/// A path that is not there reads `/`, too; only one that is there equals it.
fn has_path(uri: &Uri) -> bool {
    uri.path_and_query().is_some_and(|path| path.as_str() != "/" || *path == PathAndQuery::from_static("/"))
}

/// `host [":" port]` of RFC 3986: unreserved characters, escapes, delimiters, brackets.
fn may_be_in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte)
}

/// At most one coding, and that is `chunked`.
fn is_framed(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    codings.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        && codings.next().is_none()
}

/// Nothing to wait for: no body, and no tunnel asked for.
fn is_plain(request: &Request<Incoming>) -> bool {
    request.body().is_end_stream() && *request.method() != Method::CONNECT
}

impl Prepared {
    /// The fixed answer, with an old header map to be filled anew.
    fn draft(&self, mut headers: HeaderMap) -> Draft {
        headers.clear();
        headers.insert(CONTENT_TYPE, self.content_type.clone());
        Draft { status: self.status, headers, kind: Kind::from(self.body.clone()) }
    }
}

/// An answer without the record of its request.
pub(super) struct Draft {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) kind: Kind,
}

impl Draft {
    pub(super) fn text(status: StatusCode, text: impl Into<bytes::Bytes>) -> Draft {
        Draft::new(status, "text/plain; charset=utf-8", text)
    }

    pub(super) fn new(status: StatusCode, media: &'static str, text: impl Into<bytes::Bytes>) -> Draft {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        Draft { status, headers, kind: Kind::text(text) }
    }

    /// The status and its name as text.
    pub(super) fn plain(status: StatusCode) -> Draft {
        let reason = status.canonical_reason().unwrap_or("unnamed status");
        Draft::text(status, format!("{} {reason}\n", status.as_u16()))
    }
}

/// 405 with the methods that would do.
pub(super) fn refuse_method(allowed: &'static str) -> Draft {
    let mut draft = Draft::plain(StatusCode::METHOD_NOT_ALLOWED);
    draft.headers.insert(ALLOW, HeaderValue::from_static(allowed));
    draft
}

/// Joins the answer with the record of its request. While draining, HTTP/1 clients are asked to go.
fn finish(draft: Draft, mut exchange: Exchange, version: Version) -> Response<Body> {
    let Draft { status, mut headers, kind } = draft;
    if exchange.connection().shared.draining() && version <= Version::HTTP_11 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    exchange.status = status.as_u16();
    let mut response = Response::new(Body::new(kind, exchange));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The long way: the body is read, faults are injected, the handler may wait.
async fn exchange_with_care(
    request: Request<Incoming>,
    mut exchange: Exchange,
) -> Result<Response<Body>, Broken> {
    let connection = Arc::clone(exchange.connection());
    let shared = &connection.shared;
    let (parts, body) = request.into_parts();
    let (version, head) = (parts.version, parts.method == Method::HEAD);
    let decision = if shared.plan.is_empty() {
        Decision::default()
    } else {
        shared.plan.decide(shared.next_request(), shared.started.elapsed())
    };
    shared.counters.inject(&decision);
    if let Some(line) = &mut exchange.line {
        line.fault = counters::describe(&decision);
    }
    let limits = &shared.limits;
    let received = body::drain(body, limits.body_size, limits.body_timeout).await;
    if let Some(pause) = decision.pause {
        tokio::time::sleep(pause).await;
    }
    let mut draft = match (received, decision.end) {
        (Err(unread), _) => refuse_body(unread, &connection, version),
        (Ok(_), Some(End::Status(code))) => {
            Draft::plain(StatusCode::from_u16(code).unwrap_or(StatusCode::SERVICE_UNAVAILABLE))
        }
        (Ok(_), Some(End::Close)) => return Err(Broken),
        (Ok(_), Some(End::Reset)) => {
            // On HTTP/2 hyper resets the stream; the connection carries others.
            connection.reset.store(version <= Version::HTTP_11, Relaxed);
            return Err(Broken);
        }
        (Ok(size), _) => {
            if matches!(shared.handler, Handler::Files(_)) {
                exchange.turn = connection.turn().await;
            }
            handle(parts, size, &connection).await
        }
    };
    let truncate = decision.end == Some(End::Truncate);
    if !head && (truncate || decision.drip.is_some()) {
        // Truncating nothing promises one byte, so that a length given by the handler would be wrong.
        draft.headers.remove(CONTENT_LENGTH);
        draft.kind = Kind::Faulty(Box::new(Faulty::new(draft.kind, truncate, decision.drip)));
    }
    Ok(finish(draft, exchange, version))
}

/// The answer proper.
async fn handle(parts: Parts, body_size: u64, connection: &Connection) -> Draft {
    if parts.method == Method::CONNECT {
        return refuse_method("GET, HEAD");
    }
    match &connection.shared.handler {
        Handler::Respond(prepared) => prepared.draft(parts.headers),
        Handler::Echo => echo::answer(&parts, body_size, connection),
        Handler::Files(root) => files::answer(root, parts).await,
        Handler::Feed(feed) => feed.answer(&parts),
        // Its listeners are all for probes, which were answered before.
        Handler::Metrics(_) => Draft::plain(StatusCode::NOT_FOUND),
    }
}

/// The body was too much, too slow or broken.
fn refuse_body(unread: Unread, connection: &Connection, version: Version) -> Draft {
    let status = match unread {
        Unread::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Unread::TimedOut => StatusCode::REQUEST_TIMEOUT,
        Unread::Malformed => StatusCode::BAD_REQUEST,
    };
    refuse(status, connection, version)
}

/// Says so, and closes, for what follows on the connection cannot be trusted.
fn refuse(status: StatusCode, connection: &Connection, version: Version) -> Draft {
    let mut draft = Draft::plain(status);
    if version <= Version::HTTP_11 {
        connection.unread.store(true, Relaxed);
        draft.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    draft
}
