//! From a request's path to a file name below the root. Each segment is decoded once, on its own; what a
//! decoded segment may not be (a way up, hidden, a separator, NUL) is refused before any file is touched.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// What a request's path means.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Relative to the root; `.` is the root itself.
    pub(super) file: PathBuf,
    /// The path ended in a slash: a directory is meant.
    pub(super) slash: bool,
    /// The same path in its plainest form with a slash at its end, still encoded. It begins with exactly one.
    pub(super) location: String,
}

/// Why a path is no file name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Not decodable, or not a file name in any case.
    Malformed,
    /// A name that begins with a dot, among them `.` and `..`.
    Hidden,
}

/// Reads the path of a request target.
pub(super) fn resolve(path: &str) -> Result<Wanted, Refused> {
    let mut file = PathBuf::new();
    let mut location = String::from("/");
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        let name = decode(segment)?;
        if name.contains(&0) || name.contains(&b'/') {
            return Err(Refused::Malformed);
        }
        if name.first() == Some(&b'.') {
            return Err(Refused::Hidden);
        }
        file.push(OsString::from_vec(name));
        location.push_str(segment);
        location.push('/');
    }
    if file.as_os_str().is_empty() {
        file.push(".");
    }
    Ok(Wanted { file, slash: path.ends_with('/') || path.is_empty(), location })
}

fn decode(segment: &str) -> Result<Vec<u8>, Refused> {
    let mut bytes = segment.bytes();
    let mut decoded = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16)).ok_or(Refused::Malformed);
        let value = digit()? * 16 + digit()?;
        // Two hexadecimal digits always fit.
        decoded.push(u8::try_from(value).map_err(|_| Refused::Malformed)?);
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Component;

    fn file(path: &str) -> Result<String, Refused> {
        resolve(path).map(|wanted| wanted.file.to_str().unwrap().to_owned())
    }

    #[test]
    fn names() {
        assert_eq!(file("/"), Ok(".".into()));
        assert_eq!(file("/a/b"), Ok("a/b".into()));
        assert_eq!(file("//a///b/"), Ok("a/b".into()));
        assert_eq!(file("/%41%20b"), Ok("A b".into()));
        assert_eq!(file("/a%252e"), Ok("a%2e".into()));
        for hidden in ["/..", "/a/../b", "/%2e%2e/x", "/.%2E", "/.git/config", "/a/.", "/%2E"] {
            assert_eq!(file(hidden), Err(Refused::Hidden), "{hidden}");
        }
        for malformed in ["/%", "/%4", "/%zz", "/a%00", "/a%2fb", "/..%2f..%2fetc", "/%+1"] {
            assert_eq!(file(malformed), Err(Refused::Malformed), "{malformed}");
        }
    }

    #[test]
    fn locations_are_paths_of_this_host() {
        assert_eq!(resolve("//evil.example").unwrap().location, "/evil.example/");
        assert_eq!(resolve("/a//b%20c").unwrap().location, "/a/b%20c/");
    }

    proptest! {
        #[test]
        fn nothing_leads_out(path in "(/|%2f|%2F|\\.|%2e|%2E|%25|%00|\\\\|a|%5c){0,12}") {
            if let Ok(wanted) = resolve(&path) {
                let inside = |c: Component<'_>| matches!(c, Component::Normal(_) | Component::CurDir);
                prop_assert!(wanted.file.components().all(inside), "{:?}", wanted.file);
                prop_assert!(wanted.location.starts_with('/') && !wanted.location.starts_with("//"));
            }
        }
    }
}
