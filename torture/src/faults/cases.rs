//! The table.

use super::errands::Descriptors;
use super::hook::{Call, Failure, Fault, How};
use super::judge::Expect;

/// One fault, and how the hub must behave.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) world: World,
    pub(super) expect: Expect,
    pub(super) fault: Option<Fault>,
    /// Instances that have ended before, without a fault; none means that there is no hub yet.
    pub(super) before: u64,
    pub(super) instances: u64,
    pub(super) at_once: u64,
    pub(super) descriptors: Option<Descriptors>,
    /// What the hub leaves free on its disk; 0 switches it off.
    pub(super) min_free_space: u64,
    pub(super) idle_ms: u64,
}

/// What makes the fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum World {
    /// The hook at the store's seam, or nothing.
    Seam,
    /// `strace --inject`; `only` is a file within the hub.
    Strace {
        inject: String,
        only: Option<&'static str>,
    },
    /// The shell's `ulimit`.
    Limit(String),
    /// A file system in memory of so many MiB, which grows before recovery.
    FullDisk { mib: u32 },
    /// The directory is mounted so that nothing can be written.
    ReadOnly,
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

pub(super) fn all() -> Vec<Case> {
    let mut cases = writes();
    cases.extend(reads());
    cases.extend(others());
    cases.extend(traced());
    cases.extend(limits());
    cases
}

fn case(name: impl Into<String>, expect: Expect) -> Case {
    Case {
        name: name.into(),
        world: World::Seam,
        expect,
        fault: None,
        before: 0,
        instances: 60,
        at_once: 8,
        descriptors: None,
        min_free_space: 0,
        idle_ms: 0,
    }
}

/// A commit cannot be applied, or not be made durable.
fn writes() -> Vec<Case> {
    let mut cases = Vec::new();
    for (call, call_name) in [(Call::Apply, "apply"), (Call::Sync, "sync")] {
        for (errno, error) in [(EIO, "eio"), (ENOSPC, "enospc")] {
            for (after, when) in [(false, "before"), (true, "after")] {
                for (for_good, often) in [(false, "once"), (true, "for-good")] {
                    // The first one is part of making the hub.
                    for nth in [1, 2, 9, 60] {
                        let name = format!("{call_name}-{nth}-{error}-{when}-{often}");
                        let refused = nth == 1;
                        let expect = if refused {
                            Expect::IsRefused
                        } else {
                            Expect::FailsAndStops
                        };
                        let how = How::Fails(Failure {
                            errno,
                            after,
                            for_good,
                        });
                        let fault = Some(Fault { call, nth, how });
                        cases.push(Case {
                            fault,
                            ..case(name, expect)
                        });
                    }
                }
            }
        }
    }
    cases
}

/// Something cannot be read.
fn reads() -> Vec<Case> {
    let mut cases = Vec::new();
    // Opening reads three records, the active set and the letters.
    for (call, call_name, at_open) in [(Call::Get, "get", 3), (Call::Scan, "scan", 2)] {
        for (for_good, often) in [(false, "once"), (true, "for-good")] {
            for nth in [1, 2, 3, 4, 30, 100] {
                let name = format!("{call_name}-{nth}-eio-{often}");
                let expect = if nth <= at_open {
                    Expect::IsRefused
                } else {
                    Expect::FailsAndStops
                };
                let how = How::Fails(Failure {
                    errno: EIO,
                    after: false,
                    for_good,
                });
                let fault = Some(Fault { call, nth, how });
                cases.push(Case {
                    fault,
                    before: 8,
                    ..case(name, expect)
                });
            }
        }
    }
    cases
}

fn others() -> Vec<Case> {
    let fails = How::Fails(Failure {
        errno: EIO,
        after: false,
        for_good: false,
    });
    let closing = Some(Fault {
        call: Call::Close,
        nth: 1,
        how: fails,
    });
    let slow = Some(Fault {
        call: Call::Sync,
        nth: 2,
        how: How::Slow { ms: 1000 },
    });
    vec![
        Case {
            fault: closing,
            ..case("close-eio", Expect::SaysSoAtClose)
        },
        Case {
            fault: slow,
            instances: 96,
            at_once: 48,
            idle_ms: 2000,
            ..case("sync-takes-a-second", Expect::GoesOn)
        },
    ]
}

/// By the real system: every file, and the calls that sled makes by itself.
fn traced() -> Vec<Case> {
    let traced = |inject: &str, only: Option<&'static str>, expect| {
        let of = only.map_or(String::new(), |file| format!("-of-{file}"));
        let name = format!("strace-{inject}{of}").replace(['=', ':', '+', '/'], "-");
        let more = if inject.ends_with('+') {
            "-for-good"
        } else {
            ""
        };
        let world = World::Strace {
            inject: inject.to_owned(),
            only,
        };
        Case {
            world,
            ..case(name + more, expect)
        }
    };
    let mut cases = Vec::new();
    for nth in ["6", "20", "20+", "30"] {
        cases.push(traced(
            &format!("fdatasync:error=EIO:when={nth}"),
            None,
            Expect::FailsAndStops,
        ));
    }
    for (nth, expect) in [
        ("1", Expect::IsRefused),
        ("3", Expect::IsRefused),
        ("9+", Expect::StaysTrue),
    ] {
        cases.push(traced(&format!("fsync:error=EIO:when={nth}"), None, expect));
    }
    for nth in ["1", "4", "15", "15+", "60+"] {
        cases.push(traced(
            &format!("pwrite64:error=ENOSPC:when={nth}"),
            None,
            Expect::StaysTrue,
        ));
    }
    for nth in ["8", "40", "40+"] {
        let inject = format!("write:error=ENOSPC:when={nth}");
        cases.push(traced(&inject, Some("anchor"), Expect::FailsAndStops));
    }
    for nth in ["1", "2", "3", "4", "2+"] {
        let inject = format!("read:error=EIO:when={nth}");
        let case = traced(&inject, Some("sled-1/db"), Expect::IsRefused);
        cases.push(Case { before: 20, ..case });
    }
    for nth in 1..=24 {
        cases.push(traced(
            &format!("fdatasync:signal=KILL:when={nth}"),
            None,
            Expect::Dies,
        ));
    }
    for nth in 1..=4 {
        cases.push(traced(
            &format!("fsync:signal=KILL:when={nth}"),
            None,
            Expect::Dies,
        ));
    }
    cases
}

/// Something runs out.
fn limits() -> Vec<Case> {
    let mut cases = Vec::new();
    for left in [0, 1, 2, 3, 4, 5, 6, 8] {
        let world = World::Limit("ulimit -n 64".to_owned());
        let descriptors = Some(Descriptors {
            left,
            before_open: true,
        });
        let expect = if left < 3 {
            Expect::IsRefused
        } else {
            Expect::StaysTrue
        };
        let name = format!("{left}-descriptors-to-open");
        cases.push(Case {
            world,
            descriptors,
            before: 8,
            ..case(name, expect)
        });
    }
    let world = World::Limit("ulimit -n 64".to_owned());
    let descriptors = Some(Descriptors {
        left: 0,
        before_open: false,
    });
    let name = "no-descriptors-while-it-runs";
    cases.push(Case {
        world,
        descriptors,
        before: 8,
        ..case(name, Expect::StaysTrue)
    });
    for mib in [6, 12, 24] {
        let world = World::FullDisk { mib };
        let instances = 4000;
        cases.push(Case {
            world,
            instances,
            ..case(format!("disk-of-{mib}-mib"), Expect::FailsAndStops)
        });
    }
    let world = World::FullDisk { mib: 96 };
    cases.push(Case {
        world,
        instances: 4000,
        min_free_space: 64 << 20,
        ..case("disk-of-96-mib-guarded", Expect::TakesNothingNew)
    });
    let world = World::ReadOnly;
    cases.push(Case {
        world,
        before: 8,
        ..case("read-only", Expect::IsRefused)
    });
    for mib in [300, 400, 600] {
        let world = World::Limit(format!("ulimit -v {}", mib << 10));
        let name = format!("memory-of-{mib}-mib");
        cases.push(Case {
            world,
            before: 8,
            instances: 4000,
            at_once: 512,
            ..case(name, Expect::StaysTrue)
        });
    }
    cases
}
