//! Versions, suites, groups and order, of real servers; and the same as sslscan and testssl.sh find.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use hardy::tls::dial::Dial;
use hardy::tls::fact::Fact;
use hardy::tls::hello::{ClientHello, Reader};
use hardy::tls::prober;
use hardy::tls::registry::{Group, Suite, Version};
use serde_json::json;
use tokio::sync::Semaphore;

use super::super::serve::client::Server;
use super::peers::{self, ours, protocol, sslscan, testssl};

const EVERYTHING: &[&str] = &["-cipher", "ALL:eNULL:@SECLEVEL=0"];

#[test]
fn all_of_openssl_is_found_as_sslscan_finds_it() {
    let server = peers::openssl(EVERYTHING);
    let observed = protocol(server.address);
    let found = ours(&observed);
    assert_eq!(found, sslscan(server.address));
    let counts: Vec<_> = found.suites.iter().map(|(version, suites)| (&**version, suites.len())).collect();
    assert_eq!(
        counts.iter().map(|(version, _)| *version).collect::<Vec<_>>(),
        ["tls1_0", "tls1_1", "tls1_2", "tls1_3"]
    );
    for suite in
        ["TLS_ECDH_anon_WITH_AES_128_CBC_SHA", "TLS_RSA_WITH_NULL_SHA", "TLS_RSA_WITH_AES_128_CBC_SHA"]
    {
        assert!(found.suites["tls1_0"].contains(suite), "{suite}");
    }
    assert_eq!(observed["versions"]["tls1_2"]["preference"], "client");
    let facts = ["secure_renegotiation", "compression", "extended_master_secret", "fallback_scsv"];
    assert_eq!(
        facts.map(|fact| &observed[fact]),
        [true, false, true, true].map(|fact| json!(fact)).each_ref()
    );
}

/// The promise that nobody else makes.
#[test]
fn connections_are_counted_and_few() {
    let server = peers::openssl(EVERYTHING);
    let limits = (8, Arc::new(Semaphore::new(64)));
    let dial = Dial::new((server.address, "localhost"), None, Duration::from_secs(20), limits);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let found = runtime.block_on(prober::enumerate(&dial, Some("localhost")));
    let suites = |version: Version| found.versions[&version].known().expect("an answer").suites.len();
    let groups = found.groups.known().expect("an answer").len();
    let chains =
        [Version::Tls10, Version::Tls11, Version::Tls12, Version::Tls13].map(|version| suites(version) + 2);
    // Groups share their first connection with TLS 1.3, and one asks TLS 1.2 for more; SSL 2 and 3; the fallback.
    let expected = chains.iter().sum::<usize>() + (groups - 1 + 2) + 1 + 2 + 1;
    assert_eq!(dial.opened(), expected as u64);
    assert!(suites(Version::Tls12) > 50 && groups >= 5, "{found:?}");
    assert_eq!(found.smallest_prime, Fact::Known(1024), "that of anonymous suites");
    assert_eq!(found.chains.len(), 1);
}

/// Two of its checks take half a minute for few suites; all of them take minutes.
#[test]
fn testssl_agrees() {
    let suites = "ECDHE-RSA-AES128-SHA:DHE-RSA-AES256-SHA:AES128-SHA:ADH-AES128-SHA:NULL-SHA:ECDHE-RSA-AES128-GCM-SHA256";
    let server = peers::openssl(&[
        "-no_tls1",
        "-no_tls1_1",
        "-serverpref",
        "-cipher",
        &format!("{suites}:@SECLEVEL=0"),
        "-ciphersuites",
        "TLS_AES_128_CCM_SHA256:TLS_AES_128_GCM_SHA256",
        "-groups",
        "P-384:X25519:brainpoolP256r1:ffdhe3072",
    ]);
    let observed = protocol(server.address);
    let found = ours(&observed);
    assert_eq!(found, testssl(server.address));
    assert_eq!(found, sslscan(server.address));
    assert_eq!(observed["groups"], json!(["secp384r1", "X25519", "FFDHE3072", "brainpoolP256r1"]));
    assert_eq!(observed["group_preference"], "server");
    assert_eq!(
        observed["versions"]["tls1_3"]["suites"],
        json!(["TLS_AES_128_CCM_SHA256", "TLS_AES_128_GCM_SHA256"])
    );
    assert_eq!(observed["versions"]["tls1_2"]["preference"], "server");
}

#[test]
fn a_single_version_is_found_alone() {
    for (flag, version) in
        [("-tls1", "tls1_0"), ("-tls1_1", "tls1_1"), ("-tls1_2", "tls1_2"), ("-tls1_3", "tls1_3")]
    {
        let server = peers::openssl(&[EVERYTHING, &[flag]].concat());
        let observed = protocol(server.address);
        let found = ours(&observed);
        assert_eq!(found.suites.keys().collect::<Vec<_>>(), [version]);
        assert!(found.groups.contains("X25519") && found.groups.contains("X448"), "{found:?}");
        assert!(observed["fallback_scsv"]["skipped"].is_string(), "{observed}");
    }
}

#[test]
fn curves_that_few_know_are_found() {
    let server =
        peers::openssl(&["-tls1_2", "-serverpref", "-groups", "brainpoolP512r1:secp256k1:sect571r1:P-521"]);
    let observed = protocol(server.address);
    assert_eq!(observed["groups"], json!(["brainpoolP512r1", "secp256k1", "sect571r1", "secp521r1"]));
}

/// Keys that servers who want to have one are sent: OpenSSL takes each for that of a client.
#[test]
fn keys_of_every_group_of_openssl_are_taken() {
    let groups = "P-256:P-384:P-521:X25519:X448:ffdhe2048:ffdhe3072:ffdhe4096:ffdhe6144:ffdhe8192";
    let server = peers::openssl(&["-tls1_3", "-groups", groups]);
    for group in [23, 24, 25, 29, 30, 0x100, 0x101, 0x102, 0x103, 0x104].map(Group) {
        let hello = ClientHello {
            version: Version::Tls13,
            suites: &[Suite(0x1301)],
            groups: &[group],
            keys: &[group],
            protocols: &[],
            name: None,
            is_small: true,
        };
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(&hello.bytes()).unwrap();
        let (mut reader, mut buffer) = (Reader::default(), [0; 4096]);
        loop {
            let length = stream.read(&mut buffer).expect("an answer");
            if length == 0 || reader.feed(&buffer[..length]).expect("TLS") {
                break;
            }
        }
        let chosen = reader.finish().expect("TLS").and_then(|flight| flight.hello).expect("a hello");
        assert_eq!((chosen.is_retry, chosen.group), (false, Some(group)));
    }
}

#[test]
fn suites_of_shared_keys_are_found() {
    let args = ["-tls1_2", "-nocert", "-psk", "0123456789abcdef", "-psk_hint", "hint", "-cipher", "PSK"];
    let found = ours(&protocol(peers::openssl(&args).address));
    for suite in ["TLS_PSK_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256"] {
        assert!(found.suites["tls1_2"].contains(suite), "{found:?}");
    }
    assert!(found.groups.contains("X25519"), "{found:?}");
}

#[test]
fn the_order_of_nginx_is_found() {
    let wanted =
        ["ECDHE-RSA-CHACHA20-POLY1305", "DHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-GCM-SHA384", "AES128-SHA"];
    let server = peers::nginx(&format!(
        "ssl_protocols TLSv1.2 TLSv1.3; ssl_prefer_server_ciphers on; ssl_ecdh_curve secp384r1:X25519; ssl_ciphers {}:@SECLEVEL=0;",
        wanted.join(":")
    ));
    let observed = protocol(server.address);
    assert_eq!(ours(&observed), sslscan(server.address));
    let spoken = &observed["versions"]["tls1_2"];
    let expected = [
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        // Without `ssl_dhparam`, nginx has no prime for the second.
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_RSA_WITH_AES_128_CBC_SHA",
    ];
    assert_eq!((&spoken["suites"], &spoken["preference"]), (&json!(expected), &json!("server")));
    assert_eq!(observed["groups"], json!(["secp384r1", "X25519"]));
}

#[test]
fn all_of_go_is_found_as_sslscan_finds_it() {
    let server = peers::go();
    let observed = protocol(server.address);
    let found = ours(&observed);
    assert_eq!(found, sslscan(server.address));
    assert_eq!(found.suites.keys().collect::<Vec<_>>(), ["tls1_0", "tls1_1", "tls1_2", "tls1_3"]);
    assert!(found.suites["tls1_2"].contains("TLS_RSA_WITH_RC4_128_SHA"), "{found:?}");
    assert_eq!(observed["versions"]["tls1_2"]["preference"], "server");
}

/// sslscan of Debian knows no group with ML-KEM.
#[test]
fn the_post_quantum_group_of_hardy_is_found() {
    let server = Server::start(&["--tls", "self-signed"]);
    let observed = protocol(server.address());
    assert_eq!(observed["groups"], json!(["X25519MLKEM768", "X25519", "secp256r1"]));
    let (mut found, theirs) = (ours(&observed), sslscan(server.address()));
    assert!(found.groups.remove("X25519MLKEM768"));
    assert_eq!(found, theirs);
}

#[test]
fn plain_http_is_not_called_tls() {
    let server = Server::start(&[]);
    let observed = protocol(server.address());
    for (version, spoken) in observed["versions"].as_object().unwrap() {
        assert_eq!(spoken["unknown"], "HTTP was spoken", "{version}");
    }
}
