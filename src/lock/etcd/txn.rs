//! The transactions of the lock. Each is judged by the cluster at one revision, and says the same when it is sent twice.

use crate::lock::Mode;
use crate::store::etcd::{Compare, CompareOp, GetOptions, PutOptions, SortOrder, SortTarget, Txn, TxnOp};

use super::entry::Place;

/// How many of the first are read to say who holds an exclusive lock.
pub(super) const FRONT: i64 = 16;
/// How many keys are looked at to find a lock above.
const ABOVE: i64 = 1000;

/// The whole queue, with its values.
pub(super) fn queue() -> GetOptions {
    GetOptions::new().with_prefix()
}

/// The reads that every transaction ends with, whichever way it goes: our own key; the queue or, for an exclusive
/// lock, its front; for that, the newest key older than ours or, before ours exists, the newest two; and then the
/// names above, one read each.
struct Reads<'a> {
    place: &'a Place,
    key: &'a str,
    mode: Mode,
    /// The create revision of our key, if it is known.
    created: Option<i64>,
    above: bool,
}

impl Reads<'_> {
    fn ops(&self) -> Vec<TxnOp> {
        let range = self.place.range.as_str();
        let mut ops = vec![TxnOp::get(self.key, None)];
        if self.mode == Mode::Exclusive {
            let front = queue().with_sort(SortTarget::Create, SortOrder::Ascend).with_limit(FRONT);
            let newest = queue().with_sort(SortTarget::Create, SortOrder::Descend).with_keys_only();
            let newest = match self.created {
                Some(created) => newest.with_max_create_revision(created - 1).with_limit(1),
                None => newest.with_limit(2),
            };
            ops.extend([TxnOp::get(range, Some(front)), TxnOp::get(range, Some(newest))]);
        } else {
            ops.push(TxnOp::get(range, Some(queue())));
        }
        if self.above {
            ops.extend(self.place.above().map(|(_, range)| above(&range)));
        }
        ops
    }
}

/// The keys directly below a name above begin with a digit of a lease.
fn above(range: &str) -> TxnOp {
    let options = GetOptions::new().with_range(format!("{range}g")).with_keys_only().with_limit(ABOVE);
    TxnOp::get(format!("{range}1"), Some(options))
}

/// Takes the next place in the queue: with the first of the notes if it is empty, else with the second.
pub(super) fn enqueue(
    place: &Place,
    key: &str,
    notes: &[String; 2],
    lease: i64,
    mode: Mode,
    above: bool,
) -> Txn {
    let reads = Reads { place, key, mode, created: None, above }.ops();
    let [free, behind] = notes
        .each_ref()
        .map(|note| TxnOp::put(key, note.as_str(), Some(PutOptions::new().with_lease(lease))));
    let empty = Compare::create_revision(place.range.as_str(), CompareOp::Equal, 0).with_prefix();
    let put = TxnOp::txn(Txn::new().when([empty]).and_then([free]).or_else([behind]));
    Txn::new()
        .when([Compare::create_revision(key, CompareOp::Equal, 0)])
        .and_then([vec![put], reads.clone()].concat())
        .or_else(reads)
}

/// Takes the lock if nothing was added to the queue since it was read at `revision`; leaves no trace else.
pub(super) fn try_put(place: &Place, key: &str, note: &str, lease: i64, revision: i64, above: bool) -> Txn {
    // All of the queue, as for a lock that is shared: whoever came first is to be shown.
    let reads = Reads { place, key, mode: Mode::Shared, created: None, above }.ops();
    let put = TxnOp::put(key, note, Some(PutOptions::new().with_lease(lease)));
    let unchanged =
        Compare::create_revision(place.range.as_str(), CompareOp::Less, revision + 1).with_prefix();
    Txn::new().when([unchanged]).and_then([vec![put], reads.clone()].concat()).or_else(reads)
}

/// Reads what a try needs to know, and changes nothing.
pub(super) fn look(place: &Place, key: &str, above: bool) -> Txn {
    Txn::new().and_then(Reads { place, key, mode: Mode::Shared, created: None, above }.ops())
}

/// Turns our place in the queue into the lock; with `alone` only if nobody is before us. Without it, that is known
/// already: whoever was before us can only have gone since.
pub(super) fn claim(place: &Place, key: &str, note: &str, created: i64, mode: Mode, alone: bool) -> Txn {
    let reads = Reads { place, key, mode, created: Some(created), above: false }.ops();
    let put = TxnOp::put(key, note, Some(PutOptions::new().with_ignore_lease()));
    // Not claimed yet: a copy of this call that comes late must not write again, since what it writes is the token.
    let mut when = vec![
        Compare::create_revision(key, CompareOp::Equal, created),
        Compare::mod_revision(key, CompareOp::Equal, created),
    ];
    if alone {
        let first = Compare::create_revision(place.range.as_str(), CompareOp::Greater, created - 1);
        when.push(first.with_prefix());
    }
    Txn::new().when(when).and_then([put]).or_else(reads)
}
