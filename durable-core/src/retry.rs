//! When a failed attempt is tried again. Pure arithmetic: told the time, and random only by a seed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::Timestamp;

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
    #[serde(default)]
    jitter: f64,
    #[serde(default)]
    retry_timeout: Option<Duration>,
}

// The coefficient and the jitter are never NaN: the setters see to it.
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
            jitter: 0.0,
            retry_timeout: None,
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

    /// Shortens each interval by a random share of it, at most this one: 0.25 makes of 8 s something
    /// between 6 s and 8 s. So calls that failed together are not all tried again together.
    ///
    /// From 0, the default: not at all, to 1; what is outside of that counts as the nearer of the
    /// two, and what is not a number as 0. The random number follows from the instance, the call and
    /// the attempt.
    #[must_use]
    pub fn jitter(self, share: f64) -> Self {
        Self {
            jitter: if share.is_nan() {
                0.0
            } else {
                share.clamp(0.0, 1.0)
            },
            ..self
        }
    }

    /// How long after the call was scheduled attempts may still be due: a failure after which the
    /// next attempt would be later is the caller's, however many attempts are left. The time goes
    /// on while no process runs. Default: for as long as there are attempts.
    ///
    /// It does not stop an attempt that runs: that is what
    /// [`ActivityCall::timeout`](crate::ActivityCall::timeout) is for. One that was due in time, but
    /// found nothing that runs it, is made late.
    #[must_use]
    pub fn retry_timeout(self, timeout: Duration) -> Self {
        Self {
            retry_timeout: Some(timeout),
            ..self
        }
    }

    /// How many attempts there are in all, at least 1.
    ///
    /// ```
    /// use durable_core::RetryPolicy;
    /// use std::time::Duration;
    ///
    /// let policy = RetryPolicy::exponential(5, Duration::from_secs(1)).jitter(0.25);
    /// assert_eq!((policy.get_max_attempts(), policy.get_jitter()), (5, 0.25));
    /// assert_eq!(policy.get_first_interval(), Duration::from_secs(1));
    /// assert_eq!((policy.get_backoff_coefficient(), policy.get_max_interval()), (2.0, None));
    /// assert_eq!(policy.get_retry_timeout(), None);
    /// ```
    pub fn get_max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// How long after the first failure the second attempt is made.
    pub fn get_first_interval(&self) -> Duration {
        self.first_interval
    }

    /// What [`backoff_coefficient`](Self::backoff_coefficient) has set, at least 1.
    pub fn get_backoff_coefficient(&self) -> f64 {
        self.backoff_coefficient
    }

    /// What [`max_interval`](Self::max_interval) has set; `None`: an interval may be of any length.
    pub fn get_max_interval(&self) -> Option<Duration> {
        self.max_interval
    }

    /// What [`jitter`](Self::jitter) has set, from 0 to 1.
    pub fn get_jitter(&self) -> f64 {
        self.jitter
    }

    /// What [`retry_timeout`](Self::retry_timeout) has set; `None`: for as long as there are attempts.
    pub fn get_retry_timeout(&self) -> Option<Duration> {
        self.retry_timeout
    }

    /// How long to wait after attempt number `attempt` (counted from 1) has failed, without jitter;
    /// `None` if that was the last.
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

    /// When the next attempt is due after number `attempt` has failed `now`, at a call that was
    /// scheduled at `since`; `None` if there is none. `seed` tells the call and the attempt from
    /// every other.
    pub(crate) fn due_after(
        &self,
        attempt: u32,
        since: Timestamp,
        now: Timestamp,
        seed: &str,
    ) -> Option<Timestamp> {
        let delay = self.delay_after(attempt)?;
        let due = now.deadline_after(self.jittered(delay, seed));
        let last = self
            .retry_timeout
            .map_or(Timestamp(u64::MAX), |timeout| since.deadline_after(timeout));
        (due <= last).then_some(due)
    }

    fn jittered(&self, delay: Duration, seed: &str) -> Duration {
        /// Of the seeds; the value is arbitrary and fixed for ever.
        const NAMESPACE: Uuid = Uuid::from_u128(0x2f5e_91c7_7d14_4b0e_a6c3_58d9_03b7_e44a);
        if self.jitter == 0.0 {
            return delay;
        }
        let [a, b, c, d, ..] = *Uuid::new_v5(&NAMESPACE, seed.as_bytes()).as_bytes();
        let chance = f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX);
        let shortened = delay.as_secs_f64() * (1.0 - self.jitter * chance);
        // Only of the longest delays the sum of roundings is no duration.
        Duration::try_from_secs_f64(shortened).map_or(delay, |shortened| shortened.min(delay))
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
                let policy = policy.clone().jitter(coefficient);
                let due = policy.due_after(attempt, Timestamp(0), Timestamp(5), "");
                assert!(due.is_some_and(|due| due >= Timestamp(5)));
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
    fn jitter_takes_at_most_its_share_differs_and_is_the_same_again() {
        let due = |policy: &RetryPolicy, seed: u32| {
            policy
                .due_after(1, Timestamp(0), Timestamp(7), &seed.to_string())
                .expect("a second attempt")
        };
        let whole = RetryPolicy::fixed(2, Duration::from_secs(8));
        let last = due(&whole, 0);
        for share in [0.0, 0.25, 1.0, 7.0] {
            let policy = whole.clone().jitter(share);
            let all: std::collections::BTreeSet<_> =
                (0..1_000).map(|seed| due(&policy, seed)).collect();
            let taken = 8e6 * share.min(1.0);
            for due in &all {
                let early = last.since(*due).as_secs_f64() * 1e6;
                assert!(*due <= last && early <= taken + 1.0, "{share}: {due:?}");
            }
            // They spread over all of it.
            let spread = all.last().zip(all.first());
            let spread = spread.map(|(last, first)| last.since(*first).as_secs_f64() * 1e6);
            assert!(spread.expect("some") >= taken * 0.98, "{share}");
            assert_eq!(all.len() > 990, share > 0.0, "{share}: {}", all.len());
            assert!((0..50).all(|seed| due(&policy, seed) == due(&policy, seed)));
        }
        for nothing in [f64::NAN, -1.0] {
            assert_eq!(due(&whole.clone().jitter(nothing), 3), last);
        }
    }

    #[test]
    fn nothing_is_due_after_the_timeout() {
        let policy = RetryPolicy::fixed(9, Duration::from_secs(4));
        let policy = policy.retry_timeout(Duration::from_secs(10));
        let at = |seconds: u64| Timestamp(seconds * 1_000_000);
        let due = |failed| policy.due_after(1, at(100), failed, "");
        assert_eq!(due(at(106)), Some(Timestamp(110_000_001)));
        assert_eq!(due(Timestamp(106_000_001)), None);
        // Set back before the call was made: the policy has no reason to give up.
        assert!(due(at(50)).is_some());
        let never = policy.retry_timeout(Duration::ZERO);
        assert_eq!(never.due_after(1, at(1), at(1), ""), None);
        let at_once = RetryPolicy::fixed(2, Duration::ZERO).retry_timeout(Duration::ZERO);
        assert_eq!(at_once.due_after(1, at(1), at(1), ""), Some(at(1)));
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
