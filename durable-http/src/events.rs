//! A stream of server-sent events: an instance's status, again whenever there is news.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use durable_core::{InstanceWatch, OrchestrationStatus};
use tokio::sync::OwnedSemaphorePermit;

use crate::clock;
use crate::models::{Shown, StatusObject};

/// After so long without news a comment is sent, so that nobody in between takes the stream for dead.
const SILENCE: Duration = Duration::from_secs(15);

/// The id of the last event: whoever has seen it needs no other stream.
pub(crate) const END: &str = "end";

/// What is shown of an instance, as long as somebody listens.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) watch: InstanceWatch,
    /// Which instance of its id it was allowed to watch: it may be another before the first look.
    pub(crate) incarnation: u64,
    pub(crate) shown: Shown,
    /// Then whoever listens has to ask again, and is judged again.
    pub(crate) until: SystemTime,
    /// Among the streams there may be; given back when it is dropped.
    pub(crate) _place: OwnedSemaphorePermit,
}

impl News {
    /// The next piece of the stream. It ends with the instance, when the hub is closed, and when its
    /// time is over.
    async fn next(mut self) -> Option<(Bytes, Option<Self>)> {
        match tokio::time::timeout(SILENCE, self.watch.next()).await {
            Ok(Ok(Some(status))) if status.incarnation() == self.incarnation => {
                let event = event(&status, self.shown);
                let over = status.runtime_status().is_terminal() || self.is_over();
                Some((event, (!over).then_some(self)))
            }
            Ok(Ok(_) | Err(_)) => None,
            Err(_) if self.is_over() => None,
            Err(_) => Some((Bytes::from_static(b":\n\n"), Some(self))),
        }
    }

    fn is_over(&self) -> bool {
        clock::now() >= self.until
    }
}

fn event(status: &OrchestrationStatus, shown: Shown) -> Bytes {
    let object = serde_json::to_string(&StatusObject::new(status, shown));
    // Between the tokens of a payload; within a text they are escaped.
    let json = object.unwrap_or_default().replace(['\n', '\r'], " ");
    let id = if status.runtime_status().is_terminal() {
        format!("id: {END}\n")
    } else {
        String::new()
    };
    format!("event: status\n{id}data: {json}\n\n").into()
}

type Next = Pin<Box<dyn Future<Output = Option<(Bytes, Option<News>)>> + Send>>;

/// The stream.
pub(crate) struct EventStream(Option<Next>);

impl EventStream {
    pub(crate) fn new(news: News) -> Self {
        Self(Some(Box::pin(news.next())))
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(next) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let next = ready!(next.as_mut().poll(cx));
        self.0 = None;
        let Some((event, news)) = next else {
            return Poll::Ready(None);
        };
        if let Some(news) = news {
            self.0 = Some(Box::pin(news.next()));
        }
        Poll::Ready(Some(event))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventStream").finish_non_exhaustive()
    }
}
