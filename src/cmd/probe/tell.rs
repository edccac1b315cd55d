//! What is told of a change, and what is not.

use serde::Serialize;

use super::report::judge;
use crate::config::FailOn;
use crate::exit::Verdict;
use crate::probe::notify::Notice;
use crate::probe::{Standing, StateChange};
use crate::text::{printable, printable_json};

/// Name and version of the document.
const SCHEMA: &str = "hardy.probe.change/v1";

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    verdict: Verdict,
    data: &'a StateChange,
}

/// The notice of a change; none of a target that is up when it is first seen.
pub fn notice(change: &StateChange, fail_on: FailOn) -> Option<Notice> {
    if change.changes == 1 && change.to == Standing::Up {
        return None;
    }
    let document = Document { schema: SCHEMA, verdict: judge(change.state, fail_on), data: change };
    let StateChange { at, name, url, kind, from, to, reason, detail, changes, .. } = change;
    let environment = [
        ("HARDY_TARGET", name.clone()),
        ("HARDY_URL", url.clone()),
        ("HARDY_KIND", (*kind).to_owned()),
        ("HARDY_STATE", to.id().to_owned()),
        ("HARDY_OLD_STATE", from.id().to_owned()),
        ("HARDY_REASON", reason.map(|reason| reason.id().to_owned()).unwrap_or_default()),
        ("HARDY_DETAIL", detail.clone().unwrap_or_default()),
        ("HARDY_AT", at.clone()),
        ("HARDY_CHANGES", changes.to_string()),
    ];
    Some(Notice {
        subject: printable(&format!("{name} is {}", to.id())),
        // The environment cannot hold every character.
        environment: environment.map(|(variable, value)| (variable, printable(&value))).into(),
        // All of it is text and numbers, which JSON always holds.
        document: printable_json(serde_json::to_string(&document).unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::State;

    fn change(from: Standing, to: Standing, state: State, changes: u64) -> StateChange {
        StateChange {
            at: "2023-11-14T22:13:20.000Z".into(),
            name: "api".into(),
            url: "http://h/".into(),
            kind: "http",
            from,
            to,
            state,
            reason: None,
            detail: Some("a\0b".into()),
            changes,
        }
    }

    #[test]
    fn a_target_that_is_up_from_the_start_is_no_news() {
        use Standing::{Down, Unknown, Up};
        let told = |change| notice(&change, FailOn::Down).is_some();
        assert!(!told(change(Unknown, Up, State::Up, 1)));
        assert!(told(change(Unknown, Down, State::Down, 1)));
        assert!(told(change(Unknown, Up, State::Up, 3)), "it was unknown in between");
    }

    #[test]
    fn a_flapping_target_has_a_verdict_all_the_same() {
        let notice =
            notice(&change(Standing::Down, Standing::Flapping, State::Down, 8), FailOn::Down).unwrap();
        assert_eq!(notice.subject, "api is flapping");
        let document: serde_json::Value = serde_json::from_str(&notice.document).unwrap();
        assert_eq!((&document["schema"], &document["verdict"]), (&SCHEMA.into(), &"bad".into()));
        let data = &document["data"];
        assert_eq!(
            (&data["from"], &data["to"], &data["state"]),
            (&"down".into(), &"flapping".into(), &"down".into())
        );
        assert!(notice.environment.contains(&("HARDY_OLD_STATE", "down".into())));
        assert!(notice.environment.iter().all(|(_, value)| !value.contains('\0')));
    }
}
