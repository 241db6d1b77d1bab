//! The flags of `run` and `create` → what the engine is asked for.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::cli::run::{Container, Image, Network, Process, Storage};
use crate::engine::container::options::environment::{Environment, host_variables};
use crate::engine::container::options::{NetworkOptions, Pull, RootSource, RunOptions};
use crate::engine::container::options::{limits, mounts, security, values};
use crate::error::{Error, Result};
use crate::image::platform::Platform;
use crate::network::mode::{self, Mode};
use crate::network::ports;
use crate::spec::{capabilities, defaults};
use crate::state::names;

/// How the image is come by.
#[derive(Debug, Clone)]
pub(crate) struct PullOptions {
    pub policy: Pull,
    pub quiet: bool,
    /// `None`: this machine's.
    pub platform: Option<Platform>,
}

/// Typed values of everything that describes the container. Reads the files that flags name.
pub(crate) fn run_options(args: &Container) -> Result<RunOptions> {
    let mut words = args.words.iter().map(text).collect::<Result<Vec<_>>>()?.into_iter();
    let first = words.next().filter(|word| !word.is_empty());
    let first = first.ok_or_else(|| Error::new("an image name must be specified"))?;
    if let Some(name) = &args.general.name {
        names::check(name).map_err(|e| Error::wrap("running container create option", e))?;
    }
    if let Some(policy) = args.general.restart.as_deref().filter(|policy| !matches!(*policy, "" | "no" | "never")) {
        return Err(restart(policy, args.general.rm));
    }
    let Container { general, process, storage, network, security, limits, .. } = args;
    values::user_namespace(security.userns.as_deref(), &security.uidmap, &security.gidmap)?;
    let namespace =
        |option: &str, value: &Option<String>| values::namespace(option, value.as_deref().unwrap_or_default());
    Ok(RunOptions {
        root: if storage.rootfs { values::rootfs(&first)? } else { RootSource::Image(first) },
        command: words.collect(),
        entrypoint: process.entrypoint.as_deref().map(values::entrypoint),
        tty: process.tty,
        interactive: process.interactive,
        rm: general.rm,
        init: process.init,
        environment: environment(process, &host_variables())?,
        workdir: process.workdir.clone(),
        user: process.user.clone(),
        groups: process.group_add.clone(),
        umask: process.umask.as_deref().map_or(Ok(defaults::UMASK), values::umask)?,
        hostname: network.hostname.as_deref().map(values::hostname).transpose()?,
        labels: values::labels(&general.label, &general.label_file)?,
        annotations: values::annotations(&general.annotation)?,
        stop_signal: process.stop_signal.as_deref().map(values::signal).transpose()?,
        stop_timeout: process.stop_timeout,
        mounts: mounts::requests(&storage.volume, &storage.mount, &storage.tmpfs)?,
        image_volumes: mounts::image_volumes(storage.image_volume.as_deref().unwrap_or_default())?,
        devices: storage.device.iter().map(|device| values::device(device)).collect::<Result<_>>()?,
        shm_size: shm_size(storage)?,
        read_only: storage.read_only,
        read_only_tmpfs: storage.read_only_tmpfs.unwrap_or(true),
        network: network_options(network)?,
        capabilities: capabilities::Changes::parse(&security.cap_add, &security.cap_drop)?,
        security: security::security(&security.security_opt)?,
        privileged: security.privileged,
        pid: namespace("pid", &security.pid)?,
        ipc: namespace("ipc", &security.ipc)?,
        uts: namespace("uts", &security.uts)?,
        cgroup: namespace("cgroupns", &security.cgroupns)?,
        memory: limits.memory.as_deref().map_or(Ok(None), limits::memory)?,
        cpu_quota: limits.cpus.map_or(Ok(None), limits::cpu_quota)?,
        pids: limits.pids_limit.map_or(Ok(None), limits::pids)?,
        ulimits: limits::ulimits(&limits.ulimit)?,
        sysctls: limits.sysctl.iter().map(|sysctl| limits::sysctl(sysctl)).collect::<Result<_>>()?,
        oom_score_adj: limits.oom_score_adj.map(limits::oom_score_adj).transpose()?,
        log: values::log(general.log_driver.as_deref(), &general.log_opt)?,
    })
}

/// The words of an OCI Spec are UTF-8.
fn text(word: &OsString) -> Result<String> {
    word.to_str().map(ToOwned::to_owned).ok_or_else(|| Error::new(format!("the argument {word:?} is not valid UTF-8")))
}

fn restart(policy: &str, rm: bool) -> Error {
    match policy.split(':').next().unwrap_or_default() {
        "always" | "on-failure" | "unless-stopped" if rm => {
            Error::new("the --rm option conflicts with --restart, when the restartPolicy is not \"\" and \"no\"")
        }
        "always" | "on-failure" | "unless-stopped" => {
            Error::new(format!("--restart {policy} is not supported yet: it comes later"))
        }
        _ => Error::new(format!("{policy:?} is not a valid restart policy: invalid argument")),
    }
}

fn environment(process: &Process, host: &BTreeMap<String, String>) -> Result<Environment> {
    let mut environment =
        Environment { unset: process.unsetenv.clone(), unset_all: process.unsetenv_all, ..Environment::default() };
    if process.http_proxy.unwrap_or(true) {
        environment.pass_proxy(host);
    }
    if process.env_host {
        environment.set.extend(host.clone());
    }
    for file in &process.env_file {
        environment.add_file(file, host)?;
    }
    for variable in &process.env {
        environment.add(variable, host)?;
    }
    Ok(environment)
}

fn shm_size(storage: &Storage) -> Result<u64> {
    match storage.shm_size.as_deref() {
        None | Some("") => Ok(defaults::SHM_SIZE),
        // 0: as much as a tmpfs takes by itself.
        Some(size) => values::size(size).map_err(|e| Error::wrap("unable to translate --shm-size", e)),
    }
}

fn network_options(network: &Network) -> Result<NetworkOptions> {
    let mode = match &network.network[..] {
        [] => Mode::default(),
        [one] => mode::parse(one)?,
        [_, ..] => {
            return Err(Error::new(
                "more than one --network is not supported yet: bridges and named networks come later",
            ));
        }
    };
    let add_hosts = network.add_host.iter().map(|host| values::add_host(host)).collect::<Result<Vec<_>>>()?;
    if network.no_hosts && !add_hosts.is_empty() {
        return Err(Error::new("--no-hosts and --add-host cannot be set together"));
    }
    Ok(NetworkOptions {
        mode,
        ports: ports::parse_all(&network.publish)?,
        publish_all: network.publish_all,
        expose: network.expose.clone(),
        dns: values::dns(&network.dns, &network.dns_search, &network.dns_option)?,
        add_hosts,
        no_hosts: network.no_hosts,
    })
}

/// `--pull`, `--platform`, `--arch`, `--os`, `--variant`.
pub(crate) fn pull_options(image: &Image) -> Result<PullOptions> {
    let mut platform = image.platform.as_deref().map(Platform::parse).transpose()?;
    if image.arch.is_some() || image.os.is_some() || image.variant.is_some() {
        let host = platform.take().unwrap_or_else(Platform::host);
        let (os, arch) = (image.os.as_deref().unwrap_or(&host.os), image.arch.as_deref().unwrap_or(&host.architecture));
        let variant = image.variant.as_deref().map(|v| format!("/{v}")).unwrap_or_default();
        platform = Some(Platform::parse(&format!("{os}/{arch}{variant}"))?);
    }
    let policy = image.pull.as_deref().map_or(Ok(Pull::default()), values::pull)?;
    Ok(PullOptions { policy, quiet: image.quiet, platform })
}
