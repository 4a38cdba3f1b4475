//! Links: what a URL permits that carries its own permission.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use durable_core::InstanceId;
use subtle::ConstantTimeEq;

use super::actions::{Action, Actions};
use super::mac::Mac;

/// What every link's credential begins with.
pub(crate) const PREFIX: &str = "dl1.";

/// The number of the key that signs: the hub's own. Another number is for another key to come.
const KEY_ID: u32 = 1;

/// What a link permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) instance: InstanceId,
    /// Which instance of that id.
    pub(crate) incarnation: u64,
    pub(crate) actions: Actions,
    /// Seconds since 1970.
    pub(crate) expires: Option<u64>,
}

impl Claims {
    /// For as long as the instance is there.
    pub(crate) fn new(instance: InstanceId, incarnation: u64, actions: Actions) -> Self {
        Self {
            instance,
            incarnation,
            actions,
            expires: None,
        }
    }

    /// Whether they permit `action` on `instance`. A start or a list is about no instance that a
    /// link could be for.
    pub(crate) fn cover(&self, action: Action, instance: Option<&str>) -> bool {
        let about_one = !matches!(action, Action::Start | Action::List);
        about_one && instance == Some(self.instance.as_str()) && self.actions.contains(action)
    }

    pub(crate) fn has_expired(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.expires.is_some_and(|expires| expires <= now.as_secs())
    }
}

/// Signs links and knows its own again.
#[derive(Clone, Debug)]
pub(crate) struct Signer {
    mac: Mac,
}

impl Signer {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { mac: Mac::new(key) }
    }

    /// The credential for `claims`: `dl1.<claims>.<mac>`.
    pub(crate) fn sign(&self, claims: &Claims) -> String {
        let Claims {
            instance,
            incarnation,
            actions,
            expires,
        } = claims;
        let claims = (KEY_ID, instance, incarnation, actions.bits(), expires);
        // Numbers and a text can be written; nothing would be a link that opens nothing.
        let json = serde_json::to_vec(&claims).unwrap_or_default();
        let mut code = PREFIX.to_owned();
        URL_SAFE_NO_PAD.encode_string(json, &mut code);
        let mac = self.mac.of(code.as_bytes());
        code.push('.');
        URL_SAFE_NO_PAD.encode_string(mac, &mut code);
        code
    }

    /// The claims of a credential, if it was signed here.
    pub(crate) fn verify(&self, code: &str) -> Option<Claims> {
        let (signed, given) = code.rsplit_once('.')?;
        let given = URL_SAFE_NO_PAD.decode(given).ok()?;
        if !bool::from(self.mac.of(signed.as_bytes()).ct_eq(given.as_slice())) {
            return None;
        }
        let json = URL_SAFE_NO_PAD.decode(signed.strip_prefix(PREFIX)?).ok()?;
        let (key, instance, incarnation, actions, expires): (u32, _, _, _, _) =
            serde_json::from_slice(&json).ok()?;
        let claims = Claims {
            instance,
            incarnation,
            actions: Actions::from_bits(actions),
            expires,
        };
        (key == KEY_ID).then_some(claims)
    }
}
