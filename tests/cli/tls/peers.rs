//! Real servers that speak TLS, and the tools whose findings must be ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use hardy::tls::registry::{Group, Suite};
use serde_json::Value;
use tempfile::TempDir;

use super::super::support::{Process, hardy, wait_for};

/// A server that ends with the test.
pub struct Peer {
    pub address: SocketAddr,
    _process: Process,
    _directory: TempDir,
}

/// `openssl s_server` with an RSA certificate of its own.
pub fn openssl(args: &[&str]) -> Peer {
    let directory = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(directory.path());
    let mut command = Command::new("openssl");
    command.args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cert", &cert, "-key", &key]).args(args);
    // It ends when its input does.
    announced(command.stdin(Stdio::piped()), directory)
}

/// Go's own TLS, with an RSA certificate of its own.
pub fn go() -> Peer {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/tls/listen.go");
        let mut go = Command::new("go");
        go.env("GO111MODULE", "off").env("GOCACHE", scratch.join("go-cache")).args(["build", "-o"]);
        let status = go.arg(scratch.join("listen")).arg(source).status().expect("go is installed");
        assert!(status.success(), "the Go server is built");
        scratch.join("listen")
    };
    let directory = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(directory.path());
    announced(Command::new(BUILT.get_or_init(build)).args([cert, key]), directory)
}

/// One that says `ACCEPT ADDRESS` when it listens.
fn announced(command: &mut Command, directory: TempDir) -> Peer {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the server runs");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.find(|line| line.starts_with("ACCEPT ")).expect("the server listens");
    std::thread::spawn(move || lines.for_each(drop));
    let address = line.trim_start_matches("ACCEPT ").parse().expect("an address");
    Peer { address, _process: Process::of(child), _directory: directory }
}

/// nginx with an RSA certificate of its own and these directives.
pub fn nginx(directives: &str) -> Peer {
    let directory = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(directory.path());
    let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap();
    let (here, config) = (directory.path().display(), directory.path().join("nginx.conf"));
    let text = format!(
        "daemon off; master_process off; pid {here}/pid; error_log {here}/error.log;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log off; client_body_temp_path {here}/body; proxy_temp_path {here}/proxy;\n\
           fastcgi_temp_path {here}/fastcgi; uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi;\n\
           server {{ listen {address} ssl; ssl_certificate {cert}; ssl_certificate_key {key};\n\
             {directives} location / {{ return 200 hello; }} }} }}\n"
    );
    fs::write(&config, text).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    let process = Process::start(command.arg("-c").arg(&config).stdin(Stdio::null()));
    wait_for("nginx", || TcpStream::connect(address).ok());
    Peer { address, _process: process, _directory: directory }
}

fn certificate(directory: &Path) -> (String, String) {
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| directory.join(name).display().to_string());
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "30"]);
    let output = command.args(["-out", &cert, "-keyout", &key]).output().expect("openssl runs");
    assert!(output.status.success(), "{output:?}");
    (cert, key)
}

/// What a tool found, by names of IANA.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Suites of each version that is spoken, by its id.
    pub suites: BTreeMap<String, BTreeSet<String>>,
    pub groups: BTreeSet<String>,
}

/// What hardy says of the protocol.
pub fn protocol(address: SocketAddr) -> Value {
    let output = hardy().args(["tls", "check", &address.to_string(), "--json"]).output().expect("hardy runs");
    let document: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    document["data"]["targets"][0]["observed"]["protocol"].clone()
}

/// What hardy finds.
pub fn ours(protocol: &Value) -> Found {
    let names = |list: &Value| {
        list.as_array().expect("a list").iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let versions = protocol["versions"].as_object().expect("versions").iter();
    let suites = versions.map(|(version, spoken)| (version.clone(), names(&spoken["suites"])));
    let suites = suites.filter(|(_, suites): &(String, BTreeSet<String>)| !suites.is_empty()).collect();
    Found { suites, groups: names(&protocol["groups"]) }
}

/// What sslscan finds.
pub fn sslscan(address: SocketAddr) -> Found {
    let file = tempfile::NamedTempFile::new().unwrap();
    let report = format!("--xml={}", file.path().display());
    let output =
        Command::new("sslscan").args([&report, &address.to_string()]).output().expect("sslscan runs");
    assert!(output.status.success(), "{output:?}");
    let mut found = Found::default();
    for line in fs::read_to_string(file.path()).unwrap().lines() {
        let attribute = |name: &str| line.split(&format!(" {name}=\"")).nth(1)?.split('"').next();
        let id = || u32::from_str_radix(attribute("id")?.trim_start_matches("0x"), 16).ok();
        match line.trim().split(' ').next() {
            Some("<protocol") if attribute("enabled") == Some("1") => {
                let (kind, number) = (attribute("type").unwrap(), attribute("version").unwrap());
                found.suites.entry(format!("{kind}{}", number.replace('.', "_"))).or_default();
            }
            Some("<cipher") => {
                let version =
                    attribute("sslversion").unwrap().to_lowercase().replace('v', "").replace('.', "_");
                found.suites.entry(version).or_default().insert(Suite(id().unwrap()).to_string());
            }
            Some("<group") => {
                found.groups.insert(Group(id().unwrap().try_into().unwrap()).to_string());
            }
            _ => {}
        }
    }
    found
}

/// What testssl.sh finds.
pub fn testssl(address: SocketAddr) -> Found {
    let directory = tempfile::tempdir().unwrap();
    let report = directory.path().join("report.json");
    let mut command = Command::new("testssl");
    command.args(["-p", "-E", "-f", "--quiet", "--color", "0", "--warnings", "off", "--jsonfile"]);
    let output =
        command.arg(&report).arg(address.to_string()).stdin(Stdio::null()).output().expect("testssl runs");
    let text = fs::read_to_string(&report).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let findings: Value = serde_json::from_str(&text).unwrap();
    let mut found = Found::default();
    for finding in findings.as_array().expect("findings") {
        let (id, text) = (finding["id"].as_str().unwrap(), finding["finding"].as_str().unwrap());
        let versions = [
            ("TLS1", "tls1_0"),
            ("TLS1_1", "tls1_1"),
            ("TLS1_2", "tls1_2"),
            ("TLS1_3", "tls1_3"),
            ("SSLv2", "ssl2"),
            ("SSLv3", "ssl3"),
        ];
        if let Some((_, version)) = versions.iter().find(|(theirs, _)| *theirs == id)
            && text.starts_with("offered")
        {
            found.suites.entry((*version).to_owned()).or_default();
        }
        // Such as cipher-tls1_2_xc030; TLS 1.0 has no minor number there.
        if let Some((version, number)) = id.strip_prefix("cipher-").and_then(|id| id.rsplit_once("_x")) {
            let version = if version == "tls1" { "tls1_0" } else { version };
            let suite = Suite(u32::from_str_radix(number, 16).unwrap());
            found.suites.entry(version.to_owned()).or_default().insert(suite.to_string());
        }
        if ["PFS_ECDHE_curves", "FS_ECDHE_curves", "DH_groups"].contains(&id) {
            found.groups.extend(text.split_whitespace().map(iana_group));
        }
    }
    found
}

/// testssl.sh has the names of OpenSSL.
fn iana_group(name: &str) -> String {
    match name {
        "prime256v1" => "secp256r1".to_owned(),
        name if name.starts_with("ffdhe") => name.to_uppercase(),
        name => name.to_owned(),
    }
}
