//! What instances in memory are taken to hold, by which they are bounded, beside what the allocator says.

use std::alloc::System;

use cap::Cap;
use durable_core::simulation::{Residents, Shape};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// One test, so that nothing else allocates beside it.
#[test]
fn the_estimate_is_near_what_is_allocated() {
    for shape in Shape::ALL {
        let count = if shape == Shape::FanOut { 100 } else { 2_000 };
        let residents = Residents::new(shape, count);
        let estimate = residents.estimate();
        let before = ALLOCATOR.allocated();
        let store = residents.leave();
        let held = before - ALLOCATOR.allocated();
        drop(store);
        let (each, real) = (estimate / count, held / count);
        assert!(
            each * 4 > real * 3 && each * 4 < real * 5,
            "{shape:?}: {each} bytes by estimate, {real} in truth"
        );
    }
}
