//! Starting a container that exists: its files become a plan for the monitor.

use std::borrow::Cow;
use std::path::Path;
use std::time::{Duration, Instant};

use oci_spec::runtime::Spec;

use super::record::Config;
use super::store::Container;
use super::{bridges, joining, namefiles, remove};
use crate::error::{Error, Kind, Result};
use crate::monitor::client::Client;
use crate::monitor::state::State;
use crate::monitor::{self, Fresh, Launch};
use crate::network::helper;
use crate::network::mode::Mode;
use crate::runtime::Rootfs;
use crate::spec::seccomp;
use crate::state::events;
use crate::state::lock::Lock;
use crate::state::paths::Dirs;
use crate::storage::RootfsPlan;
use crate::sys::seccomp::Filter;
use crate::sys::tty::Size;

/// What a program sees that is started with a terminal while nobody looks.
const UNSEEN: Size = Size { rows: 24, columns: 80 };

/// How long `start` waits for another process that is at work on the container.
const BUSY: Duration = Duration::from_secs(10);

/// Takes the lock that starting needs; `None` when the container runs already.
pub(crate) fn claim(dirs: &Dirs, container: &Container) -> Result<Option<Lock>> {
    let deadline = Instant::now() + BUSY;
    loop {
        if container.state(dirs)?.status.is_alive() {
            return Ok(None);
        }
        if let Some(lock) = container.place.try_lock()? {
            return Ok(Some(lock));
        }
        if Instant::now() > deadline {
            return Err(Error::new(format!("container {} is being used by another process", container.id()))
                .with_kind(Kind::Conflict));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Starts the container; its monitor holds the lock from now on. `size` is that of the terminal it will be seen on.
pub(crate) fn start(
    dirs: &Dirs,
    container: &Container,
    config: &Config,
    lock: Lock,
    size: Option<Size>,
) -> Result<Client> {
    let record = &container.record;
    let (spec, join) = joining::at_start(dirs, &config.spec)?;
    let fresh = |join| -> Result<Fresh> {
        let network = match &config.network {
            Mode::Bridge(endpoints) => bridges::prepare(dirs, container, config, endpoints)?,
            other => helper::prepare(other)?,
        };
        namefiles::write(&container.place.record, record, &config.names, network.facts())?;
        Ok(Fresh { rootfs: rootfs(container, &config.rootfs), join, network })
    };
    let first = fresh(join)?;
    let renew = || fresh(joining::at_start(dirs, &config.spec)?.1);
    let seccomp = seccomp(&config.spec)?;
    let events = events::directory(dirs);
    let remove = |lock: &Lock| remove::remove_locked(dirs, container, true, lock);
    monitor::launch(Launch {
        place: &container.place,
        lock,
        spec: &spec,
        maps: config.maps.as_ref().filter(|_| !joining::has_joined(&config.spec)),
        rootfs: first.rootfs,
        init: config.init,
        crun: config.runtime.as_deref(),
        join: first.join,
        seccomp: seccomp.as_ref(),
        network: Some(first.network),
        ports: Cow::Borrowed(&record.ports),
        terminal: record.tty.then(|| size.unwrap_or(UNSEEN)),
        interactive: record.interactive,
        log: &config.log,
        stop_signal: record.stop_signal,
        pidfiles: [&config.asked.pidfile, &config.asked.conmon_pidfile]
            .map(|path| (!path.is_empty()).then_some(Path::new(path))),
        state: State::load(&container.place.record),
        remove: if record.rm { Some(&remove) } else { None },
        restart: record.restart,
        renew: &renew,
        timeout: (config.timeout > 0).then(|| Duration::from_secs(config.timeout.into())),
        events: &events,
        named: record.named(),
        health: config.health.as_ref(),
        stop_timeout: Duration::from_secs(record.stop_timeout.into()),
    })
}

pub(super) fn seccomp(spec: &Spec) -> Result<Option<Filter>> {
    let rules = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let filter = |rules| Ok(Filter { program: seccomp::compile(rules)?, flags: seccomp::flags(rules) });
    rules.map(filter).transpose()
}

/// What was planned at creation, for the runtime.
fn rootfs(container: &Container, plan: &RootfsPlan) -> Rootfs {
    match plan.clone() {
        RootfsPlan::Overlay { lower, upper, work } => {
            Rootfs::Overlay { lower, upper, work, volatile: container.record.rm }
        }
        RootfsPlan::FuseOverlayfs { lower, upper, work, program } => {
            Rootfs::FuseOverlayfs { lower, upper, work, program }
        }
        RootfsPlan::Directory { path } => Rootfs::Directory { path },
    }
}
