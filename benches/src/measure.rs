//! Time, CPU and memory.

use std::time::{Duration, Instant};

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Durations, of which percentiles are wanted.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    pub(crate) fn add(&mut self, duration: Duration) {
        // In tenths of a microsecond, up to seven minutes.
        self.0
            .push(u32::try_from(duration.as_nanos() / 100).unwrap_or(u32::MAX));
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The longest, in milliseconds.
    pub(crate) fn max(&mut self) -> f64 {
        self.percentile(1.0)
    }

    /// In milliseconds; 0 of nothing.
    pub(crate) fn percentile(&mut self, share: f64) -> f64 {
        if self.0.is_empty() {
            return 0.0;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a length"
        )]
        let place = ((self.0.len() - 1) as f64 * share) as usize;
        f64::from(*self.0.select_nth_unstable(place).1) / 10_000.0
    }
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Seconds of CPU that this process has used. 0 where `/proc` is not.
pub(crate) fn cpu_seconds() -> f64 {
    /// `USER_HZ`, which is 100 on every Linux.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the command's name, which may have spaces, user and system time are the 12th and 13th.
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let ticks = |field: usize| {
        fields
            .get(field)
            .and_then(|ticks| ticks.parse().ok())
            .unwrap_or(0.0)
    };
    (ticks(12) + ticks(13)) / TICKS_PER_SECOND
}

/// Megabytes of memory that this process has. 0 where `/proc` is not.
pub(crate) fn rss_mb() -> f64 {
    status_mb("VmRSS:")
}

/// Megabytes of memory that this process had at most. 0 where `/proc` is not.
pub(crate) fn peak_mb() -> f64 {
    status_mb("VmHWM:")
}

fn status_mb(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) / 1024.0
}
