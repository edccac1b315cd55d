//! The calls themselves. Each says what its second try finds when the first one had worked after all.

use std::time::Duration;

use etcd_client::{Client, GetOptions, LeaseGrantOptions, Txn};

use super::read::{Read, TxnRead};
use super::{Effort, Etcd, Failure};
use crate::clock::Boot;

/// An answer holds at most so many bytes: some ten thousand keys.
const LARGEST_ANSWER: usize = 64 << 20;

/// A lease that lives.
#[derive(Clone, Copy, Debug)]
pub struct Alive {
    /// As granted, which can be more than what was asked.
    pub ttl: Duration,
    /// Before this was sent, it surely had not begun to run.
    pub sent: Boot,
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(ttl.max(0).unsigned_abs())
}

impl Etcd {
    /// Reads a key, or a range by `options`.
    pub async fn range(
        &self,
        key: impl AsRef<[u8]>,
        options: &GetOptions,
        effort: Effort,
    ) -> Result<Read, Failure> {
        let key = key.as_ref();
        let op = |client: Client| {
            let (key, options) = (key.to_owned(), options.clone());
            let mut client = client.kv_client().max_decoding_message_size(LARGEST_ANSWER);
            async move { Read::new(client.get(key, Some(options)).await?) }
        };
        Ok(self.call(&String::from_utf8_lossy(key), effort, op).await?.value)
    }

    /// Runs a transaction, which is to find out itself whether it has run before. `object`: the keys it is about.
    pub async fn txn(&self, object: &str, txn: &Txn, effort: Effort) -> Result<TxnRead, Failure> {
        let op = |client: Client| {
            let txn = txn.clone();
            let mut client = client.kv_client().max_decoding_message_size(LARGEST_ANSWER);
            async move { TxnRead::new(&client.txn(txn).await?) }
        };
        Ok(self.call(object, effort, op).await?.value)
    }

    /// Makes a lease with this id. One that exists already is ours, from a try whose answer got lost: nobody else
    /// draws the same of 2^63. Since nobody knows how long that one has run, it begins anew.
    pub async fn grant(&self, id: i64, ttl: Duration, effort: Effort) -> Result<Alive, Failure> {
        let whole = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let wanted = i64::try_from(whole.max(1)).unwrap_or(i64::MAX);
        let sent = Boot::now();
        let op = |mut client: Client| async move {
            let options = LeaseGrantOptions::new().with_id(id);
            match client.lease_grant(wanted, Some(options)).await {
                Ok(granted) => Ok(Alive { ttl: seconds(granted.ttl()), sent }),
                Err(error) if is_granted(&error) => {
                    let ttl = seconds(client.lease_time_to_live(id, None).await?.granted_ttl());
                    let sent = Boot::now();
                    client.lease_keep_alive(id).await.map(|_| Alive { ttl, sent })
                }
                Err(error) => Err(error),
            }
        };
        Ok(self.call("a lease", effort, op).await?.value)
    }

    /// Ends a lease, and deletes its keys; whether there was one. One that is gone at the second try was ended by the
    /// first.
    pub async fn revoke(&self, id: i64, effort: Effort) -> Result<bool, Failure> {
        let op = |mut client: Client| async move {
            match client.lease_revoke(id).await {
                Ok(_) => Ok(true),
                Err(error) if matches!(super::Fault::of(&error).0, super::Fault::NoLease) => Ok(false),
                Err(error) => Err(error),
            }
        };
        let answer = self.call("the end of a lease", effort, op).await?;
        Ok(answer.value || answer.attempt > 0)
    }

    /// Lets a lease run anew; since when. None: it has ended.
    pub async fn keep_alive(&self, id: i64, effort: Effort) -> Result<Option<Boot>, Failure> {
        // A stream for one message: each answer is waited for on its own, wherever the next one comes from.
        let op = |mut client: Client| async move {
            let sent = Boot::now();
            client.lease_keep_alive(id).await.map(|_| sent)
        };
        match self.call("more time for a lease", effort, op).await {
            Ok(answer) => Ok(Some(answer.value)),
            Err(Failure::NoLease) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// How long a lease was granted for, and how long it still runs, in whole seconds, rounded down. None: it has
    /// ended.
    pub async fn time_to_live(
        &self,
        id: i64,
        effort: Effort,
    ) -> Result<Option<(Duration, Duration)>, Failure> {
        let op = |mut client: Client| async move {
            let lease = client.lease_time_to_live(id, None).await?;
            // What is left is rounded down: a lease in its last second has none. One that is gone was granted none.
            Ok((lease.granted_ttl() > 0).then(|| (seconds(lease.granted_ttl()), seconds(lease.ttl()))))
        };
        match self.call("the time of a lease", effort, op).await {
            Err(Failure::NoLease) => Ok(None),
            other => Ok(other?.value),
        }
    }
}

fn is_granted(error: &etcd_client::Error) -> bool {
    matches!(super::Fault::of(error).0, super::Fault::LeaseExists)
}
