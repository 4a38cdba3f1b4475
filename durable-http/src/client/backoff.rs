//! How long to wait before trying again.

use std::time::Duration;

/// The shortest pause.
const SHORTEST: Duration = Duration::from_millis(100);

/// Pauses that grow, each between half and all of what it could be, so that many who were cut off at once
/// do not come back at once.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    pauses: u32,
    longest: Duration,
}

impl Backoff {
    pub(super) fn up_to(longest: Duration) -> Self {
        Self { pauses: 0, longest }
    }

    /// How many there have been.
    pub(super) fn pauses(&self) -> u32 {
        self.pauses
    }

    /// The next one.
    pub(super) fn pause(&mut self) -> Duration {
        let factor = 2_u32.saturating_pow(self.pauses);
        self.pauses = self.pauses.saturating_add(1);
        let most = SHORTEST.saturating_mul(factor).min(self.longest);
        most.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_are_never_less_than_half() {
        let mut backoff = Backoff::up_to(Duration::from_secs(2));
        for most in [100, 200, 400, 800, 1_600, 2_000, 2_000] {
            let most = Duration::from_millis(most);
            let pause = backoff.pause();
            assert!((most / 2..=most).contains(&pause), "{pause:?} of {most:?}");
        }
        for _ in 0..100 {
            backoff.pause();
        }
        assert!(backoff.pause() <= Duration::from_secs(2));
    }
}
