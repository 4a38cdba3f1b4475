//! Finding instances: what is asked for, and pages of what was found.

use std::fmt;
use std::ops::{Bound, RangeBounds, RangeInclusive};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures_util::stream::{self, StreamExt as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::client::Client;
use super::error::{HubError, PurgeError, QueryError};
use super::status::OrchestrationStatus;
use crate::engine::Snapshot;
use crate::id::InstanceId;
use crate::store::{Aside, Filter, List, Listed, RuntimeStatus, StoreError};
use crate::time::Timestamp;

/// The most instances that are looked at for one page: some milliseconds.
const BUDGET: usize = 2048;
/// Purged at a time. With a hundred on their way at once, each commit of others waits for a hundred
/// purges; so a few of them share it.
const PURGES_AT_ONCE: usize = 16;
/// The longest page.
const MAX_PAGE: usize = 1000;

/// Which instances are asked for; see [`Client::query`]. Without a condition it is all of them.
///
/// Conditions of different kinds must all hold. Of several statuses, or several names, one must.
///
/// ```
/// # use std::time::{Duration, SystemTime};
/// use durable_core::{InstanceQuery, RuntimeStatus};
///
/// let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
/// let failed = InstanceQuery::new()
///     .status(RuntimeStatus::Failed)
///     .name("fulfil")
///     .tag("customer", "42")
///     .completed(an_hour_ago..);
/// ```
#[derive(Clone, Debug)]
#[must_use = "it asks nobody by itself"]
pub struct InstanceQuery {
    filter: Filter,
    page_size: usize,
    payloads: bool,
    after: Option<PageToken>,
}

impl Default for InstanceQuery {
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            page_size: 100,
            payloads: false,
            after: None,
        }
    }
}

impl InstanceQuery {
    /// All instances.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those with this status; called again, also those with that one. Of Failed and Suspended, one
    /// or both, there is an index: they are found at once among any number of others.
    pub fn status(mut self, status: RuntimeStatus) -> Self {
        self.filter.statuses.insert(status);
        self
    }

    /// Those of the orchestrator with this name, compared byte for byte; called again, also those
    /// of that one.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.filter.names.insert(name.into());
        self
    }

    /// Those whose id begins so, byte for byte. Only these are looked at.
    pub fn id_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.filter.id_prefix = prefix.into();
        self
    }

    /// Those with this tag; called again, with that one, too.
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.filter.tags.insert(name.into(), value.into());
        self
    }

    /// Those that have a [`problem`](OrchestrationStatus::problem) and do not go on, or those that
    /// have none. Of those that have one there is an index, as of those that [failed](Self::status).
    pub fn blocked(mut self, blocked: bool) -> Self {
        self.filter.blocked = Some(blocked);
        self
    }

    /// Those that were started then.
    pub fn created(mut self, range: impl RangeBounds<SystemTime>) -> Self {
        self.filter.created = Some(micros(&range));
        self
    }

    /// Those that ended then, in whatever way. One that has not ended is not among them.
    pub fn completed(mut self, range: impl RangeBounds<SystemTime>) -> Self {
        self.filter.completed = Some(micros(&range));
        self
    }

    /// Whether inputs, outputs and progress are shown. Default: no, for they can be large.
    pub fn payloads(mut self, payloads: bool) -> Self {
        self.payloads = payloads;
        self
    }

    /// The most instances on a page, 1 to 1,000. Default: 100.
    pub fn page_size(mut self, instances: usize) -> Self {
        self.page_size = instances;
        self
    }

    /// Goes on behind a page: with its [`next`](InstancePage::next), and the same conditions.
    pub fn after(mut self, token: PageToken) -> Self {
        self.after = Some(token);
        self
    }
}

/// The moments in a range, whole microseconds.
fn micros(range: &impl RangeBounds<SystemTime>) -> RangeInclusive<Timestamp> {
    const NANO: Duration = Duration::from_nanos(1);
    // The last microsecond that begins before this moment.
    let before = |time: &SystemTime| time.checked_sub(NANO).map(Timestamp::from_system);
    let next = |time: Timestamp| Timestamp(time.0.saturating_add(1));
    let first = match range.start_bound() {
        Bound::Unbounded => Timestamp(0),
        Bound::Included(time) if *time <= SystemTime::UNIX_EPOCH => Timestamp(0),
        Bound::Included(time) => before(time).map_or(Timestamp(0), next),
        Bound::Excluded(time) => next(Timestamp::from_system(*time)),
    };
    let last = match range.end_bound() {
        Bound::Unbounded => Timestamp(u64::MAX),
        Bound::Included(time) => Timestamp::from_system(*time),
        Bound::Excluded(time) => before(time).unwrap_or_default(),
    };
    first..=last
}

/// Some of the instances that were asked for, in the order of their ids.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InstancePage {
    /// What was found. There may be none although there are more to come: for one page only so
    /// many instances are looked at (2,048, or 1,024 of an index).
    pub instances: Vec<OrchestrationStatus>,
    /// Instances of which nothing can be told, for their records are damaged; whether they are
    /// asked for is not known. [`TaskHub::verify`](crate::TaskHub::verify) says more.
    pub unreadable: Vec<InstanceId>,
    /// Where the next page begins; none behind the last one.
    pub next: Option<PageToken>,
}

/// Where a page of a query begins. It holds for as long as the hub, for the same conditions, and
/// whatever happens to the instances meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PageToken(String);

impl PageToken {
    /// The token as text, of letters, digits, `-` and `_`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Any text: whether it is a token is found out when it is used.
impl From<String> for PageToken {
    fn from(token: String) -> Self {
        Self(token)
    }
}

impl From<&str> for PageToken {
    fn from(token: &str) -> Self {
        Self(token.to_owned())
    }
}

impl From<PageToken> for String {
    fn from(token: PageToken) -> Self {
        token.0
    }
}

const MAC: usize = 16;

/// Makes tokens of one query and reads them: an instance's id, behind a code that only this hub can
/// make, over that and the conditions.
struct Tokens(Hmac<Sha256>);

impl Tokens {
    fn new(client: &Client, filter: &Filter) -> Result<Self, HubError> {
        let broken = |error: &dyn fmt::Display| {
            HubError::Store(StoreError::fatal(format!("cannot make tokens: {error}")))
        };
        let key = client.derive_key("page tokens");
        let mut mac = Hmac::new_from_slice(&key).map_err(|error| broken(&error))?;
        mac.update(&postcard::to_allocvec(filter).map_err(|error| broken(&error))?);
        Ok(Self(mac))
    }

    fn code(&self, id: &[u8]) -> Hmac<Sha256> {
        self.0.clone().chain_update(id)
    }

    fn make(&self, id: &InstanceId) -> PageToken {
        let id = id.as_str().as_bytes();
        let code = self.code(id).finalize().into_bytes();
        PageToken(BASE64_URL_SAFE_NO_PAD.encode([&code[..MAC], id].concat()))
    }

    fn read(&self, token: &PageToken) -> Option<InstanceId> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&token.0).ok()?;
        let (code, id) = bytes.split_at_checked(MAC)?;
        self.code(id).verify_truncated_left(code).ok()?;
        InstanceId::new(String::from_utf8(id.to_vec()).ok()?).ok()
    }
}

impl Client {
    /// Finds instances: a page of those that a query asks for.
    ///
    /// A page costs some milliseconds at most, however many instances there are: it is read beside
    /// the engine, and only so many instances are looked at. What it shows of each instance is
    /// durable, and as new as the call. Whoever takes page after page sees each instance that is there
    /// all the time exactly once; one that is started or purged meanwhile may be missing.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use durable_core::{InstanceQuery, RuntimeStatus, TaskHub};
    ///
    /// let hub = TaskHub::in_memory().await?;
    /// let client = hub.client();
    /// client.start_by_name("fulfil", "42").id("order-42").await?;
    ///
    /// let query = InstanceQuery::new().status(RuntimeStatus::Pending).id_prefix("order-");
    /// let mut page = client.query(query.clone()).await?;
    /// assert_eq!(page.instances[0].instance_id().as_str(), "order-42");
    /// while let Some(next) = page.next {
    ///     page = client.query(query.clone().after(next)).await?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`QueryError`] if the size of a page is out of range, if the token is not of this query, or
    /// if the hub failed.
    pub async fn query(&self, query: InstanceQuery) -> Result<InstancePage, QueryError> {
        let after = self.read_token(&query)?;
        let InstanceQuery {
            filter,
            page_size,
            payloads,
            after: _,
        } = query;
        if !(1..=MAX_PAGE).contains(&page_size) {
            return Err(QueryError::InvalidPageSize { max: MAX_PAGE });
        }
        let tokens = Tokens::new(self, &filter)?;
        let list = List {
            filter,
            after,
            limit: page_size,
            budget: BUDGET,
            payloads,
        };
        let Listed {
            found,
            unreadable,
            last,
        } = self
            .shared
            .read_aside(move |store| store.list(&list))
            .await?;
        let show = |glimpse| OrchestrationStatus::new(Snapshot::of_glimpse(glimpse));
        Ok(InstancePage {
            instances: found.into_iter().map(show).collect(),
            unreadable,
            next: last.map(|id| tokens.make(&id)),
        })
    }

    /// How many instances a query asks for. Its page size does not matter.
    ///
    /// If it asks for nothing but statuses, or for all, the answer is there at once, exact as of one
    /// moment. Else the instances are looked at as [pages](Self::query) are, a few thousand at a time:
    /// about a second for each million, without holding up anything else, and given up when
    /// the future is dropped. Each instance that is there all the time counts exactly once then; one
    /// that is started, purged or changed meanwhile may count or not, and one whose records
    /// are damaged does not.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use durable_core::{InstanceQuery, RuntimeStatus, TaskHub};
    ///
    /// let hub = TaskHub::in_memory().await?;
    /// let client = hub.client();
    /// client.start_by_name("fulfil", "42").id("order-42").await?;
    /// let pending = InstanceQuery::new().status(RuntimeStatus::Pending);
    /// assert_eq!(client.count(pending.clone()).await?, 1);
    /// assert_eq!(client.count(pending.id_prefix("invoice-")).await?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`QueryError`] if the query goes on behind a page of another query, or if the hub failed.
    pub async fn count(&self, query: InstanceQuery) -> Result<u64, QueryError> {
        let after = self.read_token(&query)?;
        let filter = query.filter;
        if filter.is_of_statuses() && after.is_none() {
            let stats = self.shared.stats().await?;
            let counts = stats.instances.iter();
            let asked = counts.filter(|(status, _)| {
                filter.statuses.is_empty() || filter.statuses.contains(status)
            });
            return Ok(asked.map(|(_, count)| count).sum());
        }
        let mut list = List {
            filter,
            after,
            limit: usize::MAX,
            budget: BUDGET,
            payloads: false,
        };
        let mut matching = 0;
        loop {
            let page = list.clone();
            let count = move |store: &dyn Aside| store.count(&page);
            let counted = self.shared.read_aside(count).await?;
            matching += counted.matching;
            list.after = counted.last;
            if list.after.is_none() {
                return Ok(matching);
            }
        }
    }

    /// Behind which instance a query goes on.
    fn read_token(&self, query: &InstanceQuery) -> Result<Option<InstanceId>, QueryError> {
        let Some(token) = &query.after else {
            return Ok(None);
        };
        let tokens = Tokens::new(self, &query.filter)?;
        tokens.read(token).map(Some).ok_or(QueryError::InvalidToken)
    }

    /// Purges the instances that a query asks for and that have ended, and says how many those were.
    /// The others are left as they are. Few are purged at a time, whatever the query's page size, so
    /// that what runs goes on: some thousands in a second.
    ///
    /// Instances that end meanwhile may be purged or not. If this is given up, or fails, what was
    /// purged stays purged, and it can be begun again.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # use std::time::{Duration, SystemTime};
    /// use durable_core::{InstanceQuery, TaskHub};
    ///
    /// let hub = TaskHub::in_memory().await?;
    /// let a_month_ago = SystemTime::now() - Duration::from_secs(30 * 24 * 3600);
    /// let purged = hub.client().purge_all(InstanceQuery::new().completed(..a_month_ago)).await?;
    /// assert_eq!(purged, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub async fn purge_all(&self, mut query: InstanceQuery) -> Result<u64, QueryError> {
        let mut purged = 0;
        loop {
            let page = self.query(query.clone()).await?;
            let ended = page
                .instances
                .iter()
                .filter(|status| status.runtime_status().is_terminal());
            // An id that is used again meanwhile stands for another instance.
            let purge = |status: &OrchestrationStatus| {
                self.purge_only(status.instance_id().clone(), Some(status.number()))
            };
            let ended: Vec<_> = ended.map(purge).collect();
            let mut results = stream::iter(ended).buffer_unordered(PURGES_AT_ONCE);
            while let Some(result) = results.next().await {
                match result {
                    Ok(()) => purged += 1,
                    Err(PurgeError::Hub(error)) => return Err(error.into()),
                    // Somebody else was faster.
                    Err(
                        PurgeError::NotFound { .. }
                        | PurgeError::NotEnded { .. }
                        | PurgeError::InvalidId(_),
                    ) => {}
                }
            }
            let Some(next) = page.next else {
                return Ok(purged);
            };
            query = query.after(next);
        }
    }
}
