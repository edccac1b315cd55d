//! Putting a request together allocates nothing once its buffers have grown: counted by an allocator that counts.

mod counting;

use std::hint::black_box;

use counting::allocations_of;
use hardy::load::request::choice::{Choice, Weights};
use hardy::load::request::table::{RowOrder, Table};
use hardy::load::request::{Request, Requests};
use hyper::Method;
use hyper::header::{HOST, HeaderName, HeaderValue};

/// Of ten thousand requests, after as many that let the buffers grow.
fn allocations(requests: &Requests) -> u64 {
    let mut cursor = requests.cursor(7);
    let mut ten_thousand = || {
        for number in 0..10_000 {
            black_box(cursor.http1(number));
        }
    };
    ten_thousand();
    allocations_of(ten_thousand)
}

fn request(path: &str) -> Request {
    let header = (HeaderName::from_static("x-id"), HeaderValue::from_static("{uuid}"));
    Request {
        method: Method::POST,
        path: path.into(),
        headers: vec![(HOST, HeaderValue::from_static("h")), header],
        body: b"{{\"n\": {n}, \"name\": \"{csv:name}\", \"at\": {time}, \"r\": {random:1-1000000}}}".to_vec(),
    }
}

#[test]
fn rendering_templates_allocates_nothing() {
    let table = Table::read(&b"name\na b\n\xc3\xbcber/\n"[..]).unwrap();
    let requests = [request("/{n}/{name}"), request("/{uuid}?{line}")];
    let weights = Choice::Weights(Weights::new([1, 9]));
    let requests = Requests::templates(&requests, weights, Some(table), RowOrder::Random).unwrap();
    assert_eq!(allocations(&requests), 0);
}

#[test]
fn choosing_and_replaying_requests_allocates_nothing() {
    let requests = Requests::of(vec![request("/a"), request("/b")], Choice::Turn);
    assert_eq!(allocations(&requests), 0);
    let log = [(Method::GET, "/a".to_owned()), (Method::POST, "/b".to_owned())];
    let order = (0..10_000).map(|n| n % 2).collect();
    let requests = Requests::replay(&log, order, &request("/").headers, b"body");
    assert_eq!(allocations(&requests), 0);
}
