//! Containers as users know them: records on disk, names, and what can be done with them.
//!
//! ```text
//! host/containers/<id>/       record.json config.json state.json hosts resolv.conf hostname; upper/ work/ ctr.log
//! runtime/containers/<id>/    monitor.lock attach; with --rm also record.json … hostname, so that they cost no flush
//! host/names/<name>           symbolic link to the id: taking a name is one atomic symlink(2)
//! ```
//!
//! A container exists while its `record.json` does; removing that file is what removes it, everything else is litter
//! that the next sweep clears. Whoever creates, starts, removes or is the monitor of a container holds `monitor.lock`.
//!
//! ```text
//! options   typed values of what was asked for        resolve   … with the image and this host → spec::Settings
//! create    id, name, record                          start     record → monitor::Launch
//! joining   namespaces of others                         shared_shm  … and their /dev/shm
//! store     finding and listing                       repair    what killed processes left
//! volumes   directories that outlive containers           processes what runs inside: top, stats
//! borrowed  … of other containers      overlays  directories that a start empties      owners  `U` of mounts
//! ```

pub(crate) mod asked;
pub(crate) mod attached;
mod borrowed;
pub(crate) mod bridges;
pub(crate) mod cdi;
pub(crate) mod cleanup;
pub(crate) mod create;
pub(crate) mod damaged;
pub(crate) mod duplicate;
pub(crate) mod elsewhere;
pub(crate) mod exec;
pub(crate) mod files;
pub(crate) mod filter;
mod halt;
pub(crate) mod health;
mod ids;
mod image_mounts;
pub(crate) mod inspect;
mod joining;
pub(crate) mod lifecycle;
pub(crate) mod links;
pub(crate) mod logout;
pub(crate) mod make;
pub(crate) mod namefiles;
pub(crate) mod options;
mod overlays;
mod own_volumes;
mod owners;
pub(crate) mod pause;
pub(crate) mod ports;
pub(crate) mod preserved;
mod processes;
pub(crate) mod prune;
pub(crate) mod record;
mod relay;
pub(crate) mod remove;
pub(crate) mod rename;
pub(crate) mod repair;
pub(crate) mod requires;
pub(crate) mod resolve;
mod secrets;
pub(crate) mod select;
pub(crate) mod session;
mod shared_shm;
pub(crate) mod start;
pub(crate) mod stats;
pub(crate) mod step;
pub(crate) mod store;
pub(crate) mod top;
pub(crate) mod update;
pub(crate) mod volumes;
