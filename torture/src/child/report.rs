//! Where lines go.

use crate::line::{Line, complain, say};

/// Writes a line. Without a reader there is nobody to work for.
pub(super) fn report(line: &Line) {
    if let Err(error) = say(line) {
        complain(&format!("a child cannot say what it saw: {error}"));
        std::process::exit(3);
    }
}

/// Something that must not happen.
pub(super) fn mishap(text: String) {
    report(&Line::Mishap { text });
}
