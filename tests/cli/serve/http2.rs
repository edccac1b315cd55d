//! HTTP/2 spoken by hand, by clients that no library would let misbehave so.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustls::{ClientConnection, StreamOwned};

use super::super::support::wait_for;
use super::client::Server;
use super::tls::connect_for;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM_AND_HEADERS: u8 = 5;

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// One connection.
struct Http2 {
    tls: StreamOwned<ClientConnection, TcpStream>,
}

impl Http2 {
    /// Every stream may send so many bytes until it is told more.
    fn connect(server: &Server, window: u32) -> Http2 {
        let mut http2 = Http2 { tls: connect_for(server.address(), &["h2"]) };
        http2.tls.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        // SETTINGS_INITIAL_WINDOW_SIZE
        http2.send(SETTINGS, 0, 0, &[&[0, 4][..], &window.to_be_bytes()].concat());
        http2
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.tls.write_all(&frame).expect("the server reads");
    }

    /// A request without a body; header fields are sent as literals.
    fn request(&mut self, stream: u32, fields: &[(&str, &str)]) {
        let mut block = Vec::new();
        for (name, value) in fields {
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len()).expect("a short text"));
                block.extend(text.as_bytes());
            }
        }
        self.send(HEADERS, END_STREAM_AND_HEADERS, stream, &block);
    }

    fn get(&mut self, stream: u32, path: &str) {
        self.request(
            stream,
            &[(":method", "GET"), (":scheme", "https"), (":path", path), (":authority", "x")],
        );
    }

    fn allow(&mut self, stream: u32, bytes: u32) {
        self.send(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
    }

    /// The next frame that is about a stream; what is about the connection is answered as it must be.
    fn frame(&mut self) -> std::io::Result<Frame> {
        loop {
            let mut head = [0; 9];
            self.tls.read_exact(&mut head)?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let mut payload = vec![0; length as usize];
            self.tls.read_exact(&mut payload)?;
            let frame = Frame { kind: head[3], flags: head[4], stream, payload };
            match frame.kind {
                SETTINGS | PING if frame.flags & ACK == 0 => {
                    let payload = if frame.kind == PING { frame.payload } else { Vec::new() };
                    self.send(frame.kind, ACK, 0, &payload);
                }
                _ if stream > 0 => return Ok(frame),
                _ => {}
            }
        }
    }

    /// Skips to the next frame of a kind.
    fn next(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.frame().expect("a frame");
            if frame.kind == kind {
                return frame;
            }
        }
    }
}

/// Files on an HTTP/2 server, and the metrics beside it.
fn site(args: &[&str]) -> (tempfile::TempDir, Server) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::File::create(directory.path().join("large")).unwrap().set_len(50 << 20).unwrap();
    let path = directory.path().to_str().unwrap().to_owned();
    let site = ["--tls", "self-signed", "--dir", &path, "--admin", "127.0.0.1:0"];
    let server = Server::start(&[&site[..], args].concat());
    (directory, server)
}

fn open_files(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.process.id())).unwrap().count()
}

#[test]
fn streams_that_take_nothing_hold_few_files_and_not_for_ever() {
    let (_directory, server) = site(&["--write-timeout", "500ms"]);
    let before = open_files(&server);
    let mut client = Http2::connect(&server, 0);
    for stream in 0..100 {
        client.get(2 * stream + 1, "/large");
    }
    wait_for("the first answers", || {
        let metrics = server.metrics();
        (metrics.contains("hardy_serve_in_flight_requests 100\n")
            || metrics.contains("hardy_serve_timed_out_connections_total "))
        .then_some(())
    });
    let mut most = 0;
    let mut reset = 0;
    while reset < 100 {
        most = most.max(open_files(&server));
        reset += u32::from(client.next(RST_STREAM).stream > 0);
    }
    assert!(most <= before + 25, "{most} files, {before} before");
    wait_for("nothing to be in flight", || {
        server.metrics().contains("hardy_serve_in_flight_requests 0\n").then_some(())
    });
    // The connection itself is as good as before.
    client.get(201, "/missing");
    assert_eq!(client.next(HEADERS).stream, 201);
}

#[test]
fn a_stream_that_takes_nothing_harms_no_other() {
    let (_directory, server) = site(&["--write-timeout", "500ms"]);
    let mut client = Http2::connect(&server, 0);
    client.get(1, "/large");
    client.get(3, "/large");
    client.allow(3, 1);
    let mut taken = 0;
    loop {
        let frame = client.frame().expect("a frame");
        match (frame.kind, frame.stream) {
            (DATA, 3) => {
                taken += frame.payload.len();
                client.allow(3, 1);
            }
            (RST_STREAM, 1) => break,
            (kind, stream) => assert_eq!(kind, HEADERS, "on stream {stream}"),
        }
    }
    let before = taken;
    while taken < before + 10 {
        taken += client.next(DATA).payload.len();
        client.allow(3, 1);
    }
}

#[test]
fn slowness_on_purpose_is_not_the_clients() {
    let faults = "latency=1s; drip=5B/s";
    let server = Server::start(&[
        "--tls",
        "self-signed",
        "--write-timeout",
        "100ms",
        "--fault",
        faults,
        "--respond",
        "200:12345",
    ]);
    let mut client = Http2::connect(&server, 65_535);
    client.get(1, "/");
    let mut body = Vec::new();
    while body.len() < 5 {
        body.extend(client.next(DATA).payload);
    }
    assert_eq!(body, b"12345");
}

#[test]
fn a_request_needs_a_path() {
    let server = Server::start(&["--tls", "self-signed", "--echo"]);
    let mut client = Http2::connect(&server, 65_535);
    client.request(1, &[(":method", "GET"), (":scheme", "https")]);
    let frame = client.next(HEADERS);
    // The first byte is the status: 400 stands at place 12 of HPACK's static table, 200 at 8.
    assert_eq!((frame.stream, frame.payload.first()), (1, Some(&0x8c)));
    client.get(3, "/");
    let frame = client.next(HEADERS);
    assert_eq!((frame.stream, frame.payload.first()), (3, Some(&0x88)));
}
