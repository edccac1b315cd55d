//! DNS, answered by dnsmasq.

use std::net::UdpSocket;

use super::servers::dnsmasq;
use super::{assert_down, assert_up};
use crate::fixtures::refused;

#[test]
fn records_are_there_and_as_expected() {
    let more = ["--mx-host=m.test,mx.test,10", "--txt-record=t.test,v=1", "--host-record=six.test,fd00::7"];
    let mut server = dnsmasq(&more);
    let of = |rest: &str| server.url("") + "/" + rest;
    assert_up(&of("a.test"), &[], "10.0.0.7");
    assert_up(&of("A.TEST.?transport=tcp"), &["--expect-answer", "10.0.0.7"], "10.0.0.7");
    assert_up(&of("m.test?type=MX"), &["--expect-answer", "10 mx.test"], "10 mx.test");
    assert_up(&of("t.test?type=txt"), &["--expect-answer", "v=1"], "v=1");
    assert_up(&of("six.test?type=AAAA"), &[], "fd00::7");
    assert_down(
        &of("a.test"),
        &["--expect-answer", "10.0.0.8"],
        "answer.mismatch",
        "expected 10.0.0.8, got 10.0.0.7",
    );
    assert_down(&of("none.test"), &[], "dns.answer", "none.test A: NXDOMAIN");
    assert_down(&of("t.test?type=MX"), &[], "dns.answer", "t.test has no MX record");
    // Nobody to ask further.
    assert_down(&of("else.example"), &[], "dns.answer", "REFUSED");
    let url = of("a.test");
    server.signal("STOP");
    assert_down(&url, &["--timeout", "300ms"], "timeout", "no answer within 300ms");
    server.kill();
    assert_down(&url, &[], "connect.refused", "connection refused");
    assert_down(&(url + "?transport=tcp"), &[], "connect.refused", "connection refused");
}

/// 60 records have no room in a datagram.
#[test]
fn a_truncated_answer_is_asked_for_again_by_tcp() {
    let records: Vec<_> = (0..60).map(|i| format!("--txt-record=t.test,{i:0>100}")).collect();
    let server = dnsmasq(&records.iter().map(String::as_str).collect::<Vec<_>>());
    let last = format!("{:0>100}", 59);
    assert_up(&(server.url("") + "/t.test?type=TXT"), &["--expect-answer", &last], &last);
}

#[test]
fn what_is_no_dns_says_so() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(b"hello", from);
        }
    });
    assert_down(&format!("dns://{at}/a.test"), &[], "protocol", "what came is not DNS");
    assert_down(&format!("dns://{}/a.test", refused()), &[], "connect.refused", "connection refused");
}
