//! Which of the places that are done are read again: all of them, or some by chance.

use crate::prove::DonePlace;

/// Places that are kept in memory at once, 200 bytes each. A sample of that size proves as much as
/// all of them would, and a stretch of time can be given for more.
pub const PLACES_MAX: usize = 100_000;

/// How many places are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// All places of the stream.
    All,
    /// So many, by chance.
    Sample(usize),
}

/// Picks places as they come, each with the same chance, without knowing how many will come
/// (Vitter's algorithm R). The same places in the same order and the same seed make the same
/// sample.
pub struct Sampler {
    most: usize,
    generator: fastrand::Rng,
    came: u64,
    picked: Vec<DonePlace>,
}

impl Sampler {
    /// A sampler that has picked nothing. Of all places one more is kept than may be, so that it
    /// shows that there are too many.
    pub fn new(pick: Pick, seed: u64) -> Self {
        let most = match pick {
            Pick::All => PLACES_MAX + 1,
            Pick::Sample(most) => most.min(PLACES_MAX),
        };
        Self { most, generator: fastrand::Rng::with_seed(seed), came: 0, picked: Vec::new() }
    }

    /// Takes or leaves a place.
    pub fn offer(&mut self, place: DonePlace) {
        self.came += 1;
        if self.picked.len() < self.most {
            self.picked.push(place);
            return;
        }
        let at = usize::try_from(self.generator.u64(0..self.came)).unwrap_or(usize::MAX);
        if let Some(one) = self.picked.get_mut(at) {
            *one = place;
        }
    }

    /// What was picked, sorted, and how many there were.
    pub fn finish(mut self) -> (Vec<DonePlace>, u64) {
        self.picked.sort_by(|a, b| (&a.partition, a.window).cmp(&(&b.partition, b.window)));
        (self.picked, self.came)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(number: usize) -> DonePlace {
        DonePlace {
            partition: format!("{number:06}"),
            window: None,
            completed_at: String::new(),
            run: 1,
            cursor: None,
        }
    }

    fn sample(pick: Pick, seed: u64, all: usize) -> Vec<String> {
        let mut sampler = Sampler::new(pick, seed);
        (0..all).for_each(|number| sampler.offer(place(number)));
        let (picked, came) = sampler.finish();
        assert_eq!(came, all as u64);
        picked.into_iter().map(|place| place.partition).collect()
    }

    proptest! {
        #[test]
        fn a_sample_has_its_size_holds_nothing_twice_and_repeats_with_its_seed(
            most in 0_usize..40, all in 0_usize..60, seed in any::<u64>(),
        ) {
            let picked = sample(Pick::Sample(most), seed, all);
            prop_assert_eq!(picked.len(), most.min(all));
            prop_assert!(picked.windows(2).all(|two| two[0] < two[1]));
            prop_assert_eq!(picked, sample(Pick::Sample(most), seed, all));
            prop_assert_eq!(sample(Pick::All, seed, all).len(), all);
        }
    }

    #[test]
    fn every_place_has_the_same_chance() {
        let mut counts = [0_u32; 20];
        for seed in 0..4000 {
            for name in sample(Pick::Sample(5), seed, 20) {
                counts[name.parse::<usize>().expect("a number")] += 1;
            }
        }
        // 1,000 are expected; 5 standard deviations are 137.
        assert!(counts.iter().all(|count| (863..1137).contains(count)), "{counts:?}");
    }
}
