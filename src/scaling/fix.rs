//! What the user gives: `SERIES:B/D_l=56.3`.

use std::fmt;
use std::str::FromStr;

/// A quantity that can be given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Given {
    /// `B/D_l`: how much error training can remove at all.
    Ratio,
    /// `beta`
    Beta,
    /// `E`
    E,
}

impl Given {
    const ALL: [Given; 3] = [Given::Ratio, Given::Beta, Given::E];

    /// The name as users write it.
    pub fn name(self) -> &'static str {
        match self {
            Given::Ratio => "B/D_l",
            Given::Beta => "beta",
            Given::E => "E",
        }
    }
}

/// A quantity of a series that is given and not fitted.
#[derive(Clone, PartialEq, Debug)]
pub struct Fix {
    /// The series; none where there is only one.
    pub series: Option<String>,
    /// The quantity.
    pub given: Given,
    /// Its value, in the unit of the error where it has one.
    pub value: f64,
}

impl fmt::Display for Fix {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let series = self.series.as_ref().map(|series| format!("{series}:")).unwrap_or_default();
        write!(f, "{series}{}={}", self.given.name(), self.value)
    }
}

/// Why an expression gives nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("can't use {text:?}: {reason}; expected SERIES:NAME=VALUE with a NAME of B/D_l, beta or E, as in 8B:B/D_l=56.3")]
pub struct FixError {
    text: String,
    reason: String,
}

impl FromStr for Fix {
    type Err = FixError;

    /// The name of a series may have `:` and `=` in it.
    fn from_str(text: &str) -> Result<Self, FixError> {
        let wrong = |reason: String| FixError { text: text.to_owned(), reason };
        let (left, value) = text.rsplit_once('=').ok_or_else(|| wrong("it has no `=`".into()))?;
        let (series, name) = match left.rsplit_once(':') {
            Some((series, name)) => (Some(series.to_owned()), name.trim()),
            None => (None, left.trim()),
        };
        let given = Given::ALL.into_iter().find(|given| given.name() == name);
        let given = given.ok_or_else(|| wrong(format!("{name:?} can't be given")))?;
        let number: Option<f64> = value.trim().parse().ok();
        let value = number.filter(|value: &f64| value.is_finite() && (*value > 0.0 || given == Given::E && *value == 0.0));
        let value =
            value.ok_or_else(|| wrong(format!("{:?} is no positive number", text.rsplit('=').next().unwrap_or(""))))?;
        Ok(Fix { series, given, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_may_have_any_name() {
        let fix: Fix = "a:b=c:B/D_l=56.3".parse().unwrap();
        assert_eq!(fix, Fix { series: Some("a:b=c".into()), given: Given::Ratio, value: 56.3 });
        assert_eq!("beta=0.5".parse::<Fix>().unwrap().series, None);
        assert!("8B:E = 0".parse::<Fix>().unwrap().value.abs() < 1e-300);
    }

    #[test]
    fn a_wrong_expression_is_quoted_with_the_reason() {
        let message = |text: &str| text.parse::<Fix>().unwrap_err().to_string();
        assert!(message("8B:B/D_l").starts_with("can't use \"8B:B/D_l\": it has no `=`; expected SERIES:NAME=VALUE"));
        assert!(message("8B:D=3").contains("\"D\" can't be given"));
        assert!(message("8B:beta=-1").contains("\"-1\" is no positive number"));
        assert!(message("8B:beta=NaN").contains("\"NaN\" is no positive number"));
    }
}
