//! What can be seen of locks without asking for one: who holds, who waits, and since when another token holds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::entry::{Line, Place, is_lease};
use super::ticket::store;
use super::txn::queue;
use crate::clock::Boot;
use crate::lock::{Error, Member, Name, Queue, Standing};
use crate::store::etcd::{
    Compare, CompareOp, DeleteOptions, Effort, Ended, Etcd, GetOptions, Read, Txn, TxnOp, Watched,
};

/// So many keys are read at a time when all are looked through.
const PAGE: i64 = 1000;
/// How long a watch goes on without an answer of the cluster.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two openings of a watch.
const PAUSE: Duration = Duration::from_millis(100);

async fn read(store_: &Etcd, place: &Place, effort: Effort) -> Result<(Read, Line), Error> {
    let read = store_.range(&place.range, &queue(), effort).await.map_err(store)?;
    let line = Line::read(place, &read.keys);
    Ok((read, line))
}

pub(super) async fn status(store: &Arc<Etcd>, place: &Place) -> Result<Queue, Error> {
    let (_, line) = read(store, place, Effort::ONCE).await?;
    seen(store, &line, Effort::ONCE).await
}

/// With the time that is left to the holders, asked for at once.
async fn seen(etcd: &Arc<Etcd>, line: &Line, effort: Effort) -> Result<Queue, Error> {
    let count = line.holders();
    let mut asked = JoinSet::new();
    for (at, entry) in line.entries[..count].iter().enumerate().filter(|(_, entry)| entry.lease != 0) {
        let (etcd, lease) = (etcd.clone(), entry.lease);
        asked.spawn(async move { (at, etcd.time_to_live(lease, effort).await) });
    }
    let mut holders = line.members();
    while let Some(Ok((at, time))) = asked.join_next().await {
        holders[at].left = Some(time.map_err(store)?.map_or(Duration::ZERO, |(_, left)| left));
    }
    let waiters = line.entries[count..].iter().map(|entry| entry.member(false)).collect();
    Ok(Queue { holders, waiters })
}

pub(super) async fn names(etcd: &Etcd, prefix: &str) -> Result<Vec<Name>, Error> {
    let mut names = BTreeSet::new();
    // The least key there can be.
    let mut from = if prefix.is_empty() { vec![0] } else { prefix.as_bytes().to_owned() };
    let end = after_prefix(prefix.as_bytes());
    loop {
        let options = GetOptions::new().with_range(end.clone()).with_keys_only().with_limit(PAGE);
        let read = etcd.range(&from, &options, Effort::ONCE).await.map_err(store)?;
        names.extend(read.keys.iter().filter(|kv| kv.lease() != 0).filter_map(|kv| name(kv.key(), prefix)));
        let more = read.count > i64::try_from(read.keys.len()).unwrap_or(i64::MAX);
        match read.keys.last() {
            // The next key there can be.
            Some(last) if more => from = [last.key(), b"\0"].concat(),
            _ => return Ok(names.into_iter().collect()),
        }
    }
}

/// The name in a key that has the form of a lock's.
fn name(key: &[u8], prefix: &str) -> Option<Name> {
    let (name, id) = std::str::from_utf8(key).ok()?.strip_prefix(prefix)?.rsplit_once('/')?;
    if is_lease(id) { name.parse().ok() } else { None }
}

/// The first key after all that begin so, as etcd writes ranges: a zero byte alone stands for the end of all keys.
fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

pub(super) async fn watch(
    etcd: &Arc<Etcd>,
    place: &Place,
    changes: &mpsc::Sender<Queue>,
) -> Result<(), Error> {
    let mut known: Option<Vec<(String, Option<u64>)>> = None;
    loop {
        let effort = Effort::until(Boot::now() + PATIENCE);
        let (read, line) = read(etcd, place, effort).await?;
        let now: Vec<_> = line.members().into_iter().map(|member| (member.id, member.token)).collect();
        // Who is let in tells its token at once: one change, not two.
        let is_told = known.is_some() && line.is_changing_hands();
        if !is_told && known.as_ref() != Some(&now) {
            if changes.send(seen(etcd, &line, effort).await?).await.is_err() {
                return Ok(());
            }
            known = Some(now);
        }
        changed(etcd, place, read.revision + 1).await?;
    }
}

/// Waits until anything happens to the queue.
async fn changed(etcd: &Etcd, place: &Place, from: i64) -> Result<(), Error> {
    let watched = Watched { keys: vec![place.range.clone()], prefix: true, puts: true, before: false, from };
    loop {
        let effort = Effort::until(Boot::now() + PATIENCE);
        match etcd.watch(&watched, effort).await.map_err(store)?.next().await {
            Ok(_) | Err(Ended::Compacted) => return Ok(()),
            Err(Ended::Endpoint) => tokio::time::sleep(PAUSE).await,
        }
    }
}

pub(super) async fn take_away(etcd: &Arc<Etcd>, place: &Place) -> Result<Vec<Member>, Error> {
    let (_, line) = read(etcd, place, Effort::ONCE).await?;
    for entry in &line.entries[..line.holders()] {
        // What others keep with the same lease is none of our business.
        if entry.lease == 0 || !entry.is_ours() {
            let same = Compare::create_revision(entry.key.as_str(), CompareOp::Equal, entry.created);
            let delete = TxnOp::delete(entry.key.as_str(), None::<DeleteOptions>);
            let delete = Txn::new().when([same]).and_then([delete]);
            etcd.txn(&entry.key, &delete, Effort::ONCE).await.map_err(store)?;
        } else {
            etcd.revoke(entry.lease, Effort::ONCE).await.map_err(store)?;
        }
    }
    Ok(line.members())
}

pub(super) async fn standing(etcd: &Etcd, place: &Place, token: u64) -> Result<Standing, Error> {
    let (_, line) = read(etcd, place, Effort::ONCE).await?;
    let held = || line.entries[..line.holders()].iter().filter_map(|entry| entry.token());
    Ok(match held().max() {
        _ if held().any(|held| held == token) => Standing::Holds,
        Some(newest) if newest > token => Standing::Newer(newest),
        _ => Standing::Ended,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_keys() {
        let name = |key: &str, prefix| name(key.as_bytes(), prefix).map(|name| name.to_string());
        assert_eq!(name("/my-lock/694d8a1", ""), Some("/my-lock".into()));
        assert_eq!(name("/hardy/a/b/1f", "/hardy/"), Some("a/b".into()));
        assert_eq!(name("/hardy/a/b/xyz", "/hardy/"), None);
        assert_eq!(name("1f", ""), None);
    }

    #[test]
    fn a_range_ends_after_its_prefix() {
        assert_eq!(after_prefix(b"a/"), b"a0");
        assert_eq!(after_prefix(b"a\xff"), b"b");
        assert_eq!(after_prefix(b""), b"\0");
    }
}
