//! Whether a detached container outlives the login that it was started from.

use std::path::Path;

use super::store::Container;
use crate::state::paths::Dirs;
use crate::systemd::login::{self, Ending};

/// Made when the user has been told; once is enough.
const TOLD: &str = "logout-told";

/// What to tell about a container that a logout will end; `None` when it will not, or when that was told before.
pub(crate) fn warning(dirs: &Dirs, container: &Container) -> Option<String> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    // Version 2, or systemd's own hierarchy of version 1.
    let own = own.lines().find_map(|line| line.strip_prefix("0::/").or(line.strip_prefix("1:name=systemd:/")))?;
    if !own.starts_with("user.slice/") || dirs.host.join(TOLD).exists() {
        return None;
    }
    let given = container.state(dirs).ok()?.cgroup;
    let ending = login::ending(given.as_deref().and_then(Path::to_str).unwrap_or(own))?;
    // Where it cannot be remembered it is told again.
    let _ = std::fs::File::create(dirs.host.join(TOLD));
    Some(match ending {
        Ending::Session => "this container ends when you log out: logind kills what a session leaves behind \
                            (KillUserProcesses=yes in logind.conf). To keep it, start it with \
                            `systemd-run --user --scope rpod run -d …`, after `loginctl enable-linger`"
            .to_owned(),
        Ending::Manager => "this container ends with your last login session, as your service manager does. \
                            To keep it: `loginctl enable-linger`"
            .to_owned(),
    })
}
