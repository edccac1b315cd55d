//! TLS that begins on request: real servers of every protocol, and scripted ones that do not agree.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use super::super::fixtures::Server;
use super::servers::{Home, Real, is_root, ordinary};
use super::sessions::{check, unreached};

/// TLS begins, and goes on to a second connection that finds out more.
fn begins(protocol: &str, server: &Real) {
    let report = check(&format!("tls+{protocol}://localhost:{}", server.port), &[]);
    let negotiated = &report["observed"]["negotiated"];
    assert_eq!(negotiated["version"], "tls1_3", "{report}");
    assert_eq!(negotiated["without_sni"], "same");
    assert!(negotiated["resumption"]["tls1_3_ticket"].is_boolean(), "{report}");
    assert_eq!(negotiated["protocols"]["skipped"], format!("{protocol} is spoken here, not HTTP"));
}

/// Only the superuser may start this mail server; Dovecot speaks SMTP for everybody.
#[test]
fn smtp_of_postfix_too_where_the_superuser_tests() {
    if !is_root() {
        return;
    }
    let home = Home::new();
    fs::set_permissions(home.path(""), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for directory in ["queue", "queue/pid", "queue/private", "queue/public", "data"] {
        let path = home.directory(directory);
        let owner = if directory == "queue" || directory == "queue/pid" { "root" } else { "postfix" };
        assert!(Command::new("chown").args([owner, &path]).status().unwrap().success());
    }
    let server = Real::start(|port| {
        home.write("main.cf", POSTFIX);
        let services = format!("127.0.0.1:{port} inet n - n - - smtpd\n{POSTFIX_SERVICES}");
        home.write("master.cf", &services);
        let mut command = Command::new("/usr/lib/postfix/sbin/master");
        command.args(["-c", &home.path(""), "-s"]);
        command
    });
    begins("smtp", &server);
}

const POSTFIX: &str = "compatibility_level = 3.6
queue_directory = HOME/queue
data_directory = HOME/data
maillog_file = /dev/stdout
inet_protocols = ipv4
mydestination =
local_recipient_maps =
alias_maps =
smtpd_peername_lookup = no
smtpd_tls_security_level = may
smtpd_tls_cert_file = HOME/cert.pem
smtpd_tls_key_file = HOME/key.pem
";
const POSTFIX_SERVICES: &str = "tlsmgr unix - - n - 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
";

fn dovecot(home: &Home, protocol: &str, more: &str) -> Real {
    Real::start(|port| {
        let user = if is_root() { "nobody".to_owned() } else { whoami("-un") };
        let group = if is_root() { "nogroup".to_owned() } else { whoami("-gn") };
        let text = format!(
            "protocols = {protocol}
base_dir = HOME/run
state_dir = HOME/state
log_path = /dev/stderr
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
ssl_cert = <HOME/cert.pem
ssl_key = <HOME/key.pem
listen = 127.0.0.1
{more}
passdb {{
  driver = static
  args = nopassword=y
}}
service {protocol}-login {{
  chroot =
  inet_listener {protocol} {{
    port = {port}
  }}
  inet_listener {protocol}s {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
"
        );
        let mut command = ordinary("/usr/sbin/dovecot");
        command.args(["-F", "-c", &home.write("dovecot.conf", &text)]);
        command
    })
}

fn whoami(what: &str) -> String {
    let output = Command::new("id").arg(what).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn smtp_imap_and_pop3_of_dovecot() {
    begins("smtp", &dovecot(&Home::new(), "submission", "submission_relay_host = 127.0.0.1"));
    for protocol in ["imap", "pop3"] {
        begins(protocol, &dovecot(&Home::new(), protocol, ""));
    }
}

#[test]
fn ftp_of_vsftpd() {
    let home = Home::new();
    home.directory("empty");
    let server = Real::start(|port| {
        let text = format!(
            "listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\nrun_as_launching_user=YES
seccomp_sandbox=NO\nsecure_chroot_dir=HOME/empty\nssl_enable=YES\nrsa_cert_file=HOME/cert.pem
rsa_private_key_file=HOME/key.pem\n"
        );
        let mut command = ordinary("/usr/sbin/vsftpd");
        command.arg(home.write("vsftpd.conf", &text));
        command
    });
    begins("ftp", &server);
}

#[test]
fn ldap_of_slapd() {
    let home = Home::new();
    let text = "pidfile HOME/pid\nTLSCertificateFile HOME/cert.pem\nTLSCertificateKeyFile HOME/key.pem\n";
    let conf = home.write("slapd.conf", text);
    let server = Real::start(|port| {
        let mut command = ordinary("/usr/sbin/slapd");
        command.args(["-f", &conf, "-d", "0", "-h", &format!("ldap://127.0.0.1:{port}/")]);
        command
    });
    begins("ldap", &server);
}

/// Where Debian keeps the programs of its one version of PostgreSQL.
fn postgresql(program: &str) -> String {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let mut found = versions.map(|version| version.unwrap().path().join("bin").join(program));
    found.find(|path| path.exists()).expect("PostgreSQL is installed").display().to_string()
}

fn postgres(home: &Home, tls: &str) -> Real {
    let mut create = ordinary(&postgresql("initdb"));
    let create = create.args(["-D", &home.path("data"), "-N", "-A", "trust", "-E", "UTF8", "--locale=C"]);
    let created = create.output().unwrap();
    assert!(created.status.success(), "{created:?}");
    Real::start(|port| {
        let mut command = ordinary(&postgresql("postgres"));
        command.args(["-D", &home.path("data"), "-h", "127.0.0.1", "-p", &port.to_string()]);
        command.args(["-k", &home.path(""), "-c", &format!("ssl={tls}")]);
        command.args(["-c", &format!("ssl_cert_file={}", home.path("cert.pem"))]);
        command.args(["-c", &format!("ssl_key_file={}", home.path("key.pem"))]);
        command
    })
}

#[test]
fn postgres_with_tls_and_without() {
    begins("postgres", &postgres(&Home::new(), "on"));
    let home = Home::new();
    let server = postgres(&home, "off");
    let report = check(&format!("tls+postgres://localhost:{}", server.port), &["--fast"]);
    assert_eq!(unreached(&report), "tls.handshake: postgres: the server does not offer TLS");
}

fn mariadb(home: &Home, more: &[&str]) -> Real {
    let data = home.directory("data");
    Real::start(|port| {
        let mut command = ordinary("/usr/sbin/mariadbd");
        command.args(["--no-defaults", "--skip-grant-tables", "--skip-networking=0"]);
        command.args(["--bind-address=127.0.0.1", &format!("--port={port}"), &format!("--datadir={data}")]);
        command
            .args([format!("--socket={}", home.path("socket")), format!("--pid-file={}", home.path("pid"))]);
        command.args(more);
        command
    })
}

#[test]
fn mysql_of_mariadb_with_tls_and_without() {
    let home = Home::new();
    let identity =
        [format!("--ssl-cert={}", home.path("cert.pem")), format!("--ssl-key={}", home.path("key.pem"))];
    begins("mysql", &mariadb(&home, &identity.each_ref().map(String::as_str)));
    let home = Home::new();
    let server = mariadb(&home, &["--skip-ssl"]);
    let report = check(&format!("tls+mysql://localhost:{}", server.port), &["--fast"]);
    assert_eq!(unreached(&report), "tls.handshake: mysql: the server does not offer TLS");
}

#[test]
fn xmpp_of_prosody() {
    let home = Home::new();
    home.directory("data");
    let server = Real::start(|port| {
        let text = format!(
            r#"pidfile = "HOME/pid"
data_path = "HOME/data"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
modules_enabled = {{ "tls", "saslauth" }}
modules_disabled = {{ "posix", "s2s" }}
log = {{ warn = "*console" }}
VirtualHost "localhost"
  ssl = {{ certificate = "HOME/cert.pem", key = "HOME/key.pem" }}
"#
        );
        let mut command = ordinary("/usr/bin/prosody");
        command.args(["-F", "--config", &home.write("prosody.cfg.lua", &text)]);
        command
    });
    begins("xmpp", &server);
    let report = check(&format!("tls+xmpp://127.0.0.1:{}", server.port), &["--fast"]);
    let actual = unreached(&report);
    assert!(actual.contains("the features of the stream is \"<stream:error><host-unknown"), "{actual}");
}

/// Says these in turn, each time after it heard something; the first as a greeting, if there is any. In pieces of this
/// size, but for the last.
fn scripted(says: &'static [&'static [u8]], piece: usize) -> Server {
    Server::start(move |mut stream: TcpStream, _| {
        let _ = stream.set_nodelay(true);
        for (turn, text) in says.iter().enumerate() {
            if turn > 0 && !stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {
                return;
            }
            let piece = if turn + 1 == says.len() { usize::MAX } else { piece };
            for part in text.chunks(piece) {
                let _ = stream.write_all(part);
            }
        }
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

const FEATURES: &[u8] = b"<stream:stream id='1'><stream:features><starttls/></stream:features>";
const MYSQL: &[u8] = b"\x1e\0\0\0\x0a8.0.36\0\x01\0\0\0saltsalt\0\xff\xff\x21\0\0\0\0\0\0";

#[test]
fn what_is_said_instead_is_told() {
    let cases: [(&str, &[&[u8]], &str); 22] = [
        ("smtp", &[b"220 a\r\n", b"250-a\r\n250 SIZE 1\r\n"], "the server does not offer STARTTLS"),
        ("smtp", &[b"554 go away\r\n"], "the server's greeting is \"554 go away\""),
        ("smtp", &[b"220-a\r\n220 b\r\n", b"502 what?\r\n"], "the answer to EHLO is \"502 what?\""),
        (
            "smtp",
            &[b"220 a\r\n", b"250-a\r\n250-starttls\r\n250 X\r\n", b"454 not now\x1b[2J\r\n"],
            "the answer to STARTTLS is \"454 not now\\u{1b}[2J\"",
        ),
        (
            "smtp",
            &[b"220 a\r\n", b"250-a\r\n250 STARTTLS\r\n", b"220 go\r\n250 injected\r\n"],
            "the server said more than it was asked, in the clear: \"250 injected\"",
        ),
        ("smtp", &[b"SSH-2.0-x\r\n"], "the server's greeting is \"SSH-2.0-x\""),
        (
            "smtp",
            &[b"220 a"],
            "the server closed the connection instead of the server's greeting, after \"220 a\"",
        ),
        ("imap", &[b"* BYE\r\n"], "the server's greeting is \"* BYE\""),
        ("imap", &[b"* OK\r\n", b"* CAPABILITY X\r\na BAD no\r\n"], "the answer to STARTTLS is \"a BAD no\""),
        ("imap", &[b"* OK\r\n", b"a OK\r\n* injected\r\n"], "in the clear: \"* injected\""),
        ("pop3", &[b"+OK\r\n", b"-ERR no\r\n"], "the answer to STLS is \"-ERR no\""),
        ("ftp", &[b"220-hi\r\n 220 x\r\n220 hi\r\n", b"500 no\r\n"], "the answer to AUTH TLS is \"500 no\""),
        (
            "ldap",
            &[b"", b"\x30\x0e\x02\x01\x01\x78\x09\x0a\x01\x02\x04\x00\x04\x02no"],
            "the server refuses with result 2, \"no\"",
        ),
        ("ldap", &[b"", b"HTTP/1.1 400 x\r\n\r\n"], "the answer to the extended request is \"HT\""),
        ("ldap", &[b"", b"\x30\x84\x7f\xff\xff\xff"], "the server closed the connection"),
        ("postgres", &[b"", b"E\0\0\0\x0dSFATAL\0Mno\0\0"], "the server refuses: "),
        ("postgres", &[b"", b"Sinjected"], "in the clear: \"injected\""),
        ("postgres", &[b"", b"H"], "the answer to SSLRequest is \"H\""),
        ("mysql", &[b"\x0b\0\0\0\xff\x69\x04too many"], "the server refuses: \"too many\""),
        ("mysql", &[b"\x02\0\0\0\x0b\0"], "the server's greeting is "),
        ("xmpp", &[b"", b"<stream:stream><stream:features/>"], "the server does not offer STARTTLS"),
        (
            "xmpp",
            &[b"", FEATURES, b"<failure xmlns='x'/>"],
            "the answer to STARTTLS is \"<failure xmlns='x'/>\"",
        ),
    ];
    for (protocol, says, told) in cases {
        let server = scripted(says, usize::MAX);
        let report = check(&format!("tls+{protocol}://{}", server.address), &["--fast"]);
        let actual = unreached(&report);
        assert!(
            actual.contains(&format!(": {protocol}: ")) && actual.contains(told),
            "{actual:?}, not {told:?}"
        );
        assert_eq!(report["connections"], 1);
    }
}

/// Each agrees, in pieces as small as can be, and then does not know what a hello is.
#[test]
fn after_the_go_ahead_only_tls_counts() {
    let cases: [(&str, &[&[u8]]); 8] = [
        ("smtp", &[b"220-a\r\n220 b\r\n", b"250-a\r\n250 STARTTLS\r\n", b"220 go\r\n", b"+OK what?"]),
        ("imap", &[b"* OK\r\n", b"* X\r\nA OK go\r\n", b"+OK what?"]),
        ("pop3", &[b"+OK\r\n", b"+ok\r\n", b"+OK what?"]),
        ("ftp", &[b"220 a\r\n", b"234 go\r\n", b"+OK what?"]),
        ("ldap", &[b"", b"\x30\x81\x0c\x02\x01\x01\x78\x07\x0a\x01\0\x04\0\x04\0", b"+OK what?"]),
        ("postgres", &[b"", b"S", b"+OK what?"]),
        // It hears two things at once.
        ("mysql", &[MYSQL, b"+OK what?"]),
        ("xmpp", &[b"", FEATURES, b"<proceed xmlns='x'></proceed>", b"+OK what?"]),
    ];
    for (protocol, says) in cases {
        let server = scripted(says, 1);
        let report = check(&format!("tls+{protocol}://{}", server.address), &["--fast"]);
        assert_eq!(unreached(&report), "tls.handshake: the server speaks POP3, not TLS", "{protocol}");
    }
}

#[test]
fn nobody_may_talk_without_end() {
    for protocol in ["smtp", "imap", "pop3", "ftp", "ldap", "postgres", "mysql", "xmpp"] {
        let server = Server::start(|mut stream: TcpStream, _| {
            // The length of an LDAP message, too, and of a MySQL packet.
            let text = b"\x30\x84\x00\xff\xff\xff".iter().chain([b'0'; 4096].iter());
            let text: Vec<u8> = text.copied().collect();
            while stream.write_all(&text).is_ok() {}
        });
        let report = check(&format!("tls+{protocol}://{}", server.address), &["--fast"]);
        assert_eq!(report["status"], "error");
        assert!(unreached(&report).starts_with("tls.handshake: "), "{report}");
    }
}

#[test]
fn a_server_that_stalls_is_not_waited_for() {
    let server = Server::start(|mut stream: TcpStream, _| {
        let _ = stream.write_all(b"220-wait");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let report = check(&format!("tls+smtp://{}", server.address), &["--fast"]);
    assert_eq!(unreached(&report), "timeout: smtp: the server's greeting did not come within 5s");
    assert_eq!(report["connections"], 1);
}
