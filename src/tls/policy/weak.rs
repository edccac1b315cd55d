//! What is wrong with a suite, by its name.

use crate::tls::registry::Suite;

/// What makes a suite unfit whatever a policy says.
pub(super) fn broken(suite: Suite) -> Option<&'static str> {
    if u16::try_from(suite.0).is_err() {
        return Some("of SSL 2");
    }
    let name = suite.to_string();
    let has = |part: &str| name.contains(part);
    match () {
        () if has("_EXPORT") => Some("EXPORT, to be broken by design"),
        () if has("_NULL_") || name.ends_with("_NULL") => Some("NULL, nothing is secret"),
        () if has("_anon_") => Some("anonymous, anybody can be the server"),
        () if has("_RC4_") => Some("RC4, broken"),
        () if has("_RC2_") || has("_IDEA_") => Some("RC2 or IDEA, obsolete"),
        () if has("3DES_") => Some("3DES, 64-bit blocks"),
        () if has("_DES_") || has("_DES40_") => Some("DES, 56 bits"),
        () if name.ends_with("_MD5") => Some("MD5, broken"),
        () => None,
    }
}

/// Why guidelines leave a suite out which nobody can break at once.
pub(super) fn dated(suite: Suite) -> &'static str {
    let name = suite.to_string();
    let forward = ["TLS_ECDHE_", "TLS_DHE_", "TLS_ECCPWD_"].iter().any(|start| name.starts_with(start));
    match () {
        // Those of TLS 1.3 name no key exchange.
        () if !name.contains("_WITH_") => "not of the policy",
        () if !forward => "no forward secrecy",
        () if name.contains("_CBC_") => "CBC",
        () => "not of the policy",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weakness_has_its_name() {
        for (wire, word) in [
            (0x0001_0080, "SSL 2"),
            (0x0003, "EXPORT"),
            (0x0001, "NULL"),
            (0xc006, "NULL"),
            (0x0034, "anonymous"),
            (0x0005, "RC4"),
            (0x000a, "3DES"),
            (0x0009, "DES"),
            (0x0007, "IDEA"),
        ] {
            let found = broken(Suite(wire));
            assert!(found.is_some_and(|why| why.contains(word)), "{}: {found:?}", Suite(wire));
        }
        for good in [0x1301, 0xc02f, 0xc014, 0x002f, 0xccaa] {
            assert_eq!(broken(Suite(good)), None, "{}", Suite(good));
        }
        assert_eq!(dated(Suite(0xc014)), "CBC");
        assert_eq!(dated(Suite(0x009c)), "no forward secrecy");
        assert_eq!(dated(Suite(0x002f)), "no forward secrecy");
        assert_eq!(dated(Suite(0x009e)), "not of the policy");
        assert_eq!(dated(Suite(0x1304)), "not of the policy");
    }
}
