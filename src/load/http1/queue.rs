//! Workers that wait for a request, first come first served, each at most once.

use std::collections::VecDeque;

/// A queue of numbers below a bound, without duplicates. It allocates nothing after it was made.
#[derive(Debug)]
pub(super) struct Queue {
    order: VecDeque<usize>,
    waits: Vec<bool>,
}

impl Queue {
    /// Of numbers below the bound.
    pub(super) fn new(bound: usize) -> Queue {
        Queue { order: VecDeque::with_capacity(bound), waits: vec![false; bound] }
    }

    /// Puts it at the end, unless it waits already.
    pub(super) fn push(&mut self, number: usize) {
        if !std::mem::replace(&mut self.waits[number], true) {
            self.order.push_back(number);
        }
    }

    /// The one that has waited longest.
    pub(super) fn pop(&mut self) -> Option<usize> {
        let number = self.order.pop_front()?;
        self.waits[number] = false;
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_waits_at_most_once() {
        let mut queue = Queue::new(3);
        [2, 0, 2, 1, 0].into_iter().for_each(|number| queue.push(number));
        assert_eq!([(); 4].map(|()| queue.pop()), [Some(2), Some(0), Some(1), None]);
        queue.push(2);
        assert_eq!(queue.pop(), Some(2));
    }
}
