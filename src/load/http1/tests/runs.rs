use std::io::Read;
use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::server::{refusing, reset, tcp};
use super::*;
use crate::load::batch::Batch;
use crate::load::control::Control;
use crate::load::outcome::End;
use crate::load::request::choice::Choice;
use crate::load::request::table::RowOrder;
use crate::reason::Reason;

fn reasons(outcome: &Outcome) -> Vec<(Reason, u64)> {
    outcome.totals.reasons().collect()
}

/// Passes the time, whoever wakes this thread.
fn pass(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        park_timeout(left);
    }
}

#[test]
fn every_request_is_counted_once_on_both_sides() {
    let (address, counts) = tcp(|visit| visit.always(GOOD));
    let found = go(Plan { threads: 2, ..closed(2000, 8) }, to(address));
    assert_eq!((found.totals.ok, found.totals.sent, counts.requests()), (2000, 2000, 2000));
    assert_eq!((counts.connections(), found.totals.connect.count()), (8, 8));
    assert_eq!(found.totals.statuses().collect::<Vec<_>>(), [(200, 2000)]);
    assert_eq!(found.totals.received, 2000 * GOOD.len() as u64);
    assert_eq!(found.totals.written, 2000 * b"GET / HTTP/1.1\r\nhost: test\r\n\r\n".len() as u64);
    assert_eq!((found.totals.service.ok.count(), found.totals.cut_off.count()), (2000, 0));
    assert_eq!(found.end, End::Done);
}

#[test]
fn connections_end_where_either_side_wants_it() {
    const LAST: &[u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    const OLD: &[u8] = b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi";
    const MORE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi and more";
    for (answer, keep_alive) in [(LAST, true), (OLD, true), (MORE, true), (GOOD, false)] {
        let (address, counts) = tcp(|visit| visit.always(answer));
        let found = go(closed(50, 2), Http1 { keep_alive, ..to(address) });
        let what = answer.escape_ascii();
        assert_eq!((found.totals.ok, counts.requests(), counts.connections()), (50, 50, 50), "{what}");
    }
}

#[test]
fn an_answer_may_end_with_its_connection() {
    let (address, counts) = tcp(|mut visit| {
        visit.request();
        visit.say(b"HTTP/1.1 200 OK\r\n\r\nall ");
        visit.say(b"that there is");
    });
    let found = go(closed(20, 2), to(address));
    assert_eq!((found.totals.ok, counts.connections()), (20, 20));
}

#[test]
fn interim_answers_and_parts_are_put_together() {
    let (address, counts) = tcp(|mut visit| {
        while visit.request().is_some() {
            let answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n\
                HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n";
            for part in answer.chunks(7) {
                visit.say(part);
            }
        }
    });
    let found = go(closed(100, 4), to(address));
    assert_eq!((found.totals.ok, counts.connections()), (100, 4));
    assert_eq!(found.totals.statuses().collect::<Vec<_>>(), [(201, 100)]);
}

#[test]
fn a_connection_lost_in_the_middle_is_a_failure_with_its_reason() {
    let (address, counts) = tcp(|mut visit| {
        while let Some(number) = visit.request() {
            if number % 10 == 0 {
                visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
                return;
            }
            visit.say(GOOD);
        }
    });
    let found = go(closed(100, 3), to(address));
    assert_eq!((found.totals.ok, reasons(&found)), (90, vec![(Reason::Closed, 10)]));
    assert_eq!(counts.requests(), 100);

    let (address, counts) = tcp(|mut visit| {
        while let Some(number) = visit.request() {
            if number % 10 == 0 {
                return reset(visit.stream);
            }
            visit.say(GOOD);
        }
    });
    let found = go(closed(100, 3), to(address));
    assert_eq!((found.totals.ok, reasons(&found)), (90, vec![(Reason::ConnectReset, 10)]));
    assert_eq!(counts.requests(), 100);
}

#[test]
fn what_is_not_http_is_said_so() {
    let wrong: &[&[u8]] = &[
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nhello",
        b"\x16\x03\x01\x02\x00",
    ];
    for answer in wrong {
        let (address, counts) = tcp(|visit| visit.always(answer));
        let found = go(closed(10, 2), to(address));
        assert_eq!(reasons(&found), [(Reason::HttpProtocol, 10)], "{}", answer.escape_ascii());
        assert_eq!(counts.requests(), 10);
    }
    // A head that never ends.
    let (address, _) = tcp(|mut visit| {
        visit.request();
        visit.say(b"HTTP/1.1 200 OK\r\n");
        while visit.say(b"x-endless: really\r\n") {}
    });
    assert_eq!(reasons(&go(closed(2, 1), to(address))), [(Reason::HttpProtocol, 2)]);
}

#[test]
fn no_two_runs_send_the_same_random_values() {
    let (said, heard) = channel();
    let (address, _) = tcp(move |mut visit| {
        let mut head = vec![0; 4096];
        let size = visit.stream.read(&mut head).unwrap();
        said.send(head[..size].to_vec()).unwrap();
        visit.say(GOOD);
    });
    let heads = [(); 2].map(|()| {
        let one = Request { path: "/{uuid}".into(), ..get() };
        let requests = Requests::templates(&[one], Choice::Turn, None, RowOrder::Turn).unwrap();
        assert_eq!(go(closed(1, 1), Http1 { requests, ..to(address) }).totals.ok, 1);
        heard.recv().unwrap()
    });
    assert_ne!(heads[0], heads[1]);
}

#[test]
fn one_who_speaks_first_is_not_taken_for_an_answer() {
    let (address, _) = tcp(|mut visit| {
        visit.say(b"220 mail.example ESMTP\r\n");
        visit.until_closed();
    });
    assert_eq!(reasons(&go(closed(4, 2), to(address))), [(Reason::HttpProtocol, 4)]);
}

#[test]
fn no_request_to_a_server_that_hangs_disappears() {
    let (address, counts) = tcp(|mut visit| {
        visit.request();
        visit.until_closed();
    });
    let timeout = Duration::from_millis(80);
    let found = go(Plan { timeout, ..closed(9, 3) }, to(address));
    assert_eq!((reasons(&found), counts.requests()), (vec![(Reason::Timeout, 9)], 9));
    let fastest = found.totals.service.failed.summary().min_us;
    assert!(fastest >= Some(80_000), "{fastest:?}");
}

#[test]
fn a_server_that_stops_accepting_times_out() {
    // The queue of this listener takes a connection or two, which nobody ever answers.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let found = go(Plan { timeout: Duration::from_millis(80), ..closed(12, 6) }, to(address));
    assert_eq!(found.totals.failures(), 12);
    let known = [Reason::Timeout, Reason::ConnectTimeout];
    assert!(reasons(&found).iter().all(|(reason, _)| known.contains(reason)), "{:?}", reasons(&found));
    assert!(reasons(&found).iter().any(|(reason, _)| *reason == Reason::ConnectTimeout));
}

#[test]
fn refused_requests_fail_and_the_server_is_not_hammered() {
    let found = go(closed(8, 2), to(refusing()));
    assert_eq!(reasons(&found), [(Reason::ConnectRefused, 8)]);
    assert_eq!((found.totals.sent, found.totals.connect.count()), (0, 0));
    // Each worker pauses 10 ms, then 20 and 40.
    assert!(found.elapsed >= Duration::from_millis(70), "{:?}", found.elapsed);
    // In the open loop each has an attempt of its own when it is due, whatever became of the last one.
    let stop = Stop { requests: Some(200), duration: Some(Duration::from_secs(5)) };
    let found = go(Plan { stop, ..open(1000.0, 0, 4) }, to(refusing()));
    assert_eq!((reasons(&found), found.unsent), (vec![(Reason::ConnectRefused, 200)], 0));
}

#[test]
fn connections_go_to_all_addresses_in_turn_and_around_those_that_refuse() {
    let (one, of_one) = tcp(|visit| visit.always(GOOD));
    let (two, of_two) = tcp(|visit| visit.always(GOOD));
    let found = go(closed(100, 6), http1(Way::Tcp(vec![one, two])));
    assert_eq!((found.totals.ok, of_one.connections(), of_two.connections()), (100, 3, 3));
    let found = go(closed(100, 6), http1(Way::Tcp(vec![refusing(), one])));
    assert_eq!((found.totals.ok, of_one.connections()), (100, 9));
}

#[test]
fn connections_are_opened_one_after_the_other() {
    let (address, counts) = tcp(|visit| visit.always(GOOD));
    let stop = Stop { requests: None, duration: Some(Duration::from_millis(150)) };
    let found = go(Plan { stop, ramp_up: Duration::from_secs(1000), ..closed(0, 10) }, to(address));
    assert_eq!(counts.connections(), 1);
    assert_eq!((found.totals.ok, found.totals.sent), (counts.requests(), counts.requests()));
}

#[test]
fn at_the_end_answers_are_waited_for_but_not_for_ever() {
    let slow = |delay: u64| {
        tcp(move |mut visit| {
            while visit.request().is_some() {
                pass(Duration::from_millis(delay));
                visit.say(GOOD);
            }
        })
    };
    let stop = Stop { requests: None, duration: Some(Duration::from_millis(100)) };
    let (address, counts) = slow(250);
    let found = go(Plan { stop, ..closed(0, 3) }, to(address));
    assert_eq!((found.totals.ok, counts.requests(), found.totals.cut_off.count()), (3, 3, 0));

    let (address, counts) = slow(60_000);
    let found = go(Plan { stop, grace: Duration::from_millis(50), ..closed(0, 3) }, to(address));
    assert_eq!((found.totals.sent, counts.requests(), found.totals.cut_off.count()), (3, 3, 3));
    let age = found.totals.cut_off.summary().min_us;
    assert!(age >= Some(100_000), "{age:?}");
}

#[test]
fn a_stop_cuts_off_what_is_under_way() {
    let (said, heard) = channel();
    let (address, counts) = tcp(move |mut visit| {
        visit.request();
        said.send(()).unwrap();
        visit.until_closed();
    });
    let token = CancellationToken::new();
    let stop = token.clone();
    let stopper = std::thread::spawn(move || {
        (0..3).for_each(|_| heard.recv().unwrap());
        stop.cancel();
    });
    let found = judged(closed(100, 3), to(address), None::<crate::load::guard::Guard>, &token);
    stopper.join().unwrap();
    assert_eq!((found.end.clone(), found.totals.requests()), (End::Stopped, 0));
    assert_eq!((found.totals.cut_off.count(), found.totals.sent, counts.requests()), (3, 3, 3));
}

#[test]
fn the_open_loop_shows_a_stall_as_users_feel_it() {
    let (address, counts) = tcp(|mut visit| {
        while let Some(number) = visit.request() {
            if number == 50 {
                pass(Duration::from_millis(300));
            }
            visit.say(GOOD);
        }
    });
    let found = go(open(1000.0, 400, 1), to(address));
    assert_eq!((found.totals.ok, counts.requests(), found.offered), (400, 400, Some(400)));
    assert_eq!((found.totals.late.count(), found.unsent), (400, 0));
    // Some 300 were due while one was stalled: one of them was slow to be served, all were slow to be answered.
    let slow = |histogram: &crate::histogram::Histogram| histogram.summary().p50_us;
    let (service, response) = (slow(&found.totals.service.ok), slow(&found.totals.response.ok));
    assert!(response > Some(50_000) && service < response, "{response:?} {service:?}");
    assert!(found.totals.late.summary().p90_us > Some(100_000));
}

#[test]
fn an_idle_connection_that_is_closed_is_opened_again() {
    let (address, counts) = tcp(|mut visit| {
        visit.request();
        visit.say(GOOD);
    });
    let found = go(open(50.0, 20, 2), to(address));
    assert_eq!((found.totals.ok, counts.requests(), found.totals.failures()), (20, 20, 0));
}

#[test]
fn what_the_open_loop_cannot_send_is_left_at_the_end() {
    let (address, counts) = tcp(|mut visit| {
        visit.request();
        visit.until_closed();
    });
    let stop = Stop { requests: None, duration: Some(Duration::from_millis(100)) };
    let plan = Plan { stop, grace: Duration::from_millis(10), ..open(1000.0, 0, 2) };
    let found = go(plan, to(address));
    assert_eq!((found.totals.sent, counts.requests(), found.totals.cut_off.count()), (2, 2, 2));
    assert_eq!((found.offered, found.unsent), (Some(100), 98));
}

/// A breaker that never lets anything pass.
struct Nobody;

impl Judge for Nobody {
    fn look(&mut self, _: Duration, _: &Batch, _: &Batch, control: &Control) -> Option<End> {
        control.admit(Some(0));
        None
    }
}

#[test]
fn an_open_breaker_keeps_requests_back_without_a_busy_loop() {
    let (address, counts) = tcp(|visit| visit.always(GOOD));
    let stop = Stop { requests: None, duration: Some(Duration::from_millis(300)) };
    let found = judged(Plan { stop, ..closed(0, 1) }, to(address), Nobody, &CancellationToken::new());
    assert_eq!((found.totals.ok, found.totals.failures()), (counts.requests(), 0));
    let kept_back = found.totals.short_circuited;
    assert!((1..=31).contains(&kept_back), "{kept_back}");
}
