//! Chains made at random, from certificates that are wrong in one way or another.

use proptest::prelude::*;

use super::*;

/// One change of a certificate, by number.
fn changed(params: &mut CertificateParams, change: u8) {
    match change {
        0 => params.not_after = date_time_ymd(2026, 5, 20),
        1 => params.not_before = date_time_ymd(2026, 6, 20),
        2 => params.is_ca = IsCa::ExplicitNoCa,
        3 => params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)),
        4 => params.key_usages = vec![KeyUsagePurpose::CrlSign],
        5 => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning],
        6 => {
            let excluded_subtrees = vec![GeneralSubtree::DnsName("example".into())];
            params.name_constraints =
                Some(NameConstraints { permitted_subtrees: Vec::new(), excluded_subtrees });
        }
        7 => params.distinguished_name.push(DnType::CommonName, "Root"),
        8 => {
            let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
            unknown.set_criticality(true);
            params.custom_extensions.push(unknown);
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn trust_is_never_passed_where_webpki_refuses(
        changes in prop::collection::vec((0usize..4, 0u8..16), 0..4),
        order in prop::collection::vec(0usize..5, 0..6),
        trusted in 0usize..5,
        cut in prop::option::of((0usize..6, 0usize..400, any::<u8>())),
    ) {
        let mut made: Vec<Made> = Vec::new();
        for (place, name) in ["Root", "Middle", "Low", "leaf"].into_iter().enumerate() {
            let mut params = if place == 3 { server() } else { authority(name) };
            changes.iter().filter(|(at, _)| *at == place).for_each(|(_, change)| changed(&mut params, *change));
            made.push(Made::by(made.last(), params));
        }
        made.push(Made::by(None, authority("Middle")));
        let mut sent: Vec<_> = order.iter().map(|place| made[*place].der.clone()).collect();
        sent.insert(0, made[3].der.clone());
        if let Some((place, byte, value)) = cut
            && let Some(der) = sent.get_mut(place)
        {
            let mut bytes = der.to_vec();
            bytes.iter_mut().skip(byte).take(1).for_each(|byte| *byte = value);
            *der = CertificateDer::from(bytes);
        }
        let roots = Roots { given: vec![made[trusted].der.clone()], ..Roots::default() };
        let judged = judge(&served(&sent), &rules(&roots));
        let anchors = Anchors::new(&roots);
        let verified = trust::verify(&sent, &anchors.list, rules(&roots).at.as_second(), None);
        let passed = status(&judged, "chain.untrusted") == [Status::Pass];
        prop_assert_eq!(passed, verified.is_ok(), "{:?} {:?}", verified, judged);
        let has_failed = judged.findings.iter().any(|finding| matches!(finding.status, Status::Fail | Status::Error));
        prop_assert!(has_failed || verified.is_ok(), "{:?} {:?}", verified, judged);
    }

    #[test]
    fn bytes_that_are_no_answer_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let chain = chain(same, same);
        let (sent, roots) = (chain.sent(), chain.roots());
        let judged = judge(&Presented { staple: Some(&bytes), ..served(&sent) }, &rules(&roots));
        prop_assert_eq!(status(&judged, "ocsp.staple"), [Status::Fail]);
    }
}
