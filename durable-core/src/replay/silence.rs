//! What an orchestrator logs while the past is replayed, and in a second copy, goes nowhere.
//!
//! `Dispatch::none()` would not do. Whether a place in the code logs at all is found out when it is
//! first passed, and kept for the whole process; with a single subscriber the one of the passing
//! thread is asked. Were that "none", a line first passed in a replay would be silent for ever. So
//! ours takes no line, but answers that question as the subscriber that it stands in for.

use std::cell::RefCell;
use std::sync::OnceLock;

use tracing::dispatcher::{self, DefaultGuard, Dispatch};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, NoSubscriber};
use tracing::{Event, Metadata, Subscriber};

thread_local! {
    /// Who would be told if it were not silent here.
    static OUTER: RefCell<Option<Dispatch>> = const { RefCell::new(None) };
}

/// For as long as it lives nothing that this thread logs with `tracing` is heard.
#[derive(Debug)]
#[must_use = "it is silent only while this lives"]
pub(super) struct Silence {
    _scope: DefaultGuard,
}

/// Silence, unless nobody listens anyway.
pub(super) fn silence() -> Option<Silence> {
    static SILENT: OnceLock<Dispatch> = OnceLock::new();
    let outer = dispatcher::get_default(Dispatch::clone);
    if outer.is::<NoSubscriber>() || outer.is::<Silent>() {
        return None;
    }
    // One for the process: making one looks at every place in the code that logs.
    let silent = SILENT.get_or_init(|| Dispatch::new(Silent));
    OUTER.set(Some(outer));
    Some(Silence {
        _scope: dispatcher::set_default(silent),
    })
}

impl Drop for Silence {
    fn drop(&mut self) {
        OUTER.set(None);
    }
}

struct Silent;

impl Subscriber for Silent {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        let outer = OUTER.with_borrow(Clone::clone);
        let ask = |outer: &Dispatch| outer.register_callsite(metadata);
        match outer {
            Some(outer) => ask(&outer),
            None => dispatcher::get_default(ask),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::OFF)
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }

    fn event_enabled(&self, _: &Event<'_>) -> bool {
        false
    }

    // A span that was opened in silence stays so.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
