//! Lists of what was revoked, and stapled answers.

use rcgen::{
    CertificateRevocationListParams, ExtendedKeyUsagePurpose, Issuer, RevokedCertParams, SerialNumber,
    date_time_ymd,
};

use super::*;

fn revocation_list(
    issuer: &Made,
    serials: &[SerialNumber],
    until: (i32, u8),
) -> CertificateRevocationListDer<'static> {
    revocation_list_from(issuer, serials, (2026, 5), until)
}

fn revocation_list_from(
    issuer: &Made,
    serials: &[SerialNumber],
    from: (i32, u8),
    until: (i32, u8),
) -> CertificateRevocationListDer<'static> {
    let revoked = |serial: &SerialNumber| RevokedCertParams {
        serial_number: serial.clone(),
        revocation_time: date_time_ymd(2026, 5, 10),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(from.0, from.1, 1),
        next_update: date_time_ymd(until.0, until.1, 20),
        crl_number: SerialNumber::from(vec![1]),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    params.signed_by(&Issuer::from_params(&issuer.params, &issuer.key)).unwrap().der().clone()
}

#[test]
fn a_revocation_list_is_believed_when_its_issuer_signed_it_and_it_is_fresh() {
    let numbered: Change = |leaf| leaf.serial_number = Some(SerialNumber::from(vec![7, 8, 9]));
    let chain = chain(same, numbered);
    let (sent, roots) = (chain.sent(), chain.roots());
    let serial = [SerialNumber::from(vec![7, 8, 9])];
    let stranger = Made::by(None, authority("Middle"));
    for (list, expected) in [
        (revocation_list(&chain.middle, &serial, (2027, 1)), Status::Fail),
        (revocation_list(&chain.middle, &[], (2027, 1)), Status::Pass),
        (revocation_list(&chain.middle, &serial, (2026, 5)), Status::Error),
        (revocation_list(&stranger, &[], (2027, 1)), Status::Error),
        (revocation_list(&chain.root, &[], (2027, 1)), Status::Error),
        (revocation_list_from(&chain.middle, &[], (2026, 7), (2027, 1)), Status::Error),
        (CertificateRevocationListDer::from(vec![1, 2, 3]), Status::Error),
    ] {
        let crls = [list];
        let judged = judge(&served(&sent), &Rules { crls: &crls, ..rules(&roots) });
        let found = status(&judged, "cert.revoked");
        assert!(
            found.contains(&expected) && (expected == Status::Pass || !found.contains(&Status::Pass)),
            "{judged:?}"
        );
    }
}

#[test]
fn without_a_list_it_is_said_why_there_is_none() {
    let named: Change = |leaf| {
        let point = rcgen::CrlDistributionPoint { uris: vec!["http://a.example/crl".to_owned()] };
        leaf.crl_distribution_points = vec![point];
    };
    for (change, crls_asked, said) in [
        (same as Change, true, "the certificates name none"),
        (same, false, "the certificates name none"),
        (named, false, "not asked for (--crl)"),
        (named, true, "could not be fetched"),
    ] {
        let chain = chain(same, change);
        let (sent, roots) = (chain.sent(), chain.roots());
        let judged = judge(&served(&sent), &Rules { crls_asked, ..rules(&roots) });
        let found = judged.findings.iter().find(|finding| finding.id == "revocation").unwrap();
        assert_eq!((found.status, found.actual.contains(said)), (Status::Skip, true), "{found:?}");
    }
}

/// An element of DER.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x82][..], &length, &content].concat()
}

/// An OCSP answer about a serial number: signed by this one, with these certificates.
fn answer(signer: &Made, beside: &[&Made], serial: u8, status: &[u8], until: &str) -> Vec<u8> {
    let time = |text: &str| tlv(0x18, &[text.as_bytes()]);
    let digest = tlv(4, &[&[0; 20]]);
    let hash = tlv(0x30, &[&[6, 5, 0x2b, 0x0e, 3, 2, 0x1a]]);
    let id = tlv(0x30, &[&hash, &digest, &digest, &[2, 1, serial]]);
    let single = tlv(0x30, &[&id, status, &time("20260501000000Z"), &tlv(0xa0, &[&time(until)])]);
    let data = tlv(0x30, &[&tlv(0xa2, &[&digest]), &time("20260501000000Z"), &tlv(0x30, &[&single])]);
    let signature = rcgen::SigningKey::sign(&signer.key, &data).unwrap();
    let algorithm = tlv(0x30, &[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]);
    let beside: Vec<u8> = beside.iter().flat_map(|made| made.der.to_vec()).collect();
    let beside = if beside.is_empty() { beside } else { tlv(0xa0, &[&tlv(0x30, &[&beside])]) };
    let basic = tlv(0x30, &[&data, &algorithm, &tlv(3, &[&[0], &signature]), &beside]);
    let kind = [6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
    tlv(0x30, &[&[0x0a, 1, 0], &tlv(0xa0, &[&tlv(0x30, &[&kind, &tlv(4, &[&basic])])])])
}

#[test]
fn a_staple_is_believed_when_the_issuer_or_its_responder_signed_it() {
    let numbered: Change = |leaf| leaf.serial_number = Some(SerialNumber::from(vec![7]));
    let chain = chain(same, numbered);
    let (sent, roots) = (chain.sent(), chain.roots());
    let responder = |purpose| {
        let mut params = server();
        params.extended_key_usages = vec![purpose];
        Made::by(Some(&chain.middle), params)
    };
    let (may, may_not) =
        (responder(ExtendedKeyUsagePurpose::OcspSigning), responder(ExtendedKeyUsagePurpose::ServerAuth));
    let (good, late, early) = ([0x80, 0], "20260701000000Z", "20260520000000Z");
    let revoked = tlv(0xa1, &[&tlv(0x18, &[b"20260510000000Z"])]);
    for (staple, expected, said) in [
        (answer(&chain.middle, &[], 7, &good, late), Status::Pass, "good until"),
        (answer(&may, &[&may], 7, &good, late), Status::Pass, "good until"),
        (answer(&may_not, &[&may_not], 7, &good, late), Status::Fail, "signed by neither"),
        (answer(&chain.root, &[], 7, &good, late), Status::Fail, "signed by neither"),
        (answer(&chain.middle, &[], 7, &revoked, late), Status::Fail, "revoked"),
        (answer(&chain.middle, &[], 7, &[0x82, 0], late), Status::Fail, "does not know"),
        (answer(&chain.middle, &[], 7, &good, early), Status::Fail, "expired"),
        (answer(&chain.middle, &[], 8, &good, late), Status::Fail, "another certificate"),
        (tlv(0x30, &[&[0x0a, 1, 3]]), Status::Fail, "refused to answer (03)"),
    ] {
        let judged = judge(&Presented { staple: Some(&staple), ..served(&sent) }, &rules(&roots));
        let found = judged.findings.iter().find(|finding| finding.id == "ocsp.staple").unwrap();
        assert_eq!((found.status, found.actual.contains(said)), (expected, true), "{found:?}");
    }
    let staple = answer(&chain.middle, &[], 7, &good, late);
    let judged = judge(&Presented { staple: Some(&staple), ..served(&sent[..1]) }, &rules(&roots));
    assert_eq!(status(&judged, "ocsp.staple"), [Status::Error]);
}
