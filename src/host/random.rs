//! Where jitter comes from.

use std::sync::Mutex;

/// A source of random numbers for waits.
pub trait Random: Send + Sync {
    /// A number in `[0, 1)`.
    fn unit(&self) -> f64;
}

/// A small generator, seeded by the system or by a test.
pub struct SeededRandom {
    generator: Mutex<fastrand::Rng>,
}

impl SeededRandom {
    /// With a seed the numbers repeat from run to run.
    pub fn new(seed: Option<u64>) -> Self {
        let generator = seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        Self { generator: Mutex::new(generator) }
    }
}

impl Random for SeededRandom {
    fn unit(&self) -> f64 {
        self.generator.lock().expect("no holder of the generator panics").f64()
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
