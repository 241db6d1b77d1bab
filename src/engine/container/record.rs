//! What a container is: everything that does not change while it lives.
//!
//! Two files, because `ps` reads one of them for every container: `record.json` is what listings, names and removal
//! need and stays small; `config.json` is what starting and inspecting need. The latter is an OCI runtime Spec, which any
//! runtime and tool can read, with a property of ours that they ignore.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use super::asked::Asked;
use super::resolve::MountKind;
use crate::error::{Context, Error, Kind, Result};
use crate::image::digest::DiffId;
use crate::monitor::health::Healthcheck;
use crate::monitor::restart::Policy;
use crate::monitor::{log, notify};
use crate::network::egress::policy::Policy as Egress;
use crate::network::mode::Mode;
use crate::network::ports::PortMapping;
use crate::runtime::cgroup::Wish;
use crate::state::events::Named;
use crate::state::file::{self, Durability};
use crate::storage::RootfsPlan;
use crate::userns::IdMaps;

/// File names in the record directory.
pub(crate) const RECORD: &str = "record.json";
pub(crate) const CONFIG: &str = "config.json";

/// What listings need. Its presence makes the container exist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub id: String,
    pub name: String,
    /// The image as it was asked for, in full: `docker.io/library/alpine:3.20`; empty with `--rootfs`.
    pub image: String,
    /// Digits of the image's id; empty with `--rootfs`.
    pub image_id: String,
    pub created: Timestamp,
    /// What `ps` shows: the arguments after the entrypoint.
    pub command: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortMapping>,
    /// What the image or `--expose` names, such as `80/tcp`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposed: Vec<String>,
    /// Destinations of volumes and bind mounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<String>,
    /// The network as it was asked for, normalised.
    pub network: String,
    /// The bridge networks it is on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Removed as soon as it ends.
    #[serde(default)]
    pub rm: bool,
    #[serde(default)]
    pub tty: bool,
    #[serde(default)]
    pub interactive: bool,
    /// Whether its monitor starts it again.
    #[serde(default, skip_serializing_if = "Policy::is_no")]
    pub restart: Policy,
    /// It has a health check.
    #[serde(default, skip_serializing_if = "is_false")]
    pub health: bool,
    /// Ids of containers that must run before this one is started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    /// Its health may start it again, whatever `restart` says.
    #[serde(default, skip_serializing_if = "is_false")]
    pub revives: bool,
    pub stop_signal: i32,
    /// Seconds that `stop` waits before it kills.
    pub stop_timeout: u32,
    /// Layers that must stay while this container exists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<DiffId>,
    /// The same of the images that are mounted in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounted_layers: Vec<DiffId>,
    /// Volumes without a name, which `--rm` and `rm -v` remove with the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// Ids that no other container may have (`--userns auto`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_ids: Option<IdMaps>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidfile: Option<PathBuf>,
}

/// What a start and `inspect` need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Config {
    /// The plan that the runtime carries out: the file itself, in which everything else is an extension.
    #[serde(skip)]
    pub spec: Spec,
    /// The ids of the container's user namespace; `None` when it has none of its own.
    pub maps: Option<IdMaps>,
    pub root: Root,
    /// What is mounted; made at creation.
    pub rootfs: RootfsPlan,
    /// Why it cannot be started: its user or group is not in the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unresolved: Option<String>,
    /// Process 1 is a reaper, the program its child.
    #[serde(default)]
    pub init: bool,
    /// Another runtime than rpod itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<PathBuf>,
    pub network: Mode,
    /// `--link`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// `--egress`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
    pub names: NameFiles,
    pub log: log::Options,
    #[serde(default)]
    pub entrypoint: Vec<String>,
    /// `--user`, or what the image says.
    #[serde(default)]
    pub user: String,
    #[serde(default)]
    pub mounts: Vec<Mount>,
    #[serde(default)]
    pub privileged: bool,
    /// Whether and where it has a cgroup.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cgroups: Wish,
    pub shm_size: u64,
    /// `--timeout`: seconds that the program may run; 0: without a limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub timeout: u32,
    #[serde(default, skip_serializing_if = "notify::Mode::is_default")]
    pub sdnotify: notify::Mode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Healthcheck>,
    #[serde(default)]
    pub create_command: Vec<String>,
    /// Variables, and the secrets that they are read from at every start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_variables: Vec<(String, String)>,
    /// All of its secrets, to be shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<GivenSecret>,
    /// Of the image's manifest; empty with `--rootfs`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image_digest: String,
    #[serde(default, skip_serializing_if = "Asked::is_empty")]
    pub asked: Asked,
}

/// What goes into hostname, hosts and resolv.conf, which are written at every start: the host's may have changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NameFiles {
    pub hostname: String,
    /// `--dns none`: the image's resolv.conf stays.
    #[serde(default)]
    pub unmanaged_dns: bool,
    #[serde(default)]
    pub dns: Vec<String>,
    #[serde(default)]
    pub search: Vec<String>,
    #[serde(default)]
    pub options: Vec<String>,
    /// `--add-host` in its own words.
    #[serde(default)]
    pub added: Vec<String>,
    #[serde(default)]
    pub no_hosts: bool,
    /// What hosts begins with instead of the host's file: a file, or (from the image, or nothing) a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts_text: Option<String>,
    /// The image's /etc/hostname stays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_hostname: bool,
}

/// `--link NAME[:ALIAS]`: a container that this one knows by another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    /// Its name or id.
    pub container: String,
    pub alias: String,
}

/// A mount that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mount {
    pub kind: MountKind,
    /// Of a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub source: PathBuf,
    pub destination: String,
    pub options: Vec<String>,
    /// The part of a volume or an image that is mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subpath: Option<String>,
}

impl Mount {
    pub(crate) fn has(&self, wanted: &str) -> bool {
        self.options.iter().any(|option| option == wanted)
    }

    /// As `HostConfig.Binds` shows it; `None` for what has its place elsewhere.
    pub(crate) fn bind(&self) -> Option<String> {
        let source = match (self.kind, &self.name) {
            (MountKind::Tmpfs | MountKind::Image, _) => return None,
            (MountKind::Ramfs | MountKind::Devpts, _) if self.options.is_empty() => {
                return Some(format!("{}:{}", self.source.display(), self.destination));
            }
            (MountKind::Volume, Some(name)) => name.clone(),
            _ => self.source.display().to_string(),
        };
        Some(format!("{source}:{}:{}", self.destination, self.options.join(",")))
    }
}

/// Where the root file system comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Root {
    /// The layers of the record.
    Image,
    /// `--rootfs DIR`: used as it is.
    Directory(PathBuf),
    /// `--rootfs DIR:O`: changes go to a layer of the container's own.
    Overlay(PathBuf),
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Record {
    /// For its events.
    pub(crate) fn named(&self) -> Named<'_> {
        Named { id: &self.id, image: &self.image, name: &self.name, labels: &self.labels }
    }

    /// The record in `dir`; `None` when there is none.
    pub(crate) fn load(dir: &Path) -> Result<Option<Self>> {
        file::read_json(&dir.join(RECORD))
    }

    pub(crate) fn store(&self, dir: &Path, durability: Durability) -> Result<()> {
        file::write_json(&dir.join(RECORD), self, durability)
    }
}

impl Config {
    pub(crate) fn load(dir: &Path) -> Result<Self> {
        let path = dir.join(CONFIG);
        let content = match std::fs::read(&path) {
            // The record goes first when a container is removed.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !dir.join(RECORD).exists() => {
                return Err(Error::new("no such container: it was removed meanwhile").with_kind(Kind::NoSuchObject));
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::new(format!("{} is missing: the container cannot be started", path.display()))
                    .hint("remove the container and create it again"));
            }
            result => result.context(|| format!("cannot read {}", path.display()))?,
        };
        Self::parse(&content).context(|| format!("cannot read {}: not what rpod wrote", path.display()))
    }

    /// What the file holds.
    pub(super) fn parse(content: &[u8]) -> std::result::Result<Self, serde_json::Error> {
        let Extension { rpod: mut config } = serde_json::from_slice(content)?;
        config.spec = serde_json::from_slice(content)?;
        Ok(config)
    }

    /// The configuration of a container that exists. One that is removed meanwhile does not get its file back.
    pub(crate) fn replace(&self, dir: &Path, durability: Durability) -> Result<()> {
        let extended = Extended { spec: &self.spec, rpod: self };
        match file::replace_json(&dir.join(CONFIG), &extended, durability)? {
            true => Ok(()),
            false => Err(Error::new("no such container: it was removed meanwhile").with_kind(Kind::NoSuchObject)),
        }
    }

    pub(crate) fn store(&self, dir: &Path, durability: Durability) -> Result<()> {
        file::write_json(&dir.join(CONFIG), &Extended { spec: &self.spec, rpod: self }, durability)
    }
}

fn is_default(wish: &Wish) -> bool {
    *wish == Wish::default()
}

/// A secret that the container has; the numbers are those of its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GivenSecret {
    pub name: String,
    pub id: String,
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
}

/// `config.json` as it is written.
#[derive(Serialize)]
struct Extended<'c> {
    #[serde(flatten)]
    spec: &'c Spec,
    rpod: &'c Config,
}

/// Our property of `config.json`.
#[derive(Deserialize)]
struct Extension {
    rpod: Config,
}
