//! Settings → Spec, field by field.

use std::collections::HashMap;

use oci_spec::runtime as oci;

use super::capabilities::{CapSet, Capabilities};
use super::mounts;
use super::settings::{BlockDevice, INIT_ANNOTATION, IdMapping, Mount, Namespace, Namespaces, Process, Resources};
use super::settings::{Rlimit, Settings, Throttle};
use crate::error::{Context, Result};

/// The OCI runtime spec whose words are used; older versions of crun refuse later ones.
const VERSION: &str = "1.1.0";

/// The Spec that carries out `settings`.
pub(crate) fn build(settings: &Settings) -> Result<oci::Spec> {
    let mut annotations: HashMap<String, String> = settings.annotations.clone().into_iter().collect();
    if settings.process.init {
        annotations.insert(INIT_ANNOTATION.to_owned(), "TRUE".to_owned());
    }
    let mounts = mounts::all(settings);
    // Spec::default() is an example container of its own; every field of it is replaced.
    let mut spec = oci::Spec::default();
    spec.set_version(VERSION.to_owned());
    spec.set_process(Some(process(&settings.process)?));
    spec.set_root(Some(root(settings)?));
    spec.set_hostname(settings.hostname.clone());
    spec.set_domainname(settings.domainname.clone());
    let propagation = propagation(&mounts);
    spec.set_mounts(Some(mounts.into_iter().map(mount).collect::<Result<_>>()?));
    spec.set_annotations(Some(annotations).filter(|a| !a.is_empty()));
    spec.set_hooks(Some(settings.hooks.clone()).filter(|hooks| *hooks != oci::Hooks::default()));
    spec.set_linux(Some(linux(settings, propagation)?));
    Ok(spec)
}

fn process(process: &Process) -> Result<oci::Process> {
    let mut user = oci::User::default();
    user.set_uid(process.user.uid).set_gid(process.user.gid).set_umask(Some(process.umask));
    user.set_additional_gids(Some(process.user.groups.clone()).filter(|g| !g.is_empty()));
    let mut built = oci::Process::default();
    built.set_terminal(process.terminal.then_some(true));
    built.set_user(user);
    built.set_args(Some(process.args.clone()));
    built.set_env(Some(process.env.clone()));
    built.set_cwd(process.cwd.clone().into());
    built.set_capabilities(Some(capabilities(&process.capabilities)?));
    built.set_rlimits(Some(process.rlimits.iter().map(rlimit).collect::<Result<_>>()?));
    built.set_no_new_privileges(process.no_new_privileges.then_some(true));
    built.set_oom_score_adj(process.oom_score_adj);
    Ok(built)
}

fn capabilities(sets: &Capabilities) -> Result<oci::LinuxCapabilities> {
    let convert = |set: CapSet| -> Result<Option<oci::Capabilities>> {
        let names = set.names();
        let set = names
            .into_iter()
            .map(|name| name.parse().context(|| format!("cannot put the capability {name} into a Spec")))
            .collect::<Result<oci::Capabilities>>()?;
        Ok(Some(set).filter(|set| !set.is_empty()))
    };
    let mut built = oci::LinuxCapabilities::default();
    built.set_bounding(convert(sets.bounding)?);
    built.set_effective(convert(sets.effective)?);
    built.set_permitted(convert(sets.permitted)?);
    built.set_inheritable(convert(sets.inheritable)?);
    built.set_ambient(convert(sets.ambient)?);
    Ok(built)
}

fn rlimit(limit: &Rlimit) -> Result<oci::PosixRlimit> {
    oci::PosixRlimitBuilder::default()
        .typ(limit.kind)
        .soft(limit.soft)
        .hard(limit.hard)
        .build()
        .context(|| "cannot describe a limit")
}

fn root(settings: &Settings) -> Result<oci::Root> {
    oci::RootBuilder::default()
        .path(settings.root.clone())
        .readonly(settings.read_only)
        .build()
        .context(|| "cannot describe the root file system")
}

fn mount(mount: Mount) -> Result<oci::Mount> {
    let mut built = oci::Mount::default();
    built.set_destination(mount.destination.into());
    built.set_typ(Some(mount.kind));
    built.set_source(Some(mount.source));
    built.set_options(Some(mount.options));
    Ok(built)
}

/// The root must not be private when a mount below it is to receive or send mounts.
fn propagation(mounts: &[Mount]) -> Option<String> {
    let any = |wanted: [&str; 2]| mounts.iter().any(|m| m.options.iter().any(|o| wanted.contains(&o.as_str())));
    if any(["shared", "rshared"]) {
        Some("shared".to_owned())
    } else if any(["slave", "rslave"]) {
        Some("rslave".to_owned())
    } else {
        None
    }
}

fn linux(settings: &Settings, propagation: Option<String>) -> Result<oci::Linux> {
    let mut linux = oci::Linux::default();
    let map = |map: &[IdMapping]| -> Result<Option<Vec<oci::LinuxIdMapping>>> {
        let map = map.iter().map(id_mapping).collect::<Result<Vec<_>>>()?;
        Ok(Some(map).filter(|map| !map.is_empty()))
    };
    linux.set_uid_mappings(map(&settings.uid_map)?);
    linux.set_gid_mappings(map(&settings.gid_map)?);
    linux.set_sysctl(Some(settings.sysctls.clone().into_iter().collect()).filter(|s: &HashMap<_, _>| !s.is_empty()));
    linux.set_resources(Some(resources(&settings.resources)?));
    linux.set_namespaces(Some(namespaces(&settings.namespaces)));
    linux.set_devices(None);
    linux.set_seccomp(settings.seccomp.clone());
    linux.set_rootfs_propagation(propagation);
    linux.set_masked_paths(Some(settings.masked_paths.clone()).filter(|p| !p.is_empty()));
    linux.set_readonly_paths(Some(settings.readonly_paths.clone()).filter(|p| !p.is_empty()));
    Ok(linux)
}

fn id_mapping(mapping: &IdMapping) -> Result<oci::LinuxIdMapping> {
    oci::LinuxIdMappingBuilder::default()
        .container_id(mapping.container)
        .host_id(mapping.host)
        .size(mapping.size)
        .build()
        .context(|| "cannot describe an id mapping")
}

fn namespaces(namespaces: &Namespaces) -> Vec<oci::LinuxNamespace> {
    use oci::LinuxNamespaceType as Type;
    let wanted = [
        (Type::User, &namespaces.user),
        (Type::Mount, &Namespace::New),
        (Type::Pid, &namespaces.pid),
        (Type::Network, &namespaces.network),
        (Type::Ipc, &namespaces.ipc),
        (Type::Uts, &namespaces.uts),
        (Type::Cgroup, &namespaces.cgroup),
    ];
    let build = |typ: Type, source: &Namespace| {
        let mut namespace = oci::LinuxNamespace::default();
        namespace.set_typ(typ);
        namespace.set_path(match source {
            Namespace::Join(path) => Some(path.clone()),
            _ => None,
        });
        namespace
    };
    wanted.into_iter().filter(|(_, source)| **source != Namespace::Host).map(|(t, s)| build(t, s)).collect()
}

/// Limits in the Spec's terms.
pub(crate) fn resources(resources: &Resources) -> Result<oci::LinuxResources> {
    let mut built = oci::LinuxResources::default();
    built.set_devices(None);
    let Resources { memory, memory_swap, memory_reservation, .. } = *resources;
    if memory.is_some() || memory_swap.is_some() || memory_reservation.is_some() {
        let mut limits = oci::LinuxMemory::default();
        limits.set_limit(memory).set_swap(memory_swap).set_reservation(memory_reservation);
        built.set_memory(Some(limits));
    }
    let Resources { cpu_quota, cpu_period, cpu_shares, .. } = *resources;
    let (cpus, mems) = (resources.cpuset_cpus.clone(), resources.cpuset_mems.clone());
    if cpu_quota.is_some() || cpu_period.is_some() || cpu_shares.is_some() || cpus.is_some() || mems.is_some() {
        let mut cpu = oci::LinuxCpu::default();
        cpu.set_quota(cpu_quota).set_period(cpu_period).set_shares(cpu_shares).set_cpus(cpus).set_mems(mems);
        built.set_cpu(Some(cpu));
    }
    if let Some(limit) = resources.pids {
        let mut pids = oci::LinuxPids::default();
        pids.set_limit(limit);
        built.set_pids(Some(pids));
    }
    built.set_block_io(block_io(resources)?);
    built.set_unified(Some(resources.unified.clone().into_iter().collect()).filter(|u: &HashMap<_, _>| !u.is_empty()));
    Ok(built)
}

fn block_io(resources: &Resources) -> Result<Option<oci::LinuxBlockIo>> {
    let Resources { blkio_weight, blkio_weight_devices, throttles, .. } = resources;
    if blkio_weight.is_none() && blkio_weight_devices.is_empty() && throttles.is_empty() {
        return Ok(None);
    }
    let what = || "cannot describe a limit of a block device";
    let mut io = oci::LinuxBlockIo::default();
    io.set_weight(*blkio_weight);
    let weight = |(device, weight): &(BlockDevice, u16)| {
        oci::LinuxWeightDeviceBuilder::default()
            .major(i64::from(device.major))
            .minor(i64::from(device.minor))
            .weight(*weight)
            .build()
            .context(what)
    };
    let weights = blkio_weight_devices.iter().map(weight).collect::<Result<Vec<_>>>()?;
    io.set_weight_device(Some(weights).filter(|list| !list.is_empty()));
    let of = |wanted: Throttle| -> Result<Option<Vec<oci::LinuxThrottleDevice>>> {
        let build = |(_, device, rate): &(Throttle, BlockDevice, u64)| {
            oci::LinuxThrottleDeviceBuilder::default()
                .major(i64::from(device.major))
                .minor(i64::from(device.minor))
                .rate(*rate)
                .build()
                .context(what)
        };
        let list = throttles.iter().filter(|(kind, ..)| *kind == wanted).map(build).collect::<Result<Vec<_>>>()?;
        Ok(Some(list).filter(|list| !list.is_empty()))
    };
    io.set_throttle_read_bps_device(of(Throttle::ReadBytes)?);
    io.set_throttle_write_bps_device(of(Throttle::WriteBytes)?);
    io.set_throttle_read_iops_device(of(Throttle::ReadOperations)?);
    io.set_throttle_write_iops_device(of(Throttle::WriteOperations)?);
    Ok(Some(io))
}
