//! When rounds are due.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

/// All rounds are due at `start + n * interval`, however long they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How many; `None`: until stopped.
    pub count: Option<u64>,
    /// Longer than 0.
    pub interval: Duration,
}

/// Starts `round` with its number, counted from 0, when it is due. A slow round shifts no other one; rounds that could
/// not even be started in time (the host was stopped) are left out, not made up for in a burst.
///
/// Returns when all are over. When stopped, running rounds are given up.
pub async fn keep_pace<R>(pace: Pace, start: Instant, stop: CancellationToken, round: impl Fn(u64) -> R)
where
    R: Future<Output = ()> + Send + 'static,
{
    let mut rounds = JoinSet::new();
    let all = async {
        let mut due = interval_at(start, pace.interval);
        due.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut number = 0;
        while pace.count.is_none_or(|count| number < count) {
            due.tick().await;
            while rounds.try_join_next().is_some() {}
            rounds.spawn(round(number));
            number += 1;
        }
        while rounds.join_next().await.is_some() {}
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = all => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::time::sleep;

    use super::*;

    const TENTH: Duration = Duration::from_millis(100);

    /// When each round began and ended, in tenths of a second.
    async fn played(count: Option<u64>, length: Duration, stop: CancellationToken) -> Vec<(char, u64, u128)> {
        let log = Arc::new(Mutex::new(Vec::new()));
        let start = Instant::now();
        let note = move |log: &Mutex<Vec<_>>, what, number| {
            log.lock().unwrap().push((what, number, start.elapsed().as_millis() / 100));
        };
        let pace = Pace { count, interval: TENTH };
        keep_pace(pace, start, stop, |number| {
            let log = log.clone();
            async move {
                note(&log, 'b', number);
                sleep(length).await;
                note(&log, 'e', number);
            }
        })
        .await;
        let log = log.lock().unwrap();
        log.clone()
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_round_shifts_no_other_one() {
        let mut log = played(Some(3), TENTH * 5 / 2, CancellationToken::new()).await;
        log.sort_unstable();
        let expected = [('b', 0, 0), ('b', 1, 1), ('b', 2, 2), ('e', 0, 2), ('e', 1, 3), ('e', 2, 4)];
        assert_eq!(log, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_gives_running_rounds_up() {
        let stop = CancellationToken::new();
        let stopper = stop.clone();
        tokio::spawn(async move {
            sleep(TENTH * 7 / 2).await;
            stopper.cancel();
        });
        let log = played(None, TENTH * 5 / 2, stop).await;
        let count = |what| log.iter().filter(|entry| entry.0 == what).count();
        assert_eq!((count('b'), count('e')), (4, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn rounds_missed_while_the_host_stood_still_are_left_out() {
        let begun = Arc::new(Mutex::new(Vec::new()));
        let start = Instant::now();
        tokio::time::advance(TENTH * 105 / 10).await;
        keep_pace(Pace { count: Some(2), interval: TENTH }, start, CancellationToken::new(), |_| {
            begun.lock().unwrap().push(start.elapsed().as_millis() / 100);
            async {}
        })
        .await;
        assert_eq!(*begun.lock().unwrap(), [10, 11]);
    }
}
