//! Outlasting a service that is away for a while: restarted, deployed anew, cut off.

use std::time::Duration;

use super::backoff::Backoff;
use super::error::ClientError;

/// How long a service may be away by default: longer than a deployment takes.
pub(super) const USUAL: Duration = Duration::from_secs(5 * 60);
/// The longest pause, whatever the service says: it is the service's wish, and the caller's time.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long it is asked again for an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    /// Of what has never answered: it may be nowhere.
    Tries(u32),
    /// Of what has, and will be back.
    Time(Duration),
}

/// Asks until there is an answer, and for so long; then it comes to what stood in the way.
pub(super) async fn outlast<T, F>(patience: Patience, ask: impl Fn() -> F) -> Result<T, ClientError>
where
    F: Future<Output = Result<T, ClientError>>,
{
    let (tries, time) = match patience {
        Patience::Tries(tries) => (tries, Duration::MAX),
        Patience::Time(time) => (u32::MAX, time),
    };
    let mut last = ClientError::TimedOut;
    let asked = async {
        let mut pauses = Backoff::up_to(Duration::from_secs(10));
        loop {
            match ask().await {
                Err(error) if error.is_transient() && pauses.pauses() < tries => {
                    let pause = pauses.pause();
                    let said = error.retry_after();
                    last = error;
                    tokio::time::sleep(said.unwrap_or(pause).min(LONGEST_PAUSE)).await;
                }
                answer => return answer,
            }
        }
    };
    let answer = tokio::time::timeout(time, asked).await;
    answer.unwrap_or(Err(last))
}
