//! Mounts beside the default ones: what was asked for, the image's volumes, name files, devices.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Request;
use super::accounts::Accounts;
use crate::engine::container::cdi;
use crate::engine::container::options::mounts::{
    ImageVolumes, MountRequest, clean, default_tmpfs_options, tmpfs_options,
};
use crate::engine::container::options::values::Device;
use crate::engine::container::volumes::{Backing, VolumeUse, data_dir, load};
use crate::error::{Context, Error, Result};
use crate::spec::settings::Mount;
use crate::state::id;

/// Directories that `--read-only` keeps writable.
const WRITABLE: [&str; 3] = ["/run", "/tmp", "/var/tmp"];

/// What the runtime itself puts into every /dev, and what belongs to terminals of the host.
const NOT_PASSED: [&str; 10] = ["null", "zero", "full", "tty", "random", "urandom", "ptmx", "console", "pts", "mqueue"];

/// Where `--init-path` puts the program.
pub(super) const INIT_PROGRAM: &str = "/run/rpod-init";

/// How deep directories of devices are followed.
const DEVICE_DEPTH: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Plan {
    pub mounts: Vec<Mount>,
    pub volumes: Vec<VolumeUse>,
    pub records: Vec<MountRecord>,
}

/// A mount as `inspect` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountRecord {
    pub kind: MountKind,
    /// Of a volume.
    pub name: Option<String>,
    pub source: PathBuf,
    pub destination: String,
    pub options: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MountKind {
    Bind,
    Volume,
    Tmpfs,
}

pub(super) fn plan(request: &Request<'_>, accounts: &Accounts) -> Result<Plan> {
    let options = request.options;
    let mut plan = Plan::default();
    for mount in options.mounts.iter().cloned().chain(image_volumes(request)?) {
        plan.add(mount, request.volumes)?;
    }
    let devices = options.devices.iter().map(expand).collect::<Result<Vec<_>>>()?.concat();
    plan.add_devices(devices);
    plan.add_named(request.cdi)?;
    if options.privileged {
        plan.add_devices(every_device()?);
    }
    if options.read_only && options.read_only_tmpfs {
        for destination in WRITABLE.iter().filter(|path| !options.mounts.iter().any(|m| m.destination() == **path)) {
            plan.push_unless_there("tmpfs", Path::new("tmpfs"), destination, default_tmpfs_options());
        }
    }
    plan.add_name_files(request, accounts);
    Ok(plan)
}

/// The image's VOLUMEs that no mount was asked for.
fn image_volumes(request: &Request<'_>) -> Result<Vec<MountRequest>> {
    let mut mounts: Vec<MountRequest> = Vec::new();
    for path in request.image.iter().flat_map(|image| image.config.volumes.keys()) {
        let destination = clean(path);
        if destination == "/" || path.contains('\0') {
            return Err(Error::new(format!("the image has an impossible volume {path:?}"))
                .hint("leave it out with --image-volume ignore"));
        }
        let taken = request.options.mounts.iter().chain(&mounts).any(|m| m.destination() == destination);
        match request.options.image_volumes {
            ImageVolumes::Ignore => {}
            _ if taken => {}
            ImageVolumes::Tmpfs => mounts.push(MountRequest::Tmpfs { destination, options: default_tmpfs_options() }),
            ImageVolumes::Anonymous => {
                let options = ["rw", "rprivate", "nosuid", "nodev", "rbind"].map(ToOwned::to_owned).to_vec();
                mounts.push(MountRequest::Volume { name: None, destination, options, copy: true });
            }
        }
    }
    Ok(mounts)
}

impl Plan {
    fn add(&mut self, request: MountRequest, volumes: &Path) -> Result<()> {
        match request {
            MountRequest::Bind { source, destination, options } => {
                self.record(MountKind::Bind, None, &source, &destination, &options);
                self.push("bind", &source, &destination, options);
            }
            MountRequest::Tmpfs { destination, options } => {
                self.record(MountKind::Tmpfs, None, Path::new(""), &destination, &options);
                self.push("tmpfs", Path::new("tmpfs"), &destination, options);
            }
            MountRequest::Volume { name, destination, options, copy } => {
                let anonymous = name.is_none();
                let name = name.map_or_else(id::random, Ok)?;
                let backing = if anonymous { None } else { load(volumes, &name)?.and_then(|volume| volume.backing()) };
                if let Some(backing) = backing {
                    return self.add_backed(name, backing, &destination, options);
                }
                let source = data_dir(volumes, &name);
                self.record(MountKind::Volume, Some(name.clone()), &source, &destination, &options);
                self.volumes.push(VolumeUse { name, anonymous, destination: destination.clone(), copy });
                self.push("bind", &source, &destination, options);
            }
        }
        Ok(())
    }

    /// A volume that is something else than a directory of its own.
    fn add_backed(
        &mut self,
        name: String,
        backing: Backing,
        destination: &str,
        mut options: Vec<String>,
    ) -> Result<()> {
        match backing {
            Backing::Tmpfs(words) => {
                let options = tmpfs_options(words).context(|| format!("cannot mount the volume {name}"))?;
                self.record(MountKind::Volume, Some(name), Path::new("tmpfs"), destination, &options);
                self.push("tmpfs", Path::new("tmpfs"), destination, options);
            }
            Backing::Bind(source, words) => {
                if !source.is_dir() {
                    return Err(Error::new(format!(
                        "cannot mount the volume {name}: its device {} is not a directory that is there",
                        source.display()
                    )));
                }
                for word in words {
                    if word == "ro" {
                        options.retain(|option| option != "rw");
                    }
                    if !options.contains(&word) {
                        options.push(word);
                    }
                }
                self.record(MountKind::Volume, Some(name), &source, destination, &options);
                self.push("bind", &source, destination, options);
            }
        }
        Ok(())
    }

    fn record(&mut self, kind: MountKind, name: Option<String>, source: &Path, destination: &str, options: &[String]) {
        let (source, destination) = (source.to_path_buf(), destination.to_owned());
        self.records.push(MountRecord { kind, name, source, destination, options: options.to_vec() });
    }

    fn push(&mut self, kind: &str, source: &Path, destination: &str, options: Vec<String>) {
        let (source, destination) = (source.to_path_buf(), destination.to_owned());
        self.mounts.push(Mount { destination, kind: kind.to_owned(), source, options });
    }

    /// What the user asked for comes first and stays.
    fn push_unless_there(&mut self, kind: &str, source: &Path, destination: &str, options: Vec<String>) {
        if !self.mounts.iter().any(|mount| mount.destination == destination) {
            self.push(kind, source, destination, options);
        }
    }

    /// Without privileges nodes cannot be made: the host's are bound.
    fn add_devices(&mut self, devices: Vec<Device>) {
        for device in devices {
            let access = if device.writable { "rw" } else { "ro" };
            let options = ["bind", "rprivate", "nosuid", "noexec", access].map(ToOwned::to_owned).to_vec();
            self.push_unless_there("bind", &device.source, &device.destination, options);
        }
    }

    /// What devices by name bring; their files were written by the host's administrator, but what they name must be there.
    fn add_named(&mut self, edits: &cdi::Edits) -> Result<()> {
        self.add_devices(edits.devices.iter().map(expand).collect::<Result<Vec<_>>>()?.concat());
        for mount in &edits.mounts {
            let bind = mount.kind == "bind";
            if bind {
                let shown = mount.source.display();
                std::fs::metadata(&mount.source)
                    .map_err(|e| Error::wrap(format!("cannot bind {shown} for a CDI device"), e))?;
            }
            let mut options = mount.options.clone();
            if bind && !options.iter().any(|option| option == "bind" || option == "rbind") {
                options.push("rbind".to_owned());
            }
            self.push_unless_there(&mount.kind, &mount.source, &clean(&mount.destination), options);
        }
        Ok(())
    }

    fn add_name_files(&mut self, request: &Request<'_>, accounts: &Accounts) {
        let (network, surroundings) = (&request.options.network, &request.options.surroundings);
        let mut options = vec!["bind", "rprivate"];
        if request.options.read_only {
            options.extend(["ro", "nosuid", "noexec", "nodev"]);
        }
        let options: Vec<String> = options.into_iter().map(ToOwned::to_owned).collect();
        for (file, destination, wanted) in [
            ("resolv.conf", "/etc/resolv.conf", !network.dns.unmanaged),
            ("hosts", "/etc/hosts", !network.no_hosts),
            ("hostname", "/etc/hostname", !network.no_hostname),
            (".containerenv", "/run/.containerenv", true),
            ("passwd", "/etc/passwd", accounts.passwd.is_some()),
            ("group", "/etc/group", accounts.group.is_some()),
        ] {
            if wanted {
                let source = request.record.join(file);
                self.push_unless_there("bind", &source, destination, options.clone());
                for dir in surroundings.chroot_dirs.iter().filter(|_| destination.starts_with("/etc/")) {
                    self.push_unless_there("bind", &source, &format!("{dir}{destination}"), options.clone());
                }
            }
        }
        let read_only: Vec<String> = ["bind", "rprivate", "ro"].map(ToOwned::to_owned).into();
        if let Some(zone) = &surroundings.localtime {
            self.push_unless_there("bind", zone, "/etc/localtime", read_only.clone());
        }
        if let Some(program) = surroundings.init.as_ref().filter(|_| request.options.init) {
            self.push_unless_there("bind", program, INIT_PROGRAM, read_only);
        }
    }
}

/// A device, or all devices in a directory.
fn expand(device: &Device) -> Result<Vec<Device>> {
    let shown = device.source.display();
    let meta = match std::fs::metadata(&device.source) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::new(format!("stat {shown}: no such file or directory")));
        }
        Err(e) => return Err(Error::wrap(format!("stat {shown}"), e)),
    };
    if meta.file_type().is_char_device() || meta.file_type().is_block_device() {
        return Ok(vec![device.clone()]);
    }
    let mut found = Vec::new();
    if meta.is_dir() {
        walk(&device.source, &device.destination, device.writable, DEVICE_DEPTH, &mut found)?;
    }
    if found.is_empty() {
        return Err(Error::new(format!("no devices found in {shown}: invalid argument")));
    }
    Ok(found)
}

/// Every device below /dev that this user can open.
fn every_device() -> Result<Vec<Device>> {
    let mut found = Vec::new();
    walk(Path::new("/dev"), "/dev", true, DEVICE_DEPTH, &mut found)?;
    found.retain(|device| {
        let below = device.destination.strip_prefix("/dev/").unwrap_or_default();
        let first = below.split('/').next().unwrap_or_default();
        let virtual_console = below.strip_prefix("tty").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
        let may_open = rustix::fs::access(&device.source, rustix::fs::Access::READ_OK).is_ok();
        !NOT_PASSED.contains(&first) && !virtual_console && may_open
    });
    Ok(found)
}

fn walk(dir: &Path, destination: &str, writable: bool, depth: usize, found: &mut Vec<Device>) -> Result<()> {
    let what = || format!("cannot list the devices in {}", dir.display());
    for entry in std::fs::read_dir(dir).context(what)? {
        let entry = entry.context(what)?;
        let Ok(kind) = entry.file_type() else { continue };
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let destination = format!("{destination}/{name}");
        if kind.is_dir() && depth > 0 {
            // A directory that the user cannot read has no devices for them.
            let _ = walk(&entry.path(), &destination, writable, depth - 1, found);
        } else if kind.is_char_device() || kind.is_block_device() {
            found.push(Device { source: entry.path(), destination, writable });
        }
    }
    Ok(())
}
