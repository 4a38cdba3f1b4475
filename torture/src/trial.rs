//! One directory, the children that work on it one after another, and what is known from them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::AnyError;
use crate::child::Brief;
use crate::judge::{Breach, Journal, Model};
use crate::line::{Line, complain};
use crate::plan::Plans;
use crate::process::{Process, Timeout};

/// All that is under way must have ended by then.
const FINISH_LIMIT: Duration = Duration::from_secs(180);

/// A hub and all that its children have said.
#[derive(Debug)]
pub(crate) struct Trial {
    hub: PathBuf,
    plans: Plans,
    pub(crate) model: Model,
    journal: Journal,
    /// How long opening took, each time that it was done.
    pub(crate) openings: Openings,
}

/// How long opening took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Openings {
    pub(crate) last: Option<Duration>,
    pub(crate) longest: Duration,
}

impl Trial {
    /// A trial of the hub at `hub`; the journal is kept in `notes`.
    pub(crate) fn new(hub: PathBuf, notes: &Path, plans: Plans) -> Result<Self, AnyError> {
        Ok(Self {
            hub,
            plans,
            model: Model::new(plans),
            journal: Journal::create(notes)?,
            openings: Openings::default(),
        })
    }

    /// The next child; `brief` adds to what it has to know.
    pub(crate) fn child(
        &mut self,
        brief: impl FnOnce(Brief) -> Brief,
    ) -> Result<Process, AnyError> {
        self.model.begin_round();
        Process::start(&self.hub, &brief(self.model.brief()))
    }

    /// One child that is left alive until everything has ended, and looks at every instance there
    /// ever was.
    pub(crate) fn audit(&mut self) -> Result<(), AnyError> {
        let all = self.model.all();
        let process = self.child(|brief| Brief {
            finish: Some(all),
            ..brief
        })?;
        loop {
            match process.line(FINISH_LIMIT) {
                Ok(Some(line)) => drop(self.take(&line)?),
                Ok(None) => break,
                Err(Timeout) => {
                    let open = self.model.open();
                    self.broken(format!("not ended after {FINISH_LIMIT:?}: {open:?}"));
                    return process.kill().map(drop);
                }
            }
        }
        let status = process.wait()?;
        let open = self.model.open();
        if !status.success() || !open.is_empty() {
            self.broken(format!("after {status} there is still under way: {open:?}"));
        }
        Ok(())
    }

    /// Takes in a line that a child may have said after its disk was gone: then it is no wonder
    /// that something failed. What it says was acknowledged is a promise as ever.
    pub(crate) fn take_after_a_cut(&mut self, text: &str) -> Result<(), AnyError> {
        match Line::parse(text) {
            Ok(Line::Mishap { .. } | Line::NotOpened { .. }) => Ok(self.journal.note(text)?),
            _ => self.take(text).map(drop),
        }
    }

    /// Takes in a line of a child. Says whether it is ready with it.
    pub(crate) fn take(&mut self, text: &str) -> Result<bool, AnyError> {
        self.journal.note(text)?;
        let Ok(line) = Line::parse(text) else {
            self.broken(format!("a child says `{text}`"));
            return Ok(false);
        };
        self.model.take(&line);
        if let Line::Ready { open_us } = line {
            let took = Duration::from_micros(open_us);
            self.openings.last = Some(took);
            self.openings.longest = self.openings.longest.max(took);
            return Ok(true);
        }
        Ok(false)
    }

    pub(crate) fn seed(&self) -> u64 {
        self.plans.seed
    }

    pub(crate) fn broken(&mut self, text: String) {
        self.model.violate(Breach::Broken, None, text);
    }

    pub(crate) fn holds(&self) -> bool {
        self.model.violations.is_empty()
    }

    /// Says what went wrong, with what was said of the instances it went wrong with.
    pub(crate) fn explain(&mut self) -> Result<(), AnyError> {
        const SHOWN: usize = 10;
        complain(&format!("seed {}: promises were broken", self.plans.seed));
        for violation in self.model.violations.iter().take(SHOWN) {
            complain(&violation.to_string());
            if let Some(n) = violation.instance {
                for line in self.journal.lines_of(n)? {
                    complain(&format!("    {line}"));
                }
            }
        }
        let more = self.model.violations.len().saturating_sub(SHOWN);
        if more > 0 {
            complain(&format!("and {more} more"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Load;

    fn mishap() -> String {
        let text = "the store failed".to_owned();
        Line::Mishap { text }.to_string()
    }

    #[test]
    fn a_disk_that_is_gone_excuses_failures_and_no_loss() {
        let dir = tempfile::tempdir().unwrap();
        let plans = Plans {
            seed: 1,
            load: Load::Sized(200),
        };
        let mut trial = Trial::new(dir.path().join("hub"), dir.path(), plans).unwrap();
        for line in [Line::Starting { n: 7 }, Line::Started { n: 7 }] {
            trial.take_after_a_cut(&line.to_string()).unwrap();
        }
        trial.take_after_a_cut(&mishap()).unwrap();
        assert!(trial.holds());

        let [ask, read] = [
            Line::Ask { n: 7, ask: 1 },
            Line::Read {
                n: 7,
                ask: 1,
                view: None,
            },
        ];
        trial.take_after_a_cut(&ask.to_string()).unwrap();
        trial.take_after_a_cut(&read.to_string()).unwrap();
        assert_eq!(trial.model.violations.len(), 1);
        assert_eq!(trial.model.violations[0].breach, Breach::Lost);

        trial.take(&mishap()).unwrap();
        assert_eq!(trial.model.violations[1].breach, Breach::Broken);
    }
}
