//! One open file as http-serve wants it, with validators as HTTP has them: whole seconds, from 1970 on.
//! (The library's own file entity compares nanoseconds with a header that has none, and panics before 1970.)

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_core::Stream;
use http_serve::{BoxError, ChunkedReadFile, Entity};
use hyper::header::{HeaderMap, HeaderValue};

/// A regular file.
pub(super) struct FileEntity {
    file: ChunkedReadFile<Bytes, BoxError>,
    etag: Option<HeaderValue>,
    modified: Option<SystemTime>,
}

impl FileEntity {
    /// `headers`: what describes the representation, such as its type.
    pub(super) fn new(file: File, about: &Metadata, headers: HeaderMap) -> io::Result<FileEntity> {
        let etag =
            format!("\"{:x}-{:x}-{:x}.{:x}\"", about.ino(), about.len(), about.mtime(), about.mtime_nsec());
        // HTTP dates end in 9999.
        let seconds = u64::try_from(about.mtime()).ok().filter(|&seconds| seconds < 253_402_300_800);
        Ok(FileEntity {
            file: ChunkedReadFile::new_with_metadata(file, about, headers)?,
            etag: HeaderValue::try_from(etag).ok(),
            modified: seconds.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)),
        })
    }
}

impl Entity for FileEntity {
    type Error = BoxError;
    type Data = Bytes;

    fn len(&self) -> u64 {
        self.file.len()
    }

    fn get_range(
        &self,
        range: Range<u64>,
    ) -> Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send + Sync>> {
        self.file.get_range(range)
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        self.file.add_headers(headers);
    }

    fn etag(&self) -> Option<HeaderValue> {
        self.etag.clone()
    }

    fn last_modified(&self) -> Option<SystemTime> {
        self.modified
    }
}
