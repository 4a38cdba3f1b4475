//! Admin keys: each opens every route.

use std::fmt;

use subtle::{Choice, ConstantTimeEq};

use super::mac::Mac;

/// The digests of the admin keys. The keys themselves are not kept.
#[derive(Clone)]
pub(crate) struct AdminKeys {
    mac: Mac,
    digests: Vec<[u8; 32]>,
}

impl AdminKeys {
    /// The fewest bytes a key may have.
    pub(crate) const MIN_LEN: usize = 16;

    pub(crate) fn new(digest_key: [u8; 32], keys: &[Vec<u8>]) -> Self {
        let mac = Mac::new(digest_key);
        let digests = keys.iter().map(|key| mac.of(key)).collect();
        Self { mac, digests }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// Whether `given` is one of the keys. Takes the same time whichever it is, and if it is none.
    pub(super) fn contain(&self, given: &[u8]) -> bool {
        let given = self.mac.of(given);
        let mut found = Choice::from(0);
        for key in &self.digests {
            found |= key.ct_eq(&given);
        }
        found.into()
    }
}

impl fmt::Debug for AdminKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AdminKeys({})", self.digests.len())
    }
}
