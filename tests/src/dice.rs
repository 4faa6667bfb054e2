//! Chance, from one seed: the same seed throws the same dice on every machine.

/// SplitMix64 (Steele, Lea, Flood 2014): one word of state, every seed is as good as any other.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice that throw what this seed says.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice of their own for one purpose, so that throws for one do not move those for another.
    #[must_use]
    pub fn split(&mut self) -> Self {
        Self(self.bits())
    }

    /// 64 of them.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `from` to `to`, both included.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.bits() % (to - from + 1)
    }

    /// True `of_million` times in a million.
    pub fn chance(&mut self, of_million: u32) -> bool {
        self.bits() % 1_000_000 < u64::from(of_million)
    }

    /// One of these.
    ///
    /// # Panics
    /// There is none.
    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        let place = self.bits() % of.len() as u64;
        of[usize::try_from(place).expect("below a length")].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dice_are_those_of_the_paper() {
        let mut dice = Dice::new(1_234_567);
        let thrown: Vec<u64> = (0..3).map(|_| dice.bits()).collect();
        assert_eq!(
            thrown,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }
}
