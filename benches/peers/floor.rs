//! The floor under every HTTP/1.1 server and client: readiness, one read, one write, nothing in between.
//! They parse nothing and are of no use; they show how much of a request's cost is the kernel's.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 13\r\n\
    date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nHello World!\n";

/// Answers every read with the same bytes, for ever.
pub fn run(port: u16) -> rustix::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
    // Place 0 is the listener's; a connection's place is its number.
    let mut connections: Vec<Option<TcpStream>> = vec![None];
    let mut events = Vec::with_capacity(256);
    let mut request = [0; 4096];
    loop {
        events.clear();
        epoll::wait(&poll, spare_capacity(&mut events), None)?;
        for event in &events {
            let place = event.data.u64() as usize;
            if place == 0 {
                let (stream, _) = listener.accept().expect("a connection");
                stream.set_nodelay(true).expect("a TCP socket");
                let data = epoll::EventData::new_u64(connections.len() as u64);
                epoll::add(&poll, &stream, data, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
                connections.push(Some(stream));
                continue;
            }
            let Some(stream) = &connections[place] else { continue };
            match recv(stream, &mut request, RecvFlags::DONTWAIT) {
                Ok((0, _)) => connections[place] = None,
                Ok(_) => drop(send(stream, ANSWER, SendFlags::NOSIGNAL)),
                Err(Errno::AGAIN) => {}
                Err(_) => connections[place] = None,
            }
        }
    }
}

/// Asks again after every read, for so long; prints how often.
pub fn load(port: u16, connections: usize, time: Duration) -> rustix::io::Result<()> {
    let request = format!("GET / HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n").into_bytes();
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut streams = Vec::new();
    for place in 0..connections {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a server");
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_nonblocking(true).expect("a socket");
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&poll, &stream, epoll::EventData::new_u64(place as u64), flags)?;
        stream.write_all(&request).expect("room for a request");
        streams.push(stream);
    }
    let mut events = Vec::with_capacity(connections);
    let (mut answer, mut answers, end) = (vec![0; 65536], 0u64, Instant::now() + time);
    while Instant::now() < end {
        epoll::wait(&poll, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            let stream = &streams[event.data.u64() as usize];
            if recv(stream, &mut answer, RecvFlags::empty()).is_ok_and(|(size, _)| size > 0) {
                answers += 1;
                let _ = send(stream, &request, SendFlags::NOSIGNAL);
            }
        }
    }
    println!("{answers} requests in {time:?}");
    Ok(())
}
