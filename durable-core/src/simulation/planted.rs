//! Bugs that can be switched on, to see that the simulator finds them.

use std::cell::Cell;

/// A bug in the library's own code, behind `planted!(..)` at the place where it would be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Planted {
    /// Effects of some commits are released before those are synced.
    AcknowledgeBeforeSync,
    /// Nothing is ever synced.
    SkipSync,
    /// A failed sync counts as one that succeeded.
    SwallowSyncError,
    /// A read is answered before what it shows is durable.
    AnswerReadsEarly,
    /// What an attempt reports is taken whoever made it.
    ForgetFence,
    /// As before, for an attempt whose instance had to be loaded meanwhile.
    TakeAnswerOfStoppedWorker,
    /// An attempt is begun although it runs.
    DispatchTwice,
    /// Timers fire a millisecond early.
    TimerEarly,
    /// An event for an instance that takes no turns is acknowledged and dropped.
    SwallowEvent,
    /// A later event overtakes those that wait.
    ReorderEvents,
    /// Some timers are kept in memory only.
    ForgetTimer,
    /// What is withdrawn stays in the index of timers.
    KeepTimer,
    /// An instance with activities is not loaded after a restart.
    ForgetActive,
    /// The summary of an instance that sleeps lags behind.
    StaleHeader,
    /// A policy of n attempts allows n + 1.
    OneAttemptMore,
    /// The pause before an attempt is half of what it must be.
    RetryEarly,
    /// Failed attempts are not stored.
    ForgetAttempts,
    /// What an attempt has left to the next one is not handed on.
    ForgetState,
    /// How far an attempt has come is not handed on to the next one.
    ForgetProgress,
    /// What an attempt reports that nobody waits for any more is taken.
    HearWhoWasStopped,
    /// How long an attempt may say nothing is not known where it runs.
    ForgetHeartbeat,
    /// Attempts are made also when it is too late for them.
    RetryTooLate,
    /// The orchestrator is not asked whether an error is retried.
    AskNobody,
    /// How a child has failed is forgotten if nobody is there to be asked about it.
    LoseFailure,
    /// An instance leaves memory before its last commit is durable.
    EvictEarly,
    /// What arrives with the end is recorded after it.
    GoOnAfterEnd,
    /// Timers and attempts that are open at the end are left.
    LeaveWhatEndsWithIt,
    /// Whoever waits for the end is told at once.
    WaitToldEarly,
    /// A start of an id that exists begins another instance.
    StartOver,
    /// A turn is dated by the clock, also when that was set back.
    TimeGoesBack,
    /// A timer beyond the window is forgotten until the next read.
    ForgetRecentTimers,
    /// A stored event is kept after it was fed.
    KeepMessage,
    /// The status of an active instance is what its summary says.
    StaleGlimpse,
    /// A purge leaves all chunks of a record but the first.
    PurgeLeavesChunks,
    /// A letter that was not dealt with at once is not stored.
    LoseLetter,
    /// A letter is kept after it was dealt with.
    DeliverTwice,
    /// What was not taken is not there for the next execution.
    DropCarriedEvents,
    /// An event that was raised twice under one id is two events.
    TakeEventTwice,
    /// Replay does not know of the patches that were taken.
    ForgetPatches,
    /// That the process has died of a call is not counted.
    ForgetCrashes,
    /// A call is begun however often the process has died of it.
    BeginPoison,
    /// Which suspect runs alone is noted some time later.
    NoteTooLate,
    /// A suspect counts as alone when it has ended.
    AccuseWhatEnded,
    /// A suspended instance takes turns again after a restart.
    ReviveSuspended,
    /// What few instances are is kept in the index when one is that no longer.
    LeaveInIndex,
    /// An instance that is resumed begins, also before its time.
    BeginEarly,
    /// That an instance is to begin later is known in memory only.
    ForgetStart,
    /// A piece of a history begins with the last turn of the one before.
    ReadTurnAgain,
    /// The event that an instance is started with is not in the commit of the start.
    RaiseApart,
    /// Who watches an instance is told before what it is told is durable.
    TellNewsEarly,
    /// Who watches an instance is not told.
    MissNews,
    /// That a problem is gone is not announced.
    ForgetUnblocked,
    /// What was open when an execution failed is not asked for again after a rewind.
    ForgetReopened,
    /// Events that were kept for an instance are dropped when it fails, though it may be rewound.
    DropKeptEvents,
    /// Only the first attempt at a child is purged with its parent.
    LeaveTriedChildren,
    /// What has ended is kept half as long as it must be.
    ExpireEarly,
    /// What has ended is not purged when its time is over.
    ForgetExpiry,
    /// What replaces an instance is stored by a later commit than the one that purges it.
    ReplaceApart,
    /// An instance is replaced before its end is durable.
    ReplaceEarly,
    /// Another instance than the one that is meant is replaced.
    ReplaceAnother,
    /// An instance is shown before its first turn is part of a commit.
    TellOfUnborn,
    /// A report has the time of the clock, which may have been set back since its call was made.
    ReportBeforeCall,
}

impl Planted {
    /// Every one.
    pub const ALL: &'static [Self] = &[
        Self::AcknowledgeBeforeSync,
        Self::SkipSync,
        Self::SwallowSyncError,
        Self::AnswerReadsEarly,
        Self::ForgetFence,
        Self::TakeAnswerOfStoppedWorker,
        Self::DispatchTwice,
        Self::TimerEarly,
        Self::SwallowEvent,
        Self::ReorderEvents,
        Self::ForgetTimer,
        Self::KeepTimer,
        Self::ForgetActive,
        Self::StaleHeader,
        Self::OneAttemptMore,
        Self::RetryEarly,
        Self::ForgetAttempts,
        Self::ForgetState,
        Self::ForgetProgress,
        Self::HearWhoWasStopped,
        Self::ForgetHeartbeat,
        Self::RetryTooLate,
        Self::AskNobody,
        Self::LoseFailure,
        Self::EvictEarly,
        Self::GoOnAfterEnd,
        Self::LeaveWhatEndsWithIt,
        Self::WaitToldEarly,
        Self::StartOver,
        Self::TimeGoesBack,
        Self::ForgetRecentTimers,
        Self::KeepMessage,
        Self::StaleGlimpse,
        Self::PurgeLeavesChunks,
        Self::LoseLetter,
        Self::DeliverTwice,
        Self::DropCarriedEvents,
        Self::TakeEventTwice,
        Self::ForgetPatches,
        Self::ForgetCrashes,
        Self::BeginPoison,
        Self::NoteTooLate,
        Self::AccuseWhatEnded,
        Self::ReviveSuspended,
        Self::LeaveInIndex,
        Self::BeginEarly,
        Self::ForgetStart,
        Self::ReadTurnAgain,
        Self::RaiseApart,
        Self::TellNewsEarly,
        Self::MissNews,
        Self::ForgetUnblocked,
        Self::ForgetReopened,
        Self::DropKeptEvents,
        Self::LeaveTriedChildren,
        Self::ReplaceApart,
        Self::ReplaceEarly,
        Self::ReplaceAnother,
        Self::TellOfUnborn,
        Self::ExpireEarly,
        Self::ForgetExpiry,
        Self::ReportBeforeCall,
    ];
}

thread_local! {
    static PLANTED: Cell<Option<Planted>> = const { Cell::new(None) };
}

/// Switches a bug on for this thread, or all of them off.
pub fn plant(bug: Option<Planted>) {
    PLANTED.set(bug);
}

#[cfg(feature = "simulation")]
pub(crate) fn is_planted(bug: Planted) -> bool {
    PLANTED.get() == Some(bug)
}
