//! Which of several requests is next: in turn, by weight, or in an order of their own.

/// How requests are chosen.
#[derive(Clone, Debug)]
pub enum Choice {
    /// One after the other, and again from the first one.
    Turn,
    /// By chance, each in proportion to its weight.
    Weights(Weights),
    /// Request number `n` is the one that this says: a replay.
    Order(Vec<u32>),
}

/// Weights as running sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights(Vec<u64>);

impl Weights {
    /// Of requests with these weights, in their order. One of 0 is never chosen, but for all of them being 0.
    pub fn new(weights: impl IntoIterator<Item = u32>) -> Weights {
        let sums = weights.into_iter().scan(0, |sum, weight| {
            *sum += u64::from(weight);
            Some(*sum)
        });
        Weights(sums.collect())
    }

    fn pick(&self, random: &mut fastrand::Rng) -> usize {
        let total = self.0.last().copied().unwrap_or(0);
        let point = random.u64(0..total.max(1));
        self.0.partition_point(|sum| *sum <= point)
    }
}

impl Choice {
    /// The index of the request with this number, below `len`, which is at least 1.
    pub fn pick(&self, number: u64, len: usize, random: &mut fastrand::Rng) -> usize {
        let index = match self {
            Choice::Turn if len == 1 => 0,
            Choice::Turn => (number % len as u64) as usize,
            Choice::Weights(weights) => weights.pick(random),
            Choice::Order(order) => {
                usize::try_from(number).ok().and_then(|n| order.get(n)).map_or(0, |index| *index as usize)
            }
        };
        index.min(len - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_weights_each_comes_in_turn() {
        let random = &mut fastrand::Rng::with_seed(1);
        let picked: Vec<_> = (0..7).map(|n| Choice::Turn.pick(n, 3, random)).collect();
        assert_eq!(picked, [0, 1, 2, 0, 1, 2, 0]);
        let order = Choice::Order(vec![2, 0, 2]);
        assert_eq!([0, 1, 2, 3].map(|n| order.pick(n, 3, random)), [2, 0, 2, 0]);
    }

    #[test]
    fn weights_are_kept_within_three_standard_deviations() {
        let weights = [1, 0, 5, 94, 900];
        let (choice, mut counts) = (Choice::Weights(Weights::new(weights)), [0u32; 5]);
        let random = &mut fastrand::Rng::with_seed(42);
        for number in 0..100_000 {
            counts[choice.pick(number, weights.len(), random)] += 1;
        }
        for (count, weight) in counts.into_iter().zip(weights) {
            let share = f64::from(weight) / 1000.0;
            let deviation = (100_000.0 * share * (1.0 - share)).sqrt();
            assert!((f64::from(count) - 100_000.0 * share).abs() <= 3.0 * deviation, "{counts:?}");
        }
    }

    proptest! {
        #[test]
        fn an_index_is_always_one(weights in proptest::collection::vec(any::<u32>(), 1..9), number: u64, seed: u64) {
            let random = &mut fastrand::Rng::with_seed(seed);
            let len = weights.len();
            let order = Choice::Order(weights.clone());
            for choice in [Choice::Turn, Choice::Weights(Weights::new(weights)), order] {
                prop_assert!(choice.pick(number, len, random) < len);
            }
        }
    }
}
