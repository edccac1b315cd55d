//! What a certificate is made of: its key, its signature, its number, and what it may be used for.
//!
//! Refuses to look at other certificates.

use x509_parser::asn1_rs::oid;
use x509_parser::prelude::X509Version;

use super::facts::{self, Key};
use super::link::{self, Link};
use super::or_pass;
use super::path::Path;
use crate::text::words;
use crate::tls::finding::{Finding, Status};

/// Signatures of certificates that are sent, all of them; nobody looks at those that roots made of themselves.
pub(super) fn judge(links: &[Link<'_>], path: &Path<'_>) -> Vec<Finding> {
    let leaf = &links[0];
    let all = || links.iter();
    let signed = all().enumerate().filter(|(place, link)| *place == 0 || !link.is_self_issued());
    let pass = |id, actual: String| Finding::new(id, Status::Pass, "leaf").actual(actual);
    let mut findings = or_pass(all().filter_map(form).collect(), pass("cert.form", "X.509 v3".into()));
    let key = Key::of(leaf.x509.public_key()).to_string();
    findings.extend(or_pass(all().filter_map(key_size).collect(), pass("cert.key_size", key)));
    let made = facts::algorithm(&leaf.x509.signature_algorithm);
    let weak = signed.filter_map(|(_, link)| signature(link)).collect();
    findings.extend(or_pass(weak, pass("cert.signature", made)));
    let serial = pass("cert.serial", facts::hex(leaf.x509.raw_serial()));
    findings.extend(or_pass(all().filter_map(serial_number).collect(), serial));
    let usage = pass("cert.key_usage", "digital signatures".into());
    findings.extend(or_pass(key_usage(leaf).into_iter().collect(), usage));
    let purpose = path.all(links).enumerate().filter_map(|(number, link)| purpose(link, number == 0));
    findings.extend(or_pass(purpose.collect(), pass("cert.eku", "servers".into())));
    findings
}

/// What keeps programs from reading it at all.
pub(super) fn form(link: &Link<'_>) -> Option<Finding> {
    let bad = |expected: &str, actual: String| {
        let finding = Finding::new("cert.form", Status::Fail, &link.label).expected(expected).actual(actual);
        Some(finding.fix("have it issued anew"))
    };
    if link.x509.version() != X509Version::V3 {
        return bad("X.509 version 3", format!("version {}", link.x509.version().0.saturating_add(1)));
    }
    if link.x509.signature_algorithm != link.x509.tbs_certificate.signature {
        return bad("one signature algorithm", "two that contradict each other".to_owned());
    }
    match webpki::EndEntityCert::try_from(link.der) {
        Ok(_) => None,
        Err(webpki::Error::UnsupportedCriticalExtension) => {
            bad("extensions that clients know", "a critical one that they must refuse".to_owned())
        }
        Err(error) => bad("a certificate that clients can read", words(&error)),
    }
}

pub(super) fn key_size(link: &Link<'_>) -> Option<Finding> {
    let key = Key::of(link.x509.public_key());
    let (status, expected) = match &key {
        Key::Rsa { bits } if *bits < 2048 => (Status::Fail, "RSA >= 2048"),
        Key::Curve(_, Some(bits)) if *bits < 256 => (Status::Fail, "ECDSA >= P-256"),
        Key::Curve(_, None) => (Status::Warn, "a well-known curve such as P-256"),
        Key::Dsa => (Status::Fail, "ECDSA, Ed25519 or RSA"),
        _ => return None,
    };
    let fix = "make a new key, ECDSA P-256 or RSA 2048, and have a certificate issued for it";
    Some(
        Finding::new("cert.key_size", status, &link.label)
            .expected(expected)
            .actual(key.to_string())
            .fix(fix),
    )
}

pub(super) fn signature(link: &Link<'_>) -> Option<Finding> {
    let algorithm = &link.x509.signature_algorithm;
    let name = facts::algorithm(algorithm);
    // Most are named by it; the others by their numbers: ECDSA and DSA with SHA-1, and RSA-PSS with a hash of its own.
    let by_number = [oid!(1.2.840.10045.4.1), oid!(1.2.840.10040.4.3)].contains(&algorithm.algorithm);
    let is_pss = algorithm.algorithm == oid!(1.2.840.113549.1.1.10);
    let is_old_pss = is_pss && link::pss_hash(algorithm).is_none_or(|hash| hash == oid!(1.3.14.3.2.26));
    let lower = name.to_ascii_lowercase();
    let is_weak = ["md2", "md4", "md5", "sha1"].iter().any(|old| lower.starts_with(old));
    (is_weak || by_number || is_old_pss).then(|| {
        Finding::new("cert.signature", Status::Fail, &link.label)
            .expected("SHA-256 or better")
            .actual(if is_old_pss { format!("{name} with SHA-1") } else { name })
            .fix("have it issued anew: clients refuse MD5 and SHA-1")
    })
}

pub(super) fn serial_number(link: &Link<'_>) -> Option<Finding> {
    let serial = link.x509.raw_serial();
    let is_negative = serial.first().is_some_and(|first| first & 0x80 != 0);
    let actual = if serial.iter().all(|byte| *byte == 0) {
        "0".to_owned()
    } else if is_negative {
        "a negative number".to_owned()
    } else if serial.len() > 20 {
        format!("{} octets", serial.len())
    } else {
        return None;
    };
    // Roots of the last century have such numbers, and their own signatures are not looked at.
    (!link.label.starts_with("root")).then(|| {
        Finding::new("cert.serial", Status::Warn, &link.label)
            .expected("a positive number of at most 20 octets")
            .actual(actual)
            .fix("have it issued anew, with a serial number of its own")
    })
}

fn key_usage(leaf: &Link<'_>) -> Option<Finding> {
    let usage = leaf.x509.key_usage().ok().flatten()?;
    (!usage.value.digital_signature()).then(|| {
        Finding::new("cert.key_usage", Status::Fail, "leaf")
            .expected("key usage digitalSignature")
            .actual(format!("only {}", usage.value))
            .fix("have it issued anew: TLS 1.3 and ECDHE need digitalSignature")
    })
}

fn purpose(link: &Link<'_>, is_leaf: bool) -> Option<Finding> {
    let usage = link.x509.extended_key_usage().ok().flatten()?;
    if usage.value.server_auth {
        return None;
    }
    let named = [
        (usage.value.any, "any purpose"),
        (usage.value.client_auth, "clients"),
        (usage.value.code_signing, "code"),
        (usage.value.email_protection, "mail"),
        (usage.value.time_stamping, "time stamps"),
        (usage.value.ocsp_signing, "OCSP"),
    ];
    let named: Vec<_> = named.into_iter().filter_map(|(is, name)| is.then_some(name)).collect();
    let actual = if named.is_empty() { "other purposes".to_owned() } else { named.join(", ") };
    let whom =
        if is_leaf { "have it issued for serverAuth" } else { "use an issuer that is meant for servers" };
    Some(
        Finding::new("cert.eku", Status::Fail, &link.label)
            .expected("extended key usage serverAuth")
            .actual(format!("only for {actual}"))
            .fix(whom),
    )
}
