//! Namespaces of others: `--userns`, `--network`, `--pid`, `--ipc`, `--uts` and `--cgroupns` with `container:` or `ns:`.
//!
//! Every namespace belongs to a user namespace, and only there a process has the rights to enter it. Containers of one user
//! are siblings, so whoever shares anything with another container lives in that one's user namespace, with its ids. In
//! the Spec such a namespace has words for a path, because a container's processes are others at every start:
//!
//! ```text
//! container:<id>   the namespace of that container as it is when this one starts
//! owner:<path>     the user namespace that owns the one at this path
//! ```

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxNamespaceType, Spec};

use super::options::userns::UserNamespace;
use super::options::{NamespaceMode, RunOptions};
use super::{lifecycle, store};
use crate::error::{Context, Error, Kind, Result};
use crate::network::mode::Mode;
use crate::runtime::Join;
use crate::state::paths::Dirs;
use crate::sys::namespace;
use crate::userns::IdMaps;

const CONTAINER: &str = "container:";
const OWNER: &str = "owner:";

/// The user namespace that a new container joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    /// What the Spec says.
    pub path: PathBuf,
    /// Its ids, where they are known.
    pub maps: Option<IdMaps>,
}

/// The words for a namespace of a container.
pub(super) fn of_container(id: &str) -> PathBuf {
    PathBuf::from(format!("{CONTAINER}{id}"))
}

/// The container that the words are about.
pub(super) fn container_of(words: &Path) -> Option<String> {
    words.to_str()?.strip_prefix(CONTAINER).map(str::to_owned)
}

/// Finds the user namespace that the options make the container join, and puts ids in place of names.
pub(super) fn resolve(dirs: &Dirs, options: &mut RunOptions) -> Result<Option<Joined>> {
    let mut target: Option<(String, Option<IdMaps>)> = None;
    let mut path: Option<PathBuf> = None;
    let mut container = |name: &mut String, option: &str| -> Result<()> {
        let found = store::find(dirs, name)
            .map_err(|e| Error::wrap(format!("looking up container to share {option} namespace with"), e))?;
        found.id().clone_into(name);
        if option == "ipc" && !found.config()?.asked.sharing.is_shareable() {
            return Err(Error::new(format!(
                "joining IPC of container {name} is not allowed: non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
            )));
        }
        if target.is_none() {
            target = Some((name.clone(), found.config()?.maps));
        }
        Ok(())
    };
    match &mut options.userns {
        UserNamespace::Container(name) => container(name, "user")?,
        UserNamespace::Path(at) => path = Some(at.clone()),
        UserNamespace::New(_) => {}
    }
    if let Mode::Container(name) = &mut options.network.mode {
        container(name, "network")?;
    }
    let network = if let Mode::Path(at) = &options.network.mode { Some(at.clone()) } else { None };
    let mut kept: Vec<PathBuf> = network.into_iter().collect();
    let modes = [
        (&mut options.pid, "pid"),
        (&mut options.ipc, "ipc"),
        (&mut options.uts, "uts"),
        (&mut options.cgroup, "cgroup"),
    ];
    for (mode, option) in modes {
        match mode {
            NamespaceMode::Container(name) => container(name, option)?,
            NamespaceMode::Path(at) => kept.push(at.clone()),
            NamespaceMode::Private | NamespaceMode::Host => {}
        }
    }
    let own = matches!(&options.userns, UserNamespace::New(choice) if *choice != crate::userns::choice::Choice::Whole);
    let joined = match (target, path) {
        (Some((id, maps)), _) => Some(Joined { path: of_container(&id), maps }),
        (None, Some(path)) => Some(Joined { path, maps: None }),
        (None, None) => kept.iter().map(|path| owner_of(path)).find_map(Result::transpose).transpose()?,
    };
    if own && joined.is_some() {
        return Err(Error::new("a container that shares a namespace has the user namespace which that belongs to")
            .hint("leave out --userns, --uidmap, --gidmap, --subuidname and --subgidname"));
    }
    Ok(joined)
}

/// The containers whose namespaces a Spec shares.
pub(super) fn shared(spec: &Spec) -> BTreeSet<String> {
    let namespaces = spec.linux().iter().flat_map(|linux| linux.namespaces().iter().flatten());
    namespaces.filter_map(|namespace| container_of(namespace.path().as_deref()?)).collect()
}

/// `None` when the namespace belongs to the user namespace that rpod is in.
fn owner_of(path: &Path) -> Result<Option<Joined>> {
    let file = open(path)?;
    let Ok(owner) = namespace::owner(file.as_fd()) else {
        return Err(Error::new(format!("{} is a namespace that this user may not enter", path.display())));
    };
    let own = inode(&open(Path::new("/proc/self/ns/user"))?)?;
    if inode(&File::from(owner))? == own {
        return match rustix::process::geteuid().is_root() {
            true => Ok(None),
            false => Err(Error::new(format!("{} is a namespace that this user may not enter", path.display()))
                .hint("namespaces can be joined that belong to a user namespace of yours")),
        };
    }
    Ok(Some(Joined { path: PathBuf::from(format!("{OWNER}{}", path.display())), maps: None }))
}

fn open(path: &Path) -> Result<File> {
    File::open(path).context(|| format!("cannot open the namespace {}", path.display()))
}

fn inode(file: &File) -> Result<u64> {
    file.metadata().map(|meta| meta.ino()).context(|| "cannot examine a namespace")
}

/// Whether the container has no user namespace of its own.
pub(super) fn has_joined(spec: &Spec) -> bool {
    let namespaces = spec.linux().iter().flat_map(|linux| linux.namespaces().iter().flatten());
    namespaces.filter(|n| n.typ() == LinuxNamespaceType::User).any(|n| n.path().is_some())
}

/// What has to be joined now, instead of the words for it in the Spec.
pub(super) fn at_start<'s>(dirs: &Dirs, spec: &'s Spec) -> Result<(Cow<'s, Spec>, Vec<Join>)> {
    let namespaces = || spec.linux().iter().flat_map(|linux| linux.namespaces().iter().flatten());
    let words = |path: &Path| path.to_str().is_some_and(|text| text.starts_with(CONTAINER) || text.starts_with(OWNER));
    if !namespaces().any(|n| n.path().as_deref().is_some_and(words)) {
        return Ok((Cow::Borrowed(spec), Vec::new()));
    }
    let mut joins: Vec<(String, Join)> = Vec::new();
    let mut first = Vec::new();
    for wanted in namespaces() {
        let Some(text) = wanted.path().as_deref().and_then(Path::to_str) else { continue };
        if let Some(path) = text.strip_prefix(OWNER) {
            let owner = namespace::owner(open(Path::new(path))?.as_fd()).context(|| format!("cannot join {path}"))?;
            first.push(Join { fd: owner, kinds: libc::CLONE_NEWUSER });
        } else if let Some(id) = text.strip_prefix(CONTAINER) {
            let kind = crate::runtime::namespace_kind(wanted.typ())?;
            match joins.iter_mut().find(|(known, _)| known == id) {
                Some((_, join)) => join.kinds |= kind,
                None => joins.push((id.to_owned(), Join { fd: running(dirs, id)?, kinds: kind })),
            }
        }
    }
    same_user_namespace(dirs, &joins)?;
    // What gives the rights comes first.
    joins.sort_by_key(|(_, join)| join.kinds & libc::CLONE_NEWUSER == 0);
    first.extend(joins.into_iter().map(|(_, join)| join));
    let mut spec = spec.clone();
    if let Some(linux) = spec.linux_mut() {
        let own = linux.namespaces().iter().flatten().filter(|n| !n.path().as_deref().is_some_and(words));
        linux.set_namespaces(Some(own.cloned().collect()));
    }
    Ok((Cow::Owned(spec), first))
}

/// The first process of a running container.
pub(super) fn running(dirs: &Dirs, id: &str) -> Result<OwnedFd> {
    let other = store::find(dirs, id)?;
    let state = other.state(dirs)?;
    lifecycle::init(&state).filter(|_| state.status.is_up()).ok_or_else(|| {
        let name = &other.record.name;
        Error::new(format!("cannot join the namespaces of container {name}: it does not run"))
            .with_kind(Kind::Conflict)
            .hint(format!("start it first: rpod start {name}"))
    })
}

/// Containers whose namespaces are joined together must share their user namespace already.
fn same_user_namespace(dirs: &Dirs, joins: &[(String, Join)]) -> Result<()> {
    if joins.len() < 2 {
        return Ok(());
    }
    let mut seen = Vec::new();
    for (id, _) in joins {
        let pid = store::find(dirs, id)?.state(dirs)?.pid;
        let link = format!("/proc/{pid}/ns/user");
        seen.push(std::fs::read_link(&link).context(|| format!("cannot read {link}"))?);
    }
    if seen.windows(2).all(|pair| pair[0] == pair[1]) {
        return Ok(());
    }
    Err(Error::new("the containers to share namespaces with live in different user namespaces")
        .hint("share everything with one of them, or start one of them with --userns container:OTHER"))
}
