//! What systemd as the container's program is given (<https://systemd.io/CONTAINER_INTERFACE>): places to write to that are
//! empty at every start, a cgroup that it may divide, a name for the machine, and its own signal for an orderly end.

use super::mounts::Plan;
use crate::engine::container::options::RunOptions;
use crate::engine::container::options::mounts::default_tmpfs_options;
use crate::engine::container::options::systemd::{Mode, Systemd};
use crate::error::{Error, Result};

/// SIGRTMIN+3: "halt" (systemd(1), Signals).
pub(super) const STOP_SIGNAL: i32 = 34 + 3;

/// The variable with the machine's id.
pub(super) const UUID: &str = "container_uuid";

/// Parents first.
const PLACES: [&str; 4] = ["/run", "/run/lock", "/tmp", "/var/log/journal"];

/// Whether the container with this program is for systemd.
pub(super) fn is_wanted(options: &RunOptions, words: &[String]) -> Result<bool> {
    if options.init && options.systemd.mode == Mode::Always {
        return Err(Error::new("cannot use container-init binary with systemd=always"));
    }
    Ok(!options.init && options.systemd.is_for(words))
}

impl Plan {
    pub(super) fn add_systemd(&mut self, systemd: Systemd) {
        for place in PLACES {
            let mut options = default_tmpfs_options();
            if systemd.size > 0 {
                options.push(format!("size={}", systemd.size));
            }
            self.push_unless_there("tmpfs", "tmpfs".as_ref(), place, options);
        }
    }
}
