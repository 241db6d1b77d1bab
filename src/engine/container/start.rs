//! Starting a container that exists: its files become a plan for the monitor.

use std::borrow::Cow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci_spec::runtime::{MountBuilder, Spec};

use super::halt::revives;
use super::preserved::Preserved;
use super::record::Config;
use super::store::{self, Container};
use super::{bridges, joining, namefiles, overlays, own_volumes, owners, preserved, remove, secrets, shared_shm};
use crate::error::{Context, Error, Kind, Result};
use crate::monitor::client::Client;
use crate::monitor::notify::{self, Manager};
use crate::monitor::state::{State, Status};
use crate::monitor::{self, Changed, Fresh, Launch, Removal, Terms};
use crate::network::helper;
use crate::network::keeper::order::Order;
use crate::network::mode::Mode;
use crate::runtime::Rootfs;
use crate::spec::seccomp;
use crate::state::events;
use crate::state::lock::Lock;
use crate::state::paths::{Dirs, create_private};
use crate::storage::{RootfsPlan, mount_points};
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

/// Has the container run, if it does not: starts it, or lets the program go that waits since `init`. The client hears
/// `Started`.
pub(crate) fn up(dirs: &Dirs, container: &Container, audience: Audience) -> Result<Option<Client>> {
    if let Some(lock) = claim(dirs, container)? {
        return start(dirs, container, &container.config()?, lock, audience).map(Some);
    }
    if container.state(dirs)?.status != Status::Initialized {
        return Ok(None);
    }
    let client = Client::connect(&container.place)?;
    client.go()?;
    if audience.attached {
        crate::engine::events::container(dirs, "attach", &container.record);
    }
    Ok(Some(client))
}

/// Starts the container; its monitor holds the lock from now on.
pub(crate) fn start(
    dirs: &Dirs,
    container: &Container,
    config: &Config,
    lock: Lock,
    audience: Audience,
) -> Result<Client> {
    start_with(dirs, container, config, lock, audience, &preserved::at_start(None, &[])?)
}

/// [`start`] of a program that gets more than its standard streams.
pub(crate) fn start_with(
    dirs: &Dirs,
    container: &Container,
    config: &Config,
    lock: Lock,
    audience: Audience,
    preserved: &Preserved,
) -> Result<Client> {
    let notify = Manager::of_environment(config.sdnotify);
    launch(dirs, container, config, lock, How { audience, notify, held: false, preserved })
}

/// Makes everything that the container needs and leaves its program waiting for [`up`].
pub(crate) fn init(dirs: &Dirs, container: &Container, lock: Lock) -> Result<Client> {
    launch(
        dirs,
        container,
        &container.config()?,
        lock,
        How { audience: Audience::default(), notify: None, held: true, preserved: &Preserved::default() },
    )
}

/// Who sees a start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Audience {
    /// Of the terminal that the program will be seen on.
    pub size: Option<Size>,
    /// The caller stays connected.
    pub attached: bool,
}

/// What is particular about one start.
struct How<'a> {
    audience: Audience,
    notify: Option<Manager>,
    held: bool,
    preserved: &'a Preserved,
}

fn launch(dirs: &Dirs, container: &Container, config: &Config, lock: Lock, how: How<'_>) -> Result<Client> {
    let How { audience, notify, held, preserved } = how;
    let record = &container.record;
    if let Some(why) = &config.unresolved {
        return Err(Error::new(why.clone()).with_kind(Kind::CannotInvoke));
    }
    let (spec, join) = joining::at_start(dirs, &config.spec)?;
    let spec = secrets::at_start(dirs, &config.secret_variables, spec)?;
    let fresh = |join| -> Result<Fresh> {
        owners::change(config)?;
        overlays::renew(&container.place.disk, config)?;
        let network = match &config.network {
            Mode::Bridge(endpoints) => bridges::prepare(dirs, container, config, endpoints)?,
            other => helper::prepare(other)?,
        };
        let shared = match &config.network {
            Mode::Container(name) => Some(store::find(dirs, name)?.place.record),
            _ => None,
        };
        namefiles::write(&container.place.record, record, &config.names, network.facts(), shared.as_deref())?;
        let shm = shared_shm::at_start(dirs, &config.spec)?;
        Ok(Fresh { rootfs: rootfs(dirs, container, config)?, shm, join, network })
    };
    let spec = match &notify {
        Some(manager) if manager.mode == notify::Mode::Container => Cow::Owned(with_notify(&spec, container)?),
        _ => spec,
    };
    let spec = preserved.announce(spec);
    let inherited = config.log.driver.passes_through().then(inherited).transpose()?;
    let first = fresh(join)?;
    let renew = || fresh(joining::at_start(dirs, &config.spec)?.1);
    let seccomp = seccomp(&config.spec)?;
    let events = events::directory(dirs);
    let forget = |lock: &Lock, code| {
        remove::forget(dirs, container, lock, code)?;
        own_volumes::remove_of(dirs, container)
    };
    let clear = |lock: &Lock| remove::clear(&container.place, lock);
    let reload = || {
        let (record, config) = (container.reread()?, container.config()?);
        let resources = config.spec.linux().as_ref().and_then(|linux| linux.resources().clone());
        let facts = Order::load(&container.place.runtime)?.map(|order| helper::facts_on_bridges(&order));
        Ok(Changed { name: record.name, restart: record.restart, health: config.health, resources, facts })
    };
    monitor::launch(Launch {
        place: &container.place,
        lock,
        spec: &spec,
        maps: config.maps.as_ref().filter(|_| !joining::has_joined(&config.spec)),
        ids: config.maps.as_ref(),
        rootfs: first.rootfs,
        shm: first.shm,
        init: config.init,
        crun: config.runtime.as_deref(),
        join: first.join,
        seccomp: seccomp.as_ref(),
        cgroup: &config.cgroups,
        network: Some(first.network),
        ports: Cow::Borrowed(&record.ports),
        terminal: record.tty.then(|| audience.size.unwrap_or(UNSEEN)),
        interactive: record.interactive,
        log: &config.log,
        stop_signal: record.stop_signal,
        pidfiles: [&config.asked.pidfile, &config.asked.conmon_pidfile]
            .map(|path| (!path.is_empty()).then_some(Path::new(path))),
        state: State::load(&container.place.record),
        removal: record.rm.then_some(Removal { forget: &forget, clear: &clear }),
        renew: &renew,
        timeout: (config.timeout > 0).then(|| Duration::from_secs(config.timeout.into())),
        events: &events,
        terms: Terms {
            named: record.named(),
            restart: record.restart,
            health: config.health.as_ref(),
            resources: None,
        },
        reload: &reload,
        attached: audience.attached,
        held,
        notify,
        inherited,
        given: &preserved.given,
        stop_timeout: Duration::from_secs(record.stop_timeout.into()),
    })
}

/// Copies of this command's standard streams.
fn inherited() -> Result<[OwnedFd; 3]> {
    let copy = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().context(|| "cannot pass a standard stream on");
    Ok([copy(std::io::stdin().as_fd())?, copy(std::io::stdout().as_fd())?, copy(std::io::stderr().as_fd())?])
}

/// The Spec with a socket on which the program says that it is ready.
fn with_notify(spec: &Spec, container: &Container) -> Result<Spec> {
    let directory = notify::directory(&container.place);
    create_private(&directory)?;
    // The program may be another user than root.
    let what = || format!("cannot open {} to the container", directory.display());
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755)).context(what)?;
    let mut spec = spec.clone();
    let mount = MountBuilder::default()
        .destination(notify::DIRECTORY)
        .typ("bind")
        .source(directory)
        .options(["bind", "rprivate"].map(str::to_owned))
        .build()
        .context(|| "cannot plan the mount of the notify socket")?;
    spec.set_mounts(Some(spec.mounts().iter().flatten().cloned().chain([mount]).collect()));
    if let Some(process) = spec.process_mut() {
        let variable = format!("NOTIFY_SOCKET={}", notify::SOCKET);
        process.set_env(Some(process.env().iter().flatten().cloned().chain([variable]).collect()));
    }
    Ok(spec)
}

pub(super) fn seccomp(spec: &Spec) -> Result<Option<Filter>> {
    let rules = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let filter = |rules| Ok(Filter { program: seccomp::compile(rules)?, flags: seccomp::flags(rules) });
    rules.map(filter).transpose()
}

/// Whether all that [`mount_points::layer`] has is mounted upon, and belongs to the container's root.
fn has_mount_points(config: &Config) -> bool {
    let names = &config.names;
    let whole = !names.no_hosts && !names.no_hostname && !names.unmanaged_dns;
    // A tmpfs over /run takes the mode of what it covers.
    let writable = !config.spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false);
    let root = config.maps.as_ref().and_then(|maps| Some((maps.host_uid(0)?, maps.host_gid(0)?)));
    whole && writable && root == Some((rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()))
}

/// What was planned at creation, for the runtime.
fn rootfs(dirs: &Dirs, container: &Container, config: &Config) -> Result<Rootfs> {
    let below = |mut lower: Vec<PathBuf>| -> Result<Vec<PathBuf>> {
        if has_mount_points(config) {
            lower.push(mount_points::layer(&dirs.host)?);
        }
        Ok(lower)
    };
    Ok(match config.rootfs.clone() {
        RootfsPlan::Overlay { lower, upper, work } => {
            // What was mounted so is not mounted again (overlayfs.rst, "Volatile mount").
            let volatile = container.record.rm && !revives(container);
            Rootfs::Overlay { lower: below(lower)?, upper, work, volatile }
        }
        RootfsPlan::FuseOverlayfs { lower, upper, work, program } => {
            Rootfs::FuseOverlayfs { lower: below(lower)?, upper, work, program }
        }
        RootfsPlan::Directory { path } => Rootfs::Directory { path },
    })
}
