//! Random numbers that depend on a key and on nothing else.
//!
//! A shared generator would make a sample depend on what was sampled before it. Here each number
//! belongs to a key such as (seed, problem, sample, position), so that order, batch, process and
//! restart do not matter.

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// 64 bits that belong to the key.
#[must_use]
pub fn bits(key: &[u64]) -> u64 {
    key.iter().fold(GOLDEN, |state, word| mix(state.wrapping_add(GOLDEN) ^ mix(*word)))
}

/// A number in `[0, 1)` that belongs to the key.
#[must_use]
pub fn uniform(key: &[u64]) -> f64 {
    (bits(key) >> 11) as f64 / (1u64 << 53) as f64
}

/// The finalizer of SplitMix64: a bijection in which each input bit moves about half of the output.
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// A row of numbers under one key.
#[derive(Clone, Debug)]
pub struct Stream {
    key: u64,
    drawn: u64,
}

impl Stream {
    /// The row that belongs to the key, from its start.
    #[must_use]
    pub fn new(key: &[u64]) -> Self {
        Self { key: bits(key), drawn: 0 }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.drawn += 1;
        bits(&[self.key, self.drawn])
    }

    /// The next number in `[0, 1)`.
    pub fn uniform(&mut self) -> f64 {
        self.drawn += 1;
        uniform(&[self.key, self.drawn])
    }

    /// The next number below `bound`, which is not 0. The bias is below `bound / 2^64`.
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.bits()) * bound as u128;
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    /// One of the items; `items` is not empty.
    pub fn choice<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// The next normally distributed number (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_evenly_over_each_part_of_the_key() {
        for part in 0..3 {
            let mut counts = [0_u32; 16];
            for n in 0..16_000 {
                let mut key = [7, 7, 7];
                key[part] = n;
                let number = uniform(&key);
                let slot = (1..16).filter(|slot| number * 16.0 >= f64::from(*slot)).count();
                counts[slot] += 1;
            }
            // 15 degrees of freedom: 37.7 is met once in a thousand fair tries.
            let chi2: f64 = counts.iter().map(|n| (f64::from(*n) - 1000.0).powi(2) / 1000.0).sum();
            assert!(chi2 < 37.7, "part {part}: chi-square {chi2}");
        }
    }

    #[test]
    fn a_number_belongs_to_its_key_alone() {
        let mut one = Stream::new(&[1, 2]);
        let mut other = Stream::new(&[1, 3]);
        let first: Vec<u64> = (0..4).map(|_| one.bits()).collect();
        assert_ne!(first[0], other.bits());
        let mut again = Stream::new(&[1, 2]);
        assert_eq!(first, (0..4).map(|_| again.bits()).collect::<Vec<_>>());
        assert_ne!(bits(&[1, 2]), bits(&[2, 1]));
        assert_ne!(bits(&[0]), bits(&[0, 0]));
    }

    #[test]
    fn normal_numbers_have_mean_0_and_variance_1() {
        let mut stream = Stream::new(&[5]);
        let draws: Vec<f64> = (0..20_000).map(|_| stream.normal()).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
