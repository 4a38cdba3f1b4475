//! Keyed digests.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;

/// HMAC-SHA-256 under one key, which is worked in once.
#[derive(Clone)]
pub(super) struct Mac(Hmac<Sha256>);

impl Mac {
    pub(super) fn new(key: [u8; 32]) -> Self {
        // HMAC pads a short key with zeros to the hash's block.
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(&key);
        Self(Hmac::new(&block.into()))
    }

    /// The digest of `text`.
    pub(super) fn of(&self, text: &[u8]) -> [u8; 32] {
        let mac = self.0.clone().chain_update(text);
        mac.finalize().into_bytes().into()
    }
}

/// Without the key.
impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest comes from another implementation.
    #[test]
    fn the_digest_is_hmac_sha_256() {
        let expected = 0x198a_607e_b44b_fbc6_9903_a0f1_cf2b_bdc5_u128;
        let digest = Mac::new([0x0b; 32]).of(b"Hi There");
        assert_eq!(digest[..16], expected.to_be_bytes());
    }
}
