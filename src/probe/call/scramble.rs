//! What proves a password to MySQL or MariaDB without being it: `mysql_native_password` and the first step of
//! `caching_sha2_password`.
//!
//! Both are one-way functions of the password and of random bytes of the server, as its clients have them. Refuses older
//! ways, which do not protect the password, and ed25519 of MariaDB.

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

/// So many random bytes does a server send.
pub const NONCE: usize = 20;

/// A way to prove a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// SHA-1; the default of MariaDB, and of MySQL before 8.
    Native,
    /// SHA-256; the default of MySQL from 8 on.
    CachingSha2,
}

impl Method {
    /// The one of this name.
    pub fn named(name: &[u8]) -> Option<Method> {
        [Method::Native, Method::CachingSha2].into_iter().find(|method| method.name().as_bytes() == name)
    }

    /// What servers call it.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Native => "mysql_native_password",
            Method::CachingSha2 => "caching_sha2_password",
        }
    }

    /// The proof for a server that sent this `nonce`; nothing for no password.
    pub fn prove(self, password: &str, nonce: &[u8]) -> Vec<u8> {
        if password.is_empty() {
            return Vec::new();
        }
        let hashed = |algorithm: &'static Algorithm, parts: &[&[u8]]| digest(algorithm, &parts.concat());
        let (once, mask) = match self {
            Method::Native => {
                let once = hashed(&SHA1_FOR_LEGACY_USE_ONLY, &[password.as_bytes()]);
                let twice = hashed(&SHA1_FOR_LEGACY_USE_ONLY, &[once.as_ref()]);
                (once, hashed(&SHA1_FOR_LEGACY_USE_ONLY, &[nonce, twice.as_ref()]))
            }
            Method::CachingSha2 => {
                let once = hashed(&SHA256, &[password.as_bytes()]);
                let twice = hashed(&SHA256, &[once.as_ref()]);
                (once, hashed(&SHA256, &[twice.as_ref(), nonce]))
            }
        };
        once.as_ref().iter().zip(mask.as_ref()).map(|(one, other)| one ^ other).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What the server does with a proof: it keeps SHA(SHA(password)) and gets SHA(password) back out of it.
    #[test]
    fn the_server_can_check_a_proof_with_what_it_keeps() {
        let nonce: Vec<u8> = (1..=20).collect();
        for (method, algorithm) in
            [(Method::Native, &SHA1_FOR_LEGACY_USE_ONLY), (Method::CachingSha2, &SHA256)]
        {
            let sha = |bytes: &[u8]| digest(algorithm, bytes);
            let kept = sha(sha(b"secret").as_ref());
            let mask = match method {
                Method::Native => sha(&[&nonce, kept.as_ref()].concat()),
                Method::CachingSha2 => sha(&[kept.as_ref(), &nonce].concat()),
            };
            let proof = method.prove("secret", &nonce);
            let once: Vec<u8> = proof.iter().zip(mask.as_ref()).map(|(one, other)| one ^ other).collect();
            assert_eq!(sha(&once).as_ref(), kept.as_ref(), "{method:?}");
            assert_ne!(method.prove("other", &nonce), proof);
            assert_eq!(method.prove("", &nonce), b"");
            assert_eq!(Method::named(method.name().as_bytes()), Some(method));
        }
        assert_eq!(Method::named(b"client_ed25519"), None);
    }

    /// Computed with Python's hashlib.
    #[test]
    fn proofs_are_those_of_other_clients() {
        let nonce: Vec<u8> = (1..=20).collect();
        assert_eq!(hex(&Method::Native.prove("secret", &nonce)), "b32bb3a583e1340c0a1108d58b1be49781ad8c2f");
        assert_eq!(
            hex(&Method::CachingSha2.prove("secret", &nonce)),
            "746ebe205d56a0707acb3e796e834e0dd7b1d61743b26bd5202c7a623230c7c9"
        );
    }
}
