//! The order of turns within a round: each round begins with another one, so that slow drift meets all alike.

/// Turns that begin somewhere in the middle.
pub(crate) trait CycleFrom: Iterator + Sized {
    fn cycle_from(self, first: usize) -> impl Iterator<Item = Self::Item> {
        let mut turns: Vec<Self::Item> = self.collect();
        let middle = first.min(turns.len());
        turns.rotate_left(middle);
        turns.into_iter()
    }
}

impl<I: Iterator> CycleFrom for I {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_begin_in_the_middle() {
        let order = |first| "abc".chars().cycle_from(first).collect::<String>();
        assert_eq!([order(0), order(1), order(2)], ["abc", "bca", "cab"]);
        assert_eq!("".chars().cycle_from(0).count(), 0);
    }
}
