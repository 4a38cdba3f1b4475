//! Holds the test in `tests/`; a package of its own, because only there has `durable-core` one name.
