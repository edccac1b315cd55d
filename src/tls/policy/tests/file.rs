//! Policies in files, and mistakes in them.

use super::*;

#[test]
fn a_file_says_all_that_a_policy_can() {
    let text = r#"
        base = "modern"
        name = "ours-7"
        versions = ["1.2", "TLSv1.3"]
        require_versions = ["1.3"]
        suites = ["TLS_AES_128_GCM_SHA256", "0xc02f"]
        require_suites = ["TLS_AES_128_GCM_SHA256"]
        groups = ["X25519MLKEM768", "P-256"]
        require_groups = ["X25519MLKEM768"]
        require_alpn = ["h2"]
        keys = ["RSA 3072", "Ed25519"]
        signatures = ["ed25519"]
        max_lifetime = "47d"
        hsts_min_age = "0s"
        server_order = true
        early_data = true
        severity = { "kx.pq" = "warn", "http.hsts" = "fail" }
        [[waive]]
        id = "cert.expiry"
        target = "*"
        reason = "why"
        until = 2027-01-01
    "#;
    let policy = Policy::parse(text, "p.toml").unwrap();
    assert_eq!(policy.name, "ours-7");
    assert_eq!(policy.versions, Some(vec![Version::Tls12, Version::Tls13]));
    assert_eq!(policy.suites, Some(vec![Suite(0x1301), Suite(0xc02f)]));
    assert_eq!(policy.groups, Some(vec![PQ, Group(0x17)]));
    assert_eq!((policy.require_groups, policy.require_alpn), (vec![PQ], vec!["h2".to_owned()]));
    assert_eq!(policy.keys, Some(vec![KeyKind::Rsa(3072), KeyKind::Named("Ed25519".into())]));
    assert_eq!(policy.max_lifetime.map(|life| life.as_secs()), Some(47 * 86_400));
    assert_eq!(policy.hsts_min_age, None, "0s asks for none");
    assert!(policy.server_order && policy.early_data);
    assert_eq!(policy.severity["kx.pq"], Status::Warn);
    assert_eq!(policy.waivers[0].until.to_string(), "2027-01-01");
    assert_eq!(Policy::parse("", "p.toml"), Ok(Policy::unbounded("p.toml")));
}

#[test]
fn mistakes_in_a_file_have_a_place_and_the_nearest_name() {
    let waive = |id: &str, reason: &str, until: &str| {
        format!("[[waive]]\nid = \"{id}\"\ntarget = \"*\"\nreason = \"{reason}\"\nuntil = {until}")
    };
    let cases = [
        ("base = \"moder\"".to_owned(), "1:8: unknown built-in policy `moder`", "`modern`"),
        ("\nversion = [\"1.2\"]".into(), "2:1: unknown key `version`", "`versions`"),
        ("versions = [\"1.2\", \"1.4\"]".into(), "1:20: unknown version `1.4`", ""),
        ("suites = [\"TLS_AES_128_GCM_SHA257\"]".into(), "1:11: unknown suite", "TLS_AES_128_GCM_SHA256"),
        ("groups = [\"X25519MLKEM\"]".into(), "1:11: unknown group", "`X25519MLKEM768`"),
        ("require_groups = [\"P256\"]".into(), "1:19: unknown group `P256`", "`P-256`"),
        ("keys = [\"ECDSA P256\"]".into(), "1:9: unknown key `ECDSA P256`", "`ECDSA P-256`"),
        ("max_lifetime = 90".into(), "1:16: invalid type", ""),
        ("severity = { \"kx.pg\" = \"fail\" }".into(), "1:14: unknown rule `kx.pg`", "`kx.pq`"),
        ("severity = { \"kx.pq\" = \"off\" }".into(), "1:24: `off` is neither fail nor warn", "[[waive]]"),
        (waive("cert.expire", "x", "\"2027-01-01\""), "2:6: unknown rule `cert.expire`", "`cert.expiry`"),
        (waive("kx.pq", " ", "\"2027-01-01\""), "4:10: a waiver needs a reason", ""),
        (waive("kx.pq", "x", "\"soon\""), "5:9: `soon` is no date", ""),
        (
            "[[waive]]\nid = \"kx.pq\"\ntarget = \"*\"\nreason = \"x\"".into(),
            "1:1: missing field `until`",
            "",
        ),
        (
            "[[waive]]\nid = \"kx.pq\"\ntarget = \"*\"\nuntil = \"2027-01-01\"".into(),
            "1:1: missing field `reason`",
            "",
        ),
        ("base = ".into(), "1:8: ", ""),
    ];
    for (text, what, hint) in cases {
        let error = Policy::parse(&text, "p.toml").unwrap_err();
        let shown = error.to_string();
        assert!(shown.starts_with(&format!("p.toml:{what}")), "{text}: {shown}");
        let given = error.hint.clone().unwrap_or_default();
        assert!(given.contains(hint), "{text}: {given}");
    }
}
