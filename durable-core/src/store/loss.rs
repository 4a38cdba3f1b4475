//! What was given up to open a hub.

use std::fmt;

/// What is known to be lost of a hub that was opened with
/// [`TaskHubOptions::accept_loss`](crate::TaskHubOptions::accept_loss) although it was rolled back or
/// damaged. There may be more: [`Problem`](crate::Problem)s of single instances show when they are
/// read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcceptedLoss {
    /// Commits that were acknowledged and are gone.
    pub commits: u64,
    /// Instances of which nothing is left, not even the id.
    pub instances: u64,
    /// What was found to be wrong, for people to read. The first is why the hub was refused.
    pub damage: Vec<String>,
}

impl fmt::Display for AcceptedLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} commits and {} instances are lost; {}",
            self.commits,
            self.instances,
            self.damage.join("; ")
        )
    }
}
