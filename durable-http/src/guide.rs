//! The guide: how things are done, chapter by chapter.

#[doc = include_str!("guide/http.md")]
pub mod http {}
