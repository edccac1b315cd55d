//! Every id that a finding can have. A policy that names another one has a mistake in it.

/// All of them, each with what it is about.
pub const RULES: &[(&str, &str)] = &[
    ("cert.eku", "the leaf is for servers"),
    ("cert.expiry", "time left of a certificate"),
    ("cert.form", "clients can read the certificate"),
    ("cert.key_size", "keys that are long enough"),
    ("cert.key_usage", "the leaf's key may sign"),
    ("cert.kind", "kinds of keys that the policy allows a leaf"),
    ("cert.lifetime", "how long public authorities may issue for"),
    ("cert.max_lifetime", "how long the policy lets a leaf live"),
    ("cert.must_staple", "a certificate that demands a staple has one"),
    ("cert.name", "the leaf is for the name that was asked for"),
    ("cert.not_yet_valid", "certificates whose time has come"),
    ("cert.on_disk", "the leaf is that of the file on disk"),
    ("cert.revoked", "nothing is revoked"),
    ("cert.san", "subject alternative names"),
    ("cert.sct", "signed certificate timestamps"),
    ("cert.self_signed", "a leaf that was issued by somebody else"),
    ("cert.serial", "serial numbers"),
    ("cert.signature", "signatures without broken hashes"),
    ("cert.signature_kind", "signatures that the policy allows a leaf"),
    ("chain.aia", "issuers that certificates name can be fetched"),
    ("chain.ca_flag", "issuers are authorities"),
    ("chain.expired", "nothing above the leaf has ended"),
    ("chain.incomplete", "all intermediates are sent"),
    ("chain.length", "chains of a reasonable length"),
    ("chain.name_constraints", "issuers may issue for the name"),
    ("chain.not_yet_valid", "nothing above the leaf is of the future"),
    ("chain.order", "each certificate is followed by its issuer"),
    ("chain.path_length", "issuers may have authorities below them"),
    ("chain.signature", "each certificate was signed by its issuer"),
    ("chain.superfluous", "nothing is sent that nobody needs"),
    ("chain.untrusted", "the chain ends in a trusted root"),
    ("endpoint.reachable", "a TLS handshake comes about"),
    ("file.readable", "the file holds certificates or keys"),
    ("http.hsts", "browsers are told to use TLS only"),
    ("key.match", "the key belongs to the leaf"),
    ("key.proof", "the server has the key of its certificate"),
    ("kx.group", "key exchange groups of the policy only"),
    ("kx.missing", "key exchange groups that must be there"),
    ("kx.pq", "a post-quantum key exchange"),
    ("kx.prime", "primes of Diffie-Hellman exchanges that are long enough"),
    ("ocsp.staple", "a staple that is good"),
    ("order.server", "the server's order decides"),
    ("policy.waiver", "waivers that have ended"),
    ("proto.enumeration", "all versions, suites and groups were looked at"),
    ("proto.not_tls", "TLS is spoken"),
    ("proto.ssl2", "SSL 2"),
    ("proto.ssl3", "SSL 3"),
    ("proto.tls1_0", "TLS 1.0"),
    ("proto.tls1_1", "TLS 1.1"),
    ("proto.tls1_2", "TLS 1.2"),
    ("proto.tls1_3", "TLS 1.3"),
    ("revocation", "nothing is on a revocation list"),
    ("suite.missing", "suites that must be there"),
    ("suite.weak", "suites that are broken, or not of the policy"),
    ("tls.alpn", "protocols that must be agreed to"),
    ("tls.compression", "compression"),
    ("tls.early_data", "early data (0-RTT)"),
    ("tls.ems", "extended master secret"),
    ("tls.fallback_scsv", "needless fallbacks are refused"),
    ("tls.renegotiation", "secure renegotiation"),
    ("tls.sni", "what comes without a name"),
];

/// What a rule is about.
#[must_use]
pub fn about(id: &str) -> Option<&'static str> {
    RULES.iter().find(|(rule, _)| *rule == id).map(|(_, about)| *about)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    fn ids_in(directory: &Path, quoted: &regex::Regex, into: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.file_stem().is_some_and(|name| name == "tests") {
                // Tests may make ids up.
                continue;
            }
            if path.is_dir() {
                ids_in(&path, quoted, into);
                continue;
            }
            if path.extension().is_none_or(|kind| kind != "rs") {
                // Recorded bytes.
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            into.extend(quoted.captures_iter(code).map(|found| found[1].to_owned()));
        }
    }

    #[test]
    fn the_list_has_every_id_that_stands_in_the_sources() {
        let quoted = regex::Regex::new(
            r#""((?:cert|chain|endpoint|file|http|key|kx|ocsp|order|policy|proto|suite|tls)\.[a-z0-9_]+|revocation)""#,
        )
        .unwrap();
        let mut used = BTreeSet::new();
        ids_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tls"), &quoted, &mut used);
        let listed: BTreeSet<String> = RULES.iter().map(|(id, _)| (*id).to_owned()).collect();
        let missing: Vec<_> = used.difference(&listed).collect();
        assert!(missing.is_empty(), "ids of findings that are not in RULES: {missing:?}");
        assert!(RULES.windows(2).all(|pair| pair[0].0 < pair[1].0), "in alphabetical order, each once");
    }
}
