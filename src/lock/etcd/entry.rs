//! How a lock lies in etcd: one key per holder or waiter, `NAME/LEASE`, in the order in which they were created. That is
//! what etcd's own clients do, too; what hardy writes into the value is for people, and for the modes that those
//! clients do not know.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::lock::{Member, Mode, Name, Owner, Wanted, holders};
use crate::store::etcd::KeyValue;

/// The value of a key. etcd's own clients leave it empty, and ask for the lock alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    #[serde(default, skip_serializing_if = "is_exclusive")]
    pub(super) mode: Mode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<Owner>,
    /// As RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// Written behind others: who is let in writes anew, and that is the token. Without it, the lock was free.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) waiting: bool,
}

fn is_exclusive(mode: &Mode) -> bool {
    *mode == Mode::Exclusive
}

impl Note {
    /// What we write now, as a holder or as one who waits.
    pub(super) fn text(wanted: &Wanted, waiting: bool) -> String {
        let since = Some(Timestamp::now().to_string());
        let note = Note { mode: wanted.mode, owner: Some(wanted.owner.clone()), since, waiting };
        // A value that cannot be written is one that nobody needs.
        serde_json::to_string(&note).unwrap_or_default()
    }

    fn read(value: &[u8]) -> Note {
        serde_json::from_slice(value).unwrap_or_default()
    }
}

/// Where the keys of a lock are.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) name: Name,
    prefix: String,
    /// What all its keys begin with.
    pub(super) range: String,
}

impl Place {
    pub(super) fn new(prefix: &str, name: &Name) -> Place {
        Place { name: name.clone(), prefix: prefix.to_owned(), range: format!("{prefix}{name}/") }
    }

    pub(super) fn key(&self, lease: i64) -> String {
        format!("{}{lease:x}", self.range)
    }

    /// The names above, with what their keys begin with.
    pub(super) fn above(&self) -> impl Iterator<Item = (&str, String)> {
        self.name.above().map(|above| (above, format!("{}{above}/", self.prefix)))
    }

    /// Whether a key is one of this lock itself.
    pub(super) fn entry(&self, kv: &KeyValue) -> Option<Entry> {
        let id = self.rest(kv)?;
        is_lease(id).then(|| Entry {
            id: id.to_owned(),
            key: format!("{}{id}", self.range),
            lease: kv.lease(),
            created: kv.create_revision(),
            modified: kv.mod_revision(),
            note: Note::read(kv.value()),
        })
    }

    /// What else uses the keys of this lock: a lock below it, or something that is none.
    pub(super) fn intruder(&self, kv: &KeyValue) -> Option<String> {
        let Some(rest) = self.rest(kv) else { return Some(String::from_utf8_lossy(kv.key()).into_owned()) };
        if is_lease(rest) {
            return None;
        }
        let below = match rest.rsplit_once('/') {
            Some((below, id)) if is_lease(id) => below,
            _ => rest,
        };
        Some(format!("{}/{below}", self.name))
    }

    fn rest<'a>(&self, kv: &'a KeyValue) -> Option<&'a str> {
        kv.key_str().ok()?.strip_prefix(&self.range)
    }
}

/// Whether the last part of a key is a lease: lowercase hexadecimal without leading zeros, as etcd's clients write it.
pub(super) fn is_lease(id: &str) -> bool {
    (1..=16).contains(&id.len())
        && !id.starts_with('0')
        && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A holder or waiter.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) key: String,
    /// Zero: none.
    pub(super) lease: i64,
    /// The place in the queue.
    pub(super) created: i64,
    /// The token of a holder that is one of ours.
    pub(super) modified: i64,
    pub(super) note: Note,
}

impl Entry {
    /// Whether hardy wrote it; the clients of others leave no note.
    pub(super) fn is_ours(&self) -> bool {
        self.note.owner.is_some()
    }

    /// The token it has; etcd's own clients do not tell theirs, and who has not claimed the lock yet has none.
    pub(super) fn token(&self) -> Option<u64> {
        (self.is_ours() && !self.note.waiting).then_some(self.modified.unsigned_abs())
    }

    /// Whether it surely had the lock alone: it was written a second time, when all before it had gone. Of the first of
    /// all, which is written once, and of the clients of others this cannot be told.
    pub(super) fn was_alone(&self) -> bool {
        self.token().is_some() && self.note.mode == Mode::Exclusive && self.modified > self.created
    }

    pub(super) fn member(&self, holds: bool) -> Member {
        Member {
            mode: self.note.mode,
            owner: self.note.owner.clone(),
            since: self.note.since.as_deref().and_then(|since| since.parse().ok()),
            token: self.token().filter(|_| holds),
            left: None,
            id: self.id.clone(),
        }
    }
}

/// All entries of a lock that were seen, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pub(super) entries: Vec<Entry>,
    /// What else was seen among their keys.
    pub(super) intruder: Option<String>,
}

impl Line {
    pub(super) fn read(place: &Place, keys: &[KeyValue]) -> Line {
        let mut entries: Vec<_> = keys.iter().filter_map(|kv| place.entry(kv)).collect();
        entries.sort_by_key(|entry| entry.created);
        Line { entries, intruder: keys.iter().find_map(|kv| place.intruder(kv)) }
    }

    /// How many of them hold the lock.
    pub(super) fn holders(&self) -> usize {
        holders(self.entries.iter().map(|entry| entry.note.mode))
    }

    /// Whether one more at the end would hold it, too.
    pub(super) fn admits(&self, mode: Mode) -> bool {
        let modes = self.entries.iter().map(|entry| entry.note.mode).chain([mode]);
        holders(modes) == self.entries.len() + 1
    }

    /// Whether one is let in who does not know it yet.
    pub(super) fn is_changing_hands(&self) -> bool {
        self.entries[..self.holders()].iter().any(|entry| entry.note.waiting)
    }

    /// Those who hold it.
    pub(super) fn members(&self) -> Vec<Member> {
        self.entries[..self.holders()].iter().map(|entry| entry.member(true)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_others_is_a_plain_lock() {
        for value in ["", "garbage", "17", "{\"mode\":\"odd\"}"] {
            assert_eq!(Note::read(value.as_bytes()), Note::default(), "{value:?}");
        }
    }

    #[test]
    fn a_value_of_ours_is_short_and_comes_back() {
        let owner = Owner { host: "h".into(), pid: 7, reason: None };
        let since = Some("2026-01-01T00:00:00Z".into());
        let note = Note { mode: Mode::Exclusive, owner: Some(owner), since, waiting: false };
        let text = serde_json::to_string(&note).unwrap();
        assert_eq!(text, r#"{"owner":{"host":"h","pid":7},"since":"2026-01-01T00:00:00Z"}"#);
        assert_eq!(Note::read(text.as_bytes()), note);
        let shared = Note { mode: Mode::Shared, waiting: true, ..note };
        assert_eq!(Note::read(serde_json::to_string(&shared).unwrap().as_bytes()), shared);
    }

    #[test]
    fn keys_are_those_of_etcds_own_clients() {
        let place = Place::new("", &"/my-lock".parse().unwrap());
        assert_eq!(place.key(0x0694_d8a1), "/my-lock/694d8a1");
        assert_eq!(
            Place::new("/hardy/", &"a/b".parse().unwrap()).above().collect::<Vec<_>>(),
            [("a", "/hardy/a/".to_owned())]
        );
        for id in ["1", "694d8a1b2c3d4e5f"] {
            assert!(is_lease(id), "{id}");
        }
        for id in ["", "0", "0a", "A", "x", "1/2", "11111111111111111"] {
            assert!(!is_lease(id), "{id}");
        }
    }
}
