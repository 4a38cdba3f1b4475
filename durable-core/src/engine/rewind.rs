//! Rewinding: an execution that has failed goes on as if it had not.
//!
//! Asking for it needs no code: the summary says that the instance runs, and a message waits for it.
//! Whoever runs its code finds out how far back it has to go, and takes that turn.

#[cfg(test)]
mod tests;

use super::instance::{Body, Instance};
use super::lifecycle::LifecycleKind;
use super::mailbox::Mail;
use super::message::Response;
use super::work::{Work, set_problem};
use crate::history::{Event, Outstanding, Started, Turn, WayBack, ways_back};
use crate::store::RuntimeStatus;

/// Who wants it.
#[derive(Debug)]
pub(super) enum By<R> {
    Client(R),
    /// The parent whose letter this is makes the call again, however its child has ended. Should the
    /// child be purged meanwhile, it is begun.
    Parent(u64, Box<Started>),
}

impl<R> Work<R> {
    /// As part of the instance's turn. Says whether the summary changed.
    pub(super) fn rewind(&mut self, instance: &mut Instance<R>, reason: String, by: By<R>) -> bool {
        let status = instance.header.status;
        let can = match by {
            By::Client(_) => status == RuntimeStatus::Failed,
            By::Parent(..) => instance.header.may_be_rewound(),
        };
        if can {
            self.reopen(instance, reason);
        }
        match by {
            By::Client(reply) if can => self.reply(reply, Response::Done),
            By::Client(reply) => self.reply(reply, Response::NotFailed(status)),
            By::Parent(letter, _) => self.settle(letter),
        }
        can
    }

    fn reopen(&mut self, instance: &mut Instance<R>, reason: String) {
        instance.header.status = RuntimeStatus::Running;
        self.announce(&instance.header, LifecycleKind::Rewound);
        instance.body = Body::Parked;
        instance.result = None;
        // Both are known again once its history was read.
        instance.outstanding = Outstanding::default();
        instance.to_be_revived = true;
        let mut arrived = std::mem::take(&mut instance.mailbox);
        let takes_back = Vec::new();
        let rewound = Event::Rewound { reason, takes_back };
        // Events that were kept stand before it in the store, and behind it here.
        let seq = Some(self.put_message(instance, rewound.clone()));
        instance.mailbox.push(Mail {
            seq,
            ..Mail::new(rewound)
        });
        while let Some(mail) = arrived.pop() {
            // Nobody waits for an answer that came after the end.
            match (mail.event.answers(), mail.letter) {
                (None, _) => instance.mailbox.push(mail),
                (Some(_), Some(letter)) => self.settle(letter),
                (Some(_), None) => {}
            }
        }
    }

    /// Brings an instance to life that is to be rewound, at the place from which it goes on.
    pub(super) fn go_back(&mut self, instance: &mut Instance<R>, turns: &[Turn]) {
        instance.body = Body::Parked;
        // By its history it has ended.
        instance.outstanding = Outstanding::default();
        let mut told = None;
        let ways = ways_back(turns);
        instance.note_least(&ways);
        if instance.is_suspended() {
            return;
        }
        for way in ways {
            let lived = way.lived(turns);
            match self.replayed(instance, &lived) {
                Ok(None) => return,
                Ok(Some(watched)) => {
                    instance.follow_history(&lived);
                    instance.takes_back = way.takes_back;
                    instance.again = way.again;
                    instance.body = Body::Live(Box::new(watched));
                    set_problem(instance, None, self.now);
                    return;
                }
                // With the last way every code agrees that agrees with the history.
                Err(problem) => told = Some(problem),
            }
        }
        set_problem(instance, told, self.now);
    }
}

impl<R> Instance<R> {
    /// Whether what arrived first is that it is to be rewound.
    pub(super) fn is_to_be_rewound(&self) -> bool {
        let first = self.mailbox.first().map(|mail| &mail.event);
        matches!(first, Some(Event::Rewound { .. }))
    }

    /// Should it be terminated before its code is there, the least is taken back.
    pub(super) fn note_least(&mut self, ways: &[WayBack]) {
        self.takes_back = ways.last().map_or(Vec::new(), |way| way.takes_back.clone());
    }

    /// The rewind as it is recorded: with what it takes back.
    pub(super) fn rewound(&mut self, reason: &str) -> Event {
        Event::Rewound {
            reason: reason.to_owned(),
            takes_back: std::mem::take(&mut self.takes_back),
        }
    }
}
