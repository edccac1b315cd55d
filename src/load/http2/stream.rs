//! One worker: sends a request on a stream of its connection, waits for its whole answer, and takes the next turn.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::ResponseFuture;
use hyper::header::{CONTENT_LENGTH, HeaderValue};
use hyper::http::uri::Scheme;
use hyper::{Request, Uri};
use tokio::time::{Instant, Sleep};

use super::super::request::Cursor;
use super::Http2;
use super::connection::{Leave, Session};
use super::desk::{Desk, Due, Next};
use crate::reason::Reason;

/// Between two requests that a breaker kept back.
const PAUSE: Duration = Duration::from_millis(10);

/// Until there is nothing more to send.
pub(super) async fn work(desk: Rc<Desk>, worker: usize) {
    let connection = &desk.connections[worker / desk.streams];
    let mut deadline = Deadline::new();
    while let Some(joined) = connection.join(&desk).await {
        match joined {
            Ok(leave) => send_on(&desk, worker, leave, &mut deadline).await,
            Err(reason) => desk.fail_one(reason),
        }
    }
    desk.leave();
}

/// Sends one request after the other, as long as the connection takes any.
async fn send_on(desk: &Desk, worker: usize, leave: Leave, deadline: &mut Deadline) {
    let mut now = desk.clock.now();
    while leave.holds() {
        match desk.ask(now) {
            Next::Send(due) => now = exchange(desk, worker, leave.session(), due, now, deadline).await,
            Next::Wait(_) => {
                let handed = desk.idle(worker, leave.session()).await;
                now = desk.clock.now();
                if let Some(due) = handed {
                    now = exchange(desk, worker, leave.session(), due, now, deadline).await;
                }
            }
            Next::Pause => {
                tokio::time::sleep(PAUSE).await;
                now = desk.clock.now();
            }
            Next::Over => return,
        }
    }
}

/// One request and its answer; returns when that ended.
async fn exchange(
    desk: &Desk,
    worker: usize,
    session: &Session,
    due: Due,
    now: u64,
    deadline: &mut Deadline,
) -> u64 {
    desk.sent(worker, due.due, now);
    deadline.set(desk.instant(now).checked_add(desk.plan.timeout));
    let begun = desk.letters.borrow_mut().send(session, due.number);
    let result = match begun {
        Ok((response, stream)) => answer(session, response, stream, deadline).await,
        Err(reason) => Err(reason),
    };
    if result.is_ok() {
        session.answered.set(true);
    }
    let now = desk.clock.now();
    desk.ended(worker, now, result);
    now
}

/// The status of the answer, once all of it is there.
async fn answer(
    session: &Session,
    response: ResponseFuture,
    mut stream: SendStream<Bytes>,
    deadline: &mut Deadline,
) -> Result<u16, Reason> {
    let heard = session.heard();
    let mut whole = pin!(whole(response));
    let result = poll_fn(|context| match whole.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(result.map_err(|error| session.blame(&error))),
        Poll::Pending => deadline.poll(context).map(|()| Err(Reason::Timeout)),
    })
    .await;
    if result == Err(Reason::Timeout) {
        if session.heard() == heard {
            session.give_up();
        }
        stream.send_reset(h2::Reason::CANCEL);
    }
    result
}

/// Reads an answer to its end, and throws its body away.
async fn whole(response: ResponseFuture) -> Result<u16, h2::Error> {
    let response = response.await?;
    let status = response.status().as_u16();
    let mut body = response.into_body();
    while let Some(part) = body.data().await {
        body.flow_control().release_capacity(part?.len())?;
    }
    Ok(status)
}

/// Turns requests into what the protocol sends.
pub(super) struct Letters {
    cursor: Cursor,
    scheme: Scheme,
    /// Of the last request: most are like the one before.
    path: String,
    authority: String,
    uri: Uri,
}

impl Letters {
    pub(super) fn new(load: &Http2) -> Letters {
        Letters {
            cursor: load.requests.cursor(fastrand::u64(..)),
            scheme: if load.endpoint.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP },
            path: String::new(),
            authority: String::new(),
            uri: Uri::default(),
        }
    }

    /// Gives the request of this number to the connection.
    fn send(
        &mut self,
        session: &Session,
        number: u64,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), Reason> {
        let next = self.cursor.http2(number);
        if next.path != self.path || next.authority != self.authority {
            let uri = Uri::builder()
                .scheme(self.scheme.clone())
                .authority(next.authority)
                .path_and_query(next.path);
            self.uri = uri.build().map_err(|_| Reason::HttpProtocol)?;
            next.path.clone_into(&mut self.path);
            next.authority.clone_into(&mut self.authority);
        }
        let mut request = Request::new(());
        *request.method_mut() = next.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = next.headers;
        let bodiless = next.body.is_empty();
        if !bodiless {
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(next.body.len()));
        }
        let sent = session.sender().send_request(request, bodiless);
        let (response, mut stream) = sent.map_err(|error| session.blame(&error))?;
        if !bodiless {
            // Waits in the stream for the peer's leave to send it.
            let body = Bytes::copy_from_slice(next.body);
            stream.send_data(body, true).map_err(|error| session.blame(&error))?;
        }
        Ok((response, stream))
    }
}

/// The deadline of one request after the other. Its timer is moved only when it goes off too early, once per timeout
/// and not per request.
struct Deadline {
    timer: Option<Pin<Box<Sleep>>>,
    /// `None`: never.
    at: Option<Instant>,
}

impl Deadline {
    fn new() -> Deadline {
        Deadline { timer: None, at: None }
    }

    /// Never earlier than the one before.
    fn set(&mut self, at: Option<Instant>) {
        self.at = at;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        loop {
            ready!(timer.as_mut().poll(context));
            if timer.deadline() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
    }
}
