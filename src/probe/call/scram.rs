//! The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding, as PostgreSQL speaks it.
//!
//! Passwords are taken as they are: SASLprep changes none in ASCII, and PostgreSQL falls back to the same for those that it
//! cannot prepare.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The name of the mechanism.
pub const NAME: &[u8] = b"SCRAM-SHA-256";

/// A server could make its clients work for hours.
const MOST_ITERATIONS: u32 = 200_000;

/// One log-in.
pub struct Client {
    nonce: String,
}

impl Client {
    /// With a new nonce, which nobody can know in advance; `None` when this host has no random bytes.
    pub fn new() -> Option<Self> {
        let mut bytes = [0; 18];
        rand::fill(&mut bytes).ok()?;
        Some(Client { nonce: STANDARD.encode(bytes) })
    }

    /// The first message; the name of the user is sent elsewhere.
    pub fn first(&self) -> String {
        format!("n,,n=,r={}", self.nonce)
    }

    /// The last message and what a server that knows the password answers it with; `None` when the `challenge` is
    /// none, or would cost too much.
    pub fn prove(&self, password: &str, challenge: &str) -> Option<(String, String)> {
        let part = |name: &str| challenge.split(',').find_map(|part| part.strip_prefix(name));
        let nonce = part("r=").filter(|nonce| nonce.starts_with(&self.nonce))?;
        let salt = STANDARD.decode(part("s=")?).ok()?;
        let iterations = part("i=")?.parse().ok().filter(|count| *count <= MOST_ITERATIONS)?;
        let mut salted = [0; digest::SHA256_OUTPUT_LEN];
        let iterations = NonZeroU32::new(iterations)?;
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password.as_bytes(), &mut salted);
        let last = format!("c=biws,r={nonce}");
        let signed = format!("n=,r={},{challenge},{last}", self.nonce);
        let client_key = mac(&salted, b"Client Key");
        let stored = digest::digest(&digest::SHA256, client_key.as_ref());
        let signature = mac(stored.as_ref(), signed.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, sign)| key ^ sign).collect();
        let server = mac(mac(&salted, b"Server Key").as_ref(), signed.as_bytes());
        Some((format!("{last},p={}", STANDARD.encode(proof)), format!("v={}", STANDARD.encode(server))))
    }
}

fn mac(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, but for the name of the user, which changes proof and signature.
    #[test]
    fn a_challenge_is_answered_for_its_own_nonce_only() {
        let client = Client { nonce: "rOprNGfwEbeRWgbNEkqO".into() };
        let challenge =
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (last, verdict) = client.prove("pencil", challenge).unwrap();
        assert!(last.starts_with("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p="), "{last}");
        assert!(verdict.starts_with("v="));
        assert_ne!(client.prove("pencil2", challenge).unwrap().0, last);
        for other in [
            "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4000000000",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0",
            "r=rOprNGfwEbeRWgbNEkqOx,s=?,i=1",
            "",
        ] {
            assert_eq!(client.prove("pencil", other), None, "{other}");
        }
    }
}
