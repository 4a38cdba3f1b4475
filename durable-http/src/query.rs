//! The query of a request, read as leniently as Durable Functions reads it.

/// Names and values, decoded; names in lower case, because they are compared without case.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(
            pairs
                .map(|(name, value)| (name.to_lowercase(), value.into_owned()))
                .collect(),
        )
    }

    /// The value of a name that is written in lower case; repeated ones are joined with `,`, and
    /// blank is as good as missing.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .0
            .iter()
            .filter(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
            .collect();
        Some(values.join(",")).filter(|value| !value.trim().is_empty())
    }

    /// A truth value in any letter case; everything else counts as not given.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        let value = self.get(name)?.trim().to_lowercase();
        value.parse().ok()
    }

    /// The query without the credential in it, written anew; empty if nothing is left.
    pub(crate) fn without_code(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in self.0.iter().filter(|(name, _)| name != "code") {
            query.append_pair(name, value);
        }
        query.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_and_values_are_decoded_once() {
        let query = Query::parse(Some("Reason=a%20b+c&REASON=%2520&code="));
        assert_eq!(query.get("reason").as_deref(), Some("a b c,%20"));
        assert_eq!(query.get("code"), None);
        assert_eq!(query.get("top"), None);
    }

    #[test]
    fn flags_are_lenient_as_in_dotnet() {
        for (text, expected) in [
            ("True", Some(true)),
            ("%20false%20", Some(false)),
            ("1", None),
            ("yes", None),
            ("", None),
        ] {
            let query = Query::parse(Some(&format!("showInput={text}")));
            assert_eq!(query.flag("showinput"), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_left_of_a_query_has_no_credential() {
        let query = Query::parse(Some("code=secret&showInput=False&CODE=x&a=%26%0a"));
        assert_eq!(query.without_code(), "showinput=False&a=%26%0A");
    }
}
