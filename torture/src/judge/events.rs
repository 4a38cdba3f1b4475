//! The events of one name that were raised for one instance, in a known order and each once.

use super::instance::{Judged, changed, duplicated, lost};

/// The events of one name, in the order in which they were raised.
#[derive(Debug, Default)]
pub(super) struct Events(Vec<Event>);

#[derive(Debug)]
struct Event {
    number: u64,
    fate: Fate,
    /// It was raised when the instance was known to have ended.
    too_late: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The process was killed before it had an answer.
    Unknown,
    Acknowledged,
    Refused,
}

impl Events {
    pub(super) fn raising(&mut self, number: u64, too_late: bool) {
        self.0.push(Event {
            number,
            fate: Fate::Unknown,
            too_late,
        });
    }

    pub(super) fn raised(&mut self, number: u64) -> Judged {
        if self.settle(number, Fate::Acknowledged)? {
            return changed(format!("it had ended, and has accepted event {number}"));
        }
        Ok(())
    }

    pub(super) fn refused(&mut self, number: u64) -> Judged {
        self.settle(number, Fate::Refused).map(drop)
    }

    /// Says whether it was too late.
    fn settle(&mut self, number: u64, fate: Fate) -> Judged<bool> {
        let answered = |event: &&mut Event| event.number == number && event.fate == Fate::Unknown;
        match self.0.iter_mut().rev().find(answered) {
            Some(event) => {
                event.fate = fate;
                Ok(event.too_late)
            }
            None => changed(format!("event {number} was answered and not raised")),
        }
    }

    /// What an orchestrator has seen is what was raised, in that order, from the first one on. Only
    /// what was not acknowledged may be missing.
    pub(super) fn were_seen(&self, seen: &[u64]) -> Judged {
        let mut raised = self.0.iter();
        for (place, number) in seen.iter().enumerate() {
            if seen[..place].contains(number) {
                return duplicated(format!("event {number} was seen twice: {seen:?}"));
            }
            loop {
                match raised.next() {
                    None => return changed(format!("event {number} is out of place: {seen:?}")),
                    Some(event) if event.number == *number => {
                        if event.fate == Fate::Refused {
                            return changed(format!("event {number} was refused and seen"));
                        }
                        break;
                    }
                    Some(event) if event.fate == Fate::Acknowledged => {
                        let skipped = event.number;
                        return lost(format!("event {skipped} was acknowledged; seen: {seen:?}"));
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }
}
