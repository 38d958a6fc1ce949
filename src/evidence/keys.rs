//! The keys of one fetch: whether one came before, and with what content.

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySeen {
    /// It has not come before.
    New,
    /// It has come before with the same content.
    Again,
    /// It has come before with other content.
    Changed,
}

/// Keys with their content, 8 bytes each: 48 bits of the key's hash and 16 bits of the content's.
///
/// Of two million keys, two share their 48 bits in one fetch of 140, and two contents of one key
/// share their 16 bits in one of 65,536. Neither decides anything by itself: a fetch that seems to
/// hold a key twice is repeated with another `seed`.
#[derive(Debug, Default)]
pub struct KeyTable {
    /// A power of two of slots; 0 is an empty one.
    slots: Vec<u64>,
    len: usize,
    seed: u64,
}

/// Slots of a table that holds something: 8 KiB, so that a small window does not grow its table ten
/// times.
const SLOTS_MIN: usize = 1 << 10;
const CONTENT_BITS: u32 = 16;

impl KeyTable {
    /// An empty table; another seed makes other keys share their bits.
    pub fn new(seed: u64) -> Self {
        Self { slots: Vec::new(), len: 0, seed }
    }

    /// How many different keys have come.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none has come.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes in a key and its content, by their hashes.
    pub fn take(&mut self, key: u64, content: u64) -> KeySeen {
        // A table that is fuller than three quarters is slow.
        if self.len * 4 >= self.slots.len() * 3 {
            self.grow();
        }
        let slot = pack(key ^ self.seed, content);
        let at = place(&self.slots, slot);
        let seen = match self.slots[at] {
            0 => KeySeen::New,
            have if have == slot => KeySeen::Again,
            _ => KeySeen::Changed,
        };
        self.len += usize::from(seen == KeySeen::New);
        self.slots[at] = slot;
        seen
    }

    fn grow(&mut self) {
        let larger = (self.slots.len() * 2).max(SLOTS_MIN);
        let slots = std::mem::replace(&mut self.slots, vec![0; larger]);
        for slot in slots.into_iter().filter(|slot| *slot != 0) {
            let at = place(&self.slots, slot);
            self.slots[at] = slot;
        }
    }
}

/// A key and its content in one slot, which is never empty.
fn pack(key: u64, content: u64) -> u64 {
    let mixed = key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    let key = (mixed >> CONTENT_BITS).max(1);
    (key << CONTENT_BITS) | (content >> (u64::BITS - CONTENT_BITS))
}

/// Where the key of a slot is, or would be.
fn place(slots: &[u64], slot: u64) -> usize {
    let mask = slots.len() - 1;
    let key = slot >> CONTENT_BITS;
    let mut at = usize::try_from(key).unwrap_or(usize::MAX) & mask;
    while slots[at] != 0 && slots[at] >> CONTENT_BITS != key {
        at = (at + 1) & mask;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(number: u64) -> u64 {
        number.wrapping_mul(0x2545_F491_4F6C_DD1D) ^ (number << 40)
    }

    #[test]
    fn a_key_is_new_then_again_and_changed_with_other_content() {
        let mut keys = KeyTable::new(7);
        for number in 0..100_000 {
            assert_eq!(keys.take(spread(number), spread(number + 1)), KeySeen::New, "{number}");
        }
        assert_eq!(keys.len(), 100_000);
        for number in 0..100_000 {
            assert_eq!(keys.take(spread(number), spread(number + 1)), KeySeen::Again, "{number}");
        }
        assert_eq!(keys.take(spread(5), 1 << 60), KeySeen::Changed);
        assert_eq!(keys.take(spread(5), 1 << 60), KeySeen::Again);
        assert_eq!(keys.len(), 100_000);
    }

    #[test]
    fn two_million_keys_take_32_mib() {
        let mut keys = KeyTable::new(0);
        for number in 0..2_000_000 {
            keys.take(spread(number), 0);
        }
        assert!(keys.slots.len() * 8 <= 32 << 20, "{}", keys.slots.len());
    }
}
