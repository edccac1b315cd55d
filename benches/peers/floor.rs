//! The floor under every HTTP/1.1 server: readiness, one read, one write, nothing in between.
//! It parses nothing and is no server; it shows how much of a request's cost is the kernel's.

use std::net::{TcpListener, TcpStream};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::io::Errno;

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
            match rustix::net::recv(stream, &mut request, rustix::net::RecvFlags::DONTWAIT) {
                Ok((0, _)) => connections[place] = None,
                Ok(_) => drop(rustix::net::send(stream, ANSWER, rustix::net::SendFlags::NOSIGNAL)),
                Err(Errno::AGAIN) => {}
                Err(_) => connections[place] = None,
            }
        }
    }
}
