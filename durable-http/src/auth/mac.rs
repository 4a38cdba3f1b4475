//! Keyed digests.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// HMAC-SHA-256 of `text`.
pub(super) fn mac(key: &[u8; 32], text: &[u8]) -> [u8; 32] {
    // HMAC pads a short key with zeros to the hash's block.
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let mac = Hmac::<Sha256>::new(&block.into()).chain_update(text);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest comes from another implementation.
    #[test]
    fn the_digest_is_hmac_sha_256() {
        let expected = 0x198a_607e_b44b_fbc6_9903_a0f1_cf2b_bdc5_u128;
        let digest = mac(&[0x0b; 32], b"Hi There");
        assert_eq!(digest[..16], expected.to_be_bytes());
    }
}
