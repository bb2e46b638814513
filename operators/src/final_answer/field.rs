//! Numbers `re + im i` modulo the prime 2^61 - 1. The prime is 3 modulo 4, so that -1 has no root among the real ones, and every real
//! number has a root here.

/// The prime.
pub(super) const PRIME: u64 = (1 << 61) - 1;

/// A number, each part below the prime.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Number {
    pub(super) re: u64,
    pub(super) im: u64,
}

impl Number {
    pub(super) const ONE: Number = Number::real(1);
    pub(super) const I: Number = Number { re: 0, im: 1 };

    /// A number below the prime.
    pub(super) const fn real(re: u64) -> Number {
        Number { re, im: 0 }
    }

    pub(super) fn plus(self, other: Number) -> Number {
        Number { re: add(self.re, other.re), im: add(self.im, other.im) }
    }

    pub(super) fn negated(self) -> Number {
        Number { re: negate(self.re), im: negate(self.im) }
    }

    pub(super) fn times(self, other: Number) -> Number {
        let re = add(multiply(self.re, other.re), negate(multiply(self.im, other.im)));
        Number { re, im: add(multiply(self.re, other.im), multiply(self.im, other.re)) }
    }

    pub(super) fn power(self, mut exponent: u64) -> Number {
        let (mut base, mut product) = (self, Number::ONE);
        while exponent > 0 {
            if exponent & 1 == 1 {
                product = product.times(base);
            }
            base = base.times(base);
            exponent >>= 1;
        }
        product
    }

    /// One by the number; none by 0.
    pub(super) fn inverse(self) -> Option<Number> {
        let norm = add(multiply(self.re, self.re), multiply(self.im, self.im));
        // By Fermat. Only 0 has the norm 0, since -1 is no square.
        let by_norm = Number::real(norm).power(PRIME - 2);
        (norm != 0).then(|| Number { re: self.re, im: negate(self.im) }.times(by_norm))
    }

    /// A square root of a real number, always the same one.
    pub(super) fn root_of(real: u64) -> Number {
        // A square's root is its power to (p + 1) / 4 = 2^59; of a number and its negative one is a square.
        let root = Number::real(real).power(1 << 59);
        if root.times(root).re == real { root } else { Number::real(negate(real)).power(1 << 59).times(Number::I) }
    }
}

fn add(one: u64, other: u64) -> u64 {
    (one + other) % PRIME
}

fn negate(number: u64) -> u64 {
    (PRIME - number) % PRIME
}

fn multiply(one: u64, other: u64) -> u64 {
    (u128::from(one) * u128::from(other) % u128::from(PRIME)) as u64
}
