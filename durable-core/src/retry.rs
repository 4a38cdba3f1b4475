//! When a failed attempt is tried again. Pure arithmetic: no clock, no randomness.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often, and how long apart, an activity is tried before its failure is its caller's.
///
/// ```
/// use durable_core::RetryPolicy;
/// use std::time::Duration;
///
/// // Five attempts in all: 1 s, 2 s, 4 s and at most 5 s apart.
/// let policy = RetryPolicy::exponential(5, Duration::from_secs(1)).max_interval(Duration::from_secs(5));
/// assert_eq!(policy.delay_after(1), Some(Duration::from_secs(1)));
/// assert_eq!(policy.delay_after(3), Some(Duration::from_secs(4)));
/// assert_eq!(policy.delay_after(4), Some(Duration::from_secs(5)));
/// assert_eq!(policy.delay_after(5), None);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    max_attempts: u32,
    first_interval: Duration,
    backoff_coefficient: f64,
    max_interval: Option<Duration>,
}

// The coefficient is never NaN: the setters see to it.
impl Eq for RetryPolicy {}

impl RetryPolicy {
    /// `max_attempts` attempts in all (at least 1), `first_interval` after the first failure and
    /// twice as long after each further one.
    pub fn exponential(max_attempts: u32, first_interval: Duration) -> Self {
        Self {
            max_attempts: max_attempts.max(1),
            first_interval,
            backoff_coefficient: 2.0,
            max_interval: None,
        }
    }

    /// `max_attempts` attempts in all (at least 1), always `interval` apart.
    pub fn fixed(max_attempts: u32, interval: Duration) -> Self {
        Self {
            backoff_coefficient: 1.0,
            ..Self::exponential(max_attempts, interval)
        }
    }

    /// What each interval is multiplied by to get the next. Default: 2 for
    /// [`exponential`](Self::exponential), 1 for [`fixed`](Self::fixed). Anything below 1, or not
    /// a number, counts as 1.
    #[must_use]
    pub fn backoff_coefficient(self, coefficient: f64) -> Self {
        Self {
            backoff_coefficient: coefficient.max(1.0),
            ..self
        }
    }

    /// The longest interval. Default: none.
    #[must_use]
    pub fn max_interval(self, interval: Duration) -> Self {
        Self {
            max_interval: Some(interval),
            ..self
        }
    }

    /// How long to wait after attempt number `attempt` (counted from 1) has failed; `None` if that
    /// was the last.
    pub fn delay_after(&self, attempt: u32) -> Option<Duration> {
        if attempt >= self.max_attempts {
            return None;
        }
        if self.first_interval.is_zero() {
            return Some(Duration::ZERO);
        }
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.first_interval.as_secs_f64() * self.backoff_coefficient.powi(exponent);
        let delay = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        Some(
            self.max_interval
                .map_or(delay, |longest| delay.min(longest)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_policy_panics_or_waits_for_less_than_nothing() {
        let odd = [f64::NAN, f64::INFINITY, -3.0, 0.0, 1e300];
        for coefficient in odd {
            let policy =
                RetryPolicy::exponential(u32::MAX, Duration::MAX).backoff_coefficient(coefficient);
            for attempt in [0, 1, 2, 1_000, u32::MAX - 1] {
                assert!(policy.delay_after(attempt).is_some());
            }
            assert_eq!(policy.delay_after(u32::MAX), None);
        }
    }

    #[test]
    fn no_interval_stays_none_however_often_it_is_doubled() {
        let policy = RetryPolicy::exponential(u32::MAX, Duration::ZERO);
        for attempt in [1, 1024, 1026, 1_000_000] {
            assert_eq!(
                policy.delay_after(attempt),
                Some(Duration::ZERO),
                "{attempt}"
            );
        }
    }

    #[test]
    fn one_attempt_is_the_least() {
        assert_eq!(RetryPolicy::fixed(0, Duration::ZERO).delay_after(1), None);
        assert_eq!(
            RetryPolicy::fixed(2, Duration::ZERO).delay_after(1),
            Some(Duration::ZERO)
        );
    }
}
