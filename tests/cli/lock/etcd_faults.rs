//! The lock in etcd while members die, stop and come back, and against stores that cannot be used.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hardy::lock::{Ahead, Error, Lease, Locks, Mode, Patience, Wanted};
use hardy::store;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::etcd_engine::{Waiter, get, open, settings, wanted};
use crate::etcd::{Etcd, Options, Tls};
use crate::fixtures;
use crate::support::DEADLINE;

fn hurried(urls: Vec<String>) -> store::etcd::Settings {
    store::etcd::Settings { timeout: Duration::from_secs(1), ..settings(urls) }
}

/// What, why and hint of a store that cannot be used.
async fn refused(settings: store::etcd::Settings) -> [String; 3] {
    let locks = match Locks::open(&store::Settings::Etcd(settings), "") {
        Ok(locks) => locks,
        Err(Error::Store(error)) => return parts(error),
        Err(other) => panic!("{other:?}"),
    };
    match get(&locks, &wanted("x")).await {
        Err(Error::Store(error)) => parts(error),
        other => panic!("{:?}", other.err()),
    }
}

fn parts(error: store::Error) -> [String; 3] {
    let (what, why, hint) = error.into_parts();
    [what, why.map(|why| why.to_string()).unwrap_or_default(), hint.unwrap_or_default()]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_and_a_waiter_outlive_any_member() {
    let mut etcd = Etcd::cluster(3);
    let leader = etcd.leader();
    let mut urls = etcd.urls();
    // Whom they talk to first is the one that dies.
    urls.rotate_left(leader);
    let locks = open(hurried(urls));
    let held = get(&locks, &wanted("x")).await.unwrap();
    let waiter = Waiter::start(&etcd, &locks, wanted("x")).await;
    let sharer = Waiter::start(&etcd, &locks, Wanted { mode: Mode::Shared, ..wanted("x") }).await;
    etcd.kill(leader);
    held.release().await.unwrap();
    waiter.end().await.unwrap().release().await.unwrap();
    etcd.restart(leader);
    let last = sharer.end().await.unwrap();
    // Neither is one that stops without a word.
    let waiter = Waiter::start(&etcd, &locks, Wanted { ttl: Duration::from_secs(6), ..wanted("x") }).await;
    let leader = etcd.leader();
    etcd.stop(leader);
    last.release().await.unwrap();
    let got = waiter.end().await;
    etcd.cont(leader);
    got.unwrap().release().await.unwrap();
    assert!(etcd.keys("").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_kept_while_the_leader_changes() {
    let mut etcd = Etcd::cluster(3);
    let locks = open(hurried(etcd.urls()));
    let held = get(&locks, &Wanted { ttl: Duration::from_secs(3), ..wanted("x") }).await.unwrap();
    let (stop, (sender, mut leases)) = (CancellationToken::new(), watch::channel(None));
    let (stopped, sender_) = (stop.clone(), sender.clone());
    let keeping = tokio::spawn(async move {
        let kept = held.keep(&sender_, &stopped).await;
        (held, kept)
    });
    let mut renewed = async |after: Option<Lease>| {
        let later = |lease: &Option<Lease>| lease.map(|l| l.deadline) > after.map(|l| l.deadline);
        *tokio::time::timeout(DEADLINE, leases.wait_for(later)).await.unwrap().unwrap()
    };
    let first = renewed(None).await;
    let leader = etcd.leader();
    etcd.kill(leader);
    let second = renewed(first).await;
    renewed(second).await;
    stop.cancel();
    let (held, kept) = keeping.await.unwrap();
    kept.unwrap();
    etcd.restart(leader);
    held.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nobody_is_told_that_he_holds() {
    let mut etcd = Etcd::cluster(3);
    let leader = etcd.leader();
    let locks = open(hurried(etcd.urls()));
    for i in (0..3).filter(|i| *i != leader) {
        etcd.kill(i);
    }
    let [what, why, _] = refused(hurried(etcd.urls())).await;
    assert_eq!(what, "cannot reach etcd at any of its 3 endpoints");
    assert_eq!(why.matches("connection refused").count(), 2, "{why}");
    for i in (0..3).filter(|i| *i != leader) {
        etcd.restart(i);
    }
    etcd.leader();
    get(&locks, &wanted("y")).await.unwrap().release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_endpoint_does_not_matter_if_another_lives() {
    let etcd = Etcd::single();
    let (silent, (hole, _kept)) = (fixtures::silent(), fixtures::black_hole());
    let dead = format!("http://{}", fixtures::refused());
    let urls = [vec![dead, silent.url(""), format!("http://{hole}")], etcd.urls()].concat();
    let locks = open(store::etcd::Settings { timeout: Duration::from_millis(500), ..settings(urls) });
    let held = get(&locks, &wanted("x")).await.unwrap();
    held.release().await.unwrap();
    assert!(etcd.keys("").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_stores_say_why() {
    let refused_at = format!("http://{}", fixtures::refused());
    let [what, why, hint] = refused(hurried(vec![refused_at.clone()])).await;
    assert_eq!(what, format!("cannot reach etcd at {refused_at}"));
    assert_eq!(why, "connection refused");
    assert!(hint.contains("endpoints"), "{hint}");

    let silent = fixtures::silent();
    let [what, why, _] = refused(hurried(vec![refused_at.clone(), silent.url("")])).await;
    assert_eq!(what, "cannot reach etcd at any of its 2 endpoints");
    assert_eq!(why, format!("{refused_at}: connection refused; {}: no answer within 1s", silent.url("")));

    let web = fixtures::Server::http(fixtures::ok);
    let [what, _, hint] = refused(hurried(vec![web.url("")])).await;
    assert_eq!(what, format!("cannot reach etcd at {}", web.url("")));
    assert!(hint.contains("something else may listen there"), "{hint}");

    let file = "/nowhere/ca.pem";
    let [what, why, _] =
        refused(store::etcd::Settings { ca: Some(file.into()), ..hurried(vec![refused_at]) }).await;
    assert_eq!(what, format!("cannot read {file}"));
    assert!(why.contains("No such file"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn patience_ends_also_before_a_store_that_is_silent() {
    let silent = fixtures::silent();
    let slow = |urls| store::etcd::Settings { timeout: Duration::from_secs(3600), ..settings(urls) };
    let hasty = |name| Wanted { patience: Patience::For(Duration::from_secs(3)), ..wanted(name) };
    match get(&open(slow(vec![silent.url("")])), &hasty("x")).await.err() {
        Some(Error::Store(error)) => {
            let [what, why, _] = parts(error);
            assert_eq!(what, format!("cannot reach etcd at {}", silent.url("")));
            assert!(why.starts_with("no answer within "), "{why}");
        }
        other => panic!("{other:?}"),
    }
    // And leaves time for the other endpoints.
    let etcd = Etcd::single();
    let urls = [vec![silent.url(""), silent.url("")], etcd.urls()].concat();
    get(&open(slow(urls)), &hasty("x")).await.unwrap().release().await.unwrap();
    // Stopped in the middle, it says what it knows of the others, and what was asked for ends with its lease.
    let locks = open(slow(etcd.urls()));
    let held = get(&locks, &wanted("x")).await.unwrap();
    let waiter = Waiter::start(&etcd, &locks, hasty("x")).await;
    etcd.stop(0);
    let ended = waiter.end().await;
    etcd.cont(0);
    match ended {
        Err(Error::Busy { holders, .. }) => assert_eq!(holders[0].id, held.grant().handle.id),
        other => panic!("{:?}", other.err()),
    }
    held.release().await.unwrap();
}

/// A server of HTTP/2 that says this to whatever is asked.
async fn web(status: u16, body: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = move |_| async move { hyper::Response::builder().status(status).body(body.to_owned()) };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_etcd_is_told_and_passed_over() {
    let etcd = Etcd::single();
    for (status, body, how) in [
        (404, "", "it answers with HTTP status 404 and without gRPC"),
        (404, "not here", "it answers with HTTP status 404 Not Found and without gRPC"),
        (200, "", "it does not answer in gRPC"),
        (200, "Hello World!", "it answers with HTTP status 200 OK and without gRPC"),
    ] {
        let url = web(status, body).await;
        let [what, why, hint] = refused(hurried(vec![url.clone()])).await;
        assert_eq!(what, format!("cannot reach etcd at {url}"));
        assert_eq!(why, format!("what listens there is no etcd: {how}"));
        assert!(hint.contains("endpoints"), "{hint}");
        let locks = open(hurried([vec![url], etcd.urls()].concat()));
        get(&locks, &wanted("x")).await.unwrap().release().await.unwrap();
    }
}

/// An authority, and a certificate of it for this host, that serves both ends.
fn certificates(directory: &Path, name: &str) -> Tls {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let write = |what: &str, text: String| -> PathBuf {
        let path = directory.join(format!("{name}-{what}.pem"));
        std::fs::write(&path, text).unwrap();
        path
    };
    Tls {
        ca: write("ca", ca.pem()),
        cert: write("cert", cert.pem()),
        key: write("key", key.serialize_pem()),
        mutual: true,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_checked_on_both_sides() {
    let directory = tempfile::tempdir().unwrap();
    let (tls, other) = (certificates(directory.path(), "one"), certificates(directory.path(), "other"));
    let etcd = Etcd::start(1, Options { tls: Some(tls.clone()), ..Options::default() });
    let with = |ca: &Tls, own: Option<&Tls>| store::etcd::Settings {
        ca: Some(ca.ca.clone()),
        cert: own.map(|own| own.cert.clone()),
        key: own.map(|own| own.key.clone()),
        ..hurried(etcd.urls())
    };
    let held = get(&open(with(&tls, Some(&tls))), &wanted("x")).await.unwrap();
    held.release().await.unwrap();

    let [what, why, hint] = refused(with(&other, Some(&tls))).await;
    assert_eq!(what, format!("cannot reach etcd at {}", etcd.urls()[0]));
    assert_eq!(why, "invalid peer certificate: UnknownIssuer");
    assert!(hint.contains("`ca`"), "{hint}");
    for own in [None, Some(&other)] {
        let [_, why, hint] = refused(with(&tls, own)).await;
        assert!(hint.contains("client certificate"), "{why}; {hint}");
    }
    let half = store::etcd::Settings { key: None, ..with(&tls, Some(&tls)) };
    assert!(refused(half).await[2].contains("both"));

    let plain = etcd.urls().iter().map(|url| url.replace("https", "http")).collect();
    let [_, why, hint] = refused(hurried(plain)).await;
    assert!(hint.contains("https://"), "{why}; {hint}");
    let plain = Etcd::single();
    let wrong = plain.urls().iter().map(|url| url.replace("http", "https")).collect();
    let [_, why, hint] = refused(store::etcd::Settings { ca: Some(tls.ca), ..hurried(wrong) }).await;
    assert!(hint.contains("http:// instead"), "{why}; {hint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ran_out_is_renewed_and_passwords_stay_secret() {
    let more = vec!["--auth-token-ttl".to_owned(), "1".to_owned()];
    let mut etcd = Etcd::start(1, Options { more, ..Options::default() });
    etcd.authenticate("geheim", "worker", "jobs/");
    let user = |name: &str, password: &str| store::etcd::Settings {
        user: Some((name.into(), password.into())),
        ..hurried(etcd.urls())
    };
    let locks = open(user("worker", "geheim"));
    let short = Wanted { ttl: Duration::from_secs(9), ..wanted("jobs/x") };
    let held = get(&locks, &short).await.unwrap();
    let waiter = Waiter::start(&etcd, &locks, short.clone()).await;
    // The token lives for one second; a renewal is due after three.
    let (stop, (sender, mut leases)) = (CancellationToken::new(), watch::channel(None));
    let keeping = held.keep(&sender, &stop);
    let renewal = async {
        tokio::time::timeout(DEADLINE, leases.changed()).await.unwrap().unwrap();
        stop.cancel();
    };
    tokio::join!(keeping, renewal).0.unwrap();
    held.release().await.unwrap();
    waiter.end().await.unwrap().release().await.unwrap();

    for (name, password) in [("worker", "falsch"), ("nobody", "geheim")] {
        let told = refused(user(name, password)).await;
        assert_eq!(told[0], format!("etcd at {} does not accept the user", etcd.urls()[0]));
        assert!(told[1].starts_with("authentication failed"), "{told:?}");
        assert!(told.iter().all(|text| !text.contains(password)), "{told:?}");
    }
    assert!(!format!("{:?}", user("worker", "geheim")).contains("geheim"));
    let told = refused(hurried(etcd.urls())).await;
    assert_eq!(told[1], "user name is empty");
    let other = get(&locks, &Wanted { patience: Patience::Try, ..wanted("other") }).await;
    match other.err() {
        Some(Error::Store(error)) => assert_eq!(parts(error)[1], "permission denied"),
        other => panic!("{other:?}"),
    }
    let ahead = watch::Sender::new(Ahead::default());
    assert!(locks.acquire(&wanted("other"), &ahead, &CancellationToken::new()).await.is_err());
    assert!(etcd.keys("").is_empty() && etcd.leases().is_empty());
}
