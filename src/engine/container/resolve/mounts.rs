//! Mounts beside the default ones: what was asked for, the image's volumes, name files, devices.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Request;
use super::accounts::Accounts;
use super::overlay;
use crate::engine::container::cdi;
use crate::engine::container::options::mounts::{
    CHOWN, ImageVolumes, MountRequest, OverlaySource, PlainKind, clean, default_tmpfs_options, for_the_kernel,
    tmpfs_options,
};
use crate::engine::container::options::values::Device;
use crate::engine::container::volumes::{Backing, VolumeUse, data_dir, load};
use crate::error::{Context, Error, Result};
use crate::spec::settings::{Identity, Mount, SUBPATH};
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
    /// The part of a volume or an image that is mounted.
    pub subpath: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MountKind {
    Bind,
    Volume,
    Tmpfs,
    Image,
    Ramfs,
    Devpts,
}

/// `user` is whom a tmpfs with `U` belongs to.
pub(super) fn plan(request: &Request<'_>, accounts: &Accounts, user: &Identity, systemd: bool) -> Result<Plan> {
    let options = request.options;
    let mut plan = Plan::default();
    for mount in options.mounts.iter().cloned().chain(image_volumes(request)?) {
        plan.add(mount, request, user)?;
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
    if systemd {
        plan.add_systemd(options.systemd);
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
                let options = ["rprivate", "rw", "nodev", "exec", "nosuid", "rbind"].map(ToOwned::to_owned).to_vec();
                mounts.push(MountRequest::Volume { name: None, destination, options, copy: true, subpath: None });
            }
        }
    }
    Ok(mounts)
}

impl Plan {
    fn add(&mut self, wanted: MountRequest, request: &Request<'_>, user: &Identity) -> Result<()> {
        match wanted {
            MountRequest::Bind { source, destination, options } => {
                self.push("bind", &source, &destination, for_the_kernel(&options));
                self.record(MountKind::Bind, None, source, destination, options, None);
            }
            MountRequest::Tmpfs { destination, mut options } => {
                let place = options.iter().position(|option| option == CHOWN);
                if let Some(place) = place {
                    options.splice(place..=place, [format!("uid={}", user.uid), format!("gid={}", user.gid)]);
                }
                self.push("tmpfs", Path::new("tmpfs"), &destination, options.clone());
                self.record(MountKind::Tmpfs, None, PathBuf::new(), destination, options, None);
            }
            MountRequest::Volume { name, destination, options, copy, subpath } => {
                let anonymous = name.is_none();
                let name = name.map_or_else(id::random, Ok)?;
                let volume = VolumeUse { name, anonymous, destination, copy };
                self.add_volume(volume, options, subpath, request.volumes)?;
            }
            MountRequest::Borrowed { name, destination, options, subpath } => {
                let volume = VolumeUse { name, anonymous: true, destination, copy: false };
                self.add_volume(volume, options, subpath, request.volumes)?;
            }
            MountRequest::Overlay { source, destination, options, keep } => {
                let (kind, name, lower) = match source {
                    OverlaySource::Directory(path) => (MountKind::Bind, None, path),
                    OverlaySource::Volume(name) => {
                        let lower = self.below_an_overlay(&name, &destination, request.volumes)?;
                        (MountKind::Volume, Some(name), lower)
                    }
                };
                let keep = keep.unwrap_or_else(|| overlay::directories(request.root, self.mounts.len()));
                self.mounts.push(overlay::mount(&destination, std::slice::from_ref(&lower), &keep, "rw", None)?);
                self.record(kind, name, lower, destination, options, None);
            }
            MountRequest::Image { image, destination, writable, subpath } => {
                let mounted = request.images.iter().find(|mount| mount.destination == destination);
                let rootfs = mounted.map(|mount| &mount.rootfs);
                let rootfs = rootfs.ok_or_else(|| Error::new(format!("{image}: image not known")))?;
                let access = if writable { "rw" } else { "ro" };
                self.mounts.push(overlay::of_image(rootfs, &destination, access, subpath.as_deref())?);
                self.record(MountKind::Image, None, image.into(), destination, vec![access.to_owned()], subpath);
            }
            MountRequest::Plain { kind, destination, options } => {
                let (kind, shown) = match kind {
                    PlainKind::Ramfs => ("ramfs", MountKind::Ramfs),
                    PlainKind::Devpts => ("devpts", MountKind::Devpts),
                };
                // Without options that is what is there anyhow.
                if (kind, destination.as_str(), options.is_empty()) != ("devpts", "/dev/pts", true) {
                    self.push(kind, Path::new(kind), &destination, plain_options(kind, &destination, &options));
                }
                self.record(shown, None, kind.into(), destination, options, None);
            }
        }
        Ok(())
    }

    fn add_volume(
        &mut self,
        volume: VolumeUse,
        options: Vec<String>,
        subpath: Option<String>,
        volumes: &Path,
    ) -> Result<()> {
        let VolumeUse { name, anonymous, destination, .. } = volume.clone();
        let backing = if anonymous { None } else { load(volumes, &name)?.and_then(|volume| volume.backing()) };
        if let Some(backing) = backing {
            if subpath.is_some() {
                return Err(Error::new(format!("cannot mount a subpath of the volume {name}: it has a device")));
            }
            return self.add_backed(name, backing, &destination, options);
        }
        let source = data_dir(volumes, &name);
        let mut words = for_the_kernel(&options);
        words.extend(subpath.as_ref().map(|path| format!("{SUBPATH}{path}")));
        self.push("bind", &source, &destination, words);
        self.record(MountKind::Volume, Some(name), source, destination, options, subpath);
        self.volumes.push(volume);
        Ok(())
    }

    /// The directory of a volume that nothing is written to.
    fn below_an_overlay(&mut self, name: &str, destination: &str, volumes: &Path) -> Result<PathBuf> {
        match load(volumes, name)?.and_then(|volume| volume.backing()) {
            Some(Backing::Bind(source, _)) => Ok(source),
            Some(Backing::Tmpfs(_)) => Err(Error::new(format!("cannot mount an overlay over the volume {name}"))
                .hint("it is a tmpfs of each container's own")),
            None => {
                let (name, destination) = (name.to_owned(), destination.to_owned());
                let directory = data_dir(volumes, &name);
                self.volumes.push(VolumeUse { name, anonymous: false, destination, copy: true });
                Ok(directory)
            }
        }
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
                self.push("tmpfs", Path::new("tmpfs"), destination, options.clone());
                self.record(MountKind::Volume, Some(name), "tmpfs".into(), destination.to_owned(), options, None);
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
                self.push("bind", &source, destination, for_the_kernel(&options));
                self.record(MountKind::Volume, Some(name), source, destination.to_owned(), options, None);
            }
        }
        Ok(())
    }

    fn record(
        &mut self,
        kind: MountKind,
        name: Option<String>,
        source: PathBuf,
        destination: String,
        options: Vec<String>,
        subpath: Option<String>,
    ) {
        self.records.push(MountRecord { kind, name, source, destination, options, subpath });
    }

    fn push(&mut self, kind: &str, source: &Path, destination: &str, options: Vec<String>) {
        let (source, destination) = (source.to_path_buf(), destination.to_owned());
        self.mounts.push(Mount { destination, kind: kind.to_owned(), source, options });
    }

    /// What the user asked for comes first and stays.
    pub(super) fn push_unless_there(&mut self, kind: &str, source: &Path, destination: &str, options: Vec<String>) {
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

/// A devpts elsewhere than at /dev/pts has what the kernel gives it, as in Podman.
fn plain_options(kind: &str, destination: &str, options: &[String]) -> Vec<String> {
    let usual: &[&str] = match (kind, destination) {
        ("devpts", "/dev/pts") => &["nosuid", "noexec", "newinstance", "ptmxmode=0666"],
        _ => &[],
    };
    usual.iter().map(|option| (*option).to_owned()).chain(options.iter().cloned()).collect()
}
