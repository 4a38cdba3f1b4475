//! The history of an instance, as a client reads it.

mod event;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use futures_core::Stream;
use futures_util::stream;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use self::event::Shown;
pub use self::event::{HistoryEvent, HistoryEventKind};
use super::client::Client;
use super::error::{ExportError, HistoryError};
use crate::history::Turn;
use crate::id::{InstanceId, InvalidInstanceId};
use crate::store::{ReadTurns, TurnPlace};

/// Turns that are read at once ...
const TURNS: usize = 256;
/// ... until they have so many bytes.
const BYTES: usize = 1 << 20;
/// So many bytes are written at once.
const WRITTEN_AT_ONCE: usize = 64 << 10;

/// Reads the history of an instance, event by event. Made by [`Client::history`].
///
/// Only what is durable is read, a megabyte at a time or one turn, if that is longer: so a long
/// history takes no more memory than a short one, but for a few bytes for each call that has failed. Reading goes
/// on beside everything else.
///
/// An execution's history only grows, and what was read of it never changes. So whoever has come to
/// its end may ask again later, and gets what has come since. *Continuing as new* removes the history
/// and begins another one: whoever is in the middle of it then is told that
/// ([`HistoryError::Superseded`]), and whoever begins afterwards reads that of the new execution.
/// What came before that is not kept.
///
/// An instance that is Pending has no history yet. Suspending and resuming it, events that wait for
/// the orchestrator, and attempts at an activity that another one follows are not part of it.
#[derive(Debug)]
#[must_use = "nothing is read by itself"]
pub struct History {
    client: Client,
    id: Result<InstanceId, InvalidInstanceId>,
    /// How far it was read.
    place: Option<TurnPlace>,
    /// Read, and not shown yet.
    turns: VecDeque<(u32, Turn)>,
    events: VecDeque<HistoryEvent>,
    shown: Shown,
}

impl History {
    fn new(client: &Client, id: Result<InstanceId, InvalidInstanceId>) -> Self {
        Self {
            client: client.clone(),
            id,
            place: None,
            turns: VecDeque::new(),
            events: VecDeque::new(),
            shown: Shown::default(),
        }
    }

    /// The next event; `None` behind the last one there is at present.
    ///
    /// Dropping its future before it is done loses nothing.
    ///
    /// # Errors
    ///
    /// [`HistoryError`] if there is no such instance, if the history is no more, or if it cannot be
    /// read.
    pub async fn next(&mut self) -> Result<Option<HistoryEvent>, HistoryError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if self.turns.is_empty() {
                self.read_on().await?;
            }
            let (Some(place), Some((number, turn))) = (self.place, self.turns.pop_front()) else {
                return Ok(None);
            };
            let events = self.shown.events(place.execution, number, turn);
            self.events.extend(events);
        }
    }

    async fn read_on(&mut self) -> Result<(), HistoryError> {
        let id = self.id.clone()?;
        let ask = ReadTurns {
            id: id.clone(),
            after: self.place,
            limit: TURNS,
            bytes: BYTES,
        };
        let shared = &self.client.shared;
        let read = shared.read_aside(move |store| store.turns(&ask)).await?;
        let Some(read) = read else {
            return Err(HistoryError::NotFound { id });
        };
        if self.place.is_some_and(|place| !place.is_of(&read.next)) {
            return Err(HistoryError::Superseded { id });
        }
        self.place = Some(read.next);
        self.turns.extend(read.turns);
        Ok(())
    }

    /// The rest of the events, up to the last one there is at present, as a stream.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use durable_core::TaskHub;
    /// use futures_util::TryStreamExt;
    ///
    /// let hub = TaskHub::in_memory().await?;
    /// let client = hub.client();
    /// client.start_by_name("fulfil", "42").id("order-42").await?;
    /// client.terminate("order-42", "no longer wanted").await?;
    /// let events: Vec<_> = client.history("order-42").into_stream().try_collect().await?;
    /// assert_eq!(events.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_stream(self) -> impl Stream<Item = Result<HistoryEvent, HistoryError>> + Send {
        stream::try_unfold(self, async |mut history| {
            let event = history.next().await?;
            Ok(event.map(|event| (event, history)))
        })
    }

    /// Writes the rest of the events, up to the last one there is at present, as JSON Lines: each event
    /// is one JSON object on a line of its own. Says how many there were.
    ///
    /// ```json
    /// {"execution":0,"turn":1,"time":"2026-11-26T08:00:00.000001Z","event":{"ExecutionStarted":{"name":"fulfil","version":"","input":{"cents":42},"parent":null,"tags":{}}}}
    /// {"execution":0,"turn":1,"time":"2026-11-26T08:00:00.000001Z","event":{"TaskScheduled":{"call":0,"name":"charge","input":42,"inline":false}}}
    /// ```
    ///
    /// - `execution`, `turn`, `time`: see [`HistoryEvent`]. Times are RFC 3339 in UTC with
    ///   microseconds; one after the year 9999 is written as its last moment.
    /// - `event` has one key, the kind's name, and below it the fields of [`HistoryEventKind`], all of
    ///   them: what is absent is `null`. Inputs, outputs, data and custom statuses are the JSON that
    ///   was recorded, as it was written there; a line break in it is a space here. `parent` has `id` and `execution`.
    /// - A `failure` has `kind` (the name of a [`FailureKind`](crate::FailureKind)), `error_type`,
    ///   `message`, `causes` (texts, nearest first), `value` (the error itself as JSON, if it can be
    ///   written so) and `retryable`.
    ///
    /// New kinds, and new keys of a kind, may be added; what is there is not renamed or removed. An
    /// event is read back with `serde_json::from_str`. To write to a
    /// [`std::io::Write`], take [`next`](Self::next) and `serde_json::to_writer`.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use durable_core::{HistoryEvent, TaskHub};
    ///
    /// let hub = TaskHub::in_memory().await?;
    /// let client = hub.client();
    /// client.start_by_name("fulfil", "42").id("order-42").await?;
    /// client.terminate("order-42", "no longer wanted").await?;
    ///
    /// let mut lines = Vec::new();
    /// client.history("order-42").export(&mut lines).await?;
    /// for line in String::from_utf8(lines)?.lines() {
    ///     let event: HistoryEvent = serde_json::from_str(line)?;
    ///     assert_eq!(event.turn, 1);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ExportError`]; then what was written ends somewhere, perhaps within a line.
    pub async fn export(
        &mut self,
        to: &mut (impl AsyncWrite + Unpin + ?Sized),
    ) -> Result<u64, ExportError> {
        let (mut lines, mut count) = (Vec::new(), 0);
        while let Some(event) = self.next().await? {
            let begin = lines.len();
            serde_json::to_writer(&mut lines, &event).map_err(std::io::Error::from)?;
            // Only between the tokens of a payload: within a text they are escaped.
            let breaks = lines[begin..]
                .iter_mut()
                .filter(|byte| matches!(byte, b'\n' | b'\r'));
            breaks.for_each(|byte| *byte = b' ');
            lines.push(b'\n');
            count += 1;
            if lines.len() >= WRITTEN_AT_ONCE {
                to.write_all(&lines).await?;
                lines.clear();
            }
        }
        to.write_all(&lines).await?;
        to.flush().await?;
        Ok(count)
    }
}

impl Client {
    /// Reads the history of an instance: what has happened to it, and what its orchestrator has asked
    /// for.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use durable_core::{HistoryEventKind, TaskHub};
    ///
    /// let hub = TaskHub::in_memory().await?;
    /// let client = hub.client();
    /// client.start_by_name("fulfil", "42").id("order-42").await?;
    /// client.terminate("order-42", "no longer wanted").await?;
    ///
    /// let mut history = client.history("order-42");
    /// while let Some(event) = history.next().await? {
    ///     match event.kind {
    ///         HistoryEventKind::ExecutionStarted { input, .. } => assert_eq!(input.json(), "42"),
    ///         HistoryEventKind::ExecutionTerminated { reason, .. } => {
    ///             assert_eq!(reason.as_deref(), Some("no longer wanted"));
    ///         }
    ///         other => println!("{other:?}"),
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn history(&self, id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>) -> History {
        History::new(self, id.try_into().map_err(Into::into))
    }
}
