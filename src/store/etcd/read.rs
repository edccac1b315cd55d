//! Answers, without the ceremony: when they were given, by which cluster, and the keys.

use etcd_client::{Error, GetResponse, KeyValue, ResponseHeader, TxnOpResponse, TxnResponse};

/// A range of keys, as it was at a revision.
#[derive(Clone, Debug)]
pub struct Read {
    /// Of the cluster.
    pub cluster: u64,
    /// Of the whole store when it was read.
    pub revision: i64,
    /// In the order asked for, up to the limit asked for.
    pub keys: Vec<KeyValue>,
    /// How many keys there are in the range, whatever the limit.
    pub count: i64,
}

/// A transaction.
#[derive(Clone, Debug)]
pub struct TxnRead {
    /// Of the cluster.
    pub cluster: u64,
    /// Of the whole store after it.
    pub revision: i64,
    /// Whether its comparisons held.
    pub succeeded: bool,
    /// What its reads gave, in their order.
    pub reads: Vec<Read>,
}

fn header(header: Option<&ResponseHeader>) -> Result<(u64, i64), Error> {
    let header = header.ok_or_else(|| Error::Internal("an answer without a header".to_owned()))?;
    Ok((header.cluster_id(), header.revision()))
}

impl Read {
    pub(super) fn new(mut answer: GetResponse) -> Result<Read, Error> {
        let (cluster, revision) = header(answer.header())?;
        Ok(Read::at(cluster, revision, &mut answer))
    }

    fn at(cluster: u64, revision: i64, answer: &mut GetResponse) -> Read {
        Read { cluster, revision, count: answer.count(), keys: answer.take_kvs() }
    }
}

impl TxnRead {
    pub(super) fn new(answer: &TxnResponse) -> Result<TxnRead, Error> {
        let (cluster, revision) = header(answer.header())?;
        let reads = answer.op_responses().into_iter().filter_map(|part| match part {
            TxnOpResponse::Get(mut read) => Some(Read::at(cluster, revision, &mut read)),
            _ => None,
        });
        Ok(TxnRead { cluster, revision, succeeded: answer.succeeded(), reads: reads.collect() })
    }
}
