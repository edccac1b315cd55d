//! What a job wrote: in memory while it is little, then in a file without a name.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// More than that goes to the file.
const IN_MEMORY: usize = 64 * 1024;

/// One stream of one job.
#[derive(Debug, Default)]
pub struct Capture {
    memory: Vec<u8>,
    file: Option<File>,
    length: u64,
}

impl Capture {
    /// Adds to it; a file, when one is needed, is made in this directory.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn add(&mut self, bytes: &[u8], directory: &Path) -> io::Result<()> {
        self.length += bytes.len() as u64;
        if self.file.is_none() && self.memory.len() + bytes.len() <= IN_MEMORY {
            self.memory.extend_from_slice(bytes);
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(directory)?),
        };
        file.write_all(&std::mem::take(&mut self.memory))?;
        file.write_all(bytes)
    }

    /// Bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Hands out all of it, piece by piece; as often as one likes.
    ///
    /// # Errors
    /// Those of whoever takes it, or its file could not be read.
    pub fn read(&self, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        match &self.file {
            None if self.memory.is_empty() => Ok(()),
            None => take(&self.memory),
            Some(file) => read_at(file, 0, self.length, take),
        }
    }
}

/// Outputs that wait for their turn, one after the other in one file, so that they need neither memory nor descriptors.
#[derive(Debug, Default)]
pub struct Spool {
    file: Option<File>,
    waiting: usize,
}

/// Where in the spool it is.
#[derive(Debug)]
pub struct Place {
    start: u64,
    length: u64,
}

impl Spool {
    /// Moves an output there.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn put(&mut self, capture: &Capture, directory: &Path) -> io::Result<Place> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(directory)?),
        };
        let start = file.stream_position()?;
        capture.read(&mut |bytes| file.write_all(bytes))?;
        self.waiting += 1;
        Ok(Place { start, length: capture.length() })
    }

    /// Hands out an output, for the first and last time.
    ///
    /// # Errors
    /// As [`Capture::read`].
    pub fn take(&mut self, place: Place, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        read_at(file, place.start, place.length, take)?;
        self.waiting -= 1;
        if self.waiting == 0 {
            file.rewind()?;
            file.set_len(0)?;
        }
        Ok(())
    }
}

fn read_at(
    file: &File,
    mut at: u64,
    length: u64,
    take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let (end, mut buffer) = (at + length, vec![0; IN_MEMORY]);
    while at < end {
        let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        match file.read_at(&mut buffer[..most], at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                take(&buffer[..count])?;
                at += count as u64;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn captured(parts: &[Vec<u8>]) -> Capture {
        let mut capture = Capture::default();
        parts.iter().for_each(|part| capture.add(part, &std::env::temp_dir()).unwrap());
        capture
    }

    fn text(read: impl FnOnce(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>) -> Vec<u8> {
        let mut all = Vec::new();
        read(&mut |bytes| {
            all.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
        all
    }

    #[test]
    fn memory_is_bounded() {
        let capture = captured(&[vec![b'x'; IN_MEMORY], vec![b'y'; 3 * IN_MEMORY]]);
        assert!(capture.memory.is_empty() && capture.file.is_some());
        assert!(captured(&[vec![b'x'; IN_MEMORY]]).file.is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_goes_in_comes_out(sizes in prop::collection::vec(0usize..100_000, 0..6)) {
            let parts: Vec<Vec<u8>> = sizes.iter().zip(b'a'..).map(|(size, byte)| vec![byte; *size]).collect();
            let (all, capture) = (parts.concat(), captured(&parts));
            prop_assert_eq!(capture.length(), all.len() as u64);
            prop_assert!(text(|take| capture.read(take)) == all);
            let mut spool = Spool::default();
            let places: Vec<Place> =
                parts.iter().map(|part| spool.put(&captured(std::slice::from_ref(part)), &std::env::temp_dir()).unwrap()).collect();
            for (place, part) in places.into_iter().zip(&parts).rev() {
                prop_assert!(&text(|take| spool.take(place, take)) == part);
            }
            if let Some(file) = &spool.file {
                prop_assert_eq!(file.metadata().unwrap().len(), 0);
            }
        }
    }
}
