use std::rc::Rc;

use durable_core::activity;

#[activity]
fn charge(count: u32) -> Rc<u32> {
    Rc::new(count)
}

fn main() {}
