//! The client, against a hub that is served over sockets, and against servers that say what they should not.

mod instances;
mod refusals;
mod script;
mod served;
mod until_complete;
mod waiting;
