//! The two laws, with their parameters in the user's units.

use serde::Serialize;

/// A form of the law.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Law {
    /// `B / (D_l + D^beta) + E`
    Rectified,
    /// `B / D^beta + E`, which is the rectified law with `D_l = 0`
    Power,
}

impl Law {
    /// The name as users write it.
    pub fn name(self) -> &'static str {
        match self {
            Law::Rectified => "rectified",
            Law::Power => "power",
        }
    }
}

/// The parameters of one curve. `E` is in the unit of the error, `D_l` in tokens^beta, `B` in both.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Parameters {
    /// How much error training can remove, times `D_l` or tokens^beta.
    #[serde(rename = "B")]
    pub b: f64,
    /// What the model had learned before, as if from so much data; 0 in the power law.
    #[serde(rename = "D_l")]
    pub d_l: f64,
    /// How fast the error falls.
    pub beta: f64,
    /// The error that no amount of data removes.
    #[serde(rename = "E")]
    pub e: f64,
}

impl Parameters {
    /// The error after so many tokens.
    pub fn error(&self, tokens: f64) -> f64 {
        self.b / (self.d_l + tokens.powf(self.beta)) + self.e
    }

    /// What a doubling of so many tokens takes off the error.
    pub fn doubling_gain(&self, tokens: f64) -> f64 {
        self.error(tokens) - self.error(2.0 * tokens)
    }

    /// The tokens from which on every doubling takes less than `gain` off the error; none when no doubling takes that much.
    ///
    /// With `u = tokens^beta` and `c = 2^beta` the gain is `B u (c - 1) / ((D_l + u) (D_l + c u))`. Set equal to `gain` that is a
    /// quadratic in `u`. The gain rises before its smaller root and falls after its larger one.
    pub fn last_doubling(&self, gain: f64) -> Option<f64> {
        let c = self.beta.exp2();
        let half = (self.b * (c - 1.0) / gain - self.d_l * (1.0 + c)) / (2.0 * c);
        let discriminant = half * half - self.d_l * self.d_l / c;
        let u = half + discriminant.max(0.0).sqrt();
        (half > 0.0 && discriminant >= 0.0).then(|| u.powf(1.0 / self.beta))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: Parameters = Parameters { b: 42.6, d_l: 0.756, beta: 0.513, e: 16.2 };

    #[test]
    fn the_last_doubling_brings_exactly_the_gain() {
        let tokens = LARGE.last_doubling(1.0).unwrap();
        assert!((LARGE.doubling_gain(tokens) - 1.0).abs() < 1e-12);
        assert!(LARGE.doubling_gain(tokens * 1.01) < 1.0 && LARGE.doubling_gain(tokens * 0.99) > 1.0);
    }

    #[test]
    fn a_gain_that_no_doubling_brings_has_no_last_doubling() {
        assert_eq!(LARGE.last_doubling(40.0), None);
    }

    #[test]
    fn without_prior_learning_the_law_is_the_power_law() {
        let power = Parameters { d_l: 0.0, ..LARGE };
        assert!((power.error(16.0) - (42.6 / 16f64.powf(0.513) + 16.2)).abs() < 1e-12);
        let tokens = power.last_doubling(1.0).unwrap();
        assert!((power.doubling_gain(tokens) - 1.0).abs() < 1e-12);
    }
}
