//! A server to talk to, and a client that sees every byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::super::support::{DEADLINE, Process, Run, hardy};

/// A running `hardy serve`.
pub struct Server {
    pub process: Process,
    /// As printed, in the order of the arguments.
    pub urls: Vec<String>,
}

impl Server {
    /// On a free port, unless the arguments say where.
    pub fn start(args: &[&str]) -> Server {
        Server::start_with(hardy().stdout(Stdio::piped()), args)
    }

    /// The same with a command that is prepared already.
    pub fn start_with(command: &mut Command, args: &[&str]) -> Server {
        command.arg("serve").args(args);
        let mut listeners = args.iter().filter(|arg| **arg == "--listen").count();
        if listeners == 0 {
            command.args(["--listen", "127.0.0.1:0"]);
            listeners = 1;
        }
        listeners += args.iter().filter(|arg| **arg == "--admin").count();
        let mut process = Process::start(command);
        let urls = (0..listeners)
            .map(|_| {
                let line = process.line("listening on ");
                line.split(' ').nth(2).expect("a URL").to_owned()
            })
            .collect();
        Server { process, urls }
    }

    /// Where its first listener is.
    pub fn address(&self) -> SocketAddr {
        address(&self.urls[0])
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.urls[0])
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// One GET on a connection of its own.
    pub fn get(&self, path: &str) -> Answer {
        self.connect().get(path)
    }

    /// The metrics of its admin listener, which must come second.
    pub fn metrics(&self) -> String {
        Client::connect(address(&self.urls[1])).get("/metrics").text()
    }

    /// Asks it to stop and waits for its end.
    pub fn stop(self) -> Run {
        self.process.signal("TERM");
        self.process.finish()
    }
}

pub fn address(url: &str) -> SocketAddr {
    url.split("://").nth(1).expect("a URL").parse().expect("an address")
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// As many bytes as were promised.
    pub complete: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
}

/// An HTTP/1.1 connection.
pub struct Client {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("the server accepts");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
        Client { stream, buffer: Vec::new() }
    }

    pub fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).expect("the server reads");
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.request("GET", path, &[])
    }

    pub fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: test\r\n{headers}\r\n"));
        self.answer_to(method).expect("an answer")
    }

    /// The next answer; `None` if the connection ends before its header is complete.
    pub fn answer(&mut self) -> Option<Answer> {
        self.answer_to("GET")
    }

    fn answer_to(&mut self, method: &str) -> Option<Answer> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill() {
                return None;
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().expect("a status");
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        if status == 100 {
            return self.answer_to(method);
        }
        let mut answer = Answer { status, headers, body: Vec::new(), complete: true };
        let promised: usize = answer.header("content-length").map_or(0, |n| n.parse().expect("a length"));
        if method == "HEAD" || status == 304 {
            return Some(answer);
        }
        while self.buffer.len() < promised && self.fill() {}
        answer.complete = self.buffer.len() >= promised;
        answer.body = self.buffer.drain(..promised.min(self.buffer.len())).collect();
        Some(answer)
    }

    /// Reads once more; `false` at the end, however it comes.
    fn fill(&mut self) -> bool {
        let mut chunk = [0; 16384];
        match self.stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                true
            }
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(e) => panic!("the server neither answers nor closes: {e}"),
        }
    }

    /// Waits for the end of the connection: `Ok` for FIN, `Err` for RST.
    pub fn end(&mut self) -> std::io::Result<Vec<u8>> {
        let mut rest = std::mem::take(&mut self.buffer);
        self.stream.read_to_end(&mut rest).map(|_| rest)
    }

    /// Whether nothing more comes and nothing has ended for a moment.
    pub fn is_open(&mut self) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout can be set");
        let kind = self.stream.read(&mut [0; 1]).map_err(|e| e.kind());
        self.stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
        matches!(kind, Err(std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut))
    }
}

/// A named pipe.
pub fn make_pipe(path: &Path) {
    let status = Command::new("mkfifo").arg(path).status();
    assert!(status.expect("mkfifo runs").success());
}

/// Runs curl and returns what it printed.
pub fn curl(args: &[&str]) -> Run {
    let output = Command::new("curl").args(["-sS", "--max-time", "20"]).args(args).output();
    output.expect("curl runs").into()
}
