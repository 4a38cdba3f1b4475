//! Instances in every state that an instance can be left in, and what becomes of them: what is
//! damaged by `corrupt`, and kept for later versions by `golden`.

pub(crate) mod child;
mod make;
mod programs;
mod sight;

use serde::{Deserialize, Serialize};

pub(crate) use self::make::make;
pub(crate) use self::make::{Leave, start_one};
pub(crate) use self::programs::{NOTE, registered};
#[cfg(test)]
pub(crate) use self::sight::View;
pub(crate) use self::sight::look;
pub(crate) use self::sight::{Seen, Sight};
use crate::line::Digest;
use crate::plan::{rng, text};

/// How an instance is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Kind {
    Completed,
    Failed,
    Terminated,
    /// It sleeps until an event comes.
    Sleeping,
    /// Its timer is due by the time somebody looks.
    Due,
    /// One of its activities is under way.
    Labouring,
    /// The next attempt at its activity is far away.
    Retrying,
    /// Events wait for it that came while no worker ran.
    Told,
    /// It was started while no worker ran.
    Pending,
    /// No worker has its orchestrator.
    Orphan,
    /// As before; a later worker does.
    Foster,
    /// It had ended, and is gone.
    Purged,
    /// It has ended, and is to go.
    Leaving,
    /// It waits for a child, which sleeps and has told it so; on a path that was patched; tagged.
    Parent,
    /// It has continued as new, and sleeps.
    Renewed,
    /// An activity that has asked to be asked again is under way.
    Asking,
}

const KINDS: [Kind; 16] = [
    Kind::Completed,
    Kind::Failed,
    Kind::Terminated,
    Kind::Sleeping,
    Kind::Due,
    Kind::Labouring,
    Kind::Retrying,
    Kind::Told,
    Kind::Pending,
    Kind::Orphan,
    Kind::Foster,
    Kind::Purged,
    Kind::Leaving,
    Kind::Parent,
    Kind::Renewed,
    Kind::Asking,
];

/// One instance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    n: u64,
    pub(crate) kind: Kind,
    bytes: usize,
}

impl Member {
    pub(crate) fn of(n: u64) -> Self {
        let kinds = KINDS.len() as u64;
        let kind = KINDS[usize::try_from(n % kinds).unwrap_or_default()];
        let mut rng = rng(&[n, 7]);
        // Every so often a long one, and each time of another kind.
        let bytes = match n {
            n if n % 83 == 5 => rng.usize(200_000..300_000),
            n if n % 9 == 1 => rng.usize(2_000..40_000),
            _ => rng.usize(0..900),
        };
        Self { n, kind, bytes }
    }

    /// One that waits for three notes, and ends when it has them.
    pub(crate) fn errand(n: u64) -> Self {
        let kind = Kind::Told;
        Self {
            kind,
            ..Self::of(n)
        }
    }

    pub(crate) fn id(self) -> String {
        format!("{:?}-{}", self.kind, self.n).to_lowercase()
    }

    /// Who sleeps, if it waits for that.
    fn sleeper(self) -> String {
        if self.kind == Kind::Parent {
            programs::child_of(&self.id())
        } else {
            self.id()
        }
    }

    fn task(self) -> programs::Task {
        // Repeated, so that a repository can keep it in little space; not in step with any page.
        const PERIOD: usize = 997;
        let period = text(&mut rng(&[self.n]), PERIOD.min(self.bytes));
        let blob = period.chars().cycle().take(self.bytes).collect();
        programs::Task { n: self.n, blob }
    }

    /// What it is told: each text once, in this order.
    pub(crate) fn notes(self) -> Vec<String> {
        let note = |note| format!("note {note} for {}", self.n);
        (0..programs::NOTES).map(note).collect()
    }

    /// What it is told by somebody who does not know what it was told before.
    pub(crate) fn late_notes(self) -> Vec<String> {
        let note = |note| format!("late note {note} for {}", self.n);
        (0..programs::NOTES).map(note).collect()
    }

    /// What it ends with, if it ends with an output.
    pub(crate) fn output(self) -> Option<Digest> {
        let blob = self.task().blob;
        let once = programs::turned(&blob);
        let output = match self.kind {
            Kind::Completed | Kind::Pending => programs::turned(&programs::turned(&once)),
            Kind::Due | Kind::Foster => once,
            Kind::Sleeping => once + &self.notes()[0],
            Kind::Parent => programs::turned(&(once + &self.notes()[0])),
            Kind::Renewed => programs::turned(&once) + &self.notes()[0],
            Kind::Asking => once + programs::LEFT,
            Kind::Labouring => programs::turned(&[once.clone(), once].concat()),
            Kind::Told => return Some(self.output_of_notes(&self.notes())),
            Kind::Failed
            | Kind::Terminated
            | Kind::Retrying
            | Kind::Orphan
            | Kind::Purged
            | Kind::Leaving => return None,
        };
        Some(digest_of_json(&output))
    }

    /// What one that was told these notes ends with.
    pub(crate) fn output_of_notes(self, notes: &[String]) -> Digest {
        let once = programs::turned(&self.task().blob);
        digest_of_json(&programs::turned(&(once + &notes.concat())))
    }
}

/// These texts need no escapes.
fn digest_of_json(text: &str) -> Digest {
    Digest::of(&format!("\"{text}\""))
}
