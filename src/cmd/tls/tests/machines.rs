//! The forms for programs: JUnit, SARIF, Prometheus.

use super::*;

#[test]
fn junit_has_a_suite_for_each_target_and_is_well_formed() {
    let report = report(&mixed());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.xml");
    let console = crate::output::Console::new(&crate::output::Settings {
        format: crate::output::Format::Human,
        reports: vec![format!("junit={}", path.display()).parse().unwrap()],
        color: crate::output::When::Never,
        progress: crate::output::When::Never,
        quiet: true,
        verbose: false,
    });
    console.file(&report).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let mut reader = quick_xml::Reader::from_str(&text);
    let (mut suites, mut cases, mut outcomes) = (0, 0, Vec::new());
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Eof => break,
            quick_xml::events::Event::Start(tag) | quick_xml::events::Event::Empty(tag) => {
                match tag.name().as_ref() {
                    b"testsuite" => suites += 1,
                    b"testcase" => cases += 1,
                    b"testsuites" => {}
                    other => outcomes.push(String::from_utf8_lossy(other).into_owned()),
                }
                assert!(tag.attributes().all(|attribute| attribute.is_ok()));
            }
            _ => {}
        }
    }
    assert_eq!((suites, cases), (3, 7));
    // A warning passes unless it makes the verdict bad.
    assert_eq!(outcomes, ["failure", "error", "skipped", "failure"]);
    let strict = Report::new(&mixed(), Run { fail_on: FailFrom::Warn, ..run() }, None);
    let failed = |outcome: &Outcome| matches!(outcome, Outcome::Fail { .. });
    assert_eq!(strict.suites()[0].cases.iter().filter(|case| failed(&case.outcome)).count(), 2);
    let untested = self::report(&[checked("a", Vec::new())]);
    assert!(matches!(untested.suites()[0].cases[0].outcome, Outcome::Error { .. }), "never a pass");
}

/// Of the schema of SARIF 2.1.0 what is used here, and closed: whatever else is written is a mistake.
const SARIF: &str = r##"{
  "type": "object", "additionalProperties": false, "required": ["$schema", "version", "runs"],
  "properties": {
    "$schema": { "const": "https://json.schemastore.org/sarif-2.1.0.json" },
    "version": { "const": "2.1.0" },
    "runs": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/run" } } },
  "$defs": {
    "text": { "type": "object", "additionalProperties": false, "required": ["text"],
      "properties": { "text": { "type": "string", "minLength": 1 } } },
    "run": { "type": "object", "additionalProperties": false, "required": ["tool", "results"],
      "properties": {
        "columnKind": { "enum": ["utf16CodeUnits", "unicodeCodePoints"] },
        "tool": { "type": "object", "additionalProperties": false, "required": ["driver"],
          "properties": { "driver": { "type": "object", "additionalProperties": false, "required": ["name"],
            "properties": { "name": { "type": "string" },
              "semanticVersion": { "type": "string", "pattern": "^[0-9]+\\.[0-9]+\\.[0-9]+" },
              "rules": { "type": "array", "uniqueItems": true, "items": { "type": "object",
                "additionalProperties": false, "required": ["id"],
                "properties": { "id": { "type": "string" }, "shortDescription": { "$ref": "#/$defs/text" } } } } } } } },
        "invocations": { "type": "array", "items": { "type": "object", "additionalProperties": false,
          "required": ["executionSuccessful"],
          "properties": { "executionSuccessful": { "type": "boolean" },
            "toolExecutionNotifications": { "type": "array", "items": { "type": "object",
              "additionalProperties": false, "required": ["message"],
              "properties": { "level": { "enum": ["none", "note", "warning", "error"] },
                "message": { "$ref": "#/$defs/text" } } } } } } },
        "results": { "type": "array", "items": { "$ref": "#/$defs/result" } } } },
    "result": { "type": "object", "additionalProperties": false, "required": ["message", "ruleId"],
      "properties": {
        "ruleId": { "type": "string" }, "ruleIndex": { "type": "integer", "minimum": 0 },
        "kind": { "enum": ["notApplicable", "pass", "fail", "review", "open", "informational"] },
        "level": { "enum": ["none", "note", "warning", "error"] },
        "message": { "$ref": "#/$defs/text" },
        "baselineState": { "enum": ["new", "unchanged", "updated", "absent"] },
        "partialFingerprints": { "type": "object", "additionalProperties": { "type": "string" } },
        "suppressions": { "type": "array", "uniqueItems": true, "items": { "type": "object",
          "additionalProperties": false, "required": ["kind"],
          "properties": { "kind": { "enum": ["inSource", "external"] }, "justification": { "type": "string" } } } },
        "locations": { "type": "array", "items": { "type": "object", "additionalProperties": false, "minProperties": 1,
          "properties": {
            "physicalLocation": { "type": "object", "additionalProperties": false, "required": ["artifactLocation"],
              "properties": { "artifactLocation": { "type": "object", "additionalProperties": false,
                "properties": { "uri": { "type": "string", "pattern": "^[^ <>\"`{}|\\\\^]+$" } } } } },
            "logicalLocations": { "type": "array", "items": { "type": "object", "additionalProperties": false,
              "properties": { "fullyQualifiedName": { "type": "string" },
                "kind": { "enum": ["function", "member", "module", "namespace", "parameter", "resource",
                  "returnType", "type", "variable", "object", "array", "property", "value"] } } } } } } } },
      "if": { "properties": { "kind": { "const": "fail" } }, "required": ["kind"] },
      "else": { "properties": { "level": { "const": "none" } } } } } }"##;

#[test]
fn sarif_is_as_its_standard_wants_it() {
    let mut run_of = mixed();
    run_of[2].findings.push(Finding { waived: Some("OPS-1".into()), ..finding("tls.ems", Status::Warn) });
    let text = report(&run_of).sarif().unwrap().render().unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let validator = jsonschema::validator_for(&serde_json::from_str(SARIF).unwrap()).unwrap();
    let errors: Vec<_> =
        validator.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{text}");
    let run = &document["runs"][0];
    let results = run["results"].as_array().unwrap();
    let short: Vec<_> =
        results.iter().map(|r| (r["ruleId"].as_str().unwrap(), r["level"].as_str().unwrap())).collect();
    let expected = [
        ("suite.weak", "error"),
        ("http.hsts", "none"),
        ("kx.pq", "warning"),
        ("cert.expiry", "error"),
        ("tls.ems", "warning"),
    ];
    assert_eq!(short, expected, "what passed and what was skipped is not in it");
    for result in results {
        let rule = &run["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(rule["id"], result["ruleId"]);
    }
    assert_eq!(run["invocations"][0]["executionSuccessful"], false, "something could not be found out");
    let place = |index: usize| &results[index]["locations"][0];
    assert_eq!(place(3)["physicalLocation"]["artifactLocation"]["uri"], "dir/a%20b.pem");
    let name = place(0)["logicalLocations"][0]["fullyQualifiedName"].as_str().unwrap();
    assert!(name.starts_with("https://a-target"), "{name}");
    assert_eq!(results[4]["suppressions"][0]["justification"], "OPS-1");
    let fingerprints: std::collections::BTreeSet<_> =
        results.iter().map(|r| r["partialFingerprints"]["finding/v1"].as_str().unwrap()).collect();
    assert_eq!(fingerprints.len(), results.len(), "each has its own");
}

#[test]
fn prometheus_has_days_left_and_counts_and_no_series_twice() {
    let text = crate::metrics::render(&report(&mixed()).metrics());
    let has = |line: &str| assert!(text.lines().any(|found| found == line), "no {line} in {text}");
    has("hardy_tls_ok{target=\"good.example\",address=\"192.0.2.10:443\"} 1");
    has("hardy_tls_ok{target=\"dir: dir/a b.pem\",address=\"\"} 0");
    has(
        "hardy_tls_certificate_days_left{target=\"good.example\",address=\"192.0.2.10:443\",position=\"0\",subject=\"CN=api.example\"} 68",
    );
    has("hardy_tls_findings{target=\"good.example\",address=\"192.0.2.10:443\",status=\"fail\"} 0");
    let mut series: Vec<_> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' ')).collect();
    let all = series.len();
    series.sort_unstable();
    series.dedup_by_key(|(name, _)| *name);
    assert_eq!(series.len(), all);
    let unknown =
        crate::metrics::render(&report(&[checked("a", vec![finding("kx.pq", Status::Error)])]).metrics());
    assert!(!unknown.contains("hardy_tls_ok"), "what could not be found out is not 0 and not 1");
}

#[test]
fn labels_of_metrics_do_not_steer_a_terminal() {
    let mut hostile = checked("a", vec![finding("kx.pq", Status::Pass)]);
    hostile.observed = observed(&[0xc02f]);
    hostile.observed.certificates[0].subject = "CN=\u{1b}[2J\u{9b}31m".into();
    let text = crate::metrics::render(&report(&[hostile]).metrics());
    assert!(text.contains("days_left") && !text.contains(['\u{1b}', '\u{9b}']), "{text:?}");
}
