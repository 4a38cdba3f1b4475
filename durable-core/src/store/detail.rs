//! What of an instance is shown.

/// What is shown of an instance beside its summary; see [`Client::status_with`](crate::Client::status_with).
///
/// Payloads can be large, and each is read from the history; the summary (name, status, times, custom
/// status, tags, problem) is one small record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatusDetail {
    pub(crate) input: bool,
    pub(crate) output: bool,
    pub(crate) progress: bool,
}

impl StatusDetail {
    /// The summary only.
    pub const NONE: Self = Self {
        input: false,
        output: false,
        progress: false,
    };

    /// Everything.
    pub const ALL: Self = Self {
        input: true,
        output: true,
        progress: true,
    };

    /// Whether its input is shown.
    #[must_use]
    pub const fn input(self, input: bool) -> Self {
        Self { input, ..self }
    }

    /// Whether it is shown what it has ended with: its output, or how it failed.
    #[must_use]
    pub const fn output(self, output: bool) -> Self {
        Self { output, ..self }
    }

    /// Whether it is shown how far its activities have come.
    #[must_use]
    pub const fn progress(self, progress: bool) -> Self {
        Self { progress, ..self }
    }
}
