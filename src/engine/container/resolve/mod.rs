//! Options, image and host → settings of the Spec, and what the container's record keeps.
//!
//! Nothing is made here: volumes are named and [`super::volumes`] makes them.

mod accounts;
mod host;
mod mounts;
mod overlay;
mod process;
mod systemd;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

pub(crate) use accounts::Accounts;
pub(crate) use host::HostFacts;
pub(crate) use mounts::{MountKind, MountRecord};
pub(crate) use overlay::{ImageMount, place as overlays};

use super::options::ipc::Sharing;
use super::options::security::Seccomp;
use super::options::surroundings::HostsBase;
use super::options::{NamespaceMode, RunOptions};
use super::volumes::VolumeUse;
use super::{cdi, joining};
use crate::error::{Error, Kind, Result};
use crate::image::config::ImageConfig;
use crate::network::mode::Mode;
use crate::network::ports::{self, PortMapping};
use crate::runtime::cgroup;
use crate::spec::capabilities::{CapSet, Capabilities};
use crate::spec::settings::{IdMapping, Identity, KEEP_GROUPS_ANNOTATION, Namespace, Namespaces, Process, Resources};
use crate::spec::user::User;
use crate::spec::{Settings, defaults, seccomp};
use crate::userns::{IdMaps, IdRange};

/// Seconds that `stop` waits when nobody says otherwise.
const STOP_TIMEOUT: u32 = 10;

/// The seconds that an image gives its containers; below zero a stop waits for ever, as in Docker.
fn patience(seconds: i64) -> u32 {
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// Files of the root file system, read without mounting it.
pub(crate) trait RootFiles {
    /// `None` when there is no such file. Links stay inside the root.
    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>>;
    fn exists(&self, path: &str) -> Result<bool>;
}

/// Everything that decides about one container.
pub(crate) struct Request<'a> {
    pub id: &'a str,
    pub options: &'a RunOptions,
    /// `None` with `--rootfs`.
    pub image: Option<&'a ImageConfig>,
    pub files: &'a dyn RootFiles,
    pub host: &'a HostFacts,
    /// The ids of the container's user namespace: of the new one, or of the one it joins, where they are known.
    pub maps: Option<&'a IdMaps>,
    /// The user namespace that it joins, in the Spec's words.
    pub joined: Option<&'a Path>,
    /// What devices by name bring.
    pub cdi: &'a cdi::Edits,
    /// What `--mount type=image` is made of.
    pub images: &'a [ImageMount],
    /// Directory of volumes (`Dirs.data/volumes`).
    pub volumes: &'a Path,
    /// The container's record directory, where `hostname`, `hosts`, `resolv.conf` and `.containerenv` are.
    pub record: &'a Path,
    /// The directory beside which overlays of volumes are kept.
    pub root: &'a Path,
}

/// What became of a [`Request`].
#[derive(Debug)]
pub(crate) struct Resolved {
    pub settings: Settings,
    /// Ids of the container's user namespace; `None` where they are not known.
    pub maps: Option<IdMaps>,
    pub accounts: Accounts,
    /// Why the program cannot run, while everything else can be done with the container.
    pub unresolved: Option<String>,
    pub volumes: Vec<VolumeUse>,
    /// For `inspect` and `ps`: volumes and bind mounts that were asked for.
    pub mounts: Vec<MountRecord>,
    pub entrypoint: Vec<String>,
    /// The words after the entrypoint.
    pub command: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// The name inside, also for /etc/hosts.
    pub hostname: String,
    /// The image's /etc/hosts, where that is what the container's begins with.
    pub image_hosts: String,
    pub network: Mode,
    pub ports: Vec<PortMapping>,
    pub stop_signal: i32,
    pub stop_timeout: u32,
    /// It is made as systemd wants it.
    pub systemd: bool,
    /// For stderr.
    pub warnings: Vec<String>,
}

/// Resolves `request`.
pub(crate) fn resolve(request: &Request<'_>) -> Result<Resolved> {
    let Request { options, host, .. } = *request;
    let mut warnings = options.ignored.clone();
    if options.cgroups.mode == cgroup::Mode::Disabled && options.resources != Resources::default() {
        return Err(
            Error::new("--cgroups=disabled leaves no cgroup to limit").hint("leave out either that or the limits")
        );
    }
    let config = request.image.map(|image| &image.config);
    options.security.check(host.selinux, host.apparmor)?;

    let mut accounts = accounts::accounts(request)?;
    let (user, unresolved) = match process::user(request, &accounts) {
        Err(e) if e.kind() == Kind::CannotInvoke => (User::default(), Some(e.to_string())),
        user => (user?, None),
    };
    accounts.complete(request, &user)?;
    let (maps, identity) = ids(request, user.identity, &mut warnings)?;
    let namespaces = namespaces(options, request.joined);
    let hostname = hostname(request, &namespaces)?;
    let all = CapSet::all(host.last_capability);
    if let Some(name) = options.capabilities.unknown_to_kernel(all) {
        return Err(Error::new(format!("this kernel does not know the capability CAP_{name}")));
    }
    let capabilities = options.capabilities.resolve(identity.uid == 0, options.privileged, all);
    let command = process::command(request)?;
    let ports =
        published(options, config.map(|c| c.exposed_ports.keys().map(String::as_str).collect()), &mut warnings)?;
    let systemd = systemd::is_wanted(options, &command.words())?;
    let plan = mounts::plan(request, &accounts, &identity, systemd)?;
    let cwd = process::workdir(request, &plan)?;
    if options.init && namespaces.pid != Namespace::New {
        return Err(Error::new("cannot add init binary as PID 1 (PID namespace isn't private)"));
    }
    let stop_signal = match (options.stop_signal, config.map(|c| c.stop_signal.as_str()).unwrap_or_default()) {
        (Some(signal), _) => signal,
        (None, "") if systemd => systemd::STOP_SIGNAL,
        (None, "") => libc::SIGTERM,
        (None, text) => super::options::values::signal(text)
            .map_err(|e| Error::wrap("cannot use the image's stop signal", e).hint("override it with --stop-signal"))?,
    };
    let masks = masks(options, &namespaces);
    let settings = Settings {
        process: Process {
            args: match options.surroundings.init.is_some() && options.init {
                true => [mounts::INIT_PROGRAM, "--"].map(str::to_owned).into_iter().chain(command.words()).collect(),
                false => command.words(),
            },
            env: process::environment(request, &user.home, &hostname, systemd)?,
            cwd,
            terminal: options.tty,
            init: options.init && options.surroundings.init.is_none(),
            user: identity,
            umask: options.umask,
            capabilities,
            rlimits: process::rlimits(options, host)?,
            no_new_privileges: options.security.no_new_privileges,
            oom_score_adj: process::oom_score_adj(options, host, &mut warnings),
        },
        root: request.root.to_path_buf(),
        read_only: options.read_only,
        hostname: (namespaces.uts == Namespace::New).then(|| hostname.clone()),
        domainname: domainname(options, &namespaces)?,
        mounts: plan.mounts,
        shm_size: options.shm_size,
        no_shm: options.sharing == Sharing::None,
        proc_options: options.security.proc_options.clone(),
        read_only_dev: options.read_only && !options.read_only_tmpfs,
        uid_map: maps.as_ref().map(|m| id_map(&m.uids)).unwrap_or_default(),
        gid_map: maps.as_ref().map(|m| id_map(&m.gids)).unwrap_or_default(),
        sysctls: sysctls(options, &namespaces, maps.as_ref())?,
        masked_paths: masks.0,
        readonly_paths: masks.1,
        writable_sys: options.privileged,
        writable_cgroup: systemd,
        seccomp: filter(request, &capabilities)?,
        resources: options.resources.clone(),
        annotations: annotations(options, stop_signal),
        hooks: request.cdi.hooks.clone(),
        namespaces,
    };
    Ok(Resolved {
        settings,
        maps,
        accounts,
        unresolved,
        image_hosts: match &options.surroundings.hosts {
            HostsBase::Image => process::account_file(request, "etc/hosts")?,
            _ => String::new(),
        },
        volumes: plan.volumes,
        mounts: plan.records,
        entrypoint: command.entrypoint,
        command: command.arguments,
        labels: labels(request),
        hostname,
        network: options.network.mode.clone(),
        ports,
        stop_signal,
        stop_timeout: options
            .stop_timeout
            .or(config.and_then(|c| c.stop_timeout).map(patience))
            .unwrap_or(STOP_TIMEOUT),
        systemd,
        warnings,
    })
}

/// The user namespace's ids, and the program's within it.
///
/// Where only one id can be mapped, that is the one the program wants to run as: an image with a USER of its own then
/// works without subordinate ids, and what it writes belongs to the person who started it.
/// `--domainname`, at most 64 bytes (setdomainname(2)).
fn domainname(options: &RunOptions, namespaces: &Namespaces) -> Result<Option<String>> {
    match &options.domainname {
        Some(name) if name.len() > 64 => Err(Error::new(format!("invalid domain name {name:?}: longer than 64 bytes"))),
        Some(_) if namespaces.uts != Namespace::New => {
            Err(Error::new("cannot set a domain name when the container has another's UTS namespace"))
        }
        name => Ok(name.clone()),
    }
}

fn ids(request: &Request<'_>, wanted: Identity, warnings: &mut Vec<String>) -> Result<(Option<IdMaps>, Identity)> {
    let Some(all) = request.maps else { return Ok((None, wanted)) };
    if request.host.maps.is_single() && request.joined.is_none() {
        let only = |ranges: &[IdRange], container| {
            ranges.first().map(|range| vec![IdRange { container, host: range.host, size: 1 }]).unwrap_or_default()
        };
        let maps =
            IdMaps { uids: only(&all.uids, wanted.uid), gids: only(&all.gids, wanted.gid), single: all.single.clone() };
        // setgroups(2) is refused there.
        if !request.options.groups.is_empty() && !request.options.keeps_groups() {
            let groups = request.options.groups.join(",");
            warnings.push(format!(
                "--group-add {groups} is left out: without subordinate ids a program has no supplementary groups"
            ));
        }
        return Ok((Some(maps), Identity { groups: Vec::new(), ..wanted }));
    }
    let unmapped = |what: &str, id: u32| {
        Error::new(format!(
            "potentially insufficient UIDs or GIDs available in user namespace: {what} {id} is not mapped"
        ))
        .with_kind(Kind::CannotInvoke)
        .hint("choose an id from the image's own range, or ask for more subordinate ids in /etc/subuid and /etc/subgid")
    };
    if all.host_uid(wanted.uid).is_none() {
        return Err(unmapped("uid", wanted.uid));
    }
    if all.host_gid(wanted.gid).is_none() {
        return Err(unmapped("gid", wanted.gid));
    }
    let (groups, lost): (Vec<u32>, Vec<u32>) = wanted.groups.iter().partition(|gid| all.host_gid(**gid).is_some());
    if !lost.is_empty() {
        warnings.push(format!("supplementary groups {lost:?} are left out: they are not in the user namespace"));
    }
    Ok((Some(all.clone()), Identity { groups, ..wanted }))
}

fn id_map(ranges: &[IdRange]) -> Vec<IdMapping> {
    ranges.iter().map(|r| IdMapping { container: r.container, host: r.host, size: r.size }).collect()
}

fn namespaces(options: &RunOptions, joined: Option<&Path>) -> Namespaces {
    let from = |mode: &NamespaceMode| match mode {
        NamespaceMode::Private => Namespace::New,
        NamespaceMode::Host => Namespace::Host,
        NamespaceMode::Container(id) => Namespace::Join(joining::of_container(id)),
        NamespaceMode::Path(path) => Namespace::Join(path.clone()),
    };
    Namespaces {
        user: joined.map_or(Namespace::New, |path| Namespace::Join(path.to_path_buf())),
        network: match &options.network.mode {
            Mode::Host => Namespace::Host,
            Mode::Path(path) => Namespace::Join(path.clone()),
            Mode::Container(id) => Namespace::Join(joining::of_container(id)),
            Mode::Private | Mode::None | Mode::Slirp4netns(_) | Mode::Pasta(_) | Mode::Bridge(_) => Namespace::New,
        },
        pid: from(&options.pid),
        ipc: from(&options.ipc),
        uts: from(&options.uts),
        cgroup: from(&options.cgroup),
    }
}

fn hostname(request: &Request<'_>, namespaces: &Namespaces) -> Result<String> {
    let host_uts = namespaces.uts == Namespace::Host;
    match &request.options.hostname {
        Some(_) if host_uts => Err(Error::new(
            "invalid config provided: cannot set hostname when running in the host UTS namespace: invalid configuration",
        )),
        Some(name) => Ok(name.clone()),
        None if host_uts || namespaces.network == Namespace::Host => Ok(request.host.hostname.clone()),
        None => Ok(crate::state::id::short(request.id).to_owned()),
    }
}

/// Published ports; those of `-P` take a free port of the host.
fn published(options: &RunOptions, exposed: Option<Vec<&str>>, warnings: &mut Vec<String>) -> Result<Vec<PortMapping>> {
    let network = &options.network;
    let connected = matches!(network.mode, Mode::Private | Mode::Slirp4netns(_) | Mode::Pasta(_) | Mode::Bridge(_));
    let dns_given =
        !network.dns.servers.is_empty() || !network.dns.search.is_empty() || !network.dns.options.is_empty();
    if dns_given && matches!(network.mode, Mode::None | Mode::Container(_)) {
        let mode = if network.mode == Mode::None { "none" } else { "container" };
        return Err(Error::new(format!("conflicting options: dns and the network mode: {mode}")));
    }
    if !network.add_hosts.is_empty() && matches!(network.mode, Mode::Container(_)) {
        return Err(Error::new(
            "invalid config provided: cannot set extra host entries when the container is joined to another containers network namespace: invalid configuration",
        ));
    }
    let asked: Vec<&str> = network.expose.iter().map(String::as_str).collect();
    for port in &asked {
        ports::parse_exposed(port)?;
    }
    if !connected {
        if !network.ports.is_empty() || network.publish_all {
            warnings.push(
                "Port mappings have been discarded as one of the Host, Container, Pod, and None network modes are in use"
                    .to_owned(),
            );
        }
        return Ok(Vec::new());
    }
    let mut mappings = network.ports.clone();
    if network.publish_all {
        let exposed: Vec<&str> = exposed.unwrap_or_default().into_iter().chain(asked).collect();
        mappings.extend(ports::publish_all(&exposed, &mappings)?);
    }
    Ok(in_order(mappings))
}

/// As Podman lists them: address by address, TCP before UDP, by the port in the container.
fn in_order(mut mappings: Vec<PortMapping>) -> Vec<PortMapping> {
    let mut addresses: Vec<Option<IpAddr>> = Vec::new();
    for mapping in &mappings {
        if !addresses.contains(&mapping.host_ip) {
            addresses.push(mapping.host_ip);
        }
    }
    mappings.sort_by_key(|mapping| {
        let address = addresses.iter().position(|address| *address == mapping.host_ip);
        (address, mapping.protocol, mapping.container_port)
    });
    mappings
}

/// Masked and read-only paths.
fn masks(options: &RunOptions, namespaces: &Namespaces) -> (Vec<String>, Vec<String>) {
    let keep = |paths: &[&str]| -> Vec<String> {
        let kept = paths.iter().filter(|path| !options.privileged && !options.security.unmask.covers(path));
        kept.map(|path| (*path).to_owned()).collect()
    };
    let mut masked = keep(&defaults::MASKED_PATHS);
    if namespaces.network != Namespace::New {
        // /sys is then the host's own mount, with debugfs and its like below.
        masked.extend(keep(&["/sys/kernel"]));
    }
    masked.extend(options.security.mask.iter().cloned());
    (masked, keep(&defaults::READONLY_PATHS))
}

fn sysctls(options: &RunOptions, namespaces: &Namespaces, maps: Option<&IdMaps>) -> Result<BTreeMap<String, String>> {
    use super::options::limits::Scope;
    let mut sysctls = BTreeMap::new();
    if namespaces.network == Namespace::New {
        // Unprivileged ping sockets for root, as Podman's containers.conf has it; the kernel wants a mapped group.
        let group = maps.and_then(|maps| maps.gids.first()).map_or(0, |first| first.container);
        sysctls.insert("net.ipv4.ping_group_range".to_owned(), format!("{group} {group}"));
    }
    for sysctl in &options.sysctls {
        let (namespace, shown) = match sysctl.scope {
            Scope::Ipc => (&namespaces.ipc, "IPC"),
            Scope::Network => (&namespaces.network, "Network"),
        };
        if *namespace == Namespace::Host {
            return Err(Error::new(format!(
                "sysctl {}={} can't be set since {shown} Namespace set to host: invalid argument",
                sysctl.name, sysctl.value
            )));
        }
        sysctls.insert(sysctl.name.clone(), sysctl.value.clone());
    }
    Ok(sysctls)
}

/// The label of an image that holds its own seccomp profile, as Podman knows it.
const SECCOMP_LABEL: &str = "io.containers.seccomp.profile";

fn filter(request: &Request<'_>, capabilities: &Capabilities) -> Result<Option<oci_spec::runtime::LinuxSeccomp>> {
    let Request { options, host, .. } = *request;
    let facts = seccomp::Host { native: seccomp::Native::HERE, kernel: host.kernel };
    let filter = match &options.security.seccomp {
        Seccomp::Unconfined => return Ok(None),
        Seccomp::Default if options.privileged => return Ok(None),
        Seccomp::Default if options.surroundings.image_seccomp => {
            let profile = request.image.and_then(|image| image.config.labels.get(SECCOMP_LABEL));
            let profile = profile.ok_or_else(|| Error::new("no seccomp policy defined by image"))?;
            seccomp::resolve(profile, capabilities.bounding, facts)?
        }
        Seccomp::Default => return seccomp::default_profile(capabilities.bounding, facts).map(Some),
        Seccomp::Profile(text) => seccomp::resolve(text, capabilities.bounding, facts)?,
    };
    // Says now what is wrong with a profile of the user's own, not when the container starts.
    seccomp::compile(&filter)?;
    Ok(Some(filter))
}

fn annotations(options: &RunOptions, stop_signal: i32) -> BTreeMap<String, String> {
    // OCI image spec, "Conversion to OCI Runtime Configuration".
    let mut annotations = BTreeMap::from([("org.opencontainers.image.stopSignal".to_owned(), stop_signal.to_string())]);
    if options.keeps_groups() {
        annotations.insert(KEEP_GROUPS_ANNOTATION.to_owned(), "1".to_owned());
    }
    annotations.extend(options.annotations.clone());
    annotations
}

/// The image's labels and those given, which win.
fn labels(request: &Request<'_>) -> BTreeMap<String, String> {
    let image = request.image.iter().flat_map(|image| image.config.labels.iter());
    let mut labels: BTreeMap<String, String> = image.map(|(k, v)| (k.to_owned(), v.clone())).collect();
    labels.extend(request.options.labels.clone());
    labels
}
