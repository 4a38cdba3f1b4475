//! The order in which an instance is purged with its children, and theirs.
//!
//! Children go before their parents: so whatever is left when it is cut off is found again from the
//! top. What was begun by one instance is looked at page by page, and nothing else is remembered but
//! the way down, which is as long as children are deep.

use crate::id::{InstanceId, InstanceNumber};
use crate::store::{Child, ChildPlace, Children, FindChildren};

/// Children that are looked at, and purged, at once.
const AT_ONCE: usize = 100;

/// Goes through a family, from the leaves up.
#[derive(Debug)]
pub(crate) struct Family {
    way: Vec<Level>,
}

/// Brothers and sisters.
#[derive(Debug)]
struct Level {
    parent: Option<(InstanceId, InstanceNumber)>,
    /// Some of them.
    here: Vec<Child>,
    /// Of how many of these everything below was seen to.
    done: usize,
    /// How the others are found.
    rest: Rest,
}

#[derive(Debug)]
enum Rest {
    After(Option<ChildPlace>),
    None,
}

/// What is to be done next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Find these, and tell them with [`Family::found`].
    Find(FindChildren),
    /// Of all these nothing is left below.
    Leave(Vec<Child>),
}

impl Family {
    /// That of this one.
    pub(crate) fn of(root: Child) -> Self {
        Self {
            way: vec![Level {
                parent: None,
                here: vec![root],
                done: 0,
                rest: Rest::None,
            }],
        }
    }

    /// `None`: that was all.
    pub(crate) fn next(&mut self) -> Option<Next> {
        loop {
            let level = self.way.last_mut()?;
            if let Some(child) = level.here.get(level.done) {
                level.done += 1;
                let below = Level::below(child);
                self.way.push(below);
                continue;
            }
            if !level.here.is_empty() {
                level.done = 0;
                return Some(Next::Leave(std::mem::take(&mut level.here)));
            }
            if let (Rest::After(after), Some((id, number))) = (&level.rest, &level.parent) {
                return Some(Next::Find(FindChildren {
                    id: id.clone(),
                    number: *number,
                    after: after.clone(),
                    limit: AT_ONCE,
                }));
            }
            self.way.pop();
        }
    }

    /// The answer to [`Next::Find`].
    pub(crate) fn found(&mut self, children: Children) {
        if let Some(level) = self.way.last_mut() {
            level.here = children.found;
            level.rest = match children.next {
                Some(after) => Rest::After(Some(after)),
                None => Rest::None,
            };
        }
    }
}

impl Level {
    fn below(parent: &Child) -> Self {
        Self {
            parent: Some((parent.id.clone(), parent.number)),
            here: Vec::new(),
            done: 0,
            rest: Rest::After(None),
        }
    }
}
