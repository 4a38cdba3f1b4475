//! What a caught panic said, and where.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
    /// Who runs: what is said of its panics.
    static SCOPE: Cell<Scope> = const { Cell::new(Scope::Other) };
}

/// Whose code runs on this thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Other,
    Orchestrator,
    /// The copy that watches another: the other one panics alike, and is heard.
    Shadow,
}

/// Runs `f` as code of `scope`; a panic comes back as a value.
pub(super) fn catch_in<R>(scope: Scope, f: impl FnOnce() -> R) -> Result<R, Panicked> {
    let outer = SCOPE.replace(scope);
    let result = catch(f);
    SCOPE.set(outer);
    result
}

/// tokio's own words when its timers, sockets or tasks are used outside a runtime, which is where
/// orchestrators are polled; and what `futures::executor::block_on` says inside a poll.
pub(super) fn is_foreign_complaint(message: &str) -> bool {
    message.starts_with("there is no reactor running")
        || message.starts_with("A Tokio 1.x context was found, but")
        || message.starts_with("cannot execute `LocalPool` executor from within another executor")
}

fn is_expected(info: &PanicHookInfo<'_>) -> bool {
    match SCOPE.try_with(Cell::get).unwrap_or(Scope::Other) {
        Scope::Other => false,
        Scope::Orchestrator => is_foreign_complaint(&message(info.payload())),
        Scope::Shadow => true,
    }
}

/// A panic that was caught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Panicked {
    pub(crate) message: String,
    /// `file:line:column`, if the hook saw it.
    pub(crate) location: Option<String>,
}

impl Panicked {
    /// Message and place in one line.
    pub(crate) fn text(&self) -> String {
        match &self.location {
            Some(location) => format!("{} (at {location})", self.message),
            None => self.message.clone(),
        }
    }
}

/// Runs `f`; a panic comes back as a value.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Panicked> {
    LAST.set(None);
    panic::catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
        let panicked = Panicked {
            message: message(&*payload),
            location: LAST.take(),
        };
        // It may be anything, also something that panics when it is dropped; then this ends here.
        if let Err(second) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(second);
        }
        panicked
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic whose payload is not text".to_owned()
    }
}

/// Notes where panics happen. A caught panic carries its message only; the place is known to the
/// process-wide hook alone, so ours notes it for this thread and hands on to the one before.
pub(crate) fn note_locations() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if let Some(location) = info.location() {
                let _ = LAST.try_with(|last| last.replace(Some(location.to_string())));
            }
            // Of an orchestrator's panic that is reported as something else the report is enough.
            if !is_expected(info) {
                previous(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_comes_back_with_its_text_and_place() {
        note_locations();
        let panicked = catch(|| panic!("no {}", 1)).expect_err("panics");
        assert_eq!(panicked.message, "no 1");
        assert!(panicked.text().contains("panics.rs:"), "{panicked:?}");
    }

    #[test]
    fn any_payload_is_survived() {
        let panicked = catch(|| panic::panic_any(7_u8)).expect_err("panics");
        assert!(panicked.message.contains("not text"));
    }

    #[test]
    fn a_payload_that_panics_when_it_is_dropped_is_survived() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic::panic_any(7_u8);
            }
        }
        let panicked = catch(|| panic::panic_any(Bomb)).expect_err("panics");
        assert!(panicked.message.contains("not text"));
    }
}
