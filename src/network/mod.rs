//! User-mode networks of containers: modes, helpers, published ports, name files.
//!
//! ```text
//! mode     --network as typed → Mode (pure)
//! ports    -p as typed → PortMapping (pure)
//! helper   slirp4netns | pasta: found, started, watched; ends with the monitor
//! forward  published ports: host listener → connection made inside the namespace, client's address kept
//! bridge   networks as objects; keeper: their bridges at work; dns, overlay, egress: names, other hosts, what may leave
//! files    what /etc/resolv.conf and /etc/hosts of the container say (pure)
//! ```

pub(crate) mod bridge;
pub(crate) mod dns;
pub(crate) mod egress;
pub(crate) mod files;
pub(crate) mod forward;
pub(crate) mod helper;
pub(crate) mod keeper;
pub(crate) mod mode;
pub(crate) mod overlay;
mod pasta_options;
pub(crate) mod ports;
#[cfg(test)]
pub(crate) mod scenarios;
pub(crate) mod subnet;
