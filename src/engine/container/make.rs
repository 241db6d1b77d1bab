//! From options to a container that exists: reserve, resolve, plan, record.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::asked::Asked;
use super::bridges;
use super::create::Reserved;
use super::ids::{self, Ids};
use super::options::life::{log_attributes, log_tag};
use super::options::surroundings::HostsBase;
use super::options::values::LogDriver;
use super::options::{HostEntry, RootSource, RunOptions};
use super::record::{Config, Mount, NameFiles, Record, Root};
use super::resolve::{self, Accounts, HostFacts, MountKind, Request, Resolved, RootFiles};
use super::store::Container;
use super::{borrowed, cdi, elsewhere, image_mounts, joining, own_volumes, requires, secrets, volumes};
use crate::engine::events;
use crate::engine::images::Image;
use crate::error::{Context, Error, Result};
use crate::monitor::restart::Policy;
use crate::monitor::{log, notify};
use crate::network::mode::Mode as Network;
use crate::network::ports::parse_exposed;
use crate::runtime::cgroup;
use crate::spec;
use crate::state::file::{self, Durability};
use crate::state::given;
use crate::state::lock::{Lock, Mode};
use crate::state::paths::{Dirs, create_private};
use crate::storage::{IdShift, LayerView, RootfsPlan, Store};
use crate::userns::IdMaps;

/// What to make, beside the options.
pub(crate) struct Order<'a> {
    pub options: RunOptions,
    /// `None` with `--rootfs`.
    pub image: Option<&'a Image>,
    pub name: Option<&'a str>,
    /// Another runtime than rpod itself.
    pub runtime: Option<PathBuf>,
    pub cidfile: Option<&'a Path>,
    pub create_command: Vec<String>,
    /// The caller waits for its end.
    pub foreground: bool,
}

/// A new container; whoever has the lock may start it.
pub(crate) struct Made {
    pub container: Container,
    pub config: Config,
    pub lock: Lock,
    pub warnings: Vec<String>,
}

/// Makes the container.
pub(crate) fn make(dirs: &Dirs, store: &Store, order: Order<'_>) -> Result<Made> {
    let mut order = order;
    let joined = joining::resolve(dirs, &mut order.options)?;
    let unshared = borrowed::add(dirs, &mut order.options)?;
    let Order { options, image, .. } = &order;
    let image = *image;
    if order.runtime.is_some() && (options.init || joined.is_some()) {
        return Err(Error::new("--runtime crun can neither share another container's namespaces nor run with --init"));
    }
    let named = cdi::Edits::of(&options.cdi)?;
    let network = bridges::settle(dirs, &options.network.mode)?;
    // From here until the record names them, nobody may take the layers away.
    let _layers = (image.is_some() || image_mounts::any(options)).then(|| store.gc_lock(Mode::Shared)).transpose()?;
    let reserved = Reserved::new(dirs, order.name, options.rm && order.foreground)?;
    let whole = IdMaps::for_user()?;
    let ids = ids::choose(dirs, store, options, image, &whole, joined.as_ref())?;
    let rootfs = rootfs(store, options, image, &reserved.place.disk, &ids.shift)?;
    let directories = rootfs.directories();
    let (images, mounted_layers) = image_mounts::prepare(store, options, &reserved.place.disk, &ids.shift)?;
    let volumes = dirs.data.join("volumes");
    let cidfile = order.cidfile.map(|path| Cidfile::write(path, &reserved.id)).transpose()?;
    let mut resolved = resolve::resolve(&Request {
        id: &reserved.id,
        options,
        image: image.map(|image| &image.config),
        files: &View(LayerView::new(&directories)?),
        host: &HostFacts::read(whole.clone())?,
        maps: ids.maps.as_ref(),
        joined: joined.as_ref().map(|joined| joined.path.as_path()),
        cdi: &named,
        images: &images,
        volumes: &volumes,
        record: &reserved.place.record,
        root: &reserved.place.disk.join("rootfs"),
    })?;
    resolved.network = network;
    resolved.settings.root = rootfs.place().to_path_buf();
    let mut warnings = [unshared, resolved.warnings.clone()].concat();
    if let Some(reason) = &whole.single {
        warnings.push(format!("one user and group id is all there is in the container: {reason}"));
    }
    let (own, mounts) = (resolved.maps.as_ref().unwrap_or(&whole), &mut resolved.settings.mounts);
    let placed = secrets::place(dirs, &reserved.place.record, &options.secrets, own, mounts)?;
    let owner = ids.outside(&resolved.settings.process.user);
    own_volumes::note(&reserved.place, &anonymous(&resolved))?;
    let made = volumes::prepare(&volumes, &resolved.volumes, &directories, &owner, &whole)?;
    made.iter().for_each(|name| events::volume(dirs, "create", name));
    write_accounts(&reserved.place.record, &resolved.accounts)?;
    let mut record = Record { mounted_layers, ..record(&reserved, &order, &resolved, &ids)? };
    let (life, log) = (options.life.clone(), options.log.clone());
    let mut config = config(order, resolved, rootfs)?;
    (config.secret_variables, config.secrets) = (placed.variables, placed.given);
    config.log.tag = log_tag(&log.tag, &record)?;
    config.log.attributes = log_attributes(&log, &record, &config);
    life.apply(image.map(|image| &image.config), &mut record, &mut config)?;
    record.requires = requires::resolve(dirs, &life.requires)?;
    elsewhere::mark(dirs, &record, &config)?;
    let (container, lock) = reserved.commit(record, &config)?;
    requires::note(dirs, &container.record, &config.spec)?;
    if let Some(cidfile) = cidfile {
        cidfile.keep();
    }
    Ok(Made { container, config, lock, warnings })
}

/// The files of the new root file system, before anything is mounted.
pub(super) struct View(pub LayerView);

impl RootFiles for View {
    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        self.0.read_file(path, limit)
    }

    fn exists(&self, path: &str) -> Result<bool> {
        self.0.exists(path)
    }
}

/// The files that are bound over the image's own.
fn write_accounts(dir: &Path, accounts: &Accounts) -> Result<()> {
    for (name, text) in [("passwd", &accounts.passwd), ("group", &accounts.group)] {
        if let Some(text) = text {
            create_private(dir)?;
            file::write(&dir.join(name), text.as_bytes(), Durability::Volatile)?;
        }
    }
    Ok(())
}

fn rootfs(
    store: &Store,
    options: &RunOptions,
    image: Option<&Image>,
    disk: &Path,
    shift: &IdShift,
) -> Result<RootfsPlan> {
    match (&options.root, image) {
        (RootSource::Directory { path, overlay: false }, _) => Ok(RootfsPlan::Directory { path: path.clone() }),
        (RootSource::Directory { path, overlay: true }, _) => above(path, disk),
        (RootSource::Image(_), Some(image)) => store.prepare_rootfs(&image.layers, disk, shift),
        (RootSource::Image(name), None) => Err(Error::new(format!("{name}: image not known"))),
    }
}

/// `--rootfs DIR:O`: changes go to a layer in `disk`.
pub(super) fn above(path: &Path, disk: &Path) -> Result<RootfsPlan> {
    let (upper, work) = (disk.join("upper"), disk.join("work"));
    create_private(&upper)?;
    create_private(&work)?;
    // The root of an overlay has the mode of its upper directory.
    std::fs::metadata(path)
        .and_then(|meta| std::fs::set_permissions(&upper, meta.permissions()))
        .context(|| format!("cannot use {} as a root file system", path.display()))?;
    Ok(RootfsPlan::Overlay { lower: vec![path.to_path_buf()], upper, work })
}

fn record(reserved: &Reserved<'_>, order: &Order<'_>, resolved: &Resolved, ids: &Ids) -> Result<Record> {
    let Order { options, image, .. } = order;
    let exposed = image.iter().flat_map(|image| image.config.config.exposed_ports.keys());
    let exposed = exposed.chain(&options.network.expose).flat_map(|port| match parse_exposed(port) {
        Ok(ports) => ports.into_iter().map(|(port, protocol)| format!("{port}/{protocol}")).collect(),
        // An image's own words.
        Err(_) => vec![port.to_owned()],
    });
    Ok(Record {
        id: reserved.id.clone(),
        name: reserved.name.clone(),
        image: match (image, &options.root) {
            (Some(image), RootSource::Image(typed)) => image.name.clone().unwrap_or_else(|| typed.clone()),
            _ => String::new(),
        },
        image_id: image.map(|image| image.id.hex()).unwrap_or_default(),
        created: Timestamp::now(),
        command: resolved.command.clone(),
        labels: resolved.labels.clone(),
        ports: resolved.ports.clone(),
        exposed: exposed.collect(),
        mounts: shown(resolved),
        network: network_name(&resolved.network),
        networks: resolved.network.networks(),
        rm: options.rm,
        tty: options.tty,
        interactive: options.interactive,
        restart: Policy::No,
        health: false,
        revives: false,
        requires: Vec::new(),
        stop_signal: resolved.stop_signal,
        stop_timeout: resolved.stop_timeout,
        layers: image.map(|image| image.layers.clone()).unwrap_or_default(),
        mounted_layers: Vec::new(),
        auto_ids: ids.auto.clone(),
        volumes: anonymous(resolved),
        cidfile: order
            .cidfile
            .map(std::path::absolute)
            .transpose()
            .context(|| "cannot find the cidfile's directory")?,
    })
}

/// The volumes that go with the container.
fn anonymous(resolved: &Resolved) -> Vec<String> {
    resolved.volumes.iter().filter(|volume| volume.anonymous).map(|volume| volume.name.clone()).collect()
}

/// Destinations in Podman's order: volumes come last.
fn shown(resolved: &Resolved) -> Vec<String> {
    let mut mounts: Vec<_> = resolved.mounts.iter().collect();
    mounts.sort_by_key(|mount| (mount.kind == MountKind::Volume, &mount.destination));
    mounts.into_iter().map(|mount| mount.destination.clone()).collect()
}

fn config(order: Order<'_>, resolved: Resolved, rootfs: RootfsPlan) -> Result<Config> {
    let options = &order.options;
    let mounts = resolved.mounts.iter().map(|mount| Mount {
        kind: mount.kind,
        name: mount.name.clone(),
        source: mount.source.clone(),
        destination: mount.destination.clone(),
        options: mount.options.clone(),
        subpath: mount.subpath.clone(),
    });
    Ok(Config {
        spec: spec::build(&resolved.settings)?,
        root: match &options.root {
            RootSource::Image(_) => Root::Image,
            RootSource::Directory { path, overlay: false } => Root::Directory(path.clone()),
            RootSource::Directory { path, overlay: true } => Root::Overlay(path.clone()),
        },
        rootfs,
        unresolved: resolved.unresolved.clone(),
        init: options.init && options.surroundings.init.is_none(),
        runtime: order.runtime,
        names: names(options, &resolved),
        log: log::Options {
            driver: match options.log.driver {
                LogDriver::K8sFile => log::Driver::K8sFile,
                LogDriver::JsonFile => log::Driver::JsonFile,
                LogDriver::Journald => log::Driver::Journald,
                LogDriver::None => log::Driver::None,
                LogDriver::Passthrough => log::Driver::Passthrough,
                LogDriver::PassthroughTty => log::Driver::PassthroughTty,
            },
            max_size: options.log.max_size,
            max_file: options.log.max_file,
            path: options.log.path.clone(),
            tag: options.log.tag.clone(),
            attributes: BTreeMap::new(),
        },
        user: match (&options.user, order.image) {
            (Some(user), _) => user.clone(),
            (None, image) => image.map(|image| image.config.config.user.clone()).unwrap_or_default(),
        },
        mounts: mounts.collect(),
        privileged: options.privileged,
        // systemd divides the container's cgroup among its services.
        cgroups: match options.cgroups.mode {
            cgroup::Mode::Needed if resolved.systemd => {
                cgroup::Wish { mode: cgroup::Mode::Enabled, ..options.cgroups.clone() }
            }
            _ => options.cgroups.clone(),
        },
        shm_size: options.shm_size,
        timeout: 0,
        sdnotify: notify::Mode::default(),
        health: None,
        create_command: order.create_command,
        secret_variables: Vec::new(),
        secrets: Vec::new(),
        image_digest: order.image.map(|image| image.manifest.to_string()).unwrap_or_default(),
        asked: Asked { sharing: options.sharing, systemd: resolved.systemd, ..options.asked.clone() },
        maps: resolved.maps,
        network: resolved.network,
        links: options.network.links.clone(),
        egress: options.network.egress.clone(),
        entrypoint: resolved.entrypoint,
    })
}

fn names(options: &RunOptions, resolved: &Resolved) -> NameFiles {
    let network = &options.network;
    NameFiles {
        hostname: resolved.hostname.clone(),
        unmanaged_dns: network.dns.unmanaged,
        dns: network.dns.servers.iter().map(ToString::to_string).collect(),
        search: network.dns.search.clone(),
        options: network.dns.options.clone(),
        added: network.add_hosts.iter().map(host_entry).collect(),
        no_hosts: network.no_hosts,
        no_hostname: network.no_hostname,
        hosts_file: match &options.surroundings.hosts {
            HostsBase::File(path) => Some(path.clone()),
            _ => None,
        },
        hosts_text: match &options.surroundings.hosts {
            HostsBase::Image => Some(resolved.image_hosts.clone()),
            HostsBase::Empty => Some(String::new()),
            _ => None,
        },
    }
}

/// As `--add-host` writes it.
pub(super) fn host_entry(entry: &HostEntry) -> String {
    let address = match entry.address {
        None => "host-gateway".to_owned(),
        Some(std::net::IpAddr::V6(ip)) => format!("[{ip}]"),
        Some(ip) => ip.to_string(),
    };
    format!("{}:{address}", entry.names.join(";"))
}

/// As `HostConfig.NetworkMode` shows it.
fn network_name(mode: &Network) -> String {
    match mode {
        Network::Private => "private".to_owned(),
        Network::None => "none".to_owned(),
        Network::Host => "host".to_owned(),
        Network::Slirp4netns(_) => "slirp4netns".to_owned(),
        Network::Pasta(_) => "pasta".to_owned(),
        Network::Bridge(_) => "bridge".to_owned(),
        Network::Container(id) => format!("container:{id}"),
        Network::Path(path) => format!("ns:{}", path.display()),
    }
}

/// `--cidfile`: must not exist, and goes again when the container is not made after all.
struct Cidfile<'a>(Option<&'a Path>);

impl<'a> Cidfile<'a> {
    fn write(path: &'a Path, id: &str) -> Result<Self> {
        use std::io::Write;
        let made = given::create_new(path).and_then(|mut file| file.write_all(id.as_bytes()));
        match made {
            Ok(()) => Ok(Self(Some(path))),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Err(Error::new(format!(
                "container id file exists. Ensure another container is not using it or delete {}",
                path.display()
            ))),
            Err(e) => Err(Error::wrap(format!("opening cidfile {}", path.display()), e)),
        }
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Cidfile<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}
