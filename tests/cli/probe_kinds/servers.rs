//! Real servers as ordinary processes: on a free port of 127.0.0.1, with a directory of their own, gone with the test.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::authority::Authority;
use super::call;
use crate::support::DEADLINE;

/// Somebody who may do nothing: PostgreSQL does not run as root.
const NOBODY: [&str; 5] = ["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--"];

pub struct Server {
    pub port: u16,
    pub directory: tempfile::TempDir,
    child: Child,
    scheme: &'static str,
}

impl Server {
    /// Starts what `command` makes of a directory and a port, again on another port where somebody was faster, and waits
    /// until a probe says more than that nobody listens.
    fn start(scheme: &'static str, mut command: impl FnMut(&Path, u16) -> Command) -> Server {
        loop {
            let directory = tempfile::tempdir().unwrap();
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut command = command(directory.path(), port);
            let log = fs::File::create(directory.path().join("log")).unwrap();
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
            let mut server = Server { port, directory, child, scheme };
            if server.answers() {
                return server;
            }
        }
    }

    fn answers(&mut self) -> bool {
        let end = Instant::now() + DEADLINE;
        while self.child.try_wait().unwrap().is_none() {
            let (_, last) = call(&self.probed(), &[]);
            let starting = last["detail"].as_str().is_some_and(|detail| detail.contains("starting up"));
            if last["reason"] != "connect.refused" && !starting {
                return true;
            }
            assert!(Instant::now() < end, "{} does not start: {}", self.scheme, self.log());
        }
        assert!(self.log().contains("ddress already in use"), "{}", self.log());
        false
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    fn probed(&self) -> String {
        let name = if self.scheme == "dns" { "/a.test" } else { "" };
        self.url("") + name
    }

    /// Its URL; `user` with its @.
    pub fn url(&self, user: &str) -> String {
        format!("{}://{user}127.0.0.1:{}", self.scheme, self.port)
    }

    /// Kills it; its port is free then.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }
}

/// A file with the password, in the directory of the server.
pub fn password(server: &Server, text: &str) -> String {
    let path = server.directory.path().join("password");
    fs::write(&path, format!("{text}\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

impl Drop for Server {
    fn drop(&mut self) {
        // PostgreSQL's own children end at SIGQUIT, and would outlive it at SIGKILL for a while.
        if self.scheme == "postgres" && matches!(self.child.try_wait(), Ok(None)) {
            self.signal("QUIT");
            let _ = self.child.wait();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn redis(more: &[&str]) -> Server {
    Server::start("redis", |directory, port| {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string(), "--dir"]);
        command.arg(directory).args(more);
        command
    })
}

/// On a port for TLS alone; perhaps only for clients that show a certificate.
pub fn redis_over_tls(authority: &Authority, demanding: bool) -> Server {
    Server::start("rediss", |directory, port| {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--port", "0", "--tls-port", &port.to_string()]);
        command.args(["--tls-cert-file", &authority.cert, "--tls-key-file", &authority.key]);
        command.args(["--tls-ca-cert-file", &authority.ca]);
        command.args(["--tls-auth-clients", if demanding { "yes" } else { "no" }, "--dir"]).arg(directory);
        command
    })
}

/// nginx with what `servers` makes of its address; one process.
pub fn nginx(scheme: &'static str, servers: impl Fn(&str) -> String) -> Server {
    Server::start(scheme, |directory, port| {
        let home = directory.display();
        let text = format!(
            "daemon off; master_process off; pid {home}/pid; error_log stderr; events {{}} http {{ access_log off;
             client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f;
             uwsgi_temp_path {home}/u; scgi_temp_path {home}/s; {} }}",
            servers(&format!("127.0.0.1:{port}"))
        );
        let conf = directory.join("nginx.conf");
        fs::write(&conf, text).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.args(["-e", "stderr", "-p"]).arg(directory).arg("-c").arg(conf);
        command
    })
}

pub fn dnsmasq(more: &[&str]) -> Server {
    Server::start("dns", |_, port| {
        let mut command = Command::new("/usr/sbin/dnsmasq");
        command.args([
            "--keep-in-foreground",
            "--no-resolv",
            "--no-hosts",
            "--conf-file=/dev/null",
            "--pid-file",
        ]);
        command.args(["--listen-address=127.0.0.1", "--bind-interfaces", "--user=root", "--local=/test/"]);
        command.arg(format!("--port={port}")).arg("--host-record=a.test,10.0.0.7").args(more);
        command
    })
}

/// With the user `me`, whose password is `secret`, and `trusted`, who needs none.
pub fn postgres() -> Server {
    let rules = "host all me 127.0.0.1/32 scram-sha-256\nhost all old 127.0.0.1/32 md5\nhost all trusted 127.0.0.1/32 trust\n";
    postgres_of(rules, None)
}

/// With these rules for log-ins, and with TLS where there is an authority.
pub fn postgres_of(rules: &str, authority: Option<&Authority>) -> Server {
    let programs = postgres_programs();
    Server::start("postgres", |directory, port| {
        own(directory);
        let data = directory.join("data");
        let initialised = Command::new("setpriv")
            .args(NOBODY)
            .arg(programs.join("initdb"))
            .args(["--username=trusted", "--no-sync", "--auth=trust", "--locale=C", "-D"])
            .arg(&data)
            .current_dir("/")
            .output()
            .unwrap();
        assert!(initialised.status.success(), "{initialised:?}");
        fs::write(data.join("pg_hba.conf"), rules).unwrap();
        let statements = "CREATE USER me PASSWORD 'secret';\nCREATE DATABASE me;\n\
             SET password_encryption = md5;\nCREATE USER old PASSWORD 'secret';\n";
        single_user(&programs, &data, statements);
        let mut command = Command::new("setpriv");
        command.args(NOBODY).arg(programs.join("postgres")).arg("-D").arg(&data).args([
            "-h",
            "127.0.0.1",
            "-F",
        ]);
        command.args([
            "-p",
            &port.to_string(),
            "-c",
            "max_connections=5",
            "-c",
            "superuser_reserved_connections=0",
            "-k",
        ]);
        command.arg(directory).current_dir("/");
        for (what, file) in authority.iter().flat_map(|a| [("cert", &a.cert), ("key", &a.key), ("ca", &a.ca)])
        {
            let copy = directory.join(what);
            fs::copy(file, &copy).unwrap();
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
            own(&copy);
            command.args(["-c", "ssl=on", "-c", &format!("ssl_{what}_file={}", copy.display())]);
        }
        command
    })
}

/// Makes it that of [`NOBODY`].
fn own(path: &Path) {
    std::os::unix::fs::chown(path, Some(65534), Some(65534)).unwrap();
}

fn single_user(programs: &Path, data: &Path, statements: &str) {
    let file = data.join("statements.sql");
    fs::write(&file, statements).unwrap();
    let done = Command::new("setpriv")
        .args(NOBODY)
        .arg(programs.join("postgres"))
        .args(["--single", "-D"])
        .arg(data)
        .arg("postgres")
        .current_dir("/")
        .stdin(fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}

/// Debian keeps each version in a directory of its own.
fn postgres_programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let programs = versions.map(|version| version.unwrap().path().join("bin"));
    programs.max().expect("PostgreSQL is installed")
}

/// With `root`, who needs no password, and `me`, whose password is `secret`.
pub fn mariadb() -> Server {
    mariadb_of(None)
}

/// Where there is an authority, with TLS; the user `shown` must have a certificate, too.
pub fn mariadb_of(authority: Option<&Authority>) -> Server {
    const SMALL: [&str; 2] = ["--innodb=off", "--default-storage-engine=aria"];
    Server::start("mysql", |directory, port| {
        let data = directory.join("data");
        fs::create_dir(&data).unwrap();
        let mut statements = "create database mysql;\nuse mysql;\nSET @auth_root_socket=NULL;\n".to_owned();
        for file in ["mysql_system_tables.sql", "mysql_system_tables_data.sql"] {
            statements += &fs::read_to_string(Path::new("/usr/share/mysql").join(file)).unwrap();
        }
        statements += "delete from global_priv where user='';\n";
        for (user, certificate) in [("me", 0), ("shown", 2)] {
            statements += &format!(
                "insert into global_priv values ('%', '{user}', json_object('access', 0, 'plugin', \
                 'mysql_native_password', 'authentication_string', password('secret'), 'ssl_type', {certificate}));\n"
            );
        }
        let file = directory.join("statements.sql");
        fs::write(&file, statements).unwrap();
        let program = || {
            let mut command = Command::new("/usr/sbin/mariadbd");
            command.args(["--no-defaults", "--user=root"]).args(SMALL).arg("--datadir").arg(&data);
            command
        };
        let bootstrap = program().arg("--bootstrap").stdin(fs::File::open(&file).unwrap()).output().unwrap();
        assert!(bootstrap.status.success(), "{bootstrap:?}");
        let mut command = program();
        command.args([
            "--bind-address=127.0.0.1",
            "--max-connections=10",
            "--port",
            &port.to_string(),
            "--socket",
        ]);
        command.arg(directory.join("socket"));
        if let Some(Authority { ca, cert, key, .. }) = authority {
            command.args([
                format!("--ssl-ca={ca}"),
                format!("--ssl-cert={cert}"),
                format!("--ssl-key={key}"),
            ]);
        }
        command
    })
}
