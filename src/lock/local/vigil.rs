//! To wait for holders: for the processes that end, the leases that end, and the calls of those who take away.

use std::collections::HashSet;
use std::time::Duration;

use tokio::net::unix::pipe;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::entry::{Found, Life};
use super::folder::Folder;
use crate::clock::{self, Boot};
use crate::store::Error;
use crate::store::local::{Kind, failed, locked, open_fifo};

/// How often to look where the file system has no named pipes.
const LOOK: Duration = Duration::from_secs(1);

/// How those who take a holder away are heard.
enum Bell {
    /// Not at all.
    Deaf,
    Pipe(pipe::Receiver),
    /// There is no pipe.
    Broken,
}

/// From one look at the holders to the next.
pub struct Vigil {
    bell: Bell,
    waited_for: HashSet<u64>,
    gone: UnboundedReceiver<()>,
    tell: UnboundedSender<()>,
    expiry: Option<Boot>,
}

impl Vigil {
    /// Listens to the bell from now on, as the first in the queue does. Begin it before looking.
    pub fn with_bell(folder: &Folder) -> Vigil {
        let bell = open_fifo(&folder.bell()).and_then(pipe::Receiver::from_file);
        Vigil { bell: bell.map_or(Bell::Broken, Bell::Pipe), ..Vigil::new() }
    }

    /// Without the bell.
    pub fn new() -> Vigil {
        let (tell, gone) = unbounded_channel();
        Vigil { bell: Bell::Deaf, waited_for: HashSet::new(), gone, tell, expiry: None }
    }

    /// What to wait for: the next lease to end, and at most so many processes.
    pub fn watch(&mut self, holders: Vec<Found>, processes: usize) -> Result<(), Error> {
        self.expiry = holders.iter().filter_map(Found::expiry).min();
        let attached = holders.into_iter().filter_map(|found| match found.life {
            Life::Process(file) => Some((found.ticket, found.path, file)),
            _ => None,
        });
        for (ticket, path, file) in attached.take(processes) {
            if !self.waited_for.insert(ticket) {
                continue;
            }
            let gone = locked(file, Kind::Shared).map_err(|e| failed("wait for", &path, e))?;
            let tell = self.tell.clone();
            tokio::spawn(async move {
                drop(gone.await);
                let _ = tell.send(());
            });
        }
        Ok(())
    }

    /// Until it is time to look again.
    pub async fn event(&mut self) -> Result<(), Error> {
        let expiry = async {
            match self.expiry {
                Some(expiry) => clock::sleep_until(expiry)
                    .await
                    .map_err(|e| Error::new("cannot have a timer of the kernel").because(e)),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.gone.recv() => Ok(()),
            over = expiry => over,
            () = self.bell.rung() => Ok(()),
        }
    }
}

impl Bell {
    async fn rung(&self) {
        match self {
            Bell::Deaf => std::future::pending().await,
            // One look answers all calls so far.
            Bell::Pipe(pipe) if pipe.readable().await.is_ok() => {
                while pipe.try_read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}
