//! Authorities and certificates for tests, valid around 2026-06-01, and servers that show them.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use crate::fixtures::Server;
use crate::support::{Run, run};

/// When everything here is valid.
pub const NOW: &str = "2026-06-01";

/// A certificate with its key.
pub struct Made {
    pub params: CertificateParams,
    pub key: KeyPair,
    pub der: CertificateDer<'static>,
    pub pem: String,
}

/// Makes a certificate, in its own name or in that of another.
pub fn made(issuer: Option<&Made>, params: CertificateParams) -> Made {
    let key = KeyPair::generate().expect("a key");
    let certificate = match issuer {
        Some(issuer) => params.signed_by(&key, &Issuer::from_params(&issuer.params, &issuer.key)),
        None => params.self_signed(&key),
    };
    let certificate = certificate.expect("a certificate");
    Made { der: certificate.der().clone(), pem: certificate.pem(), params, key }
}

pub fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2046, 1, 1));
    params
}

pub fn server(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (params.not_before, params.not_after) = (date_time_ymd(2026, 5, 1), date_time_ymd(2026, 7, 30));
    params
}

/// A root, an intermediate and a leaf.
pub struct Chain {
    pub root: Made,
    pub middle: Made,
    pub leaf: Made,
}

pub fn chain(name: &str) -> Chain {
    let root = made(None, authority("Root"));
    let middle = made(Some(&root), authority("Middle"));
    let leaf = made(Some(&middle), server(name));
    Chain { root, middle, leaf }
}

impl Chain {
    pub fn full(&self) -> String {
        format!("{}{}", self.leaf.pem, self.middle.pem)
    }
}

/// Writes a file and returns its path.
pub fn write(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, content).expect("the file is written");
    path
}

/// Runs openssl to its end, in a directory.
pub fn openssl(directory: &Path, args: &[&str]) {
    let done = Command::new("openssl").args(args).current_dir(directory).stdin(Stdio::null()).output();
    let done = done.expect("openssl runs");
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Checks with all arguments, at [`NOW`]; the policy is beside the point.
pub fn check(args: &[&str]) -> Run {
    run(&[&["tls", "check", "--json", "--fast", "--at", NOW][..], args].concat())
}

/// What is bad of one target, sorted: `fail cert.name leaf`.
pub fn bad(target: &Value) -> Vec<String> {
    let shown = |finding: &Value| {
        let text = |key: &str| finding[key].as_str().expect("a text").to_owned();
        format!("{} {} {}", text("status"), text("id"), text("subject"))
    };
    let findings = target["findings"].as_array().expect("findings");
    let is_bad =
        |finding: &&Value| !["pass", "skip"].contains(&finding["status"].as_str().expect("a status"));
    let mut bad: Vec<String> = findings.iter().filter(is_bad).map(shown).collect();
    bad.sort();
    bad
}

/// The targets of a run.
pub fn targets(run: &Run) -> Vec<Value> {
    run.json()["data"]["targets"].as_array().expect("targets").clone()
}

/// The findings of an id, in all targets.
pub fn findings(run: &Run, id: &str) -> Vec<Value> {
    let all =
        targets(run).into_iter().flat_map(|target| target["findings"].as_array().expect("findings").clone());
    all.filter(|finding| finding["id"] == id).collect()
}

/// A server that shows this chain, with this answer stapled to it.
pub fn shown(chain: &[&Made], staple: &[u8]) -> Server {
    let key = PrivateKeyDer::try_from(chain[0].key.serialize_der()).expect("a key");
    let certificates = chain.iter().map(|made| made.der.clone()).collect();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert_with_ocsp(certificates, key, staple.to_vec())
        .expect("an identity");
    let config = Arc::new(config);
    Server::start(move |stream, _| {
        let session = rustls::ServerConnection::new(config.clone()).expect("a session");
        let mut stream = rustls::StreamOwned::new(session, stream);
        // Until the client has seen enough.
        let _ = stream.read(&mut [0; 1]);
        stream.conn.send_close_notify();
        let _ = stream.flush();
    })
}
