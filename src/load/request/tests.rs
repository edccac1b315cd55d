//! Requests as they go over the wire.

use hyper::header::HeaderValue;

use super::choice::Weights;
use super::framing::{defaults, over, typed_header};
use super::*;

fn request(method: Method, path: &str, headers: &[&str], body: &str) -> Request {
    let given: Vec<Header> = headers.iter().map(|text| typed_header(text).unwrap()).collect();
    let headers = over(vec![defaults(HeaderValue::from_static("h:80")).remove(0)], &given);
    Request { method, path: path.into(), headers, body: body.into() }
}

fn wire(cursor: &mut Cursor, number: u64) -> String {
    String::from_utf8(cursor.http1(number).bytes.to_vec()).unwrap()
}

fn table(text: &str) -> Option<Table> {
    Some(Table::read(text.as_bytes()).unwrap())
}

#[test]
fn a_plain_request_is_sent_as_it_is_braces_and_all() {
    let body = "{\"id\": {n}}";
    let mut cursor = Requests::one(request(Method::PUT, "/{n}?a=%20", &["x-a: {n}"], body)).cursor(1);
    let expected =
        "PUT /{n}?a=%20 HTTP/1.1\r\nhost: h:80\r\nx-a: {n}\r\ncontent-length: 11\r\n\r\n{\"id\": {n}}";
    assert_eq!(wire(&mut cursor, 0), expected);
    let sent = cursor.http2(0);
    assert_eq!((sent.authority, sent.path, sent.body), ("h:80", "/{n}?a=%20", body.as_bytes()));
    assert_eq!((sent.headers.len(), &sent.headers["x-a"]), (1, &HeaderValue::from_static("{n}")));
}

#[test]
fn a_length_stands_where_there_is_a_body_or_could_be() {
    let head = |method, body| {
        let mut cursor = Requests::one(request(method, "/", &[], body)).cursor(1);
        (wire(&mut cursor, 0).contains("content-length"), cursor.http1(0).is_head)
    };
    assert_eq!(head(Method::GET, ""), (false, false));
    assert_eq!(head(Method::HEAD, ""), (false, true));
    assert_eq!(head(Method::GET, "x"), (true, false));
    assert_eq!(head(Method::POST, ""), (true, false));
    assert_eq!(head(Method::DELETE, ""), (false, false));
}

#[test]
fn templates_are_filled_in_everywhere_from_one_row() {
    let mut one = request(Method::POST, "/{id}", &["x-a: {csv:name}", "host: {id}.h"], "{{{id}:{name}}}");
    one.headers.push((hyper::header::CONNECTION, HeaderValue::from_static("close")));
    let table = table("id,name\n1,a b\n20,b\n");
    let requests = Requests::templates(&[one], Choice::Turn, table, RowOrder::Turn).unwrap();
    let mut cursor = requests.cursor(1);
    let second =
        "POST /20 HTTP/1.1\r\nx-a: b\r\nhost: 20.h\r\nconnection: close\r\ncontent-length: 6\r\n\r\n{20:b}";
    assert!(wire(&mut cursor, 0).ends_with("content-length: 7\r\n\r\n{1:a b}"));
    assert_eq!(wire(&mut cursor, 1), second);
    assert_eq!(wire(&mut cursor, 3), second);
    let sent = cursor.http2(2);
    assert_eq!((sent.authority, sent.path, sent.body), ("1.h", "/1", &b"{1:a b}"[..]));
    assert_eq!((sent.headers.len(), &sent.headers["x-a"]), (1, &HeaderValue::from_static("a b")));
}

#[test]
fn rows_by_chance_are_all_used_and_never_mixed() {
    let one = request(Method::GET, "/{a}/{b}", &[], "");
    let table = table("a,b\n1,1\n2,2\n3,3\n");
    let requests = Requests::templates(&[one], Choice::Turn, table, RowOrder::Random).unwrap();
    let mut cursor = requests.cursor(9);
    let lines: std::collections::BTreeSet<String> =
        (0..100).map(|_| wire(&mut cursor, 0).lines().next().unwrap().to_owned()).collect();
    let expected = ["GET /1/1 HTTP/1.1", "GET /2/2 HTTP/1.1", "GET /3/3 HTTP/1.1"].map(str::to_owned);
    assert_eq!(lines, expected.into());
}

#[test]
fn a_part_that_is_no_template_is_named() {
    let requests = [request(Method::GET, "/{n}", &[], ""), request(Method::GET, "/", &["x-a: {x}"], "")];
    let wrong = Requests::templates(&requests, Choice::Turn, None, RowOrder::Turn).unwrap_err();
    assert_eq!((wrong.request, wrong.part.to_string()), (1, "header x-a".to_owned()));
    assert!(wrong.to_string().starts_with("header x-a: unknown {x}: known are {number} or {n}"), "{wrong}");
}

#[test]
fn several_are_chosen_by_weight_in_turn_or_in_order() {
    let all = ["/a", "/b"].map(|path| request(Method::GET, path, &[], "")).to_vec();
    let paths = |choice: Choice| {
        let mut cursor = Requests::of(all.clone(), choice).cursor(5);
        (0..4).map(|number| wire(&mut cursor, number)[5..6].to_owned()).collect::<String>()
    };
    assert_eq!(paths(Choice::Turn), "abab");
    assert_eq!(paths(Choice::Order(vec![1, 1, 0, 1])), "bbab");
    assert_eq!(paths(Choice::Weights(Weights::new([0, 7]))), "bbbb");
}

#[test]
fn a_replay_sends_its_requests_in_order() {
    let requests = [(Method::GET, "/a".to_owned()), (Method::PUT, "/b".to_owned())];
    let headers = defaults(HeaderValue::from_static("h"));
    let mut cursor = Requests::replay(&requests, vec![1, 0], &headers, b"{}").cursor(1);
    assert!(wire(&mut cursor, 0).starts_with("PUT /b HTTP/1.1\r\nhost: h\r\nuser-agent: hardy/"));
    assert!(wire(&mut cursor, 0).ends_with("accept: */*\r\ncontent-length: 2\r\n\r\n{}"));
    assert!(wire(&mut cursor, 1).starts_with("GET /a "));
    assert!(wire(&mut cursor, 1).ends_with("accept: */*\r\n\r\n"));
    let sent = cursor.http2(0);
    assert_eq!((sent.path, sent.body), ("/b", &b"{}"[..]));
}

#[test]
fn nothing_secret_is_in_a_debug_form() {
    let one = request(Method::POST, "/a?token=s3cret", &["authorization: s3cret", "x-a: s3cret"], "s3cret");
    let templates = std::slice::from_ref(&one);
    let templates =
        Requests::templates(templates, Choice::Turn, table("a\ns3cret\n"), RowOrder::Turn).unwrap();
    let shown = format!("{one:?} {templates:?}");
    let mut cursor = Requests::one(one).cursor(1);
    let shown = format!("{shown} {cursor:?}");
    let shown = format!("{shown} {:?}", cursor.http1(0));
    let shown = format!("{shown} {:?}", cursor.http2(0));
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(format!("{:?}", cursor.http2(0).headers["authorization"]).contains("Sensitive"));
}
