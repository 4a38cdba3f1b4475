//! Headers as they are written down: a value, or an array of them, by name.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most headers that are sent. A map of them can only hold so many, and servers take fewer.
const MAX_SENT: usize = 100;

/// Names in lower case, each with its values in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(BTreeMap<String, Vec<String>>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Several(Vec<String>),
}

impl Fields {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, name: &str, value: String) {
        let values = self.0.entry(name.to_ascii_lowercase());
        values.or_default().push(value);
    }

    /// The first value of this name, in any letter case.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let values = self.0.get(&name.to_ascii_lowercase())?;
        values.first().map(String::as_str)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|(name, values)| {
            values
                .iter()
                .map(move |value| (name.as_str(), value.as_str()))
        })
    }

    /// As they are sent, or what is wrong with one of them.
    pub(super) fn to_headers(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        if self.iter().nth(MAX_SENT).is_some() {
            return Err(format!("there are more than {MAX_SENT} headers"));
        }
        for (name, value) in self.iter() {
            let wrong = |what| format!("the {what} of the header `{}`", name.escape_default());
            let name: HeaderName = name.parse().map_err(|_| wrong("name"))?;
            let value = HeaderValue::from_str(value).map_err(|_| wrong("value"))?;
            headers.append(name, value);
        }
        Ok(headers)
    }

    /// As they were received. What is not UTF-8 is replaced.
    pub(super) fn from_headers(headers: &HeaderMap) -> Self {
        let mut fields = Self::default();
        for (name, value) in headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            fields.add(name.as_str(), value.into_owned());
        }
        fields
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let values = |values: &'_ Vec<String>| match values.as_slice() {
            [one] => serde_json::Value::from(one.as_str()),
            several => several.iter().map(String::as_str).collect(),
        };
        serializer.collect_map(self.0.iter().map(|(name, all)| (name, values(all))))
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Option::<BTreeMap<String, Values>>::deserialize(deserializer)?;
        let mut fields = Self::default();
        for (name, values) in written.unwrap_or_default() {
            let values = match values {
                Values::One(value) => vec![value],
                Values::Several(values) => values,
            };
            for value in values {
                fields.add(&name, value);
            }
        }
        Ok(fields)
    }
}
