//! The per-container parent: log, exit code, attach socket, network helper, clean-up.
//!
//! ```text
//! rpod run ── fork ──▶ monitor (setsid, holds monitor.lock)
//!    │                    ├─ init of the container (dies with the monitor)
//!    │  SOCK_SEQPACKET    ├─ network helper, port forwarder (die with the monitor, are started again when they end)
//!    └── client ◀────────▶│  poll: output → log, clients; clients → input, signals, window size
//!  rpod attach ◀─────────▶│
//!                         ├─ at the program's end: state.json, perhaps a wait and the next start (--restart)
//!                         └─ at its own end: the lock's exit code, --rm
//! ```
//!
//! The monitor is what a detached container costs, so it has one thread and gives back the memory of its start.

pub(crate) mod client;
mod clients;
mod connection;
pub(crate) mod detach;
pub(crate) mod health;
mod held;
pub(crate) mod home;
mod input;
mod launch;
mod life;
pub(crate) mod log;
pub(crate) mod notify;
mod pause;
pub(crate) mod place;
pub(crate) mod protocol;
pub(crate) mod restart;
mod serve;
mod start;
pub(crate) mod state;
mod terms;

pub(crate) use launch::{Fresh, Launch, Removal, launch};
pub(crate) use terms::{Changed, Terms};

/// How a monitor's process is called.
const MONITOR: &std::ffi::CStr = c"rpod-monitor";
