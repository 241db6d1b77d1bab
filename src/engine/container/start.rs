//! Starting a container that exists: its files become a plan for the monitor.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use oci_spec::runtime::Spec;

use super::record::Config;
use super::store::Container;
use super::{lifecycle, store};
use super::{namefiles, remove};
use crate::error::{Error, Kind, Result};
use crate::monitor::client::Client;
use crate::monitor::state::State;
use crate::monitor::{self, Fresh, Launch};
use crate::network::helper;
use crate::network::mode::Mode;
use crate::runtime::{Join, Rootfs};
use crate::spec::seccomp;
use crate::state::events;
use crate::state::lock::Lock;
use crate::state::paths::Dirs;
use crate::storage::RootfsPlan;
use crate::sys::seccomp::Filter;
use crate::sys::tty::Size;

/// How the Spec names a namespace of another container.
const CONTAINER: &str = "container:";

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
    let (spec, join) = join(dirs, config)?;
    let fresh = |join| -> Result<Fresh> {
        let network = helper::prepare(&config.network)?;
        namefiles::write(&container.place.record, record, &config.names, network.facts())?;
        Ok(Fresh { rootfs: rootfs(container, &config.rootfs), join, network })
    };
    let first = fresh(join)?;
    let renew = || fresh(self::join(dirs, config)?.1);
    let seccomp = seccomp(&config.spec)?;
    let remove = |lock: &Lock| remove::remove_locked(dirs, container, true, lock);
    monitor::launch(Launch {
        place: &container.place,
        lock,
        spec: &spec,
        maps: config.maps.as_ref(),
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
        state: State::load(&container.place.record),
        remove: if record.rm { Some(&remove) } else { None },
        restart: record.restart,
        renew: &renew,
        timeout: (config.timeout > 0).then(|| Duration::from_secs(config.timeout.into())),
        events: events::directory(dirs),
        named: record.named(),
    })
}

pub(super) fn seccomp(spec: &Spec) -> Result<Option<Filter>> {
    let rules = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let filter = |rules| Ok(Filter { program: seccomp::compile(rules)?, flags: seccomp::flags(rules) });
    rules.map(filter).transpose()
}

/// `--network container:ID`: the other's namespaces as they are now, instead of the words for them in the Spec.
fn join<'c>(dirs: &Dirs, config: &'c Config) -> Result<(Cow<'c, Spec>, Vec<Join>)> {
    let Mode::Container(name) = &config.network else { return Ok((Cow::Borrowed(&config.spec), Vec::new())) };
    let other = store::find(dirs, name)?;
    let Some(pidfd) = lifecycle::init(&other.state(dirs)?) else {
        return Err(Error::new(format!("cannot join the network of container {name}: it does not run"))
            .with_kind(Kind::Conflict)
            .hint(format!("start it first: rpod start {name}")));
    };
    let mut spec = config.spec.clone();
    if let Some(linux) = spec.linux_mut() {
        let other =
            |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| path.to_string_lossy().starts_with(CONTAINER));
        let own = linux.namespaces().iter().flatten().filter(|namespace| !other(namespace.path())).cloned().collect();
        linux.set_namespaces(Some(own));
    }
    Ok((Cow::Owned(spec), vec![Join { fd: pidfd, kinds: libc::CLONE_NEWUSER | libc::CLONE_NEWNET }]))
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
