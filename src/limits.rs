//! What the kernel lets this process have, and what it has had.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of open files as far as this process may; how many it may open then, if there is a limit. Commands
/// inherit it: not for those that run any.
pub fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    // A limit that cannot be raised stays what it is.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current
}

/// The most memory, in bytes, that this process had in RAM so far; none where the kernel does not tell.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(peak.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told() {
        assert_eq!(raise_open_files(), getrlimit(Resource::Nofile).maximum);
        assert!(peak_memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
