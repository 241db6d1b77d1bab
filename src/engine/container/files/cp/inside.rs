//! A process of ours that has a container's root file system before it: of a running container with all its mounts, of
//! a stopped one as the next start would mount it.
//!
//! Paths are looked up below the root by the kernel alone (openat2(2), RESOLVE_IN_ROOT): a link that a program in the
//! container swaps meanwhile leads to another place in the container, never out of it (CVE-2018-15664).

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, readlinkat, statat};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::container::lifecycle;
use crate::engine::container::record::Config;
use crate::engine::container::resolve::MountKind;
use crate::engine::container::start;
use crate::engine::container::store::Container;
use crate::error::{Context, Error, Kind, Result};
use crate::monitor::place::Place;
use crate::monitor::state::Status;
use crate::state::lock::Lock;
use crate::state::paths::Dirs;
use crate::storage::RootfsPlan;
use crate::sys::lookup::openat2;
use crate::sys::mount;
use crate::sys::process::{Child, Fork, exit_now, fork};
use crate::sys::{namespace, prctl};
use crate::userns::IdMaps;
use crate::userns::enter::{self, Failure};

/// What is done with a container's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// A container whose files can be reached.
#[derive(Debug)]
pub(crate) struct Inside {
    name: String,
    config: Config,
    place: Place,
    target: PathBuf,
    /// Its first process, and its root directory.
    running: Option<(OwnedFd, OwnedFd)>,
    /// Nobody starts, removes or writes to it meanwhile. Who only reads has none: `rpod cp c:/a - | rpod cp - c:/b` is two
    /// commands that need each other to end.
    lock: Option<Lock>,
}

/// Work that goes on in the process.
#[derive(Debug)]
#[must_use]
pub(crate) struct Job {
    answer: OwnedFd,
    child: Child,
}

impl Inside {
    pub(crate) fn open(dirs: &Dirs, container: &Container, access: Access) -> Result<Self> {
        let config = container.config()?;
        let (mut running, mut lock) = (None, None);
        let state = container.state(dirs)?;
        if state.status == Status::Initialized {
            // The kernel shows nobody the root of a process that may still become anything (PR_SET_DUMPABLE).
            return Err(Error::new(format!(
                "the files of container {} cannot be reached before its start",
                container.id()
            ))
            .with_kind(Kind::Conflict)
            .hint("start or stop it first"));
        }
        if let Some(pidfd) = lifecycle::init(&state) {
            let path = format!("/proc/{}/root", state.pid);
            let root = rustix::fs::open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .context(|| format!("cannot reach the files of container {}", container.id()))?;
            // Only now is it certain that the number was still this process's.
            if lifecycle::init(&container.state(dirs)?).is_some() {
                running = Some((pidfd, root));
            }
        }
        if running.is_none() && access == Access::Write {
            lock = start::claim(dirs, container)?;
        }
        let (name, place) = (container.record.name.clone(), container.place.clone());
        let target = place.disk.join("mounted");
        Ok(Self { name, config, place, target, running, lock })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The ids that the container's program runs with.
    pub(crate) fn owner(&self) -> (u32, u32) {
        self.config.spec.process().as_ref().map_or((0, 0), |process| (process.user().uid(), process.user().gid()))
    }

    /// A path as typed: what is relative starts where the container's program does.
    pub(crate) fn absolute(&self, path: &str) -> String {
        if path.starts_with('/') {
            return path.to_owned();
        }
        let directory = self.config.spec.process().as_ref().map(|process| process.cwd().display().to_string());
        format!("{}/{path}", directory.unwrap_or_default().trim_end_matches('/'))
    }

    /// Runs `f`, which reads, with the root directory and brings its answer back. For a single-threaded process.
    pub(crate) fn run<T: Serialize + DeserializeOwned>(
        &self,
        f: impl FnOnce(BorrowedFd<'_>) -> Result<T>,
    ) -> Result<T> {
        self.start(&RefCell::new(None), Access::Read, f)?.finish()
    }

    /// Starts `f`, whose process does not keep `other` open, the far end of its pipe. For a single-threaded process.
    pub(crate) fn start<T: Serialize>(
        &self,
        other: &RefCell<Option<OwnedFd>>,
        access: Access,
        f: impl FnOnce(BorrowedFd<'_>) -> Result<T>,
    ) -> Result<Job> {
        let (answer, writer) = pipe_with(PipeFlags::CLOEXEC).context(|| "cannot make a pipe")?;
        let answer = RefCell::new(Some(answer));
        let body = |result: Result<T>| {
            let answer = result.map_err(|e| Failure::from(&e));
            let written = serde_json::to_vec(&answer).map(|bytes| File::from(writer).write_all(&bytes));
            u8::from(!matches!(written, Ok(Ok(()))))
        };
        // In the child only: this process's own copies stay open.
        let close = || drop((other.take(), answer.take()));
        let child = match &self.running {
            Some((pidfd, root)) => match fork().context(|| "cannot fork")? {
                Fork::Child => {
                    close();
                    exit_now(body(enter_user_namespace(pidfd.as_fd()).and_then(|()| f(root.as_fd()))))
                }
                Fork::Parent(child) => child,
            },
            None => {
                let own = IdMaps::for_user()?;
                let maps = self.config.maps.as_ref().unwrap_or(&own);
                enter::spawn(maps, || {
                    close();
                    body(self.mounted(access, f))
                })?
            }
        };
        let answer = answer.take().ok_or_else(|| Error::new("the pipe is gone"))?;
        Ok(Job { answer, child })
    }

    /// In the child: mounts the root, and the volumes and directories of the host on it.
    fn mounted<T>(&self, access: Access, f: impl FnOnce(BorrowedFd<'_>) -> Result<T>) -> Result<T> {
        let done = self.attach(access).and_then(|(root, _lock)| f(root.as_fd()));
        if matches!(self.config.rootfs, RootfsPlan::FuseOverlayfs { .. }) {
            // The program ends with its mount.
            self.unmount()?;
        }
        done
    }

    fn attach(&self, access: Access) -> Result<(OwnedFd, Option<Lock>)> {
        let path = match access {
            Access::Read => self.config.rootfs.mount_to_read(&self.target)?,
            Access::Write => self.config.rootfs.mount(&self.target)?,
        };
        let root = rustix::fs::open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .context(|| format!("cannot open {}", path.display()))?;
        if self.mounts(root.as_fd(), access)? {
            return Ok((root, None));
        }
        drop(root);
        self.unmount()?;
        let busy = || {
            Error::new(format!("container {} is being used by another process", self.name)).with_kind(Kind::Conflict)
        };
        let lock = if self.lock.is_some() { None } else { Some(self.place.try_lock()?.ok_or_else(busy)?) };
        Ok((self.attach(Access::Write)?.0, lock))
    }

    fn unmount(&self) -> Result<()> {
        rustix::mount::unmount(&self.target, rustix::mount::UnmountFlags::DETACH)
            .context(|| "cannot unmount the container's root")
    }

    /// `false`: something is missing that has to be made first, and who only reads cannot.
    fn mounts(&self, root: BorrowedFd<'_>, access: Access) -> Result<bool> {
        for wanted in &self.config.mounts {
            let (MountKind::Bind | MountKind::Volume) = wanted.kind else { continue };
            let failed = || format!("cannot mount {}", wanted.destination);
            let source = std::ffi::CString::new(wanted.source.as_os_str().as_encoded_bytes()).context(failed)?;
            // What is not there is missed when the container starts.
            let tree = match &wanted.subpath {
                None => mount::copy_tree(rustix::fs::CWD, &source, true),
                Some(part) => {
                    rustix::fs::openat(rustix::fs::CWD, &source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
                        .and_then(|volume| mount::copy_tree(lookup(volume.as_fd(), part, OFlags::PATH)?, c"", true))
                }
            };
            let Ok(tree) = tree else { continue };
            // What is written to an overlay is gone with the next start: better not written at all.
            if wanted.has("O") {
                let read_only = mount::Attributes::new(libc::MOUNT_ATTR_RDONLY, 0, 0);
                mount::change(&tree, &read_only, true).context(failed)?;
            }
            let place = match lookup(root, &wanted.destination, OFlags::PATH) {
                // As the first start would make it.
                Err(Errno::NOENT) => match make_place(root, &wanted.destination, wanted.source.is_dir()) {
                    Err(Errno::ROFS) if access == Access::Read => return Ok(false),
                    made => made.and_then(|()| lookup(root, &wanted.destination, OFlags::PATH)),
                },
                place => place,
            };
            mount::attach(&tree, place.context(failed)?).context(failed)?;
        }
        Ok(true)
    }
}

impl Job {
    /// Waits for the end and the answer.
    pub(crate) fn finish<T: DeserializeOwned>(self) -> Result<T> {
        let failed = || "cannot work in the container";
        let mut answer = Vec::new();
        let read = File::from(self.answer).read_to_end(&mut answer);
        let code = self.child.wait().context(failed)?;
        read.context(failed)?;
        if code != 0 {
            return Err(Error::new(format!("the process in the container ended with code {code}")));
        }
        serde_json::from_slice::<Result<T, Failure>>(&answer).context(failed)?.map_err(Error::from)
    }
}

/// With all rights over the container's files, and as its root where it has one.
fn enter_user_namespace(pidfd: BorrowedFd<'_>) -> Result<()> {
    let failed = || "cannot enter the container's user namespace";
    // Root of that namespace may trace whoever is in it.
    prctl::set_not_dumpable().context(failed)?;
    match namespace::setns(pidfd, libc::CLONE_NEWUSER) {
        // It is this process's own already.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(e) => return Err(e).context(failed),
    }
    let (uid, gid) = (rustix::process::Uid::ROOT, rustix::process::Gid::ROOT);
    // Not every map has a root; files get their owners one by one then.
    let _ = rustix::thread::set_thread_res_gid(gid, gid, gid);
    let _ = rustix::thread::set_thread_res_uid(uid, uid, uid);
    rustix::process::umask(Mode::empty());
    Ok(())
}

/// Opens `path` below `root`.
pub(super) fn lookup(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.trim_matches('/').is_empty() { "." } else { path };
    openat2(root, path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// What `path` is, with the links at its end followed; and the path without them.
pub(super) fn real(root: BorrowedFd<'_>, path: &str) -> Result<(Option<Stat>, String), Errno> {
    let mut path = path.to_owned();
    for _ in 0..40 {
        let (parent, name) = split(&path);
        if name.is_empty() || matches!(name, "." | "..") {
            let directory = lookup(root, &path, OFlags::PATH)?;
            return Ok((Some(rustix::fs::fstat(directory)?), path));
        }
        let directory = match lookup(root, parent, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => return Ok((None, path)),
            directory => directory?,
        };
        let stat = match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok((None, path)),
            stat => stat?,
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            return Ok((Some(stat), path));
        }
        let target = readlinkat(&directory, name, Vec::new())?.into_string().map_err(|_| Errno::ILSEQ)?;
        path = if target.starts_with('/') { target } else { format!("{parent}/{target}") };
    }
    Err(Errno::LOOP)
}

/// The parent, and the last name.
pub(super) fn split(path: &str) -> (&str, &str) {
    let path = path.trim_end_matches('/');
    match path.rfind('/') {
        Some(0) => ("/", &path[1..]),
        Some(at) => (&path[..at], &path[at + 1..]),
        None => ("/", path),
    }
}

/// A directory or an empty file to mount on.
fn make_place(root: BorrowedFd<'_>, path: &str, directory: bool) -> Result<(), Errno> {
    if directory {
        return make_directories(root, path);
    }
    let (parent, name) = split(path);
    make_directories(root, parent)?;
    let parent = lookup(root, parent, OFlags::PATH | OFlags::DIRECTORY)?;
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
}

fn make_directories(root: BorrowedFd<'_>, path: &str) -> Result<(), Errno> {
    let mut done = String::new();
    for name in Path::new(path).components().filter_map(|part| match part {
        std::path::Component::Normal(name) => name.to_str(),
        _ => None,
    }) {
        let parent = lookup(root, &done, OFlags::PATH | OFlags::DIRECTORY)?;
        done = format!("{done}/{name}");
        match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
