//! Starting a container that exists: its files become a plan for the monitor.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use oci_spec::runtime::Spec;

use super::record::{Config, Root};
use super::store::Container;
use super::{namefiles, remove};
use crate::error::{Context, Error, Kind, Result};
use crate::monitor::client::Client;
use crate::monitor::state::{State, Status};
use crate::monitor::{self, Launch};
use crate::network::helper;
use crate::runtime::Rootfs;
use crate::spec::seccomp;
use crate::state::lock::Lock;
use crate::state::paths::{Dirs, create_private};
use crate::storage::Store;
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
        if container.state(dirs)?.status == Status::Running {
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
    store: &Store,
    container: &Container,
    config: &Config,
    lock: Lock,
    size: Option<Size>,
) -> Result<Client> {
    let record = &container.record;
    let network = helper::prepare(&config.network)?;
    namefiles::write(&container.place.record, record, &config.names, network.facts())?;
    let seccomp = seccomp(&config.spec)?;
    let remove = |lock: &Lock| remove::remove_locked(dirs, container, lock);
    monitor::launch(Launch {
        place: &container.place,
        lock,
        spec: &config.spec,
        maps: config.maps.as_ref(),
        rootfs: rootfs(store, container, config)?,
        init: config.init,
        join: Vec::new(),
        seccomp: seccomp.as_ref(),
        cgroup: None,
        network: Some(network),
        ports: &record.ports,
        terminal: record.tty.then(|| size.unwrap_or(UNSEEN)),
        interactive: record.interactive,
        log: &config.log,
        stop_signal: record.stop_signal,
        state: State::load(&container.place.record),
        remove: if record.rm { Some(&remove) } else { None },
    })
}

fn seccomp(spec: &Spec) -> Result<Option<Filter>> {
    let rules = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let filter = |rules| Ok(Filter { program: seccomp::compile(rules)?, flags: seccomp::flags(rules) });
    rules.map(filter).transpose()
}

fn rootfs(store: &Store, container: &Container, config: &Config) -> Result<Rootfs> {
    let lower = match &config.root {
        Root::Directory(path) => return Ok(Rootfs::Directory { path: path.clone() }),
        Root::Overlay(path) => vec![path.clone()],
        Root::Image => store.layers(&container.record.layers)?.iter().rev().map(|layer| layer.diff()).collect(),
    };
    let own = |name: &str| -> Result<PathBuf> {
        let dir = container.place.disk.join(name);
        create_private(&dir)?;
        Ok(dir)
    };
    let (upper, work) = (own("upper")?, own("work")?);
    // The root directory of an overlay has the mode of the upper one; nobody but us gets to it from outside.
    std::fs::set_permissions(&upper, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .context(|| format!("cannot change the mode of {}", upper.display()))?;
    Ok(Rootfs::Overlay { lower, upper, work, volatile: container.record.rm })
}
