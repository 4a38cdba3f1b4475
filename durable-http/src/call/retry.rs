//! When an answer is a failed attempt, and what follows.

use std::time::Duration;

use durable_core::RetryPolicy;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::timespan;

/// Which answers are tried again, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RetryOptions {
    /// Of the call; not in what is recorded as its input.
    pub(super) policy: Option<RetryPolicy>,
    /// Empty: every one from 400.
    pub(super) statuses: Vec<u16>,
}

impl RetryOptions {
    pub(super) fn covers(&self, status: u16) -> bool {
        if self.statuses.is_empty() {
            status >= 400
        } else {
            self.statuses.contains(&status)
        }
    }
}

/// The options as they are written down.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default, with = "timespan", skip_serializing_if = "Option::is_none")]
    first_retry_interval: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_number_of_attempts: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backoff_coefficient: Option<f64>,
    #[serde(default, with = "timespan", skip_serializing_if = "Option::is_none")]
    max_retry_interval: Option<Duration>,
    #[serde(default, with = "timespan", skip_serializing_if = "Option::is_none")]
    retry_timeout: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jitter: Option<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    status_codes_to_retry: Vec<u16>,
}

/// A policy, taken apart: it is written and read as these.
#[derive(Serialize, Deserialize)]
struct Parts {
    max_attempts: u32,
    first_interval: Duration,
    backoff_coefficient: f64,
    max_interval: Option<Duration>,
    jitter: f64,
    retry_timeout: Option<Duration>,
}

fn parts(policy: &RetryPolicy) -> Result<Parts, serde_json::Error> {
    fn read<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, serde_json::Error> {
        serde_json::from_value(value)
    }
    serde_json::to_value(policy).and_then(read)
}

impl Serialize for RetryOptions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parts = self.policy.as_ref().map(parts).transpose();
        let parts = parts.map_err(<S::Error as serde::ser::Error>::custom)?;
        let parts = parts.as_ref();
        let written = Written {
            first_retry_interval: parts.map(|parts| parts.first_interval),
            max_number_of_attempts: parts.map(|parts| parts.max_attempts),
            backoff_coefficient: parts.map(|parts| parts.backoff_coefficient),
            max_retry_interval: parts.and_then(|parts| parts.max_interval),
            retry_timeout: parts.and_then(|parts| parts.retry_timeout),
            jitter: parts
                .map(|parts| parts.jitter)
                .filter(|jitter| *jitter > 0.0),
            status_codes_to_retry: self.statuses.clone(),
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RetryOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let statuses = written.status_codes_to_retry;
        let policy = match (written.first_retry_interval, written.max_number_of_attempts) {
            (Some(interval), Some(attempts)) => {
                let coefficient = written.backoff_coefficient.unwrap_or(1.0);
                let policy = RetryPolicy::fixed(attempts, interval)
                    .backoff_coefficient(coefficient)
                    .jitter(written.jitter.unwrap_or(0.0));
                let policy = match written.max_retry_interval {
                    Some(interval) => policy.max_interval(interval),
                    None => policy,
                };
                Some(match written.retry_timeout {
                    Some(timeout) => policy.retry_timeout(timeout),
                    None => policy,
                })
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                let message = "firstRetryInterval and maxNumberOfAttempts belong together";
                return Err(D::Error::custom(message));
            }
        };
        Ok(Self { policy, statuses })
    }
}
