//! Purging an instance with what it has begun.

use futures_util::future::join_all;

use super::client::Client;
use super::error::PurgeError;
use crate::engine::family::{Family, Next};
use crate::id::{InstanceId, InvalidInstanceId};
use crate::store::{Child, StatusDetail};

impl Client {
    /// As [`purge`](Self::purge), and purges the children that it has waited for, and theirs; says how
    /// many instances those were in all. What was begun [detached](crate::SubOrchestrationCall::detach)
    /// is no child, and stays.
    ///
    /// If one of them has not ended (its parent was terminated, and it goes on), nothing is purged,
    /// and the error says which one it is: wait for its end, or terminate it.
    ///
    /// Children are found by the history of their parent, and go before it, a hundred at a time. If this
    /// is given up, or fails, what was purged stays purged, and it can be begun again. (Of an instance
    /// that has continued as new that history is gone, so all instances are looked at then.)
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use durable_core::TaskHub;
    ///
    /// let hub = TaskHub::in_memory().await?;
    /// let client = hub.client();
    /// client.start_by_name("fulfil", "42").id("order-42").await?;
    /// client.terminate_recursive("order-42", "no longer wanted").await?;
    /// assert_eq!(client.purge_recursive("order-42").await?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PurgeError`] if there is no such instance, or if it or one of the others has not ended.
    pub async fn purge_recursive(
        &self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
    ) -> Result<u64, PurgeError> {
        let id: InstanceId = id.try_into().map_err(Into::into)?;
        let status = self.status_with(&id, StatusDetail::NONE).await?;
        let status = status.ok_or(PurgeError::NotFound { id })?;
        let root = Child {
            id: status.instance_id().clone(),
            number: status.number(),
            status: status.runtime_status(),
        };
        has_ended(&root)?;
        let mut family = Family::of(root.clone());
        while let Some(found) = self.leaves_of(&mut family).await? {
            found.iter().try_for_each(has_ended)?;
        }
        let (mut family, mut purged) = (Family::of(root), 0);
        while let Some(found) = self.leaves_of(&mut family).await? {
            let every = found
                .into_iter()
                .map(|child| self.purge_only(child.id, Some(child.number)));
            for result in join_all(every).await {
                match result {
                    Ok(()) => purged += 1,
                    // Somebody else was faster.
                    Err(PurgeError::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(purged)
    }

    /// The next of a family below which there is nothing left to see to.
    async fn leaves_of(&self, family: &mut Family) -> Result<Option<Vec<Child>>, PurgeError> {
        loop {
            match family.next() {
                None => return Ok(None),
                Some(Next::Leave(found)) => return Ok(Some(found)),
                Some(Next::Find(find)) => {
                    let shared = &self.shared;
                    let found = shared
                        .read_aside(move |store| store.children(&find))
                        .await?;
                    family.found(found);
                }
            }
        }
    }
}

fn has_ended(child: &Child) -> Result<(), PurgeError> {
    if child.status.is_terminal() {
        return Ok(());
    }
    Err(PurgeError::NotEnded {
        id: child.id.clone(),
        status: child.status,
    })
}
