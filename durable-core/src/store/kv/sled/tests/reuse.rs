//! sled writes over nothing whose replacement is not durable.

use std::fs;
use std::io;

use tempfile::TempDir;

use super::super::engine::{Batch, Engine};
use super::super::reuse::ReuseGate;

const BATCHES: usize = 1_500;
const VALUE: usize = 16_000;

/// The size of sled's file after the same few records were written again and again.
fn size_after_rewriting(gate: ReuseGate, is_open: bool) -> u64 {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("sled");
    let mut engine = Engine::open(&path, 128 << 20).unwrap();
    for number in 0..BATCHES {
        let byte = u8::try_from(number % 251).unwrap();
        let mut batch = Batch::default();
        batch.insert(vec![byte % 16], vec![byte; VALUE]);
        engine.apply(&mut batch).unwrap();
        engine.flush().unwrap();
        if is_open {
            gate.synced();
        }
    }
    let size = fs::metadata(path.join("db")).unwrap().len();
    engine.stop().unwrap();
    size
}

#[test]
fn no_segment_is_reused_before_what_has_replaced_it_is_synced() {
    let written = (BATCHES * VALUE) as u64;
    let never = || Err(io::Error::other("it cannot be synced"));
    let closed = size_after_rewriting(ReuseGate::close(never).unwrap(), false);
    // Each page was written once more whenever so many changes of it had come together.
    assert!(closed > 2 * written, "{closed} of {written}");
    // Other tests of this process have gates of their own, which open now and then only.
    let open = size_after_rewriting(ReuseGate::close(|| Ok(())).unwrap(), true);
    assert!(open < closed, "{open} of {closed}");
}
