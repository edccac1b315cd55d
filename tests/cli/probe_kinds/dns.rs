//! DNS, answered by dnsmasq.

use std::fs;
use std::net::UdpSocket;
use std::process::Command;

use super::servers::dnsmasq;
use super::{assert_down, assert_up, of};
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

#[test]
fn every_type_of_record_is_shown_as_people_write_it() {
    // Of the types that dnsmasq has no words for, what they are on the wire.
    let server = dnsmasq(&[
        "--cname=alias.test,a.test",
        "--srv-host=_sip._udp.test,sip.test,5060,1,2",
        "--ptr-record=9.0.0.10.in-addr.arpa,nine.test",
        "--dns-rr=z.test,2,026e73047465737400",
        "--dns-rr=z.test,6,026e730474657374000261640474657374000000000700000001000000020000000300000004",
        "--dns-rr=z.test,257,0005697373756563612e74657374",
    ]);
    for (question, answer) in [
        ("alias.test?type=CNAME", "a.test"),
        ("alias.test?type=A", "10.0.0.7"),
        ("_sip._udp.test?type=SRV", "1 2 5060 sip.test"),
        ("9.0.0.10.in-addr.arpa?type=PTR", "nine.test"),
        ("z.test?type=NS", "ns.test"),
        ("z.test?type=SOA", "ns.test. ad.test. 7 1 2 3 4"),
        ("z.test?type=CAA", "0 issue \"ca.test\""),
    ] {
        let url = format!("{}/{question}", server.url(""));
        for url in [url.clone() + "&transport=udp", url + "&transport=tcp"] {
            assert_up(&url, &["--expect-answer", answer], answer);
        }
    }
}

#[test]
fn servers_are_reached_by_ipv6_and_by_all_addresses_of_their_name() {
    let server = dnsmasq(&["--listen-address=::1"]);
    let port = server.port;
    assert_up(&format!("dns://[::1]:{port}/a.test"), &[], "10.0.0.7");
    assert_up(&format!("dns://[::1]:{port}/a.test?transport=tcp"), &[], "10.0.0.7");
    let only_one = dnsmasq(&[]);
    let port = only_one.port;
    assert_down(&format!("dns://[::1]:{port}/a.test"), &[], "connect.refused", "connection refused");
    let both = format!("both.test:{port}:[::1],127.0.0.1");
    let url = format!("dns://both.test:{port}/a.test");
    assert_up(&url, &["--resolve", &both], "10.0.0.7");
    assert_up(&(url.clone() + "?transport=tcp"), &["--resolve", &both], "10.0.0.7");
    assert_down(&url, &["--resolve", &both, "-6"], "connect.refused", "connection refused");
}

/// In a network of its own, with an /etc/resolv.conf of its own; the servers there know a.test, but for 127.0.0.3, which
/// knows nothing.
fn with_system_servers(resolv_conf: &str, name: &str) -> (Option<i32>, serde_json::Value) {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("resolv.conf"), resolv_conf).unwrap();
    let script = "ip link set lo up && ip link add d0 type veth peer name d1 && ip link set d1 up && \
         ip addr add fe80::53/64 dev d0 nodad && ip link set d0 up && \
         mount --bind \"$0/resolv.conf\" /etc/resolv.conf || exit 99
         dnsmasq='/usr/sbin/dnsmasq --no-resolv --no-hosts --conf-file=/dev/null --pid-file --bind-interfaces --user=root'
         $dnsmasq --listen-address=127.0.0.1 --interface=d0 --except-interface=lo --host-record=a.test,10.0.0.7 && \
         $dnsmasq --listen-address=127.0.0.3 --except-interface=lo || exit 98
         exec \"$1\" probe \"dns:///$2\" --json --timeout 20s";
    // Without a first process nothing is left of the second.
    let mut command = Command::new("unshare");
    command
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script])
        .arg(home.path());
    command.args([env!("CARGO_BIN_EXE_hardy"), name]).env("HARDY_CONFIG", "none");
    of(command.output().unwrap().into())
}

#[test]
fn the_servers_of_the_system_are_asked_in_turn() {
    for (servers, what) in [
        ("nameserver 127.0.0.1\n", "one"),
        ("nameserver 127.0.0.2\nnameserver 127.0.0.1\n", "the first does not listen"),
        ("nameserver 127.0.0.3\nnameserver 127.0.0.1\n", "the first does not know"),
        ("nameserver fe80::53%d0\n", "one of the link"),
    ] {
        let (code, last) = with_system_servers(servers, "a.test");
        assert_eq!((code, last["answer"].as_str()), (Some(0), Some("10.0.0.7")), "{what}: {last}");
    }
    let (code, last) = with_system_servers("nameserver 127.0.0.3\n", "a.test");
    assert_eq!((code, last["reason"].as_str()), (Some(1), Some("dns.answer")), "{last}");
    let (code, last) = with_system_servers("search test\nnameserver 127.0.0.1\n", "a");
    assert_eq!((code, last["reason"].as_str()), (Some(1), Some("dns.answer")), "no search list: {last}");
    let (code, last) = with_system_servers("# none\n", "a.test");
    assert_eq!((code, last["reason"].as_str()), (Some(3), Some("local.network")), "{last}");
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

/// Answers each question by UDP with what `change` makes of it.
fn scripted(change: impl Fn(&mut [u8], &dyn Fn(&[u8])) + Send + 'static) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((count, from)) = socket.recv_from(&mut buffer) {
            let question = &mut buffer[..count];
            // An answer, as yet to nothing.
            question[2] |= 0x80;
            change(question, &|answer| drop(socket.send_to(answer, from)));
        }
    });
    format!("dns://{at}/a.test")
}

#[test]
fn what_a_server_cannot_find_out_has_its_reason() {
    for (code, said) in [
        (1, "Form Error"),
        (2, "SERVFAIL: the server could not find out"),
        (3, "NXDOMAIN: there is no such name"),
        (5, "REFUSED: the server does not answer such questions"),
    ] {
        let url = scripted(move |question, send| {
            question[3] = code;
            send(question);
        });
        assert_down(&url, &[], "dns.answer", said);
    }
}

#[test]
fn an_answer_to_another_question_is_not_taken() {
    let url = scripted(|question, send| {
        let mut other = question.to_vec();
        // Another number, another name, and no answer at all.
        other[0] ^= 1;
        send(&other);
        other[0] ^= 1;
        other[13] ^= 1;
        send(&other);
        other[13] ^= 1;
        other[2] &= 0x7f;
        send(&other);
        question[3] = 3;
        send(question);
    });
    assert_down(&url, &[], "dns.answer", "NXDOMAIN");
}
