//! What was said of a damaged hub, compared with what is seen of the whole one.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use durable_core::{ProblemKind, RuntimeStatus};

use crate::AnyError;
use crate::population::child::Looked;
use crate::population::{Kind, Member, Seen, Sight};

/// What a case came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// Everything is as it was.
    Intact,
    /// The hub was refused.
    AtOpen,
    /// An instance, or the hub as it was used, says that it is damaged.
    AtRead,
    /// A full check says it.
    ByVerify,
    /// Something is missing or different, and nobody says so.
    Silent,
    Panicked,
    Hung,
}

impl Verdict {
    pub(super) fn is_violation(self) -> bool {
        match self {
            Self::Intact | Self::AtOpen | Self::AtRead | Self::ByVerify => false,
            Self::Silent | Self::Panicked | Self::Hung => true,
        }
    }
}

/// A verdict and its reason.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    why: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.verdict, self.why)
    }
}

impl Finding {
    fn new(verdict: Verdict, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { verdict, why }
    }

    pub(super) fn judge(whole: &Sight, looked: &Looked) -> Self {
        let sight = match looked {
            Looked::Saw(sight) => sight,
            Looked::Died(how) => return Self::new(Verdict::Panicked, how),
            Looked::Hung => return Self::new(Verdict::Hung, "it does not end"),
        };
        if let Some(panic) = sight.panics.first() {
            return Self::new(Verdict::Panicked, panic);
        }
        if let Some(refused) = &sight.refused {
            return Self::new(Verdict::AtOpen, refused);
        }
        let unsound = match &sight.verified {
            Some(Err(unsound)) => Some(unsound),
            Some(Ok(())) | None => None,
        };
        match (told(sight), unsound, differences(whole, sight).as_slice()) {
            // It reads everything, so it must notice what others do.
            (Some(told), None, _) if told_at_first(sight) => {
                Self::new(Verdict::Silent, format!("verify finds nothing, but {told}"))
            }
            (Some(told), ..) => Self::new(Verdict::AtRead, told),
            (None, Some(unsound), _) => Self::new(Verdict::ByVerify, unsound),
            (None, None, []) => Self::new(Verdict::Intact, ""),
            (None, None, [first, rest @ ..]) => {
                Self::new(Verdict::Silent, format!("{first}; and {} more", rest.len()))
            }
        }
    }
}

/// Whether an instance could not be read before anything was changed.
fn told_at_first(sight: &Sight) -> bool {
    sight
        .found
        .values()
        .any(|seen| matches!(seen, Seen::Error(_)))
        || sight.histories.values().any(Result::is_err)
}

/// The first word of anybody that something is wrong.
fn told(sight: &Sight) -> Option<String> {
    let again = sight.again.as_ref();
    let refused_again = again.and_then(|again| again.as_ref().err()).cloned();
    let again = again.and_then(|again| again.as_ref().ok());
    let seen = [Some(&sight.found), Some(&sight.ended), again];
    let said = seen
        .into_iter()
        .flatten()
        .flatten()
        .find_map(|(id, seen)| match seen {
            Seen::Error(error) => Some(format!("{id}: {error}")),
            Seen::View(view) | Seen::Stuck(view)
                if view.problem == Some(ProblemKind::StoreCorrupt) =>
            {
                Some(format!("{id}: its status says it"))
            }
            Seen::Nothing | Seen::View(_) | Seen::Stuck(_) => None,
        });
    let history = sight.histories.iter().find_map(|(id, read)| {
        let error = read.as_ref().err()?;
        Some(format!("the history of {id}: {error}"))
    });
    said.or(history)
        .or_else(|| sight.not_closed.clone())
        .or(refused_again)
}

/// What is not as it was, and does not say so itself.
fn differences(whole: &Sight, sight: &Sight) -> Vec<String> {
    let mut all = Vec::new();
    compare("found", &whole.found, &sight.found, &mut all);
    for (id, was) in &whole.histories {
        let is = sight.histories.get(id);
        if is != Some(was) && !matches!(is, Some(Err(_))) {
            all.push(format!("the history of {id} was {was:?} and is {is:?}"));
        }
    }
    compare("ended", &whole.ended, &sight.ended, &mut all);
    if let (Some(Ok(whole)), Some(Ok(again))) = (&whole.again, &sight.again) {
        compare("opened again", whole, again, &mut all);
    }
    all
}

fn compare(
    when: &str,
    whole: &BTreeMap<String, Seen>,
    seen: &BTreeMap<String, Seen>,
    all: &mut Vec<String>,
) {
    for (id, was) in whole {
        let is = seen.get(id);
        if is != Some(was) && !matches!(is, Some(Seen::Error(_))) {
            all.push(format!("{when}: {id} was {was:?} and is {is:?}"));
        }
    }
}

/// Whether an undamaged hub shows what it must: else nothing can be learned from damaged ones.
pub(crate) fn is_right(sight: &Sight, numbers: Range<u64>) -> Result<(), AnyError> {
    let unsound = sight.verified.clone().and_then(Result::err);
    let said = told(sight).or(unsound).or(sight.refused.clone());
    if let Some(told) = said.or_else(|| sight.panics.first().cloned()) {
        return Err(format!("the hub that is not damaged: {told}").into());
    }
    for member in numbers.map(Member::of) {
        let id = member.id();
        let (found, ended) = (sight.found.get(&id), sight.ended.get(&id));
        if !is_left_right(member, found) || !ends_right(member, ended) {
            return Err(format!("{id} is found as {found:?} and ends as {ended:?}").into());
        }
    }
    match &sight.again {
        Some(Ok(again)) if *again == sight.ended => Ok(()),
        again => Err(format!("opened again it is another: {again:?}").into()),
    }
}

fn is_left_right(member: Member, found: Option<&Seen>) -> bool {
    match found {
        Some(Seen::Nothing) => member.kind == Kind::Purged,
        Some(Seen::View(_)) => member.kind != Kind::Purged,
        Some(Seen::Error(_) | Seen::Stuck(_)) | None => false,
    }
}

fn ends_right(member: Member, ended: Option<&Seen>) -> bool {
    let status = match member.kind {
        Kind::Failed => RuntimeStatus::Failed,
        Kind::Terminated | Kind::Retrying => RuntimeStatus::Terminated,
        Kind::Purged | Kind::Leaving => return ended == Some(&Seen::Nothing),
        Kind::Orphan => RuntimeStatus::Pending,
        Kind::Completed
        | Kind::Sleeping
        | Kind::Due
        | Kind::Labouring
        | Kind::Told
        | Kind::Pending
        | Kind::Foster
        | Kind::Parent
        | Kind::Renewed
        | Kind::Asking => RuntimeStatus::Completed,
    };
    let problem = (member.kind == Kind::Orphan).then_some(ProblemKind::OrchestratorNotRegistered);
    let Some(Seen::View(view)) = ended else {
        return false;
    };
    view.status == status && view.problem == problem && view.output == member.output()
}
