//! Records as keys, `PREFIX/hardy/KIND/NAME`, changed by compare-and-swap on the revision of their last change. Whoever
//! was slower tries again on what it finds, after a pause that is random so that many do not stay in step.

use std::time::Duration;

use super::super::{Error, Known, Step};
use super::{Compare, CompareOp, Effort, Etcd, GetOptions, KeyValue, Settings, Txn, TxnOp, Watch, Watched};
use crate::clock::Boot;

/// The longest first pause; it doubles up to the other.
const PAUSE: Duration = Duration::from_millis(4);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How soon to look again where no watch can be had.
const LOOK: Duration = Duration::from_secs(1);

/// The records of one kind.
pub struct Records {
    etcd: Etcd,
    prefix: String,
    aside: String,
}

impl Records {
    /// Connects to nothing.
    ///
    /// # Errors
    /// Certificates or a key that cannot be read.
    pub fn open(settings: &Settings, prefix: &str, kind: &str) -> Result<Records, Error> {
        let prefix = format!("{prefix}/hardy/{kind}");
        Ok(Records {
            etcd: Etcd::open(settings)?,
            aside: format!("{prefix}-damaged/"),
            prefix: format!("{prefix}/"),
        })
    }

    /// The record; none if there is none.
    ///
    /// # Errors
    /// No endpoint answered until then.
    pub async fn read(&self, name: &str, by: Boot) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.get(name, by).await?.bytes)
    }

    async fn get(&self, name: &str, by: Boot) -> Result<Known, Error> {
        let read = self.etcd.range(self.key(name), &GetOptions::new(), Effort::by(by)).await?;
        Ok(known(&read.keys))
    }

    /// Changes the record; what is known of it saves the reading.
    ///
    /// # Errors
    /// No endpoint answered until then, or others were faster each time.
    pub async fn update<T>(
        &self,
        name: &str,
        before: Option<Known>,
        by: Boot,
        mut step: impl FnMut(Option<&[u8]>) -> Step<T>,
    ) -> Result<(T, Known), Error> {
        let mut before = match before {
            Some(known) => known,
            None => self.get(name, by).await?,
        };
        let mut pause = PAUSE;
        for tries in 1_u32.. {
            let (bytes, aside, once, value) = match step(before.bytes.as_deref()) {
                Step::Keep(value) => return Ok((value, before)),
                Step::Put { bytes, aside, once, value, lasting: _ } => (bytes, aside, once, value),
            };
            let aside = before.bytes.take().filter(|_| aside);
            let txn = self.swap(name, before.revision, &bytes, aside);
            let answer = self.etcd.txn(&self.key(name), &txn, Effort::by(by)).await?;
            if answer.succeeded {
                return Ok((value, Known { revision: answer.revision, bytes: Some(bytes) }));
            }
            before = answer.reads.first().map(|read| known(&read.keys)).unwrap_or_default();
            // Perhaps it was our own change whose answer got lost.
            if once || before.bytes.as_ref() == Some(&bytes) {
                return Ok((value, before));
            }
            if by.left() < pause {
                let what = format!("others changed {name} in etcd {tries} times while it was to be changed");
                return Err(Error::new(what));
            }
            tokio::time::sleep(pause.mul_f64(fastrand::f64())).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
        Err(Error::new(format!("cannot change {name} in etcd")))
    }

    fn swap(&self, name: &str, revision: i64, bytes: &[u8], aside: Option<Vec<u8>>) -> Txn {
        let key = self.key(name);
        let mut then = vec![TxnOp::put(key.as_str(), bytes, None)];
        if let Some(damaged) = aside {
            then.push(TxnOp::put(format!("{}{name}", self.aside), damaged, None));
        }
        Txn::new()
            .when([Compare::mod_revision(key.as_str(), CompareOp::Equal, revision)])
            .and_then(then)
            .or_else([TxnOp::get(key, None)])
    }

    /// The names of all, in order.
    ///
    /// # Errors
    /// No endpoint answered until then.
    pub async fn names(&self, by: Boot) -> Result<Vec<String>, Error> {
        let options = GetOptions::new().with_prefix().with_keys_only();
        let read = self.etcd.range(&self.prefix, &options, Effort::by(by)).await?;
        let name = |key: &KeyValue| key.key_str().ok()?.strip_prefix(&self.prefix).map(str::to_owned);
        Ok(read.keys.iter().filter_map(name).collect())
    }

    /// Begins to notice changes.
    ///
    /// # Errors
    /// No endpoint answered until then.
    pub async fn changes(&self, name: Option<&str>, by: Boot) -> Result<Following<'_>, Error> {
        let (key, prefix) = match name {
            Some(name) => (self.key(name), false),
            None => (self.prefix.clone(), true),
        };
        let options = GetOptions::new().with_count_only();
        let from = self.etcd.range(key.as_str(), &options, Effort::by(by)).await?.revision + 1;
        Ok(Following { etcd: &self.etcd, key, prefix, from, watch: None })
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

fn known(keys: &[KeyValue]) -> Known {
    keys.first()
        .map(|key| Known { revision: key.mod_revision(), bytes: Some(key.value().to_vec()) })
        .unwrap_or_default()
}

/// A watch that is opened again wherever it ends.
pub struct Following<'a> {
    etcd: &'a Etcd,
    key: String,
    prefix: bool,
    from: i64,
    watch: Option<Watch<'a>>,
}

impl Following<'_> {
    /// Until something may have changed.
    pub async fn next(&mut self) {
        let watch = match &mut self.watch {
            Some(watch) => watch,
            None => {
                let (keys, prefix) = (vec![self.key.clone()], self.prefix);
                let watched = Watched { keys, prefix, puts: true, before: false, from: self.from };
                match self.etcd.watch(&watched, Effort::ONCE).await {
                    Ok(watch) => self.watch.insert(watch),
                    Err(_) => return tokio::time::sleep(LOOK).await,
                }
            }
        };
        match watch.next().await {
            Ok(changes) => {
                let last = changes.iter().map(|change| change.now.mod_revision()).max();
                self.from = last.map_or(self.from, |last| last + 1);
            }
            Err(ended) => {
                self.watch = None;
                if ended == super::Ended::Compacted {
                    self.from = 0;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
