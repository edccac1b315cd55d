//! Accepting: as many connections as allowed, and no spinning when there are no more file descriptors.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Peer, Phase, Role};
use super::drive;
use super::event::{Event, Events};
use super::io::Socket;
use super::listen::{Accepting, Listener};
use super::shared::Shared;
use crate::limits;

/// Connections that an admin listener may have.
const ADMIN_CONNECTIONS: usize = 256;

/// Files that are open beside the connections: listeners, log, runtime, the file behind each answer aside.
const OTHER_FILES: u64 = 64;

/// Raises the limit of open files as far as this process may, and says so if that is not enough.
pub(super) fn raise_open_files(connections: usize, events: &Events) {
    if let Some(files) = limits::raise_open_files()
        && files < connections as u64 + OTHER_FILES
    {
        events.send(Event::FewFiles { files, connections });
    }
}

/// How many connections may be open, for each role.
#[derive(Clone, Debug)]
pub(super) struct Room {
    main: Arc<Semaphore>,
    admin: Arc<Semaphore>,
    told: Arc<AtomicBool>,
}

impl Room {
    pub(super) fn new(connections: usize) -> Room {
        Room {
            main: Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS))),
            admin: Arc::new(Semaphore::new(ADMIN_CONNECTIONS)),
            told: Arc::new(AtomicBool::new(false)),
        }
    }

    fn of(&self, role: Role) -> &Arc<Semaphore> {
        match role {
            Role::Main => &self.main,
            Role::Admin => &self.admin,
        }
    }
}

/// Accepts until `closing`; then closes the socket and serves those who were in its queue.
pub(super) async fn run(listener: Listener, shared: Arc<Shared>, room: Room, closing: CancellationToken) {
    let Listener { role, socket } = listener;
    let _ = closing.run_until_cancelled(accept(&socket, role, &shared, &room)).await;
    let grace = socket.turn_away();
    if !grace.is_zero() {
        let _ = tokio::time::timeout(grace, accept(&socket, role, &shared, &room)).await;
    }
    for (socket, peer) in socket.close() {
        // They have waited long enough; the limit is about new clients.
        start(&shared, socket, peer, role, None);
    }
}

async fn accept(socket: &Accepting, role: Role, shared: &Arc<Shared>, room: &Room) {
    loop {
        let permit = match Arc::clone(room.of(role)).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                shared.counters.held_back.fetch_add(1, Relaxed);
                if !room.told.swap(true, Relaxed) {
                    shared.events.send(Event::ConnectionLimit { limit: shared.limits.connections });
                }
                match Arc::clone(room.of(role)).acquire_owned().await {
                    Ok(permit) => permit,
                    Err(_) => return,
                }
            }
        };
        match socket.accept().await {
            Ok((socket, peer)) => start(shared, socket, peer, role, Some(permit)),
            Err(cause) if is_exhaustion(&cause) => {
                shared.counters.held_back.fetch_add(1, Relaxed);
                if !room.told.swap(true, Relaxed) {
                    shared.events.send(Event::OutOfFiles { reason: cause.to_string() });
                }
                // The connection stays in the queue, so that trying again at once would only spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            // The client was gone before we came.
            Err(_) => {}
        }
    }
}

/// The process or the machine is out of something; it may pass.
fn is_exhaustion(cause: &io::Error) -> bool {
    use rustix::io::Errno;
    let codes = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    cause.raw_os_error().is_some_and(|code| codes.iter().any(|errno| errno.raw_os_error() == code))
}

fn start(
    shared: &Arc<Shared>,
    socket: Socket,
    peer: Peer,
    role: Role,
    permit: Option<tokio::sync::OwnedSemaphorePermit>,
) {
    if role == Role::Main {
        shared.counters.accepted.fetch_add(1, Relaxed);
    }
    let tls = role == Role::Main && shared.tls.is_some();
    let phase = if tls { Phase::Handshake } else { Phase::Idle };
    let id = shared.next_connection();
    let connection = Arc::new(Connection::new(Arc::clone(shared), id, role, peer, phase));
    shared.registry.start(Arc::clone(&connection), |listed| {
        let task = tokio::spawn(async move {
            drive::run(socket, connection, tls).await;
            drop((listed, permit));
        });
        task.abort_handle()
    });
}
