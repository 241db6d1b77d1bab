//! Bridge networks: what they are and how they come to be.
//!
//! ```text
//! object   a network as it is stored and shown
//! endpoint  a container on it, as asked for (pure)
//! driver   what containers are connected with: cables, macvlan, ipvlan (pure)
//! define   `network create` as typed → object; subnets that collide with nothing (pure)
//! ```

pub(crate) mod define;
pub(crate) mod driver;
pub(crate) mod endpoint;
pub(crate) mod object;
