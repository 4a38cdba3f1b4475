//! Inputs, outputs and event data as they are kept: JSON text.

use std::any::TypeId;
use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// What can be an input, an output or the data of an event: whatever serde can write as JSON and
/// read back.
///
/// Implemented for every such type; there is nothing to implement by hand.
// serde's traits are not supertraits: where an associated type breaks a bound, the compiler reports
// each supertrait for itself, and in the words of serde.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an input, an output or an error of an activity or orchestrator",
    label = "cannot be written to history and read back",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it; it must own its data (no references) and be `Send`",
    note = "an argument that an activity takes from its context is marked with `#[extract]`"
)]
pub trait Wire: Sized + Send + 'static {
    /// Writes it as JSON.
    ///
    /// # Errors
    ///
    /// What serde says, for example of a map whose keys are not text.
    #[doc(hidden)]
    fn to_payload(&self) -> Result<Payload, serde_json::Error>;

    /// Reads it. The unit type accepts `null`, nothing and `""`, because clients of other
    /// languages send each of them for "no input".
    ///
    /// # Errors
    ///
    /// What serde says of the JSON.
    #[doc(hidden)]
    fn from_payload(payload: &Payload) -> Result<Self, serde_json::Error>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + 'static> Wire for T {
    fn to_payload(&self) -> Result<Payload, serde_json::Error> {
        Payload::encode(self)
    }

    fn from_payload(Payload(json): &Payload) -> Result<Self, serde_json::Error> {
        let is_unit = TypeId::of::<T>() == TypeId::of::<()>();
        match json.trim_ascii() {
            b"" | b"\"\"" if is_unit => serde_json::from_slice(b"null"),
            json => serde_json::from_slice(json),
        }
    }
}

/// JSON text that was written once and is handed on as it is. Clones share the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Bytes);

/// How the bytes of a stored payload are to be read; room for encryption and for references.
const RAW_JSON: u8 = 0;

/// Within JSON as the JSON it is, elsewhere as an encoding byte and bytes.
impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return (RAW_JSON, &self.0).serialize(serializer);
        }
        let json: &RawValue =
            serde_json::from_slice(&self.0).map_err(<S::Error as serde::ser::Error>::custom)?;
        json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return match <(u8, Bytes)>::deserialize(deserializer)? {
                (RAW_JSON, json) => Ok(Self(json)),
                (encoding, _) => Err(D::Error::custom(format!(
                    "payload of unknown encoding {encoding}"
                ))),
            };
        }
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(String::from(Box::<str>::from(json)).into()))
    }
}

impl Payload {
    /// JSON `null`.
    pub(crate) const NULL: Self = Self(Bytes::from_static(b"null"));

    /// Writes a value as JSON.
    ///
    /// # Errors
    ///
    /// What serde says, for example of a map whose keys are not text.
    pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_vec(value).map(|json| Self(json.into()))
    }

    /// Reads a value.
    ///
    /// # Errors
    ///
    /// What serde says of the JSON.
    pub fn decode<T: Wire>(&self) -> Result<T, serde_json::Error> {
        T::from_payload(self)
    }

    /// JSON text from outside.
    ///
    /// # Errors
    ///
    /// If it is not well-formed JSON in UTF-8. Nothing at all is taken for `null`.
    pub(crate) fn from_json(json: impl Into<Bytes>) -> Result<Self, serde_json::Error> {
        let json = json.into();
        if json.trim_ascii().is_empty() {
            return Ok(Self::NULL);
        }
        // A value that is skipped is not looked at for UTF-8, so that is done first.
        let text = std::str::from_utf8(&json).map_err(serde::de::Error::custom)?;
        serde_json::from_str::<serde::de::IgnoredAny>(text)?;
        Ok(Self(json))
    }

    /// The JSON text as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The JSON text.
    pub fn json(&self) -> &str {
        // What was written as JSON is text.
        self.as_str().unwrap_or("null")
    }

    /// The JSON text; `None` only of bytes that are not UTF-8, which no constructor lets in.
    pub(crate) fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// How many bytes the JSON text has.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 200;
        match self.0.get(..SHOWN) {
            Some(start) => write!(
                f,
                "{}… ({} bytes)",
                String::from_utf8_lossy(start),
                self.0.len()
            ),
            None => f.write_str(&String::from_utf8_lossy(&self.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_accepts_null_nothing_and_the_empty_string() {
        for json in ["null", "", "\"\"", " \n"] {
            let payload = Payload(Bytes::from(json));
            assert!(payload.decode::<()>().is_ok(), "{json:?}");
        }
        assert!(Payload(Bytes::from("1")).decode::<()>().is_err());
    }

    #[test]
    fn stored_it_says_how_it_is_encoded() {
        let payload = Payload::encode(&[1, 2]).expect("JSON");
        let stored = postcard::to_stdvec(&payload).expect("encodes");
        assert_eq!(stored, b"\x00\x05[1,2]");
        assert_eq!(postcard::from_bytes(&stored), Ok(payload));
        assert!(postcard::from_bytes::<Payload>(b"\x01\x05[1,2]").is_err());
    }

    #[test]
    fn within_json_it_is_json() {
        let payload = Payload::encode(&[1, 2]).expect("JSON");
        let json = serde_json::to_string(&(&payload, 3)).expect("JSON");
        assert_eq!(json, "[[1,2],3]");
        assert_eq!(serde_json::from_str(&json).ok(), Some((payload, 3)));
    }

    #[test]
    fn json_from_outside_is_checked_and_kept_as_it_is() {
        let payload = Payload::from_json("{\"b\": 1, \"a\":2}").expect("well-formed");
        assert_eq!(payload.as_bytes(), b"{\"b\": 1, \"a\":2}");
        assert_eq!(Payload::from_json("").ok(), Some(Payload::NULL));
        assert!(Payload::from_json("{").is_err());
        assert!(Payload::from_json(vec![0xff, 0xfe]).is_err());
        assert!(Payload::from_json(&b"\"\xff\""[..]).is_err());
    }
}
