//! Real servers, each a process of an ordinary user on a free port of 127.0.0.1 with a directory of its own.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rcgen::{CertificateParams, DnType, KeyPair};
use tempfile::TempDir;

use super::super::support::{Process, wait_for};

/// Who runs servers when this is the superuser: some of them refuse to be run by that.
const NOBODY: u32 = 65534;
/// How often a server is given another port when somebody else takes its own.
const TRIES: usize = 3;

/// A directory that belongs to the servers, with `cert.pem` and `key.pem` for localhost in it.
pub struct Home(TempDir);

impl Home {
    pub fn new() -> Home {
        let home = Home(tempfile::tempdir().unwrap());
        home.give(home.0.path().to_owned());
        home.identity("cert.pem", "key.pem", "localhost");
        home
    }

    /// A certificate that vouches for itself, and its key.
    pub fn identity(&self, certificate: &str, key: &str, name: &str) {
        let signing_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        self.write(certificate, &params.self_signed(&signing_key).unwrap().pem());
        self.write(key, &signing_key.serialize_pem());
    }

    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// A file that only the servers can read; `HOME` in the text stands for the directory.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, text.replace("HOME", self.0.path().to_str().unwrap())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        self.give(path);
        self.path(name)
    }

    pub fn directory(&self, name: &str) -> String {
        fs::create_dir(self.0.path().join(name)).unwrap();
        self.give(self.0.path().join(name));
        self.path(name)
    }

    fn give(&self, path: PathBuf) {
        if is_root() {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A command of an ordinary user.
pub fn ordinary(program: &str) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    let user = NOBODY.to_string();
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--", program]);
    command
}

/// A server that is asked to end, and waited for, when the test is done with it.
pub struct Real {
    process: Process,
    pub port: u16,
}

impl Real {
    /// Starts a server on a free port, and waits until it accepts connections.
    pub fn start(mut command: impl FnMut(u16) -> Command) -> Real {
        let mut ends = Vec::new();
        for _ in 0..TRIES {
            let port = free_port();
            let mut command = command(port);
            // Some end when there is nothing more to read.
            command.stdin(Stdio::piped()).stdout(Stdio::null());
            let mut process = Process::start(&mut command);
            let accepts = || TcpStream::connect(("127.0.0.1", port)).is_ok();
            let up = wait_for("the server to accept connections or to end", || {
                if process.has_ended() { Some(false) } else { accepts().then_some(true) }
            });
            if up {
                return Real { process, port };
            }
            ends.push((command, process.finish()));
        }
        panic!("the server does not start: {ends:#?}");
    }
}

/// Below those that the kernel gives to clients, one of which might have it before the server does: even this test, that
/// connects to it again and again.
fn free_port() -> u16 {
    std::iter::repeat_with(|| fastrand::u16(10_000..32_000))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}

impl Drop for Real {
    fn drop(&mut self) {
        // A clean end takes shared memory and children with it.
        if !self.process.has_ended() {
            self.process.signal("TERM");
            self.process.wait();
        }
    }
}

/// `openssl s_server` with the certificate of the home; it serves one connection after the other.
pub fn openssl(home: &Home, args: &[&str]) -> Real {
    Real::start(|port| {
        let mut command = ordinary("openssl");
        command.args(["s_server", "-accept", &format!("127.0.0.1:{port}")]);
        command.args(["-cert", &home.path("cert.pem"), "-key", &home.path("key.pem")]).args(args);
        command
    })
}

/// nginx with these servers; `PORT` in the text stands for the port.
pub fn nginx(home: &Home, servers: &str) -> Real {
    Real::start(|port| {
        let servers = servers.replace("PORT", &format!("127.0.0.1:{port}"));
        let text = format!(
            "daemon off; pid HOME/pid; error_log stderr; events {{}} http {{ access_log off;
             client_body_temp_path HOME/b; proxy_temp_path HOME/p; fastcgi_temp_path HOME/f;
             uwsgi_temp_path HOME/u; scgi_temp_path HOME/s;
             ssl_certificate HOME/cert.pem; ssl_certificate_key HOME/key.pem; {servers} }}"
        );
        let conf = home.write("nginx.conf", &text);
        let mut command = ordinary("/usr/sbin/nginx");
        command.args(["-e", "stderr", "-p", &home.path(""), "-c", &conf]);
        command
    })
}
