//! Inputs of clients that write JSON twice.

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// An input, or the data of an event, of a client that may have written its JSON twice: taken as it is,
/// or, if it is a text that holds the JSON of a `T`, as that.
///
/// The Python SDK of Durable Functions is such a client: its input `{"cents": 42}` arrives as the
/// JSON string `"{\"cents\": 42}"`. The status shows what has arrived.
///
/// ```
/// use durable_core::{OrchestrationContext, orchestrator};
/// use durable_http::Lenient;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Order { cents: u64 }
///
/// #[orchestrator]
/// async fn fulfil(_ctx: OrchestrationContext, Lenient(order): Lenient<Order>) -> u64 {
///     order.cents
/// }
///
/// for json in [r#"{"cents": 42}"#, r#""{\"cents\": 42}""#] {
///     let Lenient(order): Lenient<Order> = serde_json::from_str(json)?;
///     assert_eq!(order.cents, 42);
/// }
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Lenient<T>(pub T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        let written_once = serde_json::from_str(json.get());
        let read = written_once.or_else(|error| {
            let text: String = serde_json::from_str(json.get()).map_err(|_| error)?;
            serde_json::from_str(&text)
        });
        read.map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read<T: DeserializeOwned>(json: &str) -> Result<T, String> {
        let read = serde_json::from_str::<Lenient<T>>(json);
        read.map(|Lenient(value)| value)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_was_written_twice_is_read_as_what_was_meant() {
        assert_eq!(read::<u32>("5"), Ok(5));
        assert_eq!(read::<u32>("\"5\""), Ok(5));
        assert_eq!(read::<Option<u32>>("\"null\""), Ok(None));
        let object = BTreeMap::from([("a".to_owned(), vec![1, 2])]);
        assert_eq!(read("\"{\\\"a\\\": [1, 2]}\""), Ok(object.clone()));
        assert_eq!(read("{\"a\": [1, 2]}"), Ok(object));
        // A text is what it is.
        assert_eq!(read::<String>("\"5\""), Ok("5".to_owned()));
        assert_eq!(read::<String>("\"\\\"5\\\"\""), Ok("\"5\"".to_owned()));
    }

    #[test]
    fn what_is_neither_is_an_error_that_says_why() {
        for (json, why) in [
            ("{}", "expected u32"),
            ("\"x\"", "expected value"),
            ("\"-1\"", "expected u32"),
            ("\"\\\"5\\\"\"", "expected u32"),
        ] {
            let error = read::<u32>(json).expect_err(json);
            assert!(error.contains(why), "{json}: {error}");
        }
    }

    #[test]
    fn it_is_written_once() {
        assert_eq!(
            serde_json::to_string(&Lenient(vec![1])).expect("JSON"),
            "[1]"
        );
    }
}
