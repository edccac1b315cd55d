//! How probable a difference between two sets of values is by chance, from the order of the values alone.

/// Probability, without a difference, of ranks that differ as much or more between the sides: Mann and Whitney 1947,
/// two-sided, counted over all ways to divide the runs, so that ties and small numbers are exact.
pub fn mann_whitney(base: &[f64], new: &[f64]) -> f64 {
    let mut all: Vec<f64> = [base, new].concat();
    all.sort_unstable_by(f64::total_cmp);
    // Twice the rank; equal values have the mean of theirs.
    let rank = |value: &f64| all.partition_point(|v| v < value) + all.partition_point(|v| v <= value) + 1;
    let (runs, total) = (base.len(), all.len());
    let observed: usize = base.iter().map(rank).sum();
    let largest = total * (total + 1);
    // In how many ways so many of the runs have this sum of ranks.
    let mut ways = vec![vec![0.0f64; largest + 1]; runs + 1];
    ways[0][0] = 1.0;
    for rank in all.iter().map(rank) {
        for chosen in (1..=runs).rev() {
            for sum in rank..=largest {
                ways[chosen][sum] += ways[chosen - 1][sum - rank];
            }
        }
    }
    let mean = runs * (total + 1);
    let extreme = observed.abs_diff(mean);
    let ways = &ways[runs];
    let as_extreme: f64 =
        (0..=largest).filter(|sum| sum.abs_diff(mean) >= extreme).map(|sum| ways[sum]).sum();
    (as_extreme / ways.iter().sum::<f64>()).min(1.0)
}

/// Holm 1979: the smallest counts as often as there are tests, the next once less.
pub fn holm(p: &[Option<f64>]) -> Vec<Option<f64>> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].unwrap_or(2.0).total_cmp(&p[*b].unwrap_or(2.0)));
    let (mut corrected, mut largest) = (vec![None; p.len()], 0.0f64);
    for (position, index) in order.into_iter().enumerate() {
        if let Some(p) = p[index] {
            largest = largest.max(p * (corrected.len() - position) as f64).min(1.0);
            corrected[index] = Some(largest);
        }
    }
    corrected
}

/// The smallest probability that the test can find, without ties.
pub fn smallest_p(base: usize, new: usize) -> f64 {
    2.0 / (1..=new).map(|k| (base + k) as f64 / k as f64).product::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_give_the_probabilities_of_the_tables() {
        let p = |base: &[f64], new: &[f64]| mann_whitney(base, new);
        let close =
            |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        close(p(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]), 0.1);
        close(p(&[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0, 7.0, 8.0]), 2.0 / 70.0);
        close(p(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0]), 2.0 / 252.0);
        // R: wilcox.test(c(1,2,4), c(3,5,6)): W = 1
        close(p(&[1.0, 2.0, 4.0], &[3.0, 5.0, 6.0]), 0.2);
        close(p(&[7.0; 5], &[7.0; 5]), 1.0);
        // Ranks 1.5 1.5 3 against 4 5 6: one way of twenty on each side.
        close(p(&[1.0, 1.0, 2.0], &[3.0, 4.0, 5.0]), 0.1);
        close(smallest_p(5, 5), 2.0 / 252.0);
        close(smallest_p(1, 1), 1.0);
    }

    #[test]
    fn holm_corrects_as_published() {
        let corrected = holm(&[Some(0.01), Some(0.04), None, Some(0.03), Some(0.005)]);
        let expected = [Some(0.04), Some(0.09), None, Some(0.09), Some(0.025)];
        for (found, expected) in corrected.iter().zip(expected) {
            match (found, expected) {
                (Some(a), Some(b)) => assert!((a - b).abs() < 1e-9, "{corrected:?}"),
                (a, b) => assert_eq!(*a, b),
            }
        }
    }
}
