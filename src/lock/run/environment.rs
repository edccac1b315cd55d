//! What a command is told about its lock.

use crate::lock::Grant;

/// The only one whose value no other command has.
pub const HANDLE: &str = "HARDY_LOCK_HANDLE";

/// The variables. The two of etcdctl are there with etcd, for scripts that know them.
pub fn of(grant: &Grant, prefix: &str) -> Vec<(&'static str, String)> {
    let handle = &grant.handle;
    let mut variables = vec![
        ("HARDY_LOCK_NAME", handle.name.to_string()),
        ("HARDY_LOCK_TOKEN", handle.token.to_string()),
        (HANDLE, handle.to_string()),
    ];
    if let Some(lease) = &grant.lease {
        // As far as it is known at the start; renewals move it.
        variables.push(("HARDY_LOCK_DEADLINE", format!("{:.3}", lease.deadline.timestamp())));
    }
    if handle.store.starts_with("etcd-") {
        variables.push(("ETCD_LOCK_KEY", format!("{prefix}{}/{}", handle.name, handle.id)));
        variables.push(("ETCD_LOCK_REV", handle.token.to_string()));
    }
    variables
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Boot;
    use crate::lock::Lease;

    #[test]
    fn a_lock_in_etcd_is_told_as_etcdctl_tells_it() {
        let lease = Lease { ttl: Duration::from_secs(9), deadline: Boot::now() };
        let handle = "etcd-c0:a/b:1057:694d8a".parse().unwrap();
        let grant = Grant { handle, lease: Some(lease), waited: Duration::ZERO };
        let variables = of(&grant, "p/");
        let value = |name: &str| variables.iter().find(|(n, _)| *n == name).unwrap().1.as_str();
        assert_eq!(value("HARDY_LOCK_NAME"), "a/b");
        assert_eq!((value("HARDY_LOCK_TOKEN"), value("ETCD_LOCK_REV")), ("1057", "1057"));
        assert_eq!(value("HARDY_LOCK_HANDLE"), "etcd-c0:a/b:1057:694d8a");
        assert_eq!(value("ETCD_LOCK_KEY"), "p/a/b/694d8a");
        let deadline = value("HARDY_LOCK_DEADLINE");
        assert!(deadline.ends_with('Z') && deadline.parse::<jiff::Timestamp>().is_ok(), "{deadline}");
    }

    #[test]
    fn without_a_lease_there_is_no_deadline() {
        let handle = "local-9f:x:17:5".parse().unwrap();
        let variables = of(&Grant { handle, lease: None, waited: Duration::ZERO }, "");
        assert_eq!(
            variables.iter().map(|v| v.0).collect::<Vec<_>>(),
            ["HARDY_LOCK_NAME", "HARDY_LOCK_TOKEN", "HARDY_LOCK_HANDLE"]
        );
    }
}
