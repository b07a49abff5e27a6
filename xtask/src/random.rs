//! A small generator of random numbers (SplitMix64): the same seed gives the same numbers.

/// The generator.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// A generator that starts from `seed`.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` to `high`, both included; `low` when `high` is below it.
    pub(crate) const fn between(&mut self, low: u64, high: u64) -> u64 {
        let span = high.saturating_sub(low).saturating_add(1);
        low + self.next() % span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_repeat_with_their_seed_and_stay_within_bounds() {
        let (mut one, mut two) = (Random::new(7), Random::new(7));
        let numbers: Vec<u64> = (0..1_000).map(|_| one.between(50, 400)).collect();
        assert!(numbers.iter().all(|number| (50..=400).contains(number) && *number == two.between(50, 400)));
        assert!(numbers.contains(&50) && numbers.contains(&400));
        assert_eq!(Random::new(1).between(9, 3), 9);
    }
}
