//! Where jitter comes from.

use std::sync::Mutex;

/// A source of random numbers.
pub trait Random: Send + Sync {
    /// A number in `[0, 1)`, for waits.
    fn unit(&self) -> f64;
    /// Bits that nothing else has, for a key that nobody chose.
    fn bits(&self) -> u128;
}

/// A small generator, seeded by the system or by a test.
pub struct SeededRandom {
    generator: Mutex<fastrand::Rng>,
    own_bits: bool,
}

impl SeededRandom {
    /// With a seed all numbers repeat from run to run.
    pub fn new(seed: Option<u64>) -> Self {
        Self { own_bits: seed.is_some(), ..Self::jitter(seed) }
    }

    /// With a seed the waits repeat from run to run; what must be new each time does not.
    pub fn jitter(seed: Option<u64>) -> Self {
        let generator = seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        Self { generator: Mutex::new(generator), own_bits: false }
    }
}

impl Random for SeededRandom {
    fn unit(&self) -> f64 {
        self.generator.lock().expect("no holder of the generator panics").f64()
    }

    fn bits(&self) -> u128 {
        let mut bytes = [0; 16];
        // The generator's own seed has half as many bits, which is too few for keys.
        if self.own_bits || getrandom::fill(&mut bytes).is_err() {
            return self.generator.lock().expect("no holder of the generator panics").u128(..);
        }
        u128::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_jitter() {
        let (a, b) = (SeededRandom::new(Some(7)), SeededRandom::new(Some(7)));
        assert_eq!(a.unit().to_bits(), b.unit().to_bits());
        assert_ne!(a.unit().to_bits(), SeededRandom::new(Some(8)).unit().to_bits());
    }
}
