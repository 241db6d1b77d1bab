//! `commit`: a container's changes become a layer on top of its image, its settings those of the new image.

use std::collections::BTreeSet;

use crate::engine::container::files::changes;
use crate::engine::container::pause;
use crate::engine::container::record::{Config, Root};
use crate::engine::container::resolve::MountKind;
use crate::engine::container::store::Container;
use crate::engine::images;
use crate::error::{Context, Error, Result};
use crate::image::change;
use crate::image::config::{Empty, History, ImageConfig, RootFs, Settings};
use crate::image::digest::Digest;
use crate::image::platform::Platform;
use crate::monitor::state::Status;
use crate::state::lock::Mode;
use crate::state::paths::Dirs;
use crate::storage::Store;
use crate::storage::diff::Ids;
use crate::storage::worker::{DiffJob, UnpackWorker};
use crate::userns::IdMaps;

/// What the image is to be.
#[derive(Debug, Default)]
pub(crate) struct CommitOptions {
    /// A short name belongs to `localhost`.
    pub name: Option<String>,
    /// Dockerfile instructions.
    pub changes: Vec<String>,
    pub author: Option<String>,
    pub message: String,
    /// Docker's media types instead of OCI's.
    pub docker: bool,
    /// One layer with everything.
    pub squash: bool,
    pub include_volumes: bool,
    /// The container's processes stand still meanwhile.
    pub pause: bool,
}

/// Variables that a container gets for itself.
const OWN_VARIABLES: [&str; 4] = ["HOME", "HOSTNAME", "TERM", "container"];

/// Makes the image; answers its id. For a single-threaded process.
pub(crate) fn commit(dirs: &Dirs, store: &Store, container: &Container, options: CommitOptions) -> Result<Digest> {
    let config = container.config()?;
    if config.root != Root::Image {
        return Err(Error::new("cannot commit a container that was made of a directory with --rootfs")
            .hint(format!("rpod export {} | rpod import - NAME", container.record.name)));
    }
    // A bad name or instruction is told before the work is done.
    let name = options.name.as_deref().map(images::new_name).transpose()?;
    let base = base(store, container)?;
    let mut settings = settings(container, &config, &base, options.include_volumes);
    change::apply_all(&mut settings, &options.changes)?;
    let maps = IdMaps::for_user()?;
    let _guard = store.gc_lock(Mode::Shared)?;
    let worker = UnpackWorker::start(store, &maps)?;
    let job = DiffJob {
        rootfs: config.rootfs.clone(),
        below: changes::below(store, container)?,
        skip: changes::mount_points(),
        take: false,
        whole: options.squash,
        ids: Ids::new(&maps, config.maps.as_ref()),
        timestamp: None,
    };
    let paused = if options.pause { Paused::new(dirs, container)? } else { None };
    let layer = worker.diff(job)?.finish(true)?;
    drop(paused);
    let mut layers = if options.squash { Vec::new() } else { base.rootfs.diff_ids.clone() };
    layers.push(layer.diff_id);
    let now = jiff::Timestamp::now().to_string();
    let step = History {
        created: Some(now.clone()),
        created_by: config
            .spec
            .process()
            .as_ref()
            .and_then(|p| p.args().as_ref())
            .map(|a| a.join(" "))
            .unwrap_or_default(),
        author: options.author.clone().unwrap_or_default(),
        comment: options.message,
        ..History::default()
    };
    let mut history = if options.squash { Vec::new() } else { base.history };
    history.push(step);
    let image = ImageConfig {
        created: Some(now),
        author: options.author.or(base.author),
        config: settings,
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: layers },
        history,
        ..base
    };
    images::put(store, &image, options.docker, name.as_ref())
}

/// A container whose processes stand still until this is dropped.
struct Paused<'c>(&'c Dirs, &'c Container);

impl<'c> Paused<'c> {
    /// `None` when the container does not run, or stands still already.
    fn new(dirs: &'c Dirs, container: &'c Container) -> Result<Option<Self>> {
        if container.state(dirs)?.status != Status::Running {
            return Ok(None);
        }
        pause::pause(dirs, container)?;
        Ok(Some(Self(dirs, container)))
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        // It may have ended meanwhile.
        let _ = pause::unpause(self.0, self.1);
    }
}

/// The image that the container was made of, which its own record keeps in the store.
fn base(store: &Store, container: &Container) -> Result<ImageConfig> {
    let id = format!("sha256:{}", container.record.image_id);
    let failed = || format!("cannot read the image of container {}", container.id());
    let bytes = store.read_blob(&id.parse::<Digest>().context(failed)?).context(failed)?;
    let config = ImageConfig::parse(&bytes).context(failed)?;
    if !config.architecture.is_empty() {
        return Ok(config);
    }
    let Platform { os, architecture, variant, .. } = Platform::host();
    Ok(ImageConfig { os, architecture, variant, ..config })
}

/// The container's own settings over those of its image.
fn settings(container: &Container, config: &Config, base: &ImageConfig, include_volumes: bool) -> Settings {
    let process = config.spec.process().as_ref();
    let mut settings = base.config.clone();
    let inherited: BTreeSet<&str> = base.config.env.iter().filter_map(|variable| variable.split('=').next()).collect();
    let own = |variable: &str| {
        let name = variable.split('=').next().unwrap_or_default();
        OWN_VARIABLES.contains(&name) && !inherited.contains(name)
    };
    if let Some(env) = process.and_then(|process| process.env().as_ref()) {
        settings.env = env.iter().filter(|variable| !own(variable)).cloned().collect();
    }
    if let Some(process) = process {
        let cwd = process.cwd().display().to_string();
        if cwd != "/" || !settings.working_dir.is_empty() {
            settings.working_dir = cwd;
        }
    }
    settings.cmd.clone_from(&container.record.command);
    settings.entrypoint.clone_from(&config.entrypoint);
    settings.user.clone_from(&config.user);
    for (key, value) in &container.record.labels {
        settings.labels.insert(key.clone(), value.clone());
    }
    for port in &container.record.exposed {
        settings.exposed_ports.insert(port.clone(), Empty {});
    }
    for mapping in &container.record.ports {
        settings.exposed_ports.insert(format!("{}/{}", mapping.container_port, mapping.protocol), Empty {});
    }
    if include_volumes {
        for mount in config.mounts.iter().filter(|mount| mount.kind != MountKind::Tmpfs) {
            settings.volumes.insert(mount.destination.clone(), Empty {});
        }
    }
    settings
}
