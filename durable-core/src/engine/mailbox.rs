//! What has arrived for an instance and was not fed yet.

use std::collections::VecDeque;
use std::collections::vec_deque::{Iter, IterMut};

use crate::history::Event;
use crate::weight;

/// An event on its way to an instance.
#[derive(Debug)]
pub(super) struct Mail<R> {
    pub(super) event: Event,
    /// Its number among the stored messages, if it is one.
    pub(super) seq: Option<u64>,
    /// Who is told once it is durable.
    pub(super) reply: Option<R>,
    /// The letter it came with.
    pub(super) letter: Option<u64>,
    /// It was durable already: no commit may leave it in memory alone.
    pub(super) kept: bool,
}

impl<R> Mail<R> {
    pub(super) fn new(event: Event) -> Self {
        Self {
            event,
            seq: None,
            reply: None,
            letter: None,
            kept: false,
        }
    }

    /// What a client sends.
    pub(super) fn of_client(event: Event, reply: R) -> Self {
        Self {
            reply: Some(reply),
            ..Self::new(event)
        }
    }

    /// What comes with a letter.
    pub(super) fn letter(seq: u64) -> impl FnOnce(Event) -> Self {
        move |event| Self {
            letter: Some(seq),
            ..Self::new(event)
        }
    }

    /// What one execution leaves to the next.
    pub(super) fn kept(event: Event) -> Self {
        Self {
            kept: true,
            ..Self::new(event)
        }
    }
}

/// Mail, oldest first; what is stored comes before what is not, but for a termination. It knows its
/// size.
#[derive(Debug)]
pub(super) struct Mailbox<R> {
    mails: VecDeque<Mail<R>>,
    bytes: usize,
    /// How many are stored.
    stored: usize,
}

impl<R> Default for Mailbox<R> {
    fn default() -> Self {
        Self {
            mails: VecDeque::new(),
            bytes: 0,
            stored: 0,
        }
    }
}

impl<R> Mailbox<R> {
    pub(super) fn push(&mut self, mail: Mail<R>) {
        self.insert(self.mails.len(), mail);
    }

    /// Puts mail before all that is at `place` or after it.
    pub(super) fn insert(&mut self, place: usize, mail: Mail<R>) {
        self.bytes += mail.event.bytes();
        self.stored += usize::from(mail.seq.is_some());
        self.mails.insert(place, mail);
    }

    pub(super) fn pop(&mut self) -> Option<Mail<R>> {
        let mail = self.mails.pop_front()?;
        self.bytes -= mail.event.bytes();
        self.stored -= usize::from(mail.seq.is_some());
        Some(mail)
    }

    /// Takes away what is to terminate the instance by letters before this one. Returns those.
    pub(super) fn take_terminations_before(&mut self, letter: u64) -> Vec<u64> {
        let mut taken = Vec::new();
        let ends = |mail: &Mail<R>| {
            let letter = mail.letter.filter(|came| *came < letter)?;
            matches!(mail.event, Event::Terminated { .. }).then_some(letter)
        };
        for mail in std::mem::take(self).mails {
            match ends(&mail) {
                Some(letter) => taken.push(letter),
                None => self.push(mail),
            }
        }
        taken
    }

    /// The bytes of all payloads in it.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes that it holds in memory, by estimate.
    pub(super) fn weight(&self) -> usize {
        self.bytes
            + self.mails.capacity() * size_of::<Mail<R>>()
            + weight::SHARED * self.mails.len()
    }

    pub(super) fn len(&self) -> usize {
        self.mails.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.mails.is_empty()
    }

    pub(super) fn first(&self) -> Option<&Mail<R>> {
        self.mails.front()
    }

    pub(super) fn iter(&self) -> Iter<'_, Mail<R>> {
        self.mails.iter()
    }

    pub(super) fn has_stored(&self) -> bool {
        self.stored > 0
    }

    pub(super) fn all_stored(&self) -> bool {
        self.stored == self.mails.len()
    }

    /// So much of what was not stored is now.
    pub(super) fn note_stored(&mut self, mails: usize) {
        self.stored += mails;
    }

    /// What is not stored, behind all that is.
    pub(super) fn unstored_mut(&mut self) -> IterMut<'_, Mail<R>> {
        let stored = self.mails.iter().rposition(|mail| mail.seq.is_some());
        self.mails.range_mut(stored.map_or(0, |last| last + 1)..)
    }
}
