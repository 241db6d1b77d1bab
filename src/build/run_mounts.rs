//! What RUN --mount asks for becomes mounts of the step, and goes again after it.
//!
//! Sources are found without leaving the context, the stage or the cache directory they belong to, whatever links they
//! hold (CVE-2024-1753, CVE-2024-9675), and what others may change is looked up again, from a descriptor, by the process
//! that mounts it (CVE-2024-23651). A mount that may be written to is either a cache directory or has
//! a layer of its own above it that is thrown away.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat, chownat};

use super::context::Context as BuildContext;
use super::context::ignore::Ignore;
use super::context::select::{self, Root};
use super::copy::{Attributes, Target, change_owner};
use super::layer::Workplace;
use super::mounts::{MountKind, RunMount, Sharing};
use super::plan::Source;
use super::request::Secret;
use super::settings;
use super::stage::Stage;
use super::variables::{self, CACHE_NAMESPACE};
use crate::error::{Context, Error, Result};
use crate::image::digest::{DiffId, Digest};
use crate::spec::settings::{Mount, SUBPATH};
use crate::state::lock::{Lock, Mode as LockMode};
use crate::state::paths::create_private;
use crate::storage::{IdShift, LayerView, Place, RootfsPlan, remove_path};
use crate::userns::{IdMaps, enter, owner};

/// Where the agent's socket stands.
const AGENT: &str = "/run/buildkit/ssh_agent";
const AGENT_VARIABLE: &str = "SSH_AUTH_SOCK";

/// A mount, with its target complete and what its content is known by.
pub(crate) struct Wanted {
    mount: RunMount,
    /// Of what the mount shows, as far as it decides what the step makes.
    content: String,
}

impl Wanted {
    /// Everything that counts for the cache. What is in secrets, agents and cache directories does not, as with BuildKit,
    /// nor how a stage is called.
    pub(crate) fn key(&self) -> String {
        let mount = RunMount { from: None, ..self.mount.clone() };
        format!("{mount:?} {}", self.content)
    }
}

/// Mounts for the step; dropped, what was made for them goes.
pub(crate) struct Prepared<'a> {
    pub mounts: Vec<Mount>,
    pub environment: Vec<(String, String)>,
    locks: Vec<Lock>,
    private: Option<PathBuf>,
    maps: &'a IdMaps,
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        if let Some(dir) = self.private.take()
            && remove_path(&dir).is_err()
        {
            let _ = enter::run(self.maps, || remove_path(&dir));
        }
    }
}

impl<'a> Stage<'a> {
    /// Reads the flags of a RUN.
    pub(crate) fn run_mounts(&mut self, texts: &[String]) -> Result<Vec<Wanted>> {
        let mut wanted = Vec::new();
        for text in texts {
            let lookup = variables::lookup(&self.state.config.config.env, &self.seen.arguments);
            let mut mount = RunMount::parse(text, self.build.escape, &*lookup)
                .map_err(|why| Error::new(format!("invalid mount {text:?}: {why}")))?;
            drop(lookup);
            if !mount.target.is_empty() {
                mount.target = settings::workdir(&self.state.config.config.working_dir, &mount.target);
                if mount.target == "/" {
                    return Err(Error::new(format!("invalid mount {text:?}: nothing can be mounted on /")));
                }
            }
            let content = self.content(&mount)?;
            wanted.push(Wanted { mount, content });
        }
        Ok(wanted)
    }

    fn content(&mut self, mount: &RunMount) -> Result<String> {
        if mount.kind != MountKind::Bind && (mount.kind != MountKind::Cache || mount.from.is_none()) {
            return Ok(String::new());
        }
        match self.source_of(mount.from.as_deref())? {
            source @ (None | Some(Source::Context(_))) => {
                let sources = [format!("/{}", mount.source)];
                self.context_digest(source.as_ref(), &sources).map(|digest| digest.to_string())
            }
            Some(source) => self.layers_of(&source).map(|layers| format!("{layers:?}")),
        }
    }

    /// What `--from` names; `None`: the build context.
    pub(crate) fn source_of(&self, from: Option<&str>) -> Result<Option<Source>> {
        let Some(from) = from else { return Ok(None) };
        let source = self.plan.sources.get(from).cloned();
        source.map(Some).ok_or_else(|| Error::new(format!("--from={from}: it is not known")))
    }

    /// The directory that a source is; `None`: the build context.
    pub(crate) fn context_of(&self, source: Option<&Source>) -> Result<&'a BuildContext> {
        match source {
            Some(Source::Context(name)) => {
                let named = self.build.contexts.get(name);
                named.ok_or_else(|| Error::new(format!("the build context {name} is missing")))
            }
            _ => Ok(self.build.context),
        }
    }

    /// Layers of a stage or image, bottom first.
    pub(crate) fn layers_of(&self, source: &Source) -> Result<Vec<DiffId>> {
        match source {
            Source::Stage(index) => {
                let state = self.done.get(index).ok_or_else(|| Error::new("a stage is missing"))?;
                Ok(state.layers.clone())
            }
            Source::Image(name) => {
                let image =
                    self.build.images.get(name).ok_or_else(|| Error::new(format!("{name}: image not known")))?;
                Ok(image.layers.clone())
            }
            Source::Scratch => Ok(Vec::new()),
            Source::Context(name) => Err(Error::new(format!("the build context {name} has no layers"))),
        }
    }

    /// Makes what the mounts need.
    pub(crate) fn prepare_mounts(&mut self, wanted: &[Wanted], place: &Workplace<'_>) -> Result<Prepared<'a>> {
        let mut prepared = Prepared {
            mounts: Vec::new(),
            environment: Vec::new(),
            locks: Vec::new(),
            private: None,
            maps: self.build.maps,
        };
        self.lock_caches(wanted, &mut prepared)?;
        for (number, Wanted { mount, .. }) in wanted.iter().enumerate() {
            let scratch = place.dir.join(format!("mount-{number}"));
            match mount.kind {
                MountKind::Tmpfs => prepared.mounts.push(tmpfs(mount)),
                MountKind::Secret => self.secret(mount, number, place, &mut prepared)?,
                MountKind::Ssh => self.agent(mount, number, &mut prepared)?,
                MountKind::Cache => self.cache(mount, &scratch, &mut prepared)?,
                MountKind::Bind => self.bind(mount, &scratch, &mut prepared)?,
            }
        }
        Ok(prepared)
    }

    fn secret(
        &self,
        mount: &RunMount,
        number: usize,
        place: &Workplace<'_>,
        prepared: &mut Prepared<'_>,
    ) -> Result<()> {
        let id = mount.id.as_deref().unwrap_or_default();
        let value = match self.build.request.secrets.get(id) {
            None if mount.required => {
                return Err(Error::new(format!("secret {id}: not found")).hint("give it with --secret id=…"));
            }
            None => return Ok(()),
            Some(Secret::File(path)) => {
                std::fs::read(path).context(|| format!("cannot read the secret {id} from {}", path.display()))?
            }
            Some(Secret::Variable(name)) => std::env::var_os(name)
                .map(std::os::unix::ffi::OsStringExt::into_vec)
                .ok_or_else(|| Error::new(format!("secret {id}: the variable {name} is not set")))?,
        };
        if let Some(name) = mount.env.as_ref().filter(|name| !name.is_empty()) {
            let text = String::from_utf8(value.clone());
            let text = text.map_err(|_| Error::new(format!("secret {id} is no text, so no variable can hold it")))?;
            prepared.environment.push((name.clone(), text));
        }
        if mount.target.is_empty() {
            return Ok(());
        }
        let dir = self.build.room.private(&place.id)?;
        prepared.private = Some(dir.clone());
        let path = dir.join(number.to_string());
        let mode = mount.mode.unwrap_or(0o400);
        let written = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        written
            .and_then(|mut file| file.write_all(&value))
            .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)))
            .context(|| format!("cannot hand over the secret {id}"))?;
        self.give(&path, mount.uid, mount.gid)?;
        prepared.mounts.push(bound(path, &mount.target, &["ro", "nosuid", "nodev", "noexec"]));
        Ok(())
    }

    /// Changes the owner inside the user's map.
    fn give(&self, path: &Path, uid: u32, gid: u32) -> Result<()> {
        if uid == 0 && gid == 0 {
            return Ok(());
        }
        enter::run(self.build.maps, || {
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            change_owner((uid, gid), |uid, gid| chownat(rustix::fs::CWD, path, uid, gid, flags))
        })
    }

    fn agent(&self, mount: &RunMount, number: usize, prepared: &mut Prepared<'_>) -> Result<()> {
        let id = mount.id.as_deref().unwrap_or("default");
        let Some(socket) = self.build.request.ssh.get(id) else {
            return match mount.required {
                true => {
                    Err(Error::new(format!("no SSH key {id:?} forwarded from the client")).hint("give it with --ssh"))
                }
                false => Ok(()),
            };
        };
        if mount.uid != 0 || mount.gid != 0 {
            return Err(Error::new("an SSH agent's socket can belong to 0:0 only")
                .hint("leave out uid and gid of --mount=type=ssh"));
        }
        let target = match mount.target.as_str() {
            "" => format!("{AGENT}.{number}"),
            target => target.to_owned(),
        };
        prepared.environment.push((AGENT_VARIABLE.to_owned(), target.clone()));
        prepared.mounts.push(bound(socket.clone(), &target, &["nosuid", "nodev"]));
        Ok(())
    }

    /// Takes the locks of a step's caches, each once and always in the same order, whatever order they are written in: two
    /// builds cannot wait for each other.
    fn lock_caches(&self, wanted: &[Wanted], prepared: &mut Prepared<'_>) -> Result<()> {
        let locked = |mount: &RunMount| mount.kind == MountKind::Cache && mount.sharing == Sharing::Locked;
        let names: BTreeSet<String> =
            wanted.iter().filter(|wanted| locked(&wanted.mount)).map(|wanted| self.cache_name(&wanted.mount)).collect();
        for name in names {
            let base = self.caches()?;
            prepared.locks.push(Lock::acquire(&base.join(format!("{name}.lock")), LockMode::Exclusive)?);
        }
        Ok(())
    }

    fn caches(&self) -> Result<PathBuf> {
        let base = self.build.store.build_cache_dir().join("mounts");
        create_private(&base)?;
        Ok(base)
    }

    fn cache_name(&self, mount: &RunMount) -> String {
        let id = mount.id.as_deref().unwrap_or(&mount.target);
        let id = match self.build.globals.given.get(CACHE_NAMESPACE) {
            Some(namespace) => &format!("{namespace}/{id}"),
            None => id,
        };
        Digest::of(id.as_bytes()).hex()
    }

    fn cache(&mut self, mount: &RunMount, scratch: &Path, prepared: &mut Prepared<'_>) -> Result<()> {
        let (name, base) = (self.cache_name(mount), self.caches()?);
        let mut dir = base.join(&name);
        match mount.sharing {
            // Locked already, if it is to be.
            Sharing::Shared | Sharing::Locked => {}
            Sharing::Private => {
                // The first that nobody uses.
                for number in 0u32.. {
                    let suffix = if number == 0 { String::new() } else { format!("-{number}") };
                    let lock = base.join(format!("{name}{suffix}.lock"));
                    if let Some(lock) = Lock::try_acquire(&lock, LockMode::Exclusive)? {
                        dir = base.join(format!("{name}{suffix}"));
                        prepared.locks.push(lock);
                        break;
                    }
                }
            }
        }
        if !dir.is_dir() {
            self.make_cache(mount, scratch, &dir)?;
        }
        let access: &[&str] = if mount.read_only { &["ro", "nosuid", "nodev"] } else { &["nosuid", "nodev"] };
        prepared.mounts.push(bound(dir, &mount.target, access));
        Ok(())
    }

    /// A new cache is whole as soon as it is there, and made by one build alone.
    fn make_cache(&mut self, mount: &RunMount, scratch: &Path, dir: &Path) -> Result<()> {
        let failed = || format!("cannot prepare {}", dir.display());
        let _making = Lock::acquire(&dir.with_extension("making.lock"), LockMode::Exclusive)?;
        if dir.is_dir() {
            return Ok(());
        }
        let new = dir.with_extension("new");
        // What a build left that was killed.
        enter::run(self.build.maps, || remove_path(&new))?;
        create_private(&new)?;
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mount.mode.unwrap_or(0o755))).context(failed)?;
        self.give(&new, mount.uid, mount.gid)?;
        if let Some(source) = self.source_of(mount.from.as_deref())? {
            self.copy_out(&source, &mount.source, scratch, &new, false)?;
        }
        std::fs::rename(&new, dir).context(failed)
    }

    fn bind(&mut self, mount: &RunMount, scratch: &Path, prepared: &mut Prepared<'_>) -> Result<()> {
        let source = self.source_of(mount.from.as_deref())?;
        let missing = || {
            let from = mount.from.as_deref().unwrap_or("the build context");
            let shown = format!("cannot mount {:?} of {from}", mount.source);
            Error::wrap(shown, std::io::Error::from(rustix::io::Errno::NOENT))
        };
        let place = match source {
            None | Some(Source::Context(_)) => {
                let context = self.context_of(source.as_ref())?;
                let root = context.root()?;
                let (path, stat) = root
                    .resolve(clean(&mount.source).as_bytes())
                    .context(|| "cannot read the build context")?
                    .ok_or_else(missing)?;
                if context.ignore().is_empty() {
                    let made = self.show_context(context, &path, &stat, mount, &scratch.with_extension("rw"))?;
                    prepared.mounts.push(made);
                    return Ok(());
                }
                // What is ignored is not there: a copy of the rest.
                self.copy_context(context, &mount.source, scratch)?;
                let name = select::split(&path).1;
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => Place::Directory(vec![scratch.to_path_buf()]),
                    _ => Place::File(scratch.join(String::from_utf8_lossy(name).as_ref())),
                }
            }
            Some(source) => {
                let layers = self.layers_of(&source)?;
                let mut directories: Vec<PathBuf> =
                    self.build.store.layers(&layers)?.iter().rev().map(crate::storage::Layer::diff).collect();
                if directories.is_empty() {
                    create_private(scratch)?;
                    directories.push(scratch.to_path_buf());
                }
                match LayerView::new(&directories)?.locate(&mount.source) {
                    Ok(found) => found.ok_or_else(missing)?,
                    // A directory that only its owner may enter: root of the map can.
                    Err(_) => {
                        create_private(scratch)?;
                        self.copy_out(&source, &mount.source, &scratch.join("view"), scratch, true)?;
                        Place::Directory(vec![scratch.to_path_buf()])
                    }
                }
            }
        };
        let made = self.show(place, mount, &scratch.with_extension("rw"))?;
        prepared.mounts.push(made);
        Ok(())
    }

    /// A mount of something in a context, found again in it when it is made: whoever changes the context meanwhile
    /// cannot make the mount show anything else than what is in it.
    fn show_context(
        &self,
        context: &BuildContext,
        path: &[u8],
        stat: &Stat,
        mount: &RunMount,
        scratch: &Path,
    ) -> Result<Mount> {
        let part = format!("{SUBPATH}{}", String::from_utf8_lossy(path));
        let whole = context.path().to_path_buf();
        if mount.read_only {
            let mut made = bound(whole, &mount.target, &["ro"]);
            made.options.extend((!path.is_empty()).then_some(part));
            return Ok(made);
        }
        create_private(scratch)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            let failed = || "cannot copy the file that is to be mounted";
            let opened = context.root()?.reopen(path, OFlags::RDONLY | OFlags::NONBLOCK).context(failed)?;
            let copy = scratch.join("file");
            let mut file = File::create_new(&copy).context(failed)?;
            std::io::copy(&mut File::from(opened), &mut file).context(failed)?;
            let mode = std::fs::Permissions::from_mode(stat.st_mode & 0o777);
            file.set_permissions(mode).context(failed)?;
            return Ok(bound(copy, &mount.target, &[]));
        }
        let mut made = self.overlay(mount, &[whole], scratch)?;
        made.options.extend((!path.is_empty()).then_some(part));
        Ok(made)
    }

    /// A mount that shows a place; with `rw` what is written to it goes elsewhere.
    fn show(&self, place: Place, mount: &RunMount, scratch: &Path) -> Result<Mount> {
        let directories = match place {
            Place::File(path) if mount.read_only => return Ok(bound(path, &mount.target, &["ro"])),
            Place::File(path) => {
                create_private(scratch)?;
                let copy = scratch.join("file");
                std::fs::copy(&path, &copy).context(|| "cannot copy the file that is to be mounted")?;
                return Ok(bound(copy, &mount.target, &[]));
            }
            Place::Directory(directories) => directories,
        };
        if let ([only], true) = (&directories[..], mount.read_only) {
            return Ok(bound(only.clone(), &mount.target, &["ro"]));
        }
        self.overlay(mount, &directories, scratch)
    }

    /// Shows directories, top first; what is written to them goes below `scratch`.
    fn overlay(&self, mount: &RunMount, directories: &[PathBuf], scratch: &Path) -> Result<Mount> {
        let escaped = |path: &PathBuf| path.display().to_string().replace('\\', "\\\\").replace(':', "\\:");
        let names: Vec<String> = directories.iter().map(escaped).collect();
        let mut options = vec![format!("lowerdir={}", names.join(":"))];
        options.extend(mount.read_only.then(|| "ro".to_owned()));
        let [upper, work] = ["upper", "work"].map(|name| scratch.join(name));
        for (key, dir) in [("upperdir", &upper), ("workdir", &work)] {
            create_private(dir)?;
            options.push(format!("{key}={}", dir.display()));
        }
        if let Some(top) = directories.first() {
            // The root of an overlay is its upper directory.
            enter::run(self.build.maps, || {
                make_alike(&upper, top).context(|| format!("cannot prepare {}", upper.display()))
            })?;
        }
        let (destination, source) = (mount.target.clone(), PathBuf::from("overlay"));
        Ok(Mount { destination, kind: "overlay".to_owned(), source, options })
    }

    /// Copies what is in a directory of a stage or image to `to`, which becomes `alike` that directory.
    fn copy_out(&mut self, source: &Source, path: &str, view: &Path, to: &Path, alike: bool) -> Result<()> {
        let layers = self.layers_of(source)?;
        let plan = self.view(&layers, view)?;
        let place = view.join("lower");
        create_private(&place)?;
        let sources = [format!("/{path}")];
        enter::run(self.build.maps, || {
            rustix::process::umask(Mode::empty());
            let from = Root::new(
                std::mem::ManuallyDrop::new(plan.mount_lower(&place)?)
                    .root
                    .try_clone()
                    .context(|| "cannot keep a directory")?,
            )?;
            copy_tree(&from, &Ignore::default(), &sources, to)?;
            let found = from.resolve(clean(path).as_bytes()).ok().flatten();
            match found.filter(|(_, stat)| alike && FileType::from_raw_mode(stat.st_mode) == FileType::Directory) {
                Some((_, stat)) => owner::give(to, stat.st_uid, stat.st_gid)
                    .and_then(|()| std::fs::set_permissions(to, std::fs::Permissions::from_mode(stat.st_mode & 0o7777)))
                    .context(|| format!("cannot prepare {}", to.display())),
                None => Ok(()),
            }
        })
    }

    fn copy_context(&self, context: &BuildContext, path: &str, to: &Path) -> Result<()> {
        create_private(to)?;
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(to, mode).context(|| format!("cannot prepare {}", to.display()))?;
        let sources = [format!("/{path}")];
        let (root, ignore) = (context.root()?, context.ignore());
        enter::run(self.build.maps, || {
            rustix::process::umask(Mode::empty());
            copy_tree(root, ignore, &sources, to)
        })
    }

    /// A plan whose layers can be mounted below `dir`.
    pub(crate) fn view(&self, layers: &[DiffId], dir: &Path) -> Result<RootfsPlan> {
        self.build.store.prepare_rootfs(layers, dir, &IdShift::None)
    }
}

fn copy_tree(from: &Root, ignore: &Ignore, sources: &[String], to: &Path) -> Result<()> {
    let nothing = Ignore::default();
    let wanted = select::Wanted { sources, ignore, exclude: &nothing, parents: false };
    let found = select::select(from, &wanted)?;
    let root = Root::open(to)?;
    let attributes = Attributes::default();
    let mut target = Target::new(&root, &attributes);
    target.copy(from, &found, b"/", false)?;
    target.done()
}

fn clean(path: &str) -> String {
    super::context::ignore::clean(&format!("/{path}")).trim_start_matches('/').to_owned()
}

fn bound(source: PathBuf, destination: &str, options: &[&str]) -> Mount {
    let options = ["bind", "rprivate"].iter().chain(options).map(|option| (*option).to_owned()).collect();
    Mount { destination: destination.to_owned(), kind: "bind".to_owned(), source, options }
}

/// Gives a directory the owner, mode and times of another one.
fn make_alike(dir: &Path, like: &Path) -> std::io::Result<()> {
    let meta = std::fs::metadata(like)?;
    owner::give(dir, meta.uid(), meta.gid())?;
    std::fs::set_permissions(dir, meta.permissions())?;
    let times = std::fs::FileTimes::new().set_accessed(meta.accessed()?).set_modified(meta.modified()?);
    File::open(dir)?.set_times(times)
}

fn tmpfs(mount: &RunMount) -> Mount {
    let mut options: Vec<String> = ["nosuid", "nodev", "mode=1777"].map(str::to_owned).to_vec();
    options.extend(mount.size.map(|size| format!("size={size}")));
    Mount { destination: mount.target.clone(), kind: "tmpfs".to_owned(), source: PathBuf::from("tmpfs"), options }
}
