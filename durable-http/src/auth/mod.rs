//! Who may do what: the first rule that matches decides.
//!
//! | # | request | answer |
//! |---|---|---|
//! | 1 | the credential is a link | bad signature or expired: 401; another instance or action: 403, without asking the hub; the instance is gone or another one: 404; else allowed |
//! | 2 | it is an admin key | allowed |
//! | 3 | it is neither, and there are admin keys | 401 |
//! | 4 | it is neither, and there is no admin key | it is ignored |
//! | 5 | the action is allowed for everyone | allowed |
//! | 6 | there is a hook | what the hook says |
//! | 7 | otherwise | 401 |
//!
//! The credential is the header `x-functions-key`, else `code` in the query.

mod actions;
mod hook;
mod keys;
mod link;
mod mac;
mod origin;
mod rules;

pub use actions::{Action, Actions};
pub(crate) use hook::Hook;
pub use hook::{Access, Verdict};
pub(crate) use keys::AdminKeys;
pub(crate) use link::{Claims, Signer};
pub(crate) use origin::{Own, is_foreign};
pub(crate) use rules::{Caller, Rules, Subject};
