//! Carrying out one operation of the plan. No allocation on the usual way, every descriptor close-on-exec.

use std::ffi::CStr;
use std::fmt::Write as _;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, major, minor, openat, statat, symlinkat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::process::{fchdir, pivot_root};
use rustix::thread::{UnshareFlags, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::child::{State, ready, wait_for_go, wait_for_hooks, wait_for_ids, warn};
use super::plan::{Credentials, Op, Root, Slot};
use super::{place, streams};
use crate::sys::lookup::openat2;
use crate::sys::mount::{Attributes, attach, change, copy_tree, new_filesystem};
use crate::sys::overlay::Overlay;
use crate::sys::text::Text;
use crate::sys::{caps, exec, namespace, prctl, rlimit, seccomp};
use crate::userns::owner;

/// MOUNT_ATTR_RDONLY, _NOSUID, _NODEV, _NOEXEC.
const RDONLY: u64 = 1;
const NOTHING_RUNS: u64 = 2 | 4 | 8;

/// What containers have by default (see `engine::container::resolve`).
const PING: &CStr = c"net/ipv4/ping_group_range";

pub(super) fn perform(op: &Op, state: &mut State<'_>) -> Result<(), Errno> {
    match op {
        // By the child itself.
        Op::Network | Op::Hook(_) => Ok(()),
        Op::Hooked => wait_for_hooks(state),
        Op::CgroupNamespace => namespace::unshare(UnshareFlags::NEWCGROUP),
        Op::Names { host, domain } => names(host.as_deref(), domain.as_deref(), state),
        Op::DetachFromHost => mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC),
        Op::Cover { place, with } => {
            let place = openat(CWD, place, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            attach(copy_tree(CWD, with, false)?, place)
        }
        Op::OomScore(score) => oom_score(score, state),
        Op::Filesystem { slot, kind, options, attributes } => {
            let mount = filesystem(kind, options, attributes, state)?;
            put(state, *slot, mount)
        }
        Op::Copy { slot, source, recursive, attributes, recursive_attributes } => {
            let copy = copy_tree(CWD, source, *recursive)?;
            set(&copy, recursive_attributes, true)?;
            set(&copy, attributes, false)?;
            put(state, *slot, copy)
        }
        Op::CopyBelow { whole, part, copy } => copy_below(state, *whole, part, copy),
        Op::Overlay { slot, lower, upper, name, work, part, attributes } => {
            let mount = placed_overlay(state, lower, (*upper, name), *work, part.as_deref())?;
            set(&mount, attributes, false)?;
            put(state, *slot, mount)
        }
        Op::Open { slot, path } => {
            let opened = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            put(state, *slot, opened)
        }
        Op::LinkAt { place, target } => link_at(root(state)?, place, target),
        Op::Root(root) => {
            state.root = Some(make_root(root, state)?);
            Ok(())
        }
        Op::Attach { slot, place, only_directory } => attach_inside(state, *slot, place, *only_directory),
        Op::CopyUp { slot, place, mode, content } => {
            super::copyup::fill(root(state)?, place, slot_fd(state, *slot)?, *mode, *content)
        }
        Op::Identity => identity(state),
        Op::Device { slot, dev, path, number } => device(state, *slot, *dev, path, *number),
        Op::Link { dev, name, target } => match symlinkat(target, slot_fd(state, *dev)?, name) {
            // A device of that name was asked for.
            Err(Errno::EXIST) => Ok(()),
            result => result,
        },
        Op::Mask(path) => mask(state, path),
        Op::ReadOnly(path) => read_only(state, path),
        Op::Sysctl { path, value } => match sysctl(path, value) {
            // Inside another container /proc/sys is not to be written. Nobody asked for this one, and only ping misses it.
            Err(errno @ (Errno::ROFS | Errno::ACCESS)) if path.as_c_str() == PING => warn(state, errno),
            result => result,
        },
        Op::Protect { slot } => change(slot_fd(state, *slot)?, &Attributes::new(RDONLY, 0, 0), false),
        Op::RootReadOnly => change(root(state)?, &Attributes::new(RDONLY, 0, 0), false),
        Op::Pivot => pivot(state),
        Op::Streams { terminal, owner } => streams::set_up(state, *terminal, *owner),
        Op::Limit(limit) => rlimit::set(limit),
        Op::Directory { path, make } => enter(path, *make),
        Op::Credentials => become_user(&state.plan.process.credentials),
        Op::Ready => ready(state),
        Op::Wait => wait_for_go(state),
        Op::Execute => execute(state),
    }
}

pub(super) fn slot_fd<'a>(state: &'a State<'_>, slot: Slot) -> Result<&'a OwnedFd, Errno> {
    state.slots.get(slot).and_then(Option::as_ref).ok_or(Errno::BADF)
}

fn put(state: &mut State<'_>, slot: Slot, mount: OwnedFd) -> Result<(), Errno> {
    *state.slots.get_mut(slot).ok_or(Errno::BADF)? = Some(mount);
    Ok(())
}

fn root<'a>(state: &'a State<'_>) -> Result<&'a OwnedFd, Errno> {
    state.root.as_ref().ok_or(Errno::BADF)
}

fn set(mount: &OwnedFd, attributes: &Attributes, recursive: bool) -> Result<(), Errno> {
    if attributes.is_nothing() { Ok(()) } else { change(mount, attributes, recursive) }
}

/// Another container's system call filter may keep the name that is there, whatever rights the user namespace gives.
fn names(host: Option<&CStr>, domain: Option<&CStr>, state: &State<'_>) -> Result<(), Errno> {
    match exec::set_names(host, domain) {
        Err(Errno::PERM) if state.mapped => warn(state, Errno::PERM),
        result => result,
    }
}

/// A lower score than the caller's own needs a privilege that no user namespace gives.
fn oom_score(score: &CStr, state: &State<'_>) -> Result<(), Errno> {
    match write_oom_score(score) {
        Err(Errno::ACCESS | Errno::PERM) if state.mapped => warn(state, Errno::ACCESS),
        result => result,
    }
}

/// Through the host's procfs: nothing of the container's is in the way yet.
pub(super) fn write_oom_score(score: &CStr) -> Result<(), Errno> {
    let file = openat(CWD, c"/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(file, score.to_bytes()).map(drop)
}

/// What stands in for a file system that the kernel refuses to mount here: the host's own, with everything that covers
/// parts of it. Inside other containers a fresh procfs or sysfs would show what is masked there; a sysfs of a network
/// namespace that belongs to another user namespace is refused as well.
const STAND_INS: [(&CStr, &CStr); 4] =
    [(c"proc", c"/proc"), (c"sysfs", c"/sys"), (c"cgroup2", c"/sys/fs/cgroup"), (c"mqueue", c"/dev/mqueue")];

fn filesystem(
    kind: &CStr,
    options: &[(std::ffi::CString, Option<std::ffi::CString>)],
    attributes: &Attributes,
    state: &State<'_>,
) -> Result<OwnedFd, Errno> {
    let refused = match new_filesystem(kind, options, attributes.set) {
        Ok(mount) => {
            set(&mount, &Attributes::new(0, 0, attributes.propagation), false)?;
            return Ok(mount);
        }
        Err(e) => e,
    };
    let stand_in = STAND_INS.iter().find(|(known, _)| *known == kind && state.mapped);
    let (Some((_, source)), Errno::PERM | Errno::NODEV | Errno::BUSY) = (stand_in, refused) else {
        return Err(refused);
    };
    let copy = copy_tree(CWD, source, true).map_err(|_| refused)?;
    change(&copy, &Attributes::new(attributes.set & !0x70, 0, libc::MS_PRIVATE), true)?;
    warn(state, refused)?;
    Ok(copy)
}

fn make_root(root: &Root, state: &mut State<'_>) -> Result<OwnedFd, Errno> {
    match root {
        Root::Overlay { lower, upper, work, volatile } => {
            // It makes directories of its own, which nobody without an id may: not worth trying.
            wait_for_ids(state)?;
            overlay(lower, upper, work, *volatile)?;
            directory(upper)
        }
        Root::Opened { lower, upper, work, volatile } => {
            wait_for_ids(state)?;
            let mount = opened_overlay(state, lower, *upper, *work, *volatile)?;
            attach(&mount, slot_fd(state, *upper)?)?;
            Ok(mount)
        }
        Root::Directory { path } => {
            let copy = copy_tree(CWD, path, true)?;
            change(&copy, &Attributes::new(0, 0, libc::MS_PRIVATE), true)?;
            attach(&copy, directory(path)?)?;
            Ok(copy)
        }
        Root::Received { place } => {
            wait_for_ids(state)?;
            let mount = state.received.take().ok_or(Errno::BADF)?;
            attach(&mount, directory(place)?)?;
            Ok(mount)
        }
    }
}

fn directory(path: &CStr) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Mounted over the upper directory, the one place that is certainly there.
fn overlay(lower: &[std::ffi::CString], upper: &CStr, work: &CStr, volatile: bool) -> Result<(), Errno> {
    let mut overlay = Overlay::new();
    // Kept open: the number names it until the mount is made. Closed by close_range before the program runs.
    let kept = |path: &CStr| directory(path).map(std::mem::ManuallyDrop::new);
    for layer in lower {
        overlay.lower(kept(layer)?.as_fd())?;
    }
    let upper = kept(upper)?;
    overlay.upper(upper.as_fd(), kept(work)?.as_fd())?;
    if volatile {
        overlay.volatile()?;
    }
    overlay.mount(upper.as_fd(), MountFlags::empty())
}

/// [`overlay`] of directories that this process could not find any more, attached nowhere yet. fsconfig(2) takes 256 bytes
/// at once: enough for the one layer that such a container has.
fn opened_overlay(
    state: &State<'_>,
    lower: &[Slot],
    upper: Slot,
    work: Slot,
    volatile: bool,
) -> Result<OwnedFd, Errno> {
    let name = |slots: &[Slot]| -> Result<Text, Errno> {
        let mut text = Text::new();
        let mut before = "";
        for slot in slots {
            let fd = slot_fd(state, *slot)?.as_raw_fd();
            write!(text, "{before}/proc/self/fd/{fd}").map_err(|_| Errno::TOOBIG)?;
            before = ":";
        }
        text.write_str("\0").map_err(|_| Errno::TOOBIG)?;
        Ok(text)
    };
    let (lower, upper, work) = (name(lower)?, name(&[upper])?, name(&[work])?);
    let options: [(&CStr, Option<&CStr>); 5] = [
        (c"lowerdir", Some(lower.as_c_str()?)),
        (c"upperdir", Some(upper.as_c_str()?)),
        (c"workdir", Some(work.as_c_str()?)),
        (c"userxattr", None),
        (c"volatile", None),
    ];
    new_filesystem(c"overlay", &options[..if volatile { 5 } else { 4 }], 0)
}

/// An overlay of opened directories, over its upper directory, which nothing else has a use for; answers a copy of it, or
/// of a part of it. (What is attached nowhere can be copied since Linux 6.15 only.)
fn placed_overlay(
    state: &State<'_>,
    lower: &[Slot],
    (upper, name): (Slot, &CStr),
    work: Slot,
    part: Option<&CStr>,
) -> Result<OwnedFd, Errno> {
    let mounted = match lower.len() <= FEW_LAYERS {
        true => {
            let mount = opened_overlay(state, lower, upper, work, false)?;
            attach(&mount, slot_fd(state, upper)?)?;
            mount
        }
        false => layered_overlay(state, lower, (upper, name), work)?,
    };
    match part {
        None => copy_tree(&mounted, c"", false),
        Some(part) => copy_tree(place::find(&mounted, part)?, c"", false),
    }
}

/// How many layers fsconfig(2) takes: 256 bytes of `/proc/self/fd/NNN:`.
const FEW_LAYERS: usize = 13;

fn layered_overlay(
    state: &State<'_>,
    lower: &[Slot],
    (upper, name): (Slot, &CStr),
    work: Slot,
) -> Result<OwnedFd, Errno> {
    let mut overlay = Overlay::new();
    for layer in lower {
        overlay.lower(slot_fd(state, *layer)?)?;
    }
    overlay.upper(slot_fd(state, upper)?, slot_fd(state, work)?)?;
    overlay.mount(slot_fd(state, upper)?, MountFlags::empty())?;
    // The descriptor still means the directory below; its name leads to what covers it.
    let parent = openat(slot_fd(state, upper)?, c"..", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    openat(parent, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

fn copy_below(state: &mut State<'_>, whole: Slot, part: &CStr, copy: &Op) -> Result<(), Errno> {
    let Op::Copy { slot, recursive, attributes, recursive_attributes, .. } = copy else { return Err(Errno::INVAL) };
    let copy = copy_tree(place::find(slot_fd(state, whole)?, part)?, c"", *recursive)?;
    set(&copy, recursive_attributes, true)?;
    set(&copy, attributes, false)?;
    put(state, *slot, copy)
}

/// One of the same text may be there already.
fn link_at(root: &OwnedFd, path: &CStr, target: &CStr) -> Result<(), Errno> {
    let (parent, name) = place::parent_of(root, path)?;
    match symlinkat(target, &parent, &name) {
        Err(Errno::EXIST) => match rustix::fs::readlinkat(&parent, &name, Vec::new())? {
            there if *there == *target => Ok(()),
            _ => Err(Errno::EXIST),
        },
        result => result,
    }
}

fn attach_inside(state: &State<'_>, slot: Slot, path: &CStr, only_directory: bool) -> Result<(), Errno> {
    let (root, mount) = (root(state)?, slot_fd(state, slot)?);
    let found = if only_directory { place::find_without_links(root, path) } else { place::find(root, path) };
    let place = match found {
        Err(Errno::NOENT) => place::find_or_make(root, path, place::file_type(mount)?)?,
        result => result?,
    };
    attach(mount, place)
}

/// Full root of the user namespace: files made from here on belong to the container's root.
fn identity(state: &mut State<'_>) -> Result<(), Errno> {
    wait_for_ids(state)?;
    let (uid, gid) = (rustix::process::Uid::ROOT, rustix::process::Gid::ROOT);
    // With a single id there may be no root: the one id that is mapped has all capabilities as well.
    let mapped = |result| if result == Err(Errno::INVAL) { Ok(()) } else { result };
    mapped(set_thread_res_gid(gid, gid, gid))?;
    mapped(set_thread_res_uid(uid, uid, uid))
}

/// A node of the host on a file in our own tmpfs: made by descriptor, so nothing in the image or in a volume is touched,
/// and compared with the expected number, so that a mask is never something else than /dev/null (CVE-2025-31133).
fn device(state: &State<'_>, slot: Slot, dev: Slot, path: &CStr, number: Option<(u32, u32)>) -> Result<(), Errno> {
    let (node, dev) = (slot_fd(state, slot)?, slot_fd(state, dev)?);
    check_device(node, number)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = match openat(dev, path, flags, Mode::from_raw_mode(0o644)) {
        // In a directory of its own (/dev/net/tun).
        Err(Errno::NOENT | Errno::EXIST) => place::find_or_make(dev, path, FileType::RegularFile)?,
        result => result?,
    };
    attach(node, place)
}

fn check_device(node: &OwnedFd, number: Option<(u32, u32)>) -> Result<(), Errno> {
    let stat = statat(node, c"", AtFlags::EMPTY_PATH)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let is_device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo);
    let same =
        number.is_none_or(|number| number == (major(stat.st_rdev), minor(stat.st_rdev)) || kind == FileType::Fifo);
    if is_device && same { Ok(()) } else { Err(Errno::NODEV) }
}

/// Whether what was to be found is just not there.
fn absent(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR)
}

fn mask(state: &mut State<'_>, path: &CStr) -> Result<(), Errno> {
    let place = match place::find(root(state)?, path) {
        Err(e) if absent(e) => return Ok(()),
        result => result?,
    };
    if place::file_type(&place)? != FileType::Directory {
        if state.null.is_none() {
            let null = openat(CWD, c"/dev/null", OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
            check_device(&null, Some((1, 3)))?;
            state.null = Some(null);
        }
        let null = state.null.as_ref().ok_or(Errno::BADF)?;
        return attach(copy_tree(null, c"", false)?, place);
    }
    match &state.empty {
        // Attached already, so it can be copied.
        Some(empty) => attach(copy_tree(empty, c"", false)?, place),
        None => {
            let options: [(&CStr, Option<&CStr>); 2] = [(c"size", Some(c"0k")), (c"ro", None)];
            let empty = new_filesystem(c"tmpfs", &options, RDONLY | NOTHING_RUNS)?;
            attach(&empty, place)?;
            state.empty = Some(empty);
            Ok(())
        }
    }
}

fn read_only(state: &State<'_>, path: &CStr) -> Result<(), Errno> {
    let place = match place::find(root(state)?, path) {
        Err(e) if absent(e) => return Ok(()),
        result => result?,
    };
    let copy = copy_tree(&place, c"", true)?;
    change(&copy, &Attributes::new(RDONLY, 0, 0), true)?;
    attach(copy, place)
}

/// Through a descriptor of the procfs that was just made: whatever is mounted on the container's /proc cannot take the
/// write (CVE-2025-52881).
fn sysctl(path: &CStr, value: &CStr) -> Result<(), Errno> {
    let sys = directory(c"/proc/sys")?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = openat2(sys, path, OFlags::WRONLY, resolve)?;
    if rustix::fs::fstatfs(&file)?.f_type != rustix::fs::PROC_SUPER_MAGIC {
        return Err(Errno::NODEV);
    }
    rustix::io::write(file, value.to_bytes()).map(drop)
}

/// The new root on top of the old one, then the old one away (pivot_root(2), "pivot_root(".", ".")").
fn pivot(state: &State<'_>) -> Result<(), Errno> {
    fchdir(root(state)?)?;
    pivot_root(c".", c".")?;
    unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")
}

/// The working directory, found inside the root and then compared with it: a descriptor of a host directory must not
/// lead out (CVE-2024-21626).
fn enter(path: &CStr, make: bool) -> Result<(), Errno> {
    let root = directory(c"/")?;
    let place = match make {
        true => place::find_or_make(&root, path, FileType::Directory)?,
        false => place::find(&root, path)?,
    };
    fchdir(&place)?;
    if exec::working_directory_is_inside()? { Ok(()) } else { Err(Errno::XDEV) }
}

/// Credentials, in the order that the kernel's rules force: the bounding set and a filter without no_new_privs need
/// capabilities, the groups need CAP_SETGID, and the death signal is forgotten with every change of the user.
fn become_user(user: &Credentials) -> Result<(), Errno> {
    let nnp = user.no_new_privileges;
    rustix::process::umask(Mode::from_raw_mode(user.umask));
    if nnp {
        prctl::set_no_new_privileges()?;
    } else if let Some(filter) = &user.seccomp {
        seccomp::load(filter)?;
    }
    caps::limit_bounding(user.bounding)?;
    prctl::keep_capabilities()?;
    let (uid, gid) = owner::ids(user.uid, user.gid)?;
    if let Some(groups) = &user.groups {
        match set_thread_groups(groups) {
            // In somebody's single-id namespace there are no groups to take or to leave.
            Err(Errno::PERM) if groups.is_empty() => {}
            result => result?,
        }
    }
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    caps::set(user.effective, user.permitted, user.inheritable)?;
    caps::set_ambient(user.ambient)?;
    prctl::set_not_dumpable()?;
    if user.die_with_parent { prctl::die_with_parent() } else { Ok(()) }
}

fn execute(state: &State<'_>) -> Result<(), Errno> {
    let process = &state.plan.process;
    if let (true, Some(filter)) = (process.credentials.no_new_privileges, &process.credentials.seccomp) {
        seccomp::load(filter)?;
    }
    Err(exec::execute(state.trampoline, &process.arguments, &process.environment))
}
