//! How long to wait before the next try.

use std::time::{Duration, SystemTime};

/// A server that asks for more than a day is taken to mean a day.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Exponential backoff with full jitter: a uniform share of `base * 2^failures`, at most of `max`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// The longest first wait.
    pub base: Duration,
    /// The longest wait of all.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { base: Duration::from_millis(500), max: Duration::from_secs(60) }
    }
}

impl Backoff {
    /// The longest wait after so many failures in a row (at least 1).
    pub fn ceiling(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.base.saturating_mul(1 << doublings).min(self.max)
    }

    /// The wait after so many failures in a row, for a uniform `draw` from `0..1`.
    pub fn delay(&self, failures: u32, draw: f64) -> Duration {
        self.ceiling(failures).mul_f64(draw.clamp(0.0, 1.0))
    }
}

/// The wait that a `Retry-After` header asks for: seconds or an HTTP date.
pub fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    let wait = match header.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(LONGEST_RETRY_AFTER),
        Err(_) => httpdate::parse_http_date(header).ok()?.duration_since(now).unwrap_or(Duration::ZERO),
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_maximum() {
        let backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(10) };
        let ceilings: Vec<u64> = (1..7).map(|failures| backoff.ceiling(failures).as_secs()).collect();
        assert_eq!(ceilings, [1, 2, 4, 8, 10, 10]);
        assert_eq!(backoff.ceiling(u32::MAX), backoff.max);
    }

    #[test]
    fn the_jitter_is_full() {
        let backoff = Backoff { base: Duration::from_secs(8), max: Duration::from_secs(60) };
        assert_eq!(backoff.delay(1, 0.0), Duration::ZERO);
        assert_eq!(backoff.delay(1, 0.25), Duration::from_secs(2));
    }

    #[test]
    fn a_retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        assert_eq!(retry_after(" 7 ", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("0.5", now), Some(Duration::from_millis(500)));
        assert_eq!(retry_after("Sun, 09 Sep 2001 01:46:49 GMT", now), Some(Duration::from_secs(9)));
        assert_eq!(retry_after("Sun, 09 Sep 2001 01:46:09 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }

    proptest! {
        #[test]
        fn any_header_gives_a_bounded_wait_or_none(header in ".*") {
            let wait = retry_after(&header, SystemTime::UNIX_EPOCH);
            prop_assert!(wait.is_none_or(|wait| wait <= LONGEST_RETRY_AFTER));
        }

        #[test]
        fn any_number_gives_a_bounded_wait(seconds: f64) {
            let wait = retry_after(&seconds.to_string(), SystemTime::UNIX_EPOCH);
            prop_assert!(wait.is_none_or(|wait| wait <= LONGEST_RETRY_AFTER));
        }
    }
}
