//! Vectors of length 1, and their cosines.

/// The numbers that are added up side by side. Every pair is added up in this one order, so that a cosine is the same whichever way and
/// beside whatever it is computed.
const LANES: usize = 8;

/// A cosine in millionths: 32-bit numbers know no more digits, and those that they know are compared like any number.
///
/// ```
/// use synthllm_operators::merge::{Cosine, cosine};
/// assert_eq!(cosine(&[3.0, 4.0], &[6.0, 8.0]), Cosine::of(1.0));
/// assert_eq!(cosine(&[3.0, 4.0], &[5.0, 0.0]).value(), 0.6);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Cosine(i32);

impl Cosine {
    /// The nearest one.
    pub fn of(value: f64) -> Self {
        Cosine((value * 1e6).round() as i32)
    }

    /// As a number.
    pub fn value(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

/// The cosine of two vectors of the same length; 0 where one is all zeros.
pub fn cosine(one: &[f32], other: &[f32]) -> Cosine {
    let (one, other) = (Unit::of(one), Unit::of(other));
    Cosine::of(f64::from(one.dots([&other])[0]))
}

/// A vector scaled to length 1; one of zeros stays as it is. Zeros fill it up to whole lanes.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Unit {
    numbers: Box<[f32]>,
    dimensions: usize,
}

impl Unit {
    pub(super) fn of(vector: &[f32]) -> Self {
        let length = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
        let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
        let scaled = vector.iter().map(|number| (f64::from(*number) * scale) as f32);
        let zeros = vector.len().next_multiple_of(LANES) - vector.len();
        Unit { numbers: scaled.chain(std::iter::repeat_n(0.0, zeros)).collect(), dimensions: vector.len() }
    }

    /// How many numbers it has, without those that fill it up.
    pub(super) fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The cosines with others of the same length, in their order. Four at once take less time, for each of our numbers is then read once.
    pub(super) fn cosines(&self, others: &[&Unit]) -> impl Iterator<Item = Cosine> {
        let (fours, rest) = others.as_chunks::<4>();
        let of_fours = fours.iter().flat_map(|four| self.dots(*four));
        of_fours.chain(rest.iter().flat_map(|one| self.dots([*one]))).map(|dot| Cosine::of(f64::from(dot)))
    }

    fn dots<const MANY: usize>(&self, others: [&Unit; MANY]) -> [f32; MANY] {
        let mut sums = [[0.0_f32; LANES]; MANY];
        let mut rests = others.map(|other| other.numbers.as_chunks::<LANES>().0.iter());
        for ours in self.numbers.as_chunks::<LANES>().0 {
            for (sum, rest) in sums.iter_mut().zip(&mut rests) {
                let Some(theirs) = rest.next() else { continue };
                for lane in 0..LANES {
                    sum[lane] += ours[lane] * theirs[lane];
                }
            }
        }
        sums.map(|sum| sum.iter().sum())
    }
}
