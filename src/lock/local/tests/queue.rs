//! The order of the queue, whatever happens to those who stand in it.

use super::*;
use proptest::prelude::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[tokio::test]
async fn a_long_queue_drains_in_its_order_and_wakes_each_but_once() {
    const WAITERS: usize = 250;
    let store = Store::new();
    let held = store.acquire(&wanted("x")).await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let wakes = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for i in 0..WAITERS {
        let (locks, order, wakes) = (store.locks(), order.clone(), wakes.clone());
        let (ahead, mut seen) = watch::channel(Ahead::default());
        tokio::spawn(async move {
            while seen.changed().await.is_ok() {
                wakes.fetch_add(1, Ordering::Relaxed);
            }
        });
        tasks.push(tokio::spawn(async move {
            let held = locks.acquire(&wanted("x"), &ahead, &CancellationToken::new()).await.unwrap();
            order.lock().unwrap().push(i);
            held.release().await.unwrap();
        }));
        until(async || store.entries().len() == i + 2).await;
    }
    held.release().await.unwrap();
    for task in tasks {
        soon(task).await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), (0..WAITERS).collect::<Vec<_>>());
    // One look when it comes, one when it is the first, and one more if the holder is not gone by then.
    assert!(wakes.load(Ordering::Relaxed) <= 3 * WAITERS);
    assert!(store.entries().is_empty());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Come(Mode),
    /// Gives up, or gives back.
    Go(usize),
    /// Dies where it stands.
    Die(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let mode = prop_oneof![
        3 => Just(Mode::Exclusive),
        2 => Just(Mode::Shared),
        2 => (1..4u32).prop_map(|n| Mode::Slots(NonZeroU32::new(n).unwrap())),
    ];
    prop_oneof![4 => mode.prop_map(Step::Come), 2 => (0..64usize).prop_map(Step::Go), 2 => (0..64usize).prop_map(Step::Die)]
}

struct One {
    mode: Mode,
    task: Option<Waiting>,
    cancel: CancellationToken,
    held: Option<Held>,
}

impl One {
    fn come(store: &Store, mode: Mode) -> One {
        let cancel = CancellationToken::new();
        let (locks, token) = (store.locks(), cancel.clone());
        let task = tokio::spawn(async move {
            locks.acquire(&Wanted { mode, ..wanted("x") }, &watch::Sender::default(), &token).await
        });
        One { mode, task: Some(task), cancel, held: None }
    }

    async fn look(&mut self) {
        if let Some(task) = self.task.take_if(|task| task.is_finished()) {
            self.held = Some(task.await.unwrap().unwrap());
        }
    }

    async fn go(mut self) {
        self.look().await;
        match (self.held, self.task) {
            (Some(held), _) => held.release().await.unwrap(),
            (None, Some(task)) => {
                self.cancel.cancel();
                match task.await.unwrap() {
                    Ok(held) => held.release().await.unwrap(),
                    Err(error) => assert!(matches!(error, Error::Interrupted), "{error}"),
                }
            }
            (None, None) => {}
        }
    }

    /// What is left: its file, with nobody who keeps it locked.
    async fn die(mut self, store: &Store) {
        self.look().await;
        if let Some(task) = self.task {
            let files = store.entries();
            let copy = |path: &PathBuf| path.with_extension("copy");
            files.iter().for_each(|path| fs::hard_link(path, copy(path)).unwrap());
            task.abort();
            let _ = task.await;
            for path in files {
                if path.exists() {
                    fs::remove_file(copy(&path)).unwrap();
                } else {
                    fs::rename(copy(&path), path).unwrap();
                }
            }
        }
    }
}

async fn compare(store: &Store, all: &mut [One]) {
    let expected = crate::lock::holders(all.iter().map(|one| one.mode));
    until(async || {
        for one in all.iter_mut() {
            one.look().await;
        }
        let queue = store.locks().status(&name("x")).await.unwrap();
        all.iter().take_while(|one| one.held.is_some()).count() >= expected
            && (queue.holders.len(), queue.waiters.len()) == (expected, all.len() - expected)
    })
    .await;
    assert_eq!(all.iter().filter(|one| one.held.is_some()).count(), expected);
    let tokens: Vec<_> = all.iter().filter_map(|one| Some(one.held.as_ref()?.grant().token())).collect();
    assert!(tokens.is_sorted());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_directory_keeps_the_rule(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Store::new();
            let mut all: Vec<One> = Vec::new();
            for step in steps {
                match step {
                    Step::Come(mode) => {
                        all.push(One::come(&store, mode));
                        // In the queue before the next one comes.
                        let count = all.len();
                        until(async || {
                            let queue = store.locks().status(&name("x")).await.unwrap();
                            queue.holders.len() + queue.waiters.len() == count
                        }).await;
                    }
                    Step::Go(i) if !all.is_empty() => all.remove(i % all.len()).go().await,
                    Step::Die(i) if !all.is_empty() => all.remove(i % all.len()).die(&store).await,
                    _ => {}
                }
                compare(&store, &mut all).await;
            }
            for one in all {
                one.go().await;
            }
            until(async || store.holders(&name("x")).await.is_empty()).await;
            store.acquire(&at_once(wanted("x"))).await.unwrap().release().await.unwrap();
            assert!(store.entries().is_empty());
        });
    }
}
