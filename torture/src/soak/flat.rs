//! Whether a figure that is measured again and again stays where it is.

use std::time::Duration;

/// How many times its earlier value a figure may be: memory and files are had in pieces.
pub(super) const TOLERANCE: f64 = 1.25;
/// And so many bytes more, lest small figures are judged by their noise: eight segments of the store.
pub(super) const SLACK: u64 = 16 << 20;

/// A figure in bytes, and when it was measured.
#[derive(Debug, Default)]
pub(super) struct Series(Vec<(Duration, u64)>);

impl Series {
    pub(super) fn push(&mut self, at: Duration, bytes: u64) {
        self.0.push((at, bytes));
    }

    /// How it has grown in `length`, if it has by too much.
    pub(super) fn grown(&self, length: Duration) -> Option<String> {
        let (early, late) = self.medians(length)?;
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let allowed = early as f64 * TOLERANCE + SLACK as f64;
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let too_much = late as f64 > allowed;
        too_much.then(|| format!("from {} MB to {} MB", early >> 20, late >> 20))
    }

    /// The median of each quarter, in megabytes.
    pub(super) fn text(&self, length: Duration) -> String {
        let quarter = |n| self.median(length * (n - 1) / 4, length * n / 4);
        let texts = (1..=4).map(|n| match quarter(n) {
            Some(bytes) => format!("q{n}={}", bytes >> 20),
            None => format!("q{n}=none"),
        });
        texts.collect::<Vec<_>>().join(", ")
    }

    fn medians(&self, length: Duration) -> Option<(u64, u64)> {
        let early = self.median(length / 4, length / 2)?;
        let late = self.median(length * 3 / 4, Duration::MAX)?;
        Some((early, late))
    }

    fn median(&self, from: Duration, to: Duration) -> Option<u64> {
        let within = self.0.iter().filter(|(at, _)| (from..to).contains(at));
        let mut bytes: Vec<u64> = within.map(|(_, bytes)| *bytes).collect();
        bytes.sort_unstable();
        bytes.get(bytes.len() / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(400);

    /// A figure that is `bytes(second)` in each second.
    fn series(bytes: impl Fn(u64) -> u64) -> Series {
        let mut series = Series::default();
        for second in 0..LENGTH.as_secs() {
            series.push(Duration::from_secs(second), bytes(second) << 20);
        }
        series
    }

    #[test]
    fn what_fills_up_first_and_then_stays_is_flat() {
        let full = series(|second| second.min(90) * 10 + second % 7);
        assert_eq!(full.grown(LENGTH), None);
        assert_eq!(full.text(LENGTH), "q1=501, q2=903, q3=903, q4=903");
    }

    #[test]
    fn what_leaks_is_found() {
        let leaking = series(|second| 900 + second);
        assert_eq!(leaking.grown(LENGTH), None, "within the tolerance");
        let leaking = series(|second| 300 + second);
        let found = leaking.grown(LENGTH);
        assert_eq!(found.as_deref(), Some("from 450 MB to 650 MB"));
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        let nothing = Series::default();
        assert_eq!(nothing.grown(LENGTH), None);
        assert_eq!(nothing.text(LENGTH), "q1=none, q2=none, q3=none, q4=none");
    }
}
