//! The development authority, and the certificates that it issues.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::super::serve::client::{Server, curl};
use super::super::support::{Process, Run, hardy};

/// A directory to work in, and one for state.
struct Home {
    directory: TempDir,
}

impl Home {
    fn new() -> Home {
        Home { directory: tempfile::tempdir().unwrap() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = hardy();
        command.args(["tls", "cert"]).args(args).current_dir(self.directory.path());
        command.env("HARDY_STORE_DIRECTORY", self.at("state"));
        command
    }

    fn cert(&self, args: &[&str]) -> Run {
        self.command(args).output().unwrap().into()
    }

    /// The authority's certificate, in a file of its own.
    fn ca(&self) -> String {
        let printed = self.cert(&["--print-ca"]);
        assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""), "{printed:?}");
        fs::write(self.at("ca.pem"), &printed.stdout).unwrap();
        self.at("ca.pem").to_str().unwrap().to_owned()
    }

    /// The one directory below that for state.
    fn authority(&self) -> PathBuf {
        let mut all = fs::read_dir(self.at("state")).unwrap().map(|entry| entry.unwrap().path());
        let only = all.next().unwrap();
        assert!(all.next().is_none(), "something is left beside {only:?}");
        only
    }

    fn entries(&self) -> Vec<String> {
        let all = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> = all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Whether openssl believes the certificate.
fn verify(args: &[&str], certificate: &Path) -> String {
    let output = Command::new("openssl").arg("verify").args(args).arg(certificate).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn openssl_believes_what_it_issues() {
    let home = Home::new();
    let made = home.cert(&["app.test", "*.app.test", "127.0.0.1", "::1", "--json"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let data = &made.json()["data"];
    assert_eq!(data["names"], serde_json::json!(["app.test", "*.app.test", "127.0.0.1", "::1"]));
    assert_eq!(
        (&data["certificate"], &data["key"]),
        (&"./app.test.pem".into(), &"./app.test-key.pem".into())
    );
    let (leaf, ca) = (home.at("app.test.pem"), home.ca());
    assert_eq!(fs::read_to_string(data["ca"].as_str().unwrap()).unwrap(), fs::read_to_string(&ca).unwrap());
    for name in ["app.test", "x.app.test"] {
        let said = verify(&["-x509_strict", "-CAfile", &ca, "-verify_hostname", name], &leaf);
        assert!(said.ends_with(": OK\n"), "{name}: {said}");
    }
    for address in ["127.0.0.1", "::1"] {
        let said = verify(&["-CAfile", &ca, "-purpose", "sslserver", "-verify_ip", address], &leaf);
        assert!(said.ends_with(": OK\n"), "{address}: {said}");
    }
    let said = verify(&["-CAfile", &ca, "-verify_hostname", "else.test"], &leaf);
    assert!(said.contains("ostname mismatch"), "{said}");
    let said = verify(&["-CAfile", &ca, "-purpose", "sslclient"], &leaf);
    assert!(!said.ends_with(": OK\n"), "{said}");
    let mut openssl = Command::new("openssl");
    openssl.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(&leaf);
    let printed =
        String::from_utf8(openssl.output().unwrap().stdout).unwrap().trim().replace(':', "").to_lowercase();
    assert!(printed.ends_with(data["sha256"].as_str().unwrap()), "{printed}");
}

#[test]
fn serve_shows_it_and_curl_and_probe_believe_it() {
    let home = Home::new();
    let made = home.cert(&["localhost", "127.0.0.1", "--json"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let at = |name: &str| home.at(name).to_str().unwrap().to_owned();
    let server = Server::start(&["--tls-cert", &at("localhost.pem"), "--tls-key", &at("localhost-key.pem")]);
    let url = server.url("/");
    let ca = home.ca();
    assert_eq!(curl(&["--cacert", &ca, &url]).stdout, "Hello World!\n");
    let metrics = curl(&["--cacert", &ca, &server.url("/metrics")]).stdout;
    assert!(metrics.contains("\nhardy_serve_certificate_days_left 89\n"), "{metrics}");
    let end = made.json()["data"]["not_after"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let line = format!("\nhardy_serve_certificate_expiry_timestamp_seconds {}\n", end.as_second());
    assert!(metrics.contains(&line), "no {line:?} in {metrics}");
    assert_ne!(curl(&[&url]).code, Some(0), "nobody believes it unasked");
    let probe = |args: &[&str]| -> Run {
        hardy().args(["probe", &url, "--timeout", "20s"]).args(args).output().unwrap().into()
    };
    assert_eq!(probe(&["--ca", &ca]).code, Some(0));
    assert_eq!(probe(&["--ca", &ca, "--expect-cert-life", "80d"]).code, Some(0));
    assert_eq!(probe(&["--ca", &ca, "--expect-cert-life", "90d"]).code, Some(1));
    assert_eq!(probe(&[]).code, Some(1));
}

#[test]
fn a_client_shows_it() {
    let home = Home::new();
    let made = home.cert(&["--client", "alice", "--cert", "a.pem", "--key", "a.key", "--valid", "1h"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let ca = home.ca();
    let server = Server::start(&["--tls", "self-signed", "--tls-client-ca", &ca, "--echo"]);
    let at = |name: &str| home.at(name).to_str().unwrap().to_owned();
    let alice = curl(&["-k", "--cert", &at("a.pem"), "--key", &at("a.key"), &server.url("/")]);
    assert!(alice.stdout.contains("CN=alice"), "{alice:?}");
    let said = verify(&["-CAfile", &ca, "-purpose", "sslserver"], &home.at("a.pem"));
    assert!(!said.ends_with(": OK\n"), "{said}");
}

#[test]
fn keys_are_for_their_owner_alone_whatever_the_umask() {
    let home = Home::new();
    let run: Run = Command::new("sh")
        .args(["-c", "umask 0; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_hardy"), "tls", "cert", "a.test"])
        .current_dir(home.at("."))
        .env("HARDY_STORE_DIRECTORY", home.at("state"))
        .env("HARDY_CONFIG", "none")
        .output()
        .unwrap()
        .into();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!((mode(&home.at("a.test-key.pem")), mode(&home.at("a.test.pem"))), (0o600, 0o644));
    let kept = home.authority();
    assert_eq!((mode(&home.at("state")), mode(&kept)), (0o700, 0o700));
    assert_eq!((mode(&kept.join("ca-key.pem")), mode(&kept.join("ca.pem"))), (0o600, 0o600));
}

#[test]
fn processes_that_come_first_at_the_same_time_have_one_authority() {
    let home = Home::new();
    let start = |number: usize| {
        let mut command = home.command(&["localhost", "--json", "--out", &format!("out{number}")]);
        fs::create_dir(home.at(&format!("out{number}"))).unwrap();
        Process::start(command.stdout(Stdio::piped()))
    };
    let all: Vec<Process> = (0..8).map(start).collect();
    let all: Vec<Run> = all.into_iter().map(Process::finish).collect();
    let made = all.iter().filter(|run| run.json()["data"]["ca_is_new"] == true).count();
    assert_eq!(made, 1, "{all:?}");
    home.authority();
    let ca = home.ca();
    for number in 0..8 {
        let leaf = home.at(&format!("out{number}/localhost.pem"));
        let said = verify(&["-CAfile", &ca], &leaf);
        assert!(said.ends_with(": OK\n"), "{said}");
    }
}

#[test]
fn nothing_is_replaced_unasked_and_the_authority_never() {
    let home = Home::new();
    assert_eq!(home.cert(&["*.app.test"]).code, Some(0));
    let read = |name: &str| fs::read_to_string(home.at(name)).unwrap();
    let (stem, ca) = ("_wildcard.app.test", home.ca());
    let before = (read(&format!("{stem}.pem")), read(&format!("{stem}-key.pem")), read("ca.pem"));
    let again = home.cert(&["*.app.test"]);
    assert_eq!((again.code, again.stdout.as_str()), (Some(2), ""), "{again:?}");
    assert!(again.stderr.contains("./_wildcard.app.test.pem exists") && again.stderr.contains("--force"));
    assert_eq!(
        (read(&format!("{stem}.pem")), read(&format!("{stem}-key.pem"))),
        (before.0.clone(), before.1)
    );
    assert_eq!(home.cert(&["*.app.test", "--force"]).code, Some(0));
    assert_ne!(read(&format!("{stem}.pem")), before.0);
    home.ca();
    assert_eq!(read("ca.pem"), before.2);
    let said = verify(&["-CAfile", &ca], &home.at(&format!("{stem}.pem")));
    assert!(said.ends_with(": OK\n"), "{said}");
}

#[test]
fn an_authority_that_cannot_be_used_is_said_and_left_alone() {
    let home = Home::new();
    assert_eq!(home.cert(&["a.test"]).code, Some(0));
    let ca = home.authority().join("ca.pem");
    // It ran out long ago.
    let key = rcgen::KeyPair::from_pem(&fs::read_to_string(home.authority().join("ca-key.pem")).unwrap());
    let mut params = rcgen::CertificateParams::new([]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let expired = params.self_signed(&key.unwrap()).unwrap().pem();
    for (content, says) in
        [(expired.as_str(), "ran out at 2001-01-01T00:00:00Z"), ("", "is damaged: ca.pem is no certificate")]
    {
        fs::write(&ca, content).unwrap();
        for args in [&["b.test"][..], &["--print-ca"], &["b.test", "--force"]] {
            let run = home.cert(args);
            assert_eq!((run.code, run.stdout.as_str()), (Some(3), ""), "{run:?}");
            assert!(run.stderr.contains(says) && run.stderr.contains("hint: move /"), "{run:?}");
            assert_eq!(fs::read_to_string(&ca).unwrap(), content);
        }
    }
    assert!(!home.at("b.test.pem").exists());
}

#[test]
fn wrong_input_is_refused_with_a_way_out() {
    let home = Home::new();
    fs::create_dir(home.at("d.pem")).unwrap();
    fs::write(home.at("file"), "").unwrap();
    let cases = [
        (&[][..], 2, "<NAME>"),
        (&["bücher.example"], 2, "begins with xn--"),
        (&["https://a.test"], 2, "expected a DNS name"),
        (&["*.test"], 2, "expected *.app.test"),
        (&["a.test", "--valid", "90"], 2, "250ms, 10s, 5m or 30d"),
        (&["a.test", "--days", "0"], 2, "at least 10m"),
        (&["a.test", "--days", "1", "--valid", "1d"], 2, "cannot be used with"),
        (&["a.test", "--cert", "c.pem"], 2, "--key"),
        (&["a.test", "--cert", "c.pem", "--key", "c.pem"], 2, "cannot hold both"),
        (&["a.test", "--cert", "c", "--key", "k", "--out", "."], 2, "cannot be used with"),
        (&["a.test", "--cert", "d.pem", "--key", "k"], 2, "d.pem exists"),
        (&["a.test", "--cert", "d.pem", "--key", "k", "--force"], 2, "d.pem is no file"),
        (&["a.test", "--out", "nowhere"], 3, "cannot write nowhere/a.test-key.pem"),
        (&["a.test", "--out", "/proc"], 3, "cannot write /proc/a.test-key.pem"),
        (&["a.test", "--store-dir", "file/below"], 3, "file/below"),
        (&["a.test", "--store-dir", "/proc/hardy"], 3, "cannot create /proc/hardy"),
        (&["a.test", "--print-ca"], 2, "cannot be used with"),
        (&["--print-ca", "--json"], 2, "prints PEM"),
    ];
    for (args, code, says) in cases {
        let run = home.cert(args);
        assert_eq!((run.code, run.stdout.as_str()), (Some(code), ""), "{args:?}: {run:?}");
        assert!(run.stderr.starts_with("error: ") && run.stderr.contains(says), "{args:?}: {run:?}");
    }
    assert_eq!(home.entries(), ["d.pem", "file", "state"]);
}

/// No byte can be written, as on a full disk: neither authority nor certificate is there, nor a part of one.
#[test]
fn a_full_disk_leaves_nothing_behind() {
    let home = Home::new();
    let limited = |args: &[&str]| -> Run {
        let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" tls cert \"$@\" 2>&1 | cat";
        Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_hardy")])
            .args(args)
            .current_dir(home.at("."))
            .env("HARDY_STORE_DIRECTORY", home.at("state"))
            .env("HARDY_CONFIG", "none")
            .output()
            .unwrap()
            .into()
    };
    let run = limited(&["a.test"]);
    assert!(run.stdout.contains("cannot create") && run.stdout.contains("File too large"), "{run:?}");
    assert_eq!(fs::read_dir(home.at("state")).unwrap().count(), 0);
    home.ca();
    let run = limited(&["a.test"]);
    assert!(run.stdout.contains("cannot write ./a.test-key.pem"), "{run:?}");
    assert_eq!(home.entries(), ["ca.pem", "state"]);
}

#[test]
fn people_read_what_was_made_and_how_to_go_on() {
    let home = Home::new();
    let run = home.cert(&["::1", "it"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    for line in [
        "certificate  ./::1.pem",
        "key          ./::1-key.pem",
        "for          ::1, it (server)",
        "  hardy serve --tls-cert ./::1.pem --tls-key ./::1-key.pem",
        "https://[::1]:8443",
        "  SSL_CERT_FILE=",
        "`hardy tls cert --print-ca`",
        "made just now",
    ] {
        assert!(run.stdout.contains(line), "no {line:?} in {}", run.stdout);
    }
    assert!(!home.cert(&["b.test"]).stdout.contains("made just now"));
    let long = home.cert(&["c.test", "--days", "36500"]);
    assert!(long.stdout.contains(", as its authority"), "{}", long.stdout);
}

#[test]
fn a_name_that_is_given_twice_is_in_the_certificate_once() {
    let home = Home::new();
    let made = home.cert(&["a.test", "b.test", "a.test", "A.TEST", "::1", "0::1", "--json"]);
    assert_eq!(made.json()["data"]["names"], serde_json::json!(["a.test", "b.test", "::1"]), "{made:?}");
    let certificate = home.at("a.test.pem");
    let args = ["x509", "-noout", "-ext", "subjectAltName", "-in"];
    let shown = Command::new("openssl").args(args).arg(certificate).output().unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(text.matches("a.test").count(), 1, "{text}");
}
