//! Files below one directory, and nothing else: not through `..`, not through symbolic links, no hidden
//! files, no listings. The kernel keeps the bounds (`openat2`); this room keeps the manners of HTTP.

mod encoding;
mod entity;
mod path;
mod range;

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use hyper::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, LOCATION,
    RANGE, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use self::encoding::Encoding;
use self::entity::FileEntity;
use super::body::Kind;
use super::error::Error;
use super::respond::content_type;
use super::service::{Draft, refuse_method};

/// The directory that is served.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    directory: ArcSwap<OwnedFd>,
}

impl Root {
    /// Opens the directory, and makes sure that the kernel can keep us inside.
    pub(super) fn open(path: &Path) -> Result<Root, Error> {
        let failed = |cause| Error::Directory { path: path.to_owned(), cause };
        let directory = open_directory(path).map_err(failed)?;
        openat2(&directory, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), RESOLVE)
            .map_err(|errno| failed(errno.into()))?;
        Ok(Root { path: path.to_owned(), directory: ArcSwap::from_pointee(directory) })
    }

    /// Opens the directory again under its name, if another one is there now.
    pub(super) fn reopen(&self) {
        if let Ok(directory) = open_directory(&self.path) {
            self.directory.store(Arc::new(directory));
        }
    }
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

const RESOLVE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Answers one request for a file.
pub(super) async fn answer(root: &Root, parts: Parts) -> Draft {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return refuse_method("GET, HEAD");
    }
    let wanted = match path::resolve(parts.uri.path()) {
        Ok(wanted) => wanted,
        Err(path::Refused::Malformed) => return Draft::plain(StatusCode::BAD_REQUEST),
        Err(path::Refused::Hidden) => return Draft::plain(StatusCode::NOT_FOUND),
    };
    let encodings = encoding::acceptable(&parts.headers);
    let directory = root.directory.load_full();
    let (file, slash) = (wanted.file.clone(), wanted.slash);
    // Opening may wait for a disk; that must not hold up other connections.
    let opened = tokio::task::spawn_blocking(move || find(&directory, &file, slash, &encodings)).await;
    match opened {
        Ok(Ok(Found::File(found))) => send(*found, parts),
        Ok(Ok(Found::Directory)) => redirect(&wanted.location, parts.uri.query()),
        Ok(Err(cause)) => Draft::plain(status_of(cause)),
        Err(_) => Draft::plain(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

enum Found {
    File(Box<Opened>),
    /// It lacks its slash.
    Directory,
}

struct Opened {
    file: File,
    metadata: Metadata,
    content_type: HeaderValue,
    encoding: Option<Encoding>,
}

/// Blocks. `slash`: the path named a directory.
fn find(directory: &OwnedFd, path: &Path, slash: bool, encodings: &[Encoding]) -> Result<Found, Errno> {
    let (mut path, mut file, mut metadata) = (path.to_owned(), None, None);
    let (opened, about) = open(directory, &path)?;
    match (about.is_dir(), slash) {
        (true, false) => return Ok(Found::Directory),
        (true, true) => path.push("index.html"),
        (false, true) => return Err(Errno::NOTDIR),
        (false, false) => (file, metadata) = (Some(opened), Some(about)),
    }
    let content_type = content_type(&path);
    let (file, metadata) = match (file, metadata) {
        (Some(file), Some(metadata)) => (file, metadata),
        _ => open(directory, &path)?,
    };
    if !metadata.is_file() {
        return Err(Errno::NOENT);
    }
    for &encoding in encodings {
        let mut name = path.clone().into_os_string();
        name.push(encoding.suffix());
        match open(directory, Path::new(&name)) {
            Ok((file, metadata)) if metadata.is_file() => {
                let encoding = Some(encoding);
                return Ok(Found::File(Box::new(Opened { file, metadata, content_type, encoding })));
            }
            _ => {}
        }
    }
    Ok(Found::File(Box::new(Opened { file, metadata, content_type, encoding: None })))
}

/// Opens one file below the directory. Anything but a regular file is only looked at: to open a pipe or a
/// device, even for a moment, is felt by whoever uses it.
fn open(directory: &OwnedFd, path: &Path) -> Result<(File, Metadata), Errno> {
    let open = |flags| {
        let flags = OFlags::CLOEXEC | flags;
        let file = File::from(openat2(directory, path, flags, Mode::empty(), RESOLVE)?);
        let metadata = file.metadata().map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        Ok((file, metadata))
    };
    let looked_at = open(OFlags::PATH)?;
    if !looked_at.1.is_file() {
        return Ok(looked_at);
    }
    // Another file may have this name by now: the caller looks again at what was opened, and nothing waits.
    open(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
}

fn status_of(cause: Errno) -> StatusCode {
    match cause {
        // LOOP: a symbolic link; XDEV: a way out of the directory.
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG | Errno::NXIO => {
            StatusCode::NOT_FOUND
        }
        Errno::ACCESS | Errno::PERM => StatusCode::FORBIDDEN,
        Errno::MFILE | Errno::NFILE | Errno::NOMEM => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn redirect(location: &str, query: Option<&str>) -> Draft {
    let location = match query {
        Some(query) => format!("{location}?{query}"),
        None => location.to_owned(),
    };
    let mut draft = Draft::plain(StatusCode::MOVED_PERMANENTLY);
    match HeaderValue::try_from(location) {
        Ok(location) => draft.headers.insert(LOCATION, location),
        Err(_) => return Draft::plain(StatusCode::BAD_REQUEST),
    };
    draft
}

fn send(found: Opened, parts: Parts) -> Draft {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, found.content_type);
    if let Some(encoding) = found.encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
    }
    let length = found.metadata.len();
    let Ok(entity) = FileEntity::new(found.file, &found.metadata, headers) else {
        return Draft::plain(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let mut request = Request::from_parts(parts, ());
    if let Some(wanted) = request.headers_mut().remove(RANGE)
        && let Some(wanted) = wanted.to_str().ok().and_then(|text| range::fit(text, length))
    {
        request.headers_mut().insert(RANGE, wanted);
    }
    for name in [IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE] {
        // Dates that are none must be ignored (RFC 9110, 13.1.3 and 13.1.4); the library refuses them.
        if request.headers().get(&name).is_some_and(|date| !is_http_date(date)) {
            request.headers_mut().remove(name);
        }
    }
    let (parts, body) = http_serve::serve(entity, &request).into_parts();
    let (status, mut headers) = (parts.status, parts.headers);
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Draft { status, headers, kind: Kind::file(body) }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn is_http_date(value: &HeaderValue) -> bool {
    let text = value.to_str().unwrap_or_default();
    text.len() == 29 && text.ends_with(" GMT") && jiff::fmt::rfc2822::parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn site() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("site");
        fs::create_dir_all(path.join("sub")).unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        fs::write(path.join("a.txt"), "0123456789").unwrap();
        fs::write(path.join("a.txt.gz"), "gz").unwrap();
        fs::write(path.join("sub/index.html"), "index").unwrap();
        symlink("../secret", path.join("link")).unwrap();
        symlink("..", path.join("up")).unwrap();
        let root = Root::open(&path).unwrap();
        (dir, root)
    }

    async fn get(root: &Root, target: &str, headers: &[(&'static str, &str)]) -> Draft {
        let mut request = Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(root, request.body(()).unwrap().into_parts().0).await
    }

    #[tokio::test]
    async fn answers_by_kind_of_path() {
        let (_dir, root) = site();
        for (target, status) in [
            ("/a.txt", 200),
            ("/sub", 301),
            ("/sub/", 200),
            ("/", 404),
            ("/a.txt/", 404),
            ("/missing", 404),
            ("/link", 404),
            ("/up/secret", 404),
            ("/../secret", 404),
            ("/%2e%2e/secret", 404),
            ("/sub/..%2f..%2fsecret", 400),
            ("/%252e%252e/secret", 404),
            ("/a.txt%00", 400),
            ("/a%", 400),
        ] {
            assert_eq!(get(&root, target, &[]).await.status.as_u16(), status, "{target}");
        }
    }

    #[tokio::test]
    async fn precompressed_only_when_asked_for() {
        let (_dir, root) = site();
        let encoding = async |accept: &str| {
            let draft = get(&root, "/a.txt", &[("accept-encoding", accept)]).await;
            assert_eq!(draft.headers[VARY], "accept-encoding");
            assert_eq!(draft.headers[CONTENT_TYPE], "text/plain; charset=utf-8");
            draft.headers.get(CONTENT_ENCODING).map(|v| v.to_str().unwrap().to_owned())
        };
        assert_eq!(encoding("br, gzip").await.as_deref(), Some("gzip"));
        assert_eq!(encoding("gzip;q=0").await, None);
        assert_eq!(encoding("identity").await, None);
    }

    #[tokio::test]
    async fn a_bad_date_is_ignored() {
        let (_dir, root) = site();
        let draft = get(&root, "/a.txt", &[("if-modified-since", "yesterday")]).await;
        assert_eq!(draft.status, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_redirect_never_leaves_the_host() {
        let (_dir, root) = site();
        let draft = get(&root, "//sub?x=1", &[]).await;
        assert_eq!(
            (draft.status, &draft.headers[LOCATION]),
            (StatusCode::MOVED_PERMANENTLY, &HeaderValue::from_static("/sub/?x=1"))
        );
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = Root::open(Path::new("/nonexistent/x")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/x"), "{error}");
    }
}
