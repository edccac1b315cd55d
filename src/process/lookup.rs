//! Where a program is: looked up once, so that starting it a thousand times need not search a thousand times.

use std::env::split_paths;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::StartError;

/// The file that a shell would execute for this name. A name with a slash is a path, and is not looked at.
///
/// # Errors
/// There is none in the search path, or none that may be executed.
pub fn find(program: &OsStr, search_path: &OsStr) -> Result<PathBuf, StartError> {
    if program.as_encoded_bytes().contains(&b'/') {
        return Ok(program.into());
    }
    let mut refused = None;
    for directory in split_paths(search_path).filter(|_| !program.is_empty()) {
        // An empty entry means the current directory.
        let path = if directory.as_os_str().is_empty() { Path::new(".") } else { &directory }.join(program);
        if !path.is_file() {
            continue;
        }
        match access(&path, Access::EXEC_OK) {
            Ok(()) => return Ok(path),
            Err(error) => refused = Some(io::Error::from(error)),
        }
    }
    let error = refused.unwrap_or_else(|| io::ErrorKind::NotFound.into());
    Err(StartError::new(program, error))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_first_that_may_be_executed_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (directory.path().join("a"), directory.path().join("b"));
        for (place, mode) in [(&a, 0o600), (&b, 0o700)] {
            fs::create_dir(place).unwrap();
            fs::write(place.join("tool"), "").unwrap();
            fs::set_permissions(place.join("tool"), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir(a.join("folder")).unwrap();
        let path = std::env::join_paths([&a, &b]).unwrap();
        let find = |name: &str, path: &OsStr| find(name.as_ref(), path);
        assert_eq!(find("tool", &path).unwrap(), b.join("tool"));
        assert_eq!(find("./tool", &path).unwrap(), Path::new("./tool"));
        assert!(matches!(find("tool", a.as_os_str()), Err(StartError::Refused(..))));
        for name in ["folder", "none", ""] {
            assert!(matches!(find(name, &path), Err(StartError::NotFound(_))), "{name}");
        }
    }
}
