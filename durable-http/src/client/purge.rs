//! Forgetting many instances at once.

use std::future::IntoFuture;
use std::time::SystemTime;

use http::Method;

use super::Client;
use super::error::ClientError;
use super::instance::{Answer, json};
use super::list::Filter;
use super::models::{Purged, RuntimeStatus};
use super::target::Pairs;

/// Purges what has ended, or some of it: await it. It comes to how many there were.
///
/// ```
/// # async fn f(client: durable_http::client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::{Duration, SystemTime};
/// use durable_http::client::RuntimeStatus;
///
/// # #[expect(clippy::disallowed_methods)]
/// let a_week_ago = SystemTime::now() - Duration::from_secs(7 * 24 * 60 * 60);
/// let purged = client.purge_all().status(RuntimeStatus::Completed).created_to(a_week_ago).await?;
/// # Ok(())
/// # }
/// ```
///
/// There is no choice by id: services other than this crate's pass it over, and would purge everything.
///
/// # Errors
///
/// [`ClientError::Unauthorized`] and so on. After a [`Transport`](ClientError::Transport) that may have sent
/// something and a [`TimedOut`](ClientError::TimedOut) they may have been purged all the same.
#[must_use = "nothing is purged until this is awaited"]
#[derive(Debug)]
pub struct PurgeRequest {
    client: Client,
    filter: Filter,
}

impl PurgeRequest {
    pub(super) fn new(client: Client) -> Self {
        // Services want to be told from when on.
        let filter = Filter {
            from: Some(SystemTime::UNIX_EPOCH),
            ..Filter::default()
        };
        Self { client, filter }
    }

    /// Those of this status, or of another that is given, too. Default: all that have ended.
    pub fn status(mut self, status: RuntimeStatus) -> Self {
        self.filter.statuses.push(status);
        self
    }

    /// Those that were started then or later.
    pub fn created_from(mut self, time: SystemTime) -> Self {
        self.filter.from = Some(time);
        self
    }

    /// Those that were started then or before.
    pub fn created_to(mut self, time: SystemTime) -> Self {
        self.filter.to = Some(time);
        self
    }

    async fn send(self) -> Result<u64, ClientError> {
        if self.filter.statuses.iter().any(is_unknown) {
            let what = "services may take a status that they do not know for any";
            return Err(ClientError::Invalid { what });
        }
        let pairs = self.filter.added_to(Pairs::default());
        let uri = self.client.base().url("/instances", &pairs)?;
        let call = self.client.call(Method::DELETE, uri);
        match json::<Purged>(&self.client.http().ask(&call).await?) {
            Ok(purged) => Ok(purged.instances_deleted),
            // That is how services say that there was nothing.
            Err(ClientError::NotFound) => Ok(0),
            Err(error) => Err(error),
        }
    }
}

fn is_unknown(status: &RuntimeStatus) -> bool {
    matches!(status, RuntimeStatus::Unknown(_))
}

impl IntoFuture for PurgeRequest {
    type Output = Result<u64, ClientError>;
    type IntoFuture = Answer<u64>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
