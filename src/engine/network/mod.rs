//! Networks as users know them.
//!
//! ```text
//! data/networks/<name>.json   one network; the default one exists without a file
//! data/networks.lock          held while a network is made, so that no two take the same subnet
//! ```
//!
//! A network is in use by the containers whose record names it, whether they run or not.

pub(crate) mod connect;
pub(crate) mod create;
pub(crate) mod filter;
pub(crate) mod inspect;
pub(crate) mod peers;
pub(crate) mod remove;
pub(crate) mod store;
pub(crate) mod update;
pub(crate) mod users;
