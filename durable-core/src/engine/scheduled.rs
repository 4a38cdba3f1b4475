//! Starts that were put off.
//!
//! Until its time has come an instance is parked: its start, and what else arrives, is stored, and it is
//! not active, so that it costs disk only. A timer of the store wakes it. That its time has come stands in
//! its header from then on, whatever the clock shows later.

use super::instance::{Body, Instance};
use super::work::{Work, timer_key};
use crate::id::CallId;
use crate::store::{TimerKey, TimerKind};
use crate::time::Timestamp;

impl<R> Work<R> {
    /// Has the timer of its start wait with an instance that was just stored.
    pub(super) fn schedule(&mut self, instance: &Instance<R>) {
        if instance.stored.is_none()
            && let Some(timer) = timer_of_start(instance)
        {
            self.put_timer(timer);
        }
    }

    /// As part of the instance's turn: its time has come, if the timer has fired. Says whether the
    /// summary changed.
    pub(super) fn begin_scheduled(&mut self, instance: &mut Instance<R>) -> bool {
        if !std::mem::take(&mut instance.start_is_due) {
            return false;
        }
        self.unschedule(instance);
        let Some(scheduled) = &mut instance.header.scheduled else {
            return false;
        };
        scheduled.due = true;
        if !instance.is_suspended() {
            instance.body = Body::Fresh;
        }
        true
    }

    /// Withdraws the timer of a start that is still waited for.
    pub(super) fn unschedule(&mut self, instance: &Instance<R>) {
        if instance.stored.is_some()
            && let Some(timer) = timer_of_start(instance)
        {
            self.remove_timer(timer);
        }
    }
}

impl<R> Instance<R> {
    /// When its time came, if it was to begin later: nothing in it is before that.
    pub(super) fn began_as_scheduled(&self) -> Timestamp {
        let scheduled = self.header.scheduled.filter(|scheduled| scheduled.due);
        scheduled.map_or(Timestamp::default(), |scheduled| scheduled.at)
    }
}

fn timer_of_start<R>(instance: &Instance<R>) -> Option<TimerKey> {
    let due = instance.header.begins_later()?;
    Some(timer_key(instance, CallId(0), due, TimerKind::Start))
}
