//! `--save FILE`: a whole run, kept for `load compare`.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::asked;
use super::settings::Prepared;
use crate::error::Error;
use crate::load::outcome::Outcome;
use crate::load::saved::Saved;

/// The file, which is there before the run begins: an hour must not be lost to a typing error.
pub struct SaveFile {
    path: PathBuf,
    file: File,
}

/// Makes the file, or takes over the one that is there.
///
/// # Errors
/// It cannot be written.
pub fn open(path: &Path) -> Result<SaveFile, Error> {
    let file = File::options().write(true).create(true).truncate(false).open(path);
    match file {
        Ok(file) => Ok(SaveFile { path: path.to_owned(), file }),
        Err(cause) => {
            Err(Error::usage(format!("--save {} cannot be written", path.display())).because(cause))
        }
    }
}

impl SaveFile {
    /// Keeps the run in place of whatever was there.
    ///
    /// # Errors
    /// The disk is full, or the like.
    pub fn keep(&mut self, outcome: &Outcome, run: &Prepared) -> Result<(), Error> {
        let saved = Saved::new(outcome, asked::of(run));
        let kept = self.file.set_len(0).and_then(|()| saved.write(&self.file));
        if kept.is_err() {
            // What is not whole must not be compared; what is no file stays.
            let _ = self.file.set_len(0);
        }
        kept.map_err(|cause| {
            Error::unknown(format!("cannot save the run to {}", self.path.display())).because(cause)
        })
    }
}
