//! The guide: how things are done, chapter by chapter.

#[doc = include_str!("guide/http.md")]
#[cfg_attr(feature = "client", doc = include_str!("guide/calling.md"))]
pub mod http {}
