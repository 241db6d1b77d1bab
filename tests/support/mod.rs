//! The harness.
//!
//! A case is written as
//! ```ignore
//! pub fn trials() -> Vec<Trial> {
//!     let mut trials = for_each_user("run::exit_code", |t| {          // two trials: …::sub and …::nosub
//!         let image = t.busybox()?;                                      // loaded into this trial's own store
//!         rpod!(t, "run", "--rm", image, "sh", "-c", "exit 7").run().code(7);
//!         Ok(())
//!     });
//!     trials.push(trial("pull::tls", User::Sub, |t| {
//!         need([Need::Openssl])?;                                        // else: ignored, with the reason
//!         …
//!     }));
//!     trials
//! }
//! ```
//! Assertions are `assert!` or the methods of [`Output`]; `?` works on any error. After the body the harness removes the
//! trial's containers and fails the trial if a process, mount or temporary file of it is left.

mod cache;
mod client_host;
mod command;
pub mod corpus;
mod debian;
mod dns;
mod docker_registry;
mod fake_registry;
mod http;
mod image;
mod need;
mod peer;
mod probe;
mod pty;
mod sandbox;
mod tarball;
mod token_server;
mod trial;
mod upload_server;
mod user;

pub use client_host::ClientHost;
pub use command::{Output, Running};
pub use debian::{DEBIAN, debian_is_missing};
pub use dns::DnsServer;
pub use docker_registry::{PASSWORD, Registry, USERNAME};
pub use fake_registry::{FakeRegistry, index_of};
pub use http::{Request, Response, Server, free_port, free_ports, request};
pub use image::{BUSYBOX, Compression, Image, Layer, Manifest, busybox_archive, gzip, sha256};
pub use libtest_mimic::Trial;
pub use need::{Need, need};
pub use peer::Peer;
pub use probe::{probe, run_as_probe};
pub use sandbox::Sandbox;
pub use tarball::Tarball;
pub use token_server::{IDENTITY, TokenServer};
pub use trial::{Outcome, Stop, for_each_user, serial_trial, skip, trial, until, wait_until};
pub use upload_server::UploadServer;
pub use user::{User, is_root};

/// `rpod!(t, "run", "--rm", image, …)`: arguments of any string or path type.
macro_rules! rpod {
    ($t:expr, $($arg:expr),+ $(,)?) => { $t.rpod([$(std::ffi::OsString::from($arg)),+]) };
}
pub(crate) use rpod;

/// Before the first trial.
pub fn start() {
    trial::keep_panic_messages();
    cache::remove_stale_runs();
    // While there is one thread: a child forked during the copy would hold it open for writing (ETXTBSY).
    cache::binary();
    probe::probe();
}

/// After the last trial: ends the shared registries and removes this run's directory.
pub fn end() {
    docker_registry::stop_all();
    cache::remove_this_run();
}
