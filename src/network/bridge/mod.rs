//! Bridge networks: what they are and how they come to be.
//!
//! ```text
//! object   a network as it is stored and shown
//! endpoint  a container on it, as asked for (pure)
//! driver   what containers are connected with: cables, macvlan, ipvlan (pure)
//! define   `network create` as typed → object (pure): addresses, subnets that collide with nothing; options
//! ```

mod addresses;
pub(crate) mod define;
pub(crate) mod driver;
pub(crate) mod endpoint;
pub(crate) mod object;
mod options;
