//! Which instances there are.

use std::collections::VecDeque;
use std::time::SystemTime;

use futures_core::Stream;
use futures_util::stream;
use http::{HeaderValue, Method};

use super::Client;
use super::error::ClientError;
use super::instance::json;
use super::models::{RuntimeStatus, Status};
use super::target::Pairs;

const TOKEN: &str = "x-ms-continuation-token";

/// Asks which instances there are: all of them [one after another](Self::instances), or a
/// [page](Self::page).
///
/// ```
/// # async fn f(client: durable_http::client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use durable_http::client::RuntimeStatus;
///
/// let mut failed = client.list().status(RuntimeStatus::Failed).show_input(false).instances();
/// while let Some(status) = failed.next().await? {
///     println!("{}: {:?}", status.instance_id(), status.output_json());
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is asked by itself"]
#[derive(Clone, Debug)]
pub struct ListRequest {
    client: Client,
    filter: Filter,
    pairs: Pairs,
}

/// Which instances, of many.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub(super) statuses: Vec<RuntimeStatus>,
    pub(super) from: Option<SystemTime>,
    pub(super) to: Option<SystemTime>,
}

impl Filter {
    pub(super) fn added_to(self, pairs: Pairs) -> Pairs {
        let names: Vec<_> = self.statuses.iter().map(RuntimeStatus::as_str).collect();
        let names = (!names.is_empty()).then(|| names.join(","));
        pairs
            .and("createdTimeFrom", self.from.map(text))
            .and("createdTimeTo", self.to.map(text))
            .and("runtimeStatus", names)
    }
}

/// A time as services read it, to the microsecond; what no service can mean is the first or last there is.
fn text(time: SystemTime) -> String {
    let epoch = jiff::Timestamp::UNIX_EPOCH;
    let time = jiff::Timestamp::try_from(time).unwrap_or_else(|_| {
        if time < SystemTime::from(epoch) {
            epoch
        } else {
            jiff::Timestamp::MAX
        }
    });
    format!("{time:.6}")
}

impl ListRequest {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            filter: Filter::default(),
            pairs: Pairs::default(),
        }
    }

    /// Those of this status, or of another that is given, too. Default: of any.
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

    /// Those whose id begins so.
    pub fn id_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.pairs = self.pairs.with("instanceIdPrefix", prefix);
        self
    }

    /// Whether inputs are shown. Default: yes, as services do.
    pub fn show_input(mut self, yes: bool) -> Self {
        self.pairs = self.pairs.with("showInput", yes.to_string());
        self
    }

    /// How many are asked for at a time. Default: as the service has it, 100.
    pub fn page_size(mut self, instances: u32) -> Self {
        self.pairs = self.pairs.with("top", instances.to_string());
        self
    }

    /// One page: the first, or the one that [another](Page::next) names.
    ///
    /// # Errors
    ///
    /// [`ClientError::BadRequest`] if `token` is not one of the same question.
    pub async fn page(&self, token: Option<&str>) -> Result<Page, ClientError> {
        let pairs = self.filter.clone().added_to(self.pairs.clone());
        let uri = self.client.base().url("/instances", &pairs)?;
        let mut call = self.client.call(Method::GET, uri);
        if let Some(token) = token {
            let what = "this was never a continuation token";
            let token = HeaderValue::from_str(token);
            let token = token.map_err(|_| ClientError::Invalid { what })?;
            call.headers.insert(TOKEN, token);
        }
        let answer = self.client.http().ask(&call).await?;
        let instances = json(&answer).map_err(ClientError::unless_elsewhere)?;
        let next = answer.headers().get(TOKEN);
        let next = next.and_then(|token| token.to_str().ok()).map(str::trim);
        let next = next.filter(|token| !token.is_empty()).map(str::to_owned);
        if next.is_some() && next.as_deref() == token {
            return Err(ClientError::not_understood("the list does not go on"));
        }
        Ok(Page { instances, next })
    }

    /// All of them, one after another; a page is asked for when the one before it has been taken.
    pub fn instances(self) -> Instances {
        Instances {
            request: self,
            taken: VecDeque::new(),
            next: Next::First,
        }
    }
}

/// Some instances, and where there are more.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Page {
    /// The instances: perhaps fewer than were asked for, or none, though there are more.
    pub instances: Vec<Status>,
    /// What [`page`](ListRequest::page) is given for the next one; `None` if this is the last.
    pub next: Option<String>,
}

/// Instances, one after another. See [`ListRequest::instances`].
#[derive(Debug)]
pub struct Instances {
    request: ListRequest,
    taken: VecDeque<Status>,
    next: Next,
}

#[derive(Debug)]
enum Next {
    First,
    Page(String),
    None,
}

impl Instances {
    /// The next one; `None` if there are no more.
    ///
    /// # Errors
    ///
    /// As [`ListRequest::page`]. It may be asked again then: nothing is lost, and nothing comes twice.
    pub async fn next(&mut self) -> Result<Option<Status>, ClientError> {
        loop {
            if let Some(status) = self.taken.pop_front() {
                return Ok(Some(status));
            }
            let page = match &self.next {
                Next::First => self.request.page(None).await?,
                Next::Page(token) => self.request.page(Some(token)).await?,
                Next::None => return Ok(None),
            };
            self.taken = page.instances.into();
            self.next = page.next.map_or(Next::None, Next::Page);
        }
    }

    /// The same as a stream, which ends with the first error.
    ///
    /// ```
    /// # async fn f(client: durable_http::client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use futures_util::TryStreamExt;
    ///
    /// let ids = client.list().id_prefix("order-").instances().into_stream();
    /// let ids: Vec<String> = ids.map_ok(|status| status.instance_id().to_owned()).try_collect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_stream(self) -> impl Stream<Item = Result<Status, ClientError>> + Send {
        stream::try_unfold(self, async |mut instances| {
            let status = instances.next().await?;
            Ok(status.map(|status| (status, instances)))
        })
    }
}
