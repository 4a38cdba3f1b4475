//! How many promises were broken, by how.

use std::fmt;
use std::ops::Add;

use super::model::{Breach, Violation};

/// The number of violations of each kind. Nothing was broken if it is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally([usize; KINDS.len()]);

const KINDS: [(Breach, &str); 5] = [
    (Breach::Lost, "lost"),
    (Breach::Duplicated, "duplicated"),
    (Breach::Changed, "changed"),
    (Breach::Refused, "refused"),
    (Breach::Broken, "broken"),
];

impl Tally {
    pub(super) fn of(violations: &[Violation]) -> Self {
        let count = |breach| {
            let same = |violation: &&Violation| violation.breach == breach;
            violations.iter().filter(same).count()
        };
        Self(KINDS.map(|(breach, _)| count(breach)))
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|kind| self.0[kind] + other.0[kind]))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = KINDS.iter().zip(self.0);
        let texts: Vec<String> = kinds
            .map(|((_, name), count)| format!("{name}={count}"))
            .collect();
        f.write_str(&texts.join(" "))
    }
}
