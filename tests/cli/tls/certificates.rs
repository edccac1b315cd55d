//! Chains that are wrong, one reason at a time and several at once; what is fetched for them; and who is trusted.

use std::sync::{Arc, OnceLock};

use rcgen::{
    CertificateParams, CertificateRevocationList, CertificateRevocationListParams, CrlDistributionPoint,
    CustomExtension, Issuer, KeyIdMethod, RevokedCertParams, SerialNumber, date_time_ymd,
};

use super::issued::{
    Made, NOW, authority, bad, chain, check, findings, made, openssl, server, shown, targets, write,
};
use crate::fixtures::{self, Server};
use crate::support::{Run, hardy};

type Change = fn(&mut CertificateParams);

/// Checks a server that shows a leaf and an intermediate, each changed before it is made.
fn served(middle: Change, leaf: Change, args: &[&str]) -> Run {
    let root = made(None, authority("Root"));
    let mut params = authority("Middle");
    middle(&mut params);
    let middle = made(Some(&root), params);
    let mut params = server("a.example");
    leaf(&mut params);
    let leaf = made(Some(&middle), params);
    asked(&[&leaf, &middle], &root, args)
}

/// Checks a server that shows these, and who trusts a root.
fn asked(sent: &[&Made], root: &Made, args: &[&str]) -> Run {
    let directory = tempfile::tempdir().expect("a directory");
    let ca = write(directory.path(), "root.pem", &root.pem);
    let server = shown(sent, b"");
    let target = server.address.to_string();
    let name = if args.contains(&"--name") { &[][..] } else { &["--name", "a.example"] };
    check(&[&[target.as_str(), "--ca", ca.to_str().expect("UTF-8")][..], name, args].concat())
}

/// What is bad of the certificates; the policy has tests of its own.
fn wrong(run: &Run) -> Vec<String> {
    let of_policy = ["cert.max_lifetime", "hsts", "http.", "kx.", "proto.", "suite.", "cert.kind", "alpn"];
    let all = bad(&targets(run)[0]).into_iter();
    all.filter(|bad| !of_policy.iter().any(|id| bad.contains(&format!(" {id}")))).collect()
}

fn same(_: &mut CertificateParams) {}

#[test]
fn a_good_chain_is_good() {
    let run = served(same, same, &[]);
    assert_eq!((wrong(&run), run.code), (Vec::new(), Some(0)), "{run:?}");
    assert_eq!(findings(&run, "chain.untrusted")[0]["status"], "pass");
}

#[test]
fn several_reasons_are_all_told_with_whom_to_blame_and_what_to_do() {
    let ended: Change = |middle| middle.not_after = date_time_ymd(2026, 5, 20);
    let leaf: Change = |leaf| {
        leaf.not_after = date_time_ymd(2026, 5, 25);
        leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    };
    let run = served(ended, leaf, &["--name", "other.example"]);
    assert_eq!(run.code, Some(1));
    let expected = [
        "fail cert.eku leaf",
        "fail cert.expiry leaf",
        "fail cert.name leaf",
        "fail chain.expired intermediate \"Middle\"",
    ];
    assert_eq!(wrong(&run), expected);
    for id in ["cert.eku", "cert.expiry", "cert.name", "chain.expired"] {
        let finding = &findings(&run, id)[0];
        for part in ["expected", "actual", "fix"] {
            assert_ne!(finding[part], "", "{finding}");
        }
    }
}

#[test]
fn a_self_signed_leaf_can_be_trusted_by_the_flag_that_is_named() {
    let leaf = made(None, server("a.example"));
    let other = made(None, authority("Other"));
    let run = asked(&[&leaf], &other, &[]);
    assert_eq!(
        (wrong(&run), run.code),
        (vec!["fail cert.self_signed leaf".into(), "fail chain.untrusted leaf".into()], Some(1))
    );
    assert!(findings(&run, "cert.self_signed")[0]["fix"].as_str().expect("a fix").contains("--ca"));
    assert_eq!(wrong(&asked(&[&leaf], &leaf, &[])), [""; 0]);
}

#[test]
fn what_was_sent_is_held_against_what_is_needed() {
    let chain = chain("a.example");
    let run = asked(&[&chain.leaf, &chain.middle, &chain.root], &chain.root, &[]);
    assert_eq!((wrong(&run), run.code), (vec!["warn chain.superfluous root \"Root\"".into()], Some(0)));
    let run = asked(&[&chain.leaf], &chain.root, &[]);
    assert_eq!((wrong(&run), run.code), (vec!["fail chain.untrusted leaf".into()], Some(1)));
}

#[test]
fn the_certificate_on_disk_is_the_one_that_is_served() {
    let (chain, newer) = (chain("a.example"), chain("a.example"));
    let directory = tempfile::tempdir().expect("a directory");
    for (leaf, expected) in [(&chain.leaf, "pass"), (&newer.leaf, "fail")] {
        let file = write(directory.path(), "leaf.pem", &leaf.pem);
        let args = ["--on-disk", file.to_str().expect("UTF-8")];
        let run = asked(&[&chain.leaf, &chain.middle], &chain.root, &args);
        assert_eq!(findings(&run, "cert.on_disk")[0]["status"], expected, "{run:?}");
    }
}

/// HTTP that answers with bytes that are set later: first an address is needed, to be named in what it serves.
fn late() -> (Server, Arc<OnceLock<Vec<u8>>>) {
    let bytes: Arc<OnceLock<Vec<u8>>> = Arc::default();
    let served = bytes.clone();
    let server = Server::http(move |_, _: &str| {
        let body = served.get().expect("it was set");
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    });
    (server, bytes)
}

/// The extension that names where the issuer can be fetched.
fn access(url: &str) -> CustomExtension {
    let url = url.as_bytes();
    let short = |length: usize| u8::try_from(length).expect("a short URL");
    let inner = [&[6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 2, 0x86, short(url.len())][..], url].concat();
    let one = [&[0x30, short(inner.len())][..], &inner].concat();
    let all = [&[0x30, short(one.len())][..], &one].concat();
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], all)
}

#[test]
fn a_missing_intermediate_is_fetched_when_asked_and_named() {
    for form in ["der", "pem", "p7c"] {
        let (http, served) = late();
        let root = made(None, authority("Root"));
        let middle = made(Some(&root), authority("Middle"));
        let mut params = server("a.example");
        params.custom_extensions.push(access(&http.url("/issuer")));
        let leaf = made(Some(&middle), params);
        let directory = tempfile::tempdir().expect("a directory");
        let bytes = match form {
            "der" => middle.der.to_vec(),
            "pem" => middle.pem.clone().into_bytes(),
            _ => {
                write(directory.path(), "middle.pem", &middle.pem);
                let args =
                    ["crl2pkcs7", "-nocrl", "-certfile", "middle.pem", "-outform", "DER", "-out", "p7c"];
                openssl(directory.path(), &args);
                std::fs::read(directory.path().join("p7c")).expect("it was made")
            }
        };
        served.set(bytes).expect("set once");
        let run = asked(&[&leaf], &root, &[]);
        assert_eq!((wrong(&run), http.hits()), (vec!["fail chain.incomplete leaf".to_owned()], 0), "unasked");
        let run = asked(&[&leaf], &root, &["--aia"]);
        assert_eq!(http.hits(), 1, "{form}");
        assert_eq!(wrong(&run), ["fail chain.incomplete leaf"], "{form}");
        let fix = findings(&run, "chain.incomplete")[0]["fix"].clone();
        assert_eq!(fix, "the server must also send \"Middle\"", "{form}");
    }
}

#[test]
fn an_issuer_that_cannot_be_fetched_is_an_error_beside_the_failure() {
    let root = made(None, authority("Root"));
    let middle = made(Some(&root), authority("Middle"));
    let gone = Server::http(|_, _: &str| fixtures::response(404, "", "gone"));
    let endless = Server::http(|_, _: &str| fixtures::response(200, "", &"x".repeat(300 << 10)));
    for (http, said) in [(gone, "status 404"), (endless, "more than 256 KiB")] {
        let mut params = server("a.example");
        params.custom_extensions.push(access(&http.url("/issuer")));
        let leaf = made(Some(&middle), params);
        let run = asked(&[&leaf], &root, &["--aia"]);
        assert_eq!(
            (wrong(&run), run.code),
            (vec!["error chain.aia chain".into(), "fail chain.incomplete leaf".into()], Some(1))
        );
        assert!(findings(&run, "chain.aia")[0]["actual"].as_str().expect("a text").contains(said), "{run:?}");
    }
}

fn list(issuer: &Made, serials: &[u8]) -> Vec<u8> {
    listed(issuer, serials.iter().map(|serial| vec![*serial])).der().to_vec()
}

fn listed(issuer: &Made, serials: impl Iterator<Item = Vec<u8>>) -> CertificateRevocationList {
    let revoked = |serial: Vec<u8>| RevokedCertParams {
        serial_number: SerialNumber::from(serial),
        revocation_time: date_time_ymd(2026, 5, 10),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 5, 1),
        next_update: date_time_ymd(2026, 7, 1),
        crl_number: SerialNumber::from(vec![1]),
        issuing_distribution_point: None,
        revoked_certs: serials.map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&Issuer::from_params(&issuer.params, &issuer.key)).expect("a list")
}

#[test]
fn a_revoked_certificate_is_found_on_the_list_that_it_names_or_that_is_given() {
    for (serials, expected) in [(&[7][..], "fail"), (&[8][..], "pass")] {
        let (http, served) = late();
        let root = made(None, authority("Root"));
        let middle = made(Some(&root), authority("Middle"));
        let mut params = server("a.example");
        params.serial_number = Some(SerialNumber::from(vec![7]));
        params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![http.url("/list.crl")] }];
        let leaf = made(Some(&middle), params);
        served.set(list(&middle, serials)).expect("set once");
        let sent = [&leaf, &middle];
        let run = asked(&sent, &root, &[]);
        assert_eq!(
            (findings(&run, "revocation")[0]["status"].as_str(), http.hits()),
            (Some("skip"), 0),
            "unasked"
        );
        let run = asked(&sent, &root, &["--crl"]);
        assert_eq!(
            (findings(&run, "cert.revoked")[0]["status"].as_str(), http.hits()),
            (Some(expected), 1),
            "{run:?}"
        );
        let directory = tempfile::tempdir().expect("a directory");
        let file = write(directory.path(), "list.crl", list(&middle, serials));
        let run = asked(&sent, &root, &["--crl-file", file.to_str().expect("UTF-8")]);
        assert_eq!(
            (findings(&run, "cert.revoked")[0]["status"].as_str(), http.hits()),
            (Some(expected), 1),
            "{run:?}"
        );
    }
}

/// As large as those of large authorities, and one byte larger.
#[test]
fn a_list_is_read_to_its_last_entry_or_not_at_all() {
    const LARGEST: usize = 32 << 20;
    let (http, served) = late();
    let root = made(None, authority("Root"));
    let mut params = server("a.example");
    params.serial_number = Some(SerialNumber::from(vec![7]));
    params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![http.url("/list.crl")] }];
    let leaf = made(Some(&root), params);
    let others = (1..=20_000_u32).map(|serial| [&[1; 15][..], &serial.to_be_bytes()].concat());
    let list = listed(&root, others.chain([vec![7]])).pem().expect("PEM");
    // Text may stand before what is PEM.
    let body = |size: usize| [vec![b'\n'; size - list.len()], list.clone().into_bytes()].concat();
    served.set(body(LARGEST)).expect("set once");
    let run = asked(&[&leaf], &root, &["--crl"]);
    assert_eq!((wrong(&run), run.code), (vec!["fail cert.revoked leaf".to_owned()], Some(1)));
    let too_large = body(LARGEST + 1);
    let http = Server::http(move |_, _: &str| {
        let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
        [&head[..], &too_large].concat()
    });
    let mut params = server("a.example");
    params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![http.url("/list.crl")] }];
    let run = asked(&[&made(Some(&root), params)], &root, &["--crl"]);
    assert_eq!((wrong(&run), run.code), (vec!["error revocation chain".to_owned()], Some(3)));
    let actual = findings(&run, "revocation")[0]["actual"].as_str().expect("a text").to_owned();
    assert!(actual.ends_with("more than 32768 KiB"), "{actual}");
}

#[test]
fn a_list_that_cannot_be_had_is_no_pass() {
    let gone = Server::http(|_, _: &str| fixtures::response(500, "", ""));
    let root = made(None, authority("Root"));
    let mut params = server("a.example");
    params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![gone.url("/list.crl")] }];
    let leaf = made(Some(&root), params);
    let run = asked(&[&leaf], &root, &["--crl"]);
    assert_eq!((wrong(&run), run.code), (vec!["error revocation chain".to_owned()], Some(3)), "{run:?}");
    assert!(findings(&run, "cert.revoked").is_empty(), "{run:?}");
}

#[test]
fn servers_of_lists_that_stall_share_the_time_of_one_target() {
    let stalling = fixtures::silent();
    let names: Vec<String> = (0..2).map(|number| stalling.url(&format!("/{number}"))).collect();
    let points = || -> Vec<CrlDistributionPoint> {
        names.iter().map(|url| CrlDistributionPoint { uris: vec![url.clone()] }).collect()
    };
    let root = made(None, authority("Root"));
    let mut params = authority("Middle");
    params.crl_distribution_points = points();
    let middle = made(Some(&root), params);
    let mut params = server("a.example");
    params.crl_distribution_points = points();
    let leaf = made(Some(&middle), params);
    let run = asked(&[&leaf, &middle], &root, &["--crl", "--timeout", "1s"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    let said: Vec<_> =
        findings(&run, "revocation").iter().map(|finding| finding["actual"].to_string()).collect();
    let late = |text: &str| said.iter().filter(|said| said.contains(text)).count();
    assert_eq!((late("no whole answer in time"), late("not asked for: the others")), (2, 2), "{said:?}");
    assert!(stalling.hits() <= 2, "{}", stalling.hits());
}

#[test]
fn an_answer_of_a_real_responder_is_read_from_the_staple() {
    let root = made(None, authority("Root"));
    let mut params = server("a.example");
    params.serial_number = Some(SerialNumber::from(vec![7]));
    let leaf = made(Some(&root), params);
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path();
    write(at, "root.pem", &root.pem);
    write(at, "root.key", root.key.serialize_pem());
    write(at, "leaf.pem", &leaf.pem);
    for (entry, expected) in [
        ("V\t270101000000Z\t\t07\tunknown\t/CN=a\n", "pass"),
        ("R\t270101000000Z\t260510000000Z\t07\tunknown\t/CN=a\n", "fail"),
    ] {
        write(at, "index.txt", entry);
        openssl(at, &["ocsp", "-issuer", "root.pem", "-cert", "leaf.pem", "-reqout", "request", "-no_nonce"]);
        let answer =
            ["ocsp", "-index", "index.txt", "-CA", "root.pem", "-rsigner", "root.pem", "-rkey", "root.key"];
        openssl(at, &[&answer[..], &["-reqin", "request", "-respout", "answer", "-ndays", "7"]].concat());
        let staple = std::fs::read(at.join("answer")).expect("an answer");
        let server = shown(&[&leaf], &staple);
        let (target, ca) = (server.address.to_string(), at.join("root.pem"));
        // It was made just now.
        let args = ["tls", "check", "--json", "--fast", &target, "--name", "a.example", "--ca"];
        let run: Run = hardy().args(args).arg(ca).output().expect("hardy runs").into();
        assert_eq!(findings(&run, "ocsp.staple")[0]["status"], expected, "{run:?}");
    }
}

#[test]
fn the_store_of_the_host_is_named_and_an_empty_one_is_no_fault_of_the_server() {
    let chain = chain("a.example");
    let directory = tempfile::tempdir().expect("a directory");
    let server = shown(&[&chain.leaf, &chain.middle], b"");
    let check = |content: &str| -> Run {
        let store = write(directory.path(), "store.pem", content);
        let target = server.address.to_string();
        let args = ["tls", "check", "--json", "--fast", "--at", NOW, "--name", "a.example", &target];
        let mut command = hardy();
        command.args(args).env("SSL_CERT_FILE", &store).env("SSL_CERT_DIR", directory.path().join("none"));
        command.output().expect("hardy runs").into()
    };
    let run = check("");
    assert_eq!(
        (wrong(&run), run.code),
        (vec!["error chain.untrusted this host".to_owned()], Some(3)),
        "{run:?}"
    );
    let said = findings(&run, "chain.untrusted")[0]["actual"].as_str().expect("a text").to_owned();
    assert!(said.contains("store.pem"), "{said}");
    // A root of the system is a public authority, which must log what it issues.
    let run = check(&chain.root.pem);
    assert_eq!((wrong(&run), run.code), (vec!["warn cert.sct leaf".to_owned()], Some(0)), "{run:?}");
    assert_eq!(findings(&run, "cert.lifetime")[0]["status"], "pass");
}
