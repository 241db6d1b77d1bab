//! Spec → the list of set-up operations, complete before the clone: printable, and tested without a kernel.
//!
//! Order. What needs no mapped ids comes first, because newuidmap takes as long as all the rest: the network device,
//! names, every new file system and every copy of a host mount (detached), the root, /proc, /sys and their masks.
//! The child goes through the list until something needs ids (a file in a tmpfs, a directory in the root) and waits there.

mod describe;
mod mounts;
mod outsider;
mod process;
mod unsupported;

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use oci_spec::runtime::{Linux, LinuxNamespaceType, LinuxResources, Spec};

use super::hook::{self, Hook, Stage};
use super::{Bundle, Given, Rootfs, Stdio};
use crate::error::{Context, Error, Result};
use crate::spec::settings::KEEP_GROUPS_ANNOTATION;
use crate::sys::exec::Strings;
use crate::sys::mount::Attributes;
use crate::sys::rlimit::Limit;
use crate::sys::seccomp::Filter;
use crate::userns::IdMaps;

pub(crate) use process::report_fd;
pub(super) use process::{Credentials, Process};

/// Where cgroups are, and those of version 2 beside controllers of version 1.
const CGROUP: &str = "/sys/fs/cgroup";
const HYBRID_CGROUP: &str = "/sys/fs/cgroup/unified";

/// Number of a descriptor that one operation makes and another uses.
pub(super) type Slot = usize;

/// One step. The child carries them out in order and reports the number of the one that failed.
#[derive(Debug)]
pub(super) enum Op {
    /// Network devices, by the caller's function.
    Network,
    /// A cgroup namespace rooted in the cgroup that the process was born in; clone3 would root it in the caller's.
    CgroupNamespace,
    /// Host and domain name of the UTS namespace.
    Names {
        host: Option<CString>,
        domain: Option<CString>,
    },
    /// Without a new user namespace the copied mounts are still peers of the host's.
    DetachFromHost,
    /// Hides a directory of the host from the process that becomes another runtime.
    Cover {
        place: CString,
        with: CString,
    },
    /// /proc/self/oom_score_adj.
    OomScore(CString),
    /// A new file system, attached nowhere yet.
    Filesystem {
        slot: Slot,
        kind: CString,
        options: Vec<(CString, Option<CString>)>,
        attributes: Attributes,
    },
    /// A copy of a mount of the host, attached nowhere yet.
    Copy {
        slot: Slot,
        source: CString,
        recursive: bool,
        attributes: Attributes,
        recursive_attributes: Attributes,
    },
    /// A copy of a part of a directory or volume: no link in it leads out.
    CopyBelow {
        whole: Slot,
        part: CString,
        /// [`Op::Copy`] without a source.
        copy: Box<Op>,
    },
    /// An overlay of directories that were opened before, or a part of it; mounted for now over its upper directory.
    Overlay {
        slot: Slot,
        lower: Vec<Slot>,
        upper: Slot,
        /// Of the upper directory, in its parent.
        name: CString,
        work: Slot,
        part: Option<CString>,
        attributes: Attributes,
    },
    /// A file or directory of the host.
    Open {
        slot: Slot,
        path: CString,
    },
    /// Root of the container, with everything below it still missing.
    Root(Root),
    /// Attaches a mount to a place inside the root, making the place if it is missing.
    Attach {
        slot: Slot,
        place: CString,
        only_directory: bool,
    },
    /// A symbolic link inside the root.
    LinkAt {
        place: CString,
        target: CString,
    },
    /// Gives a tmpfs the mode and the content of what the image has where it is about to be attached.
    CopyUp {
        slot: Slot,
        place: CString,
        mode: bool,
        content: bool,
    },
    /// Wait until ids are mapped, then be root of the user namespace.
    Identity,
    /// A node of the host (checked to have this number) in the container's own /dev.
    Device {
        slot: Slot,
        dev: Slot,
        path: CString,
        number: Option<(u32, u32)>,
    },
    /// A symbolic link in the container's own /dev.
    Link {
        dev: Slot,
        name: CString,
        target: CString,
    },
    /// Hides a file behind /dev/null or a directory behind an empty one. Absent ones are left alone.
    Mask(CString),
    /// Makes a subtree read-only. Absent ones are left alone.
    ReadOnly(CString),
    /// Writes below the host's own /proc/sys, which shows the namespaces of whoever looks.
    Sysctl {
        path: CString,
        value: CString,
    },
    RootReadOnly,
    /// Makes one mount read-only, what is mounted below it not.
    Protect {
        slot: Slot,
    },
    /// Everything is mounted: waits until the caller has run its hooks, for what the container's own will read.
    Hooked,
    /// A program that runs to its end.
    Hook(Box<Hook>),
    /// The new root becomes /, the host's mounts disappear.
    Pivot,
    /// Session, standard streams, and nothing else open.
    Streams {
        terminal: Option<Terminal>,
        owner: Option<(u32, u32)>,
    },
    Limit(Limit),
    /// Enters the working directory.
    Directory {
        path: CString,
        make: bool,
    },
    Credentials,
    /// Tells the caller that everything is made.
    Ready,
    /// Waits for the caller's go.
    Wait,
    Execute,
}

/// How the root comes to be.
#[derive(Debug)]
pub(super) enum Root {
    Overlay {
        lower: Vec<CString>,
        upper: CString,
        work: CString,
        volatile: bool,
    },
    /// The same of directories that were opened before.
    Opened {
        lower: Vec<Slot>,
        upper: Slot,
        work: Slot,
        volatile: bool,
    },
    Directory {
        path: CString,
    },
    /// Comes as a descriptor with the `Mapped` message; attached to this directory for the time being.
    Received {
        place: CString,
    },
}

/// The pseudo-terminal to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terminal {
    pub rows: u16,
    pub columns: u16,
    /// The container's devpts.
    pub devpts: Slot,
    pub dev: Option<Slot>,
}

/// Everything the child needs, in memory before it exists.
#[derive(Debug)]
pub(super) struct Plan {
    pub ops: Vec<Op>,
    pub slots: usize,
    /// The slot of [`Bundle::shm`].
    pub shm: Option<Slot>,
    /// CLONE_NEW* of the namespaces to make.
    pub namespaces: u64,
    /// Of a process that joins: set before it does, where /proc is the host's.
    pub oom_score: Option<CString>,
    pub process: Process,
    pub warnings: Vec<String>,
    /// It has [`Op::Hooked`].
    pub hooked: bool,
}

/// Compiles the whole way from the clone to the program.
pub(super) fn compile(bundle: &Bundle<'_>) -> Result<Plan> {
    let spec = bundle.spec;
    let process = spec.process().as_ref().ok_or_else(|| Error::new("the container has no process to run"))?;
    let linux = spec.linux().as_ref().ok_or_else(|| Error::new("the container's Spec is not for Linux"))?;
    unsupported::check(process, linux)?;
    let filter = filter(linux, bundle.seccomp)?;
    let mut program = Process::compile(process, bundle.maps, bundle.init, filter, bundle.given)?;
    if spec.annotations().as_ref().is_some_and(|all| all.contains_key(KEEP_GROUPS_ANNOTATION)) {
        program.credentials.groups = None;
    }
    let mut builder = Builder::default();
    let namespaces = namespaces(bundle, linux)?;

    if bundle.netdev.is_some() {
        builder.push(Op::Network);
    }
    if !is_root(bundle.maps) {
        builder.push(Op::Identity);
    }
    if bundle.maps.is_none() {
        builder.push(Op::DetachFromHost);
    }
    if bundle.cgroup.is_some() && namespaces & libc::CLONE_NEWCGROUP as u64 != 0 {
        builder.push(Op::CgroupNamespace);
    }
    if namespaces & libc::CLONE_NEWUTS as u64 != 0 {
        names(&mut builder, spec)?;
    }
    if let Some(score) = process.oom_score_adj() {
        builder.push(Op::OomScore(cstring(&score.to_string())?));
    }
    let mut mounts = mounts::Mounts::compile(&mut builder, spec, linux, bundle.maps, bundle.shm.is_some())?;
    builder.push(Op::Root(root(&bundle.rootfs)?));
    mounts.push_early(&mut builder);
    builder.push(Op::Identity);
    mounts.push_late(&mut builder);
    sysctls(&mut builder, linux)?;
    if spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false) {
        builder.push(Op::RootReadOnly);
    }
    let hooked = hooks(&mut builder, bundle)?;
    builder.push(Op::Pivot);
    let terminal = match bundle.stdio {
        Stdio::Pipes { .. } => None,
        Stdio::Terminal { rows, cols } => {
            let devpts = mounts.devpts.ok_or_else(|| Error::new("a terminal needs a devpts mount on /dev/pts"))?;
            Some(Terminal { rows, columns: cols, devpts, dev: mounts.dev })
        }
    };
    let credentials = &program.credentials;
    let owner = (terminal.is_some() || credentials.uid != 0).then_some((credentials.uid, credentials.gid));
    builder.push(Op::Streams { terminal, owner });
    let last = hook::compile(spec, [Stage::StartContainer])?;
    finish(&mut builder, process, &program, true, bundle.held, last)?;

    let mut plan = Plan {
        slots: builder.slots,
        shm: mounts.shm,
        warnings: builder.warnings,
        ops: builder.ops,
        namespaces: if bundle.cgroup.is_some() { namespaces & !(libc::CLONE_NEWCGROUP as u64) } else { namespaces },
        oom_score: None,
        process: program,
        hooked,
    };
    if !outsider::is_inside(bundle.ids) {
        outsider::rearrange(&mut plan)?;
    }
    Ok(plan)
}

/// The way of a process that joins a running container.
pub(super) fn compile_exec(
    process: &oci_spec::runtime::Process,
    stdio: &Stdio,
    maps: Option<&IdMaps>,
    seccomp: Option<&Filter>,
    die_with_parent: bool,
    given: &[Given],
) -> Result<Plan> {
    let mut program = Process::compile(process, maps, false, seccomp.cloned(), given)?;
    program.credentials.die_with_parent = die_with_parent;
    let mut builder = Builder::default();
    builder.push(Op::Identity);
    let oom_score = process.oom_score_adj().map(|score| cstring(&score.to_string())).transpose()?;
    let terminal = match *stdio {
        Stdio::Pipes { .. } => None,
        Stdio::Terminal { rows, cols } => Some(Terminal { rows, columns: cols, devpts: Slot::MAX, dev: None }),
    };
    let credentials = &program.credentials;
    let owner = (terminal.is_some() || credentials.uid != 0).then_some((credentials.uid, credentials.gid));
    builder.push(Op::Streams { terminal, owner });
    finish(&mut builder, process, &program, false, false, Vec::new())?;
    let Builder { ops, slots, warnings } = builder;
    Ok(Plan { ops, slots, shm: None, warnings, namespaces: 0, oom_score, process: program, hooked: false })
}

/// The way of a process that becomes another runtime: in the container's user namespace, with its network device and root.
pub(super) fn compile_crun(bundle: &Bundle<'_>, arguments: Vec<String>) -> Result<Plan> {
    let linux = bundle.spec.linux().as_ref().ok_or_else(|| Error::new("the container's Spec is not for Linux"))?;
    let mut builder = Builder::default();
    let limits = |r: &LinuxResources| r.memory().is_some() || r.cpu().is_some() || r.pids().is_some();
    if linux.resources().as_ref().is_some_and(limits) {
        builder.warnings.push("limits are not in effect with --runtime crun".to_owned());
    }
    if bundle.netdev.is_some() {
        builder.push(Op::Network);
    }
    if !is_root(bundle.maps) {
        builder.push(Op::Identity);
    }
    if bundle.maps.is_none() {
        builder.push(Op::DetachFromHost);
    }
    // crun works with version 2 alone, and refuses a host that has controllers of version 1 beside it.
    if Path::new(HYBRID_CGROUP).is_dir() {
        builder.push(Op::Cover { place: cstring(CGROUP)?, with: cstring(HYBRID_CGROUP)? });
    }
    builder.push(Op::Root(root(&bundle.rootfs)?));
    builder.push(Op::Identity);
    builder.push(Op::Streams { terminal: None, owner: None });
    builder.push(Op::Wait);
    builder.push(Op::Execute);
    let made = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWNET;
    let namespaces = namespaces(bundle, linux)? & made as u64;
    let process = Process::helper(arguments)?;
    let Builder { ops, slots, warnings } = builder;
    Ok(Plan { ops, slots, shm: None, warnings, namespaces, oom_score: None, process, hooked: false })
}

/// Whether the caller is the container's root: what it makes before the ids are mapped belongs to the right one then.
fn is_root(maps: Option<&IdMaps>) -> bool {
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    maps.is_none_or(|maps| (maps.host_uid(0), maps.host_gid(0)) == (Some(own.0), Some(own.1)))
}

/// A Spec with seccomp rules must not run without them.
fn filter(linux: &Linux, compiled: Option<&Filter>) -> Result<Option<Filter>> {
    match (linux.seccomp(), compiled) {
        (Some(_), None) => Err(Error::new("the Spec has seccomp rules, but no filter was compiled from them")),
        (_, compiled) => Ok(compiled.cloned()),
    }
}

/// From the streams to the program: the same for a container's first process and for one that joins.
fn finish(
    builder: &mut Builder,
    process: &oci_spec::runtime::Process,
    program: &Process,
    make_directory: bool,
    held: bool,
    hooks: Vec<Hook>,
) -> Result<()> {
    for limit in &program.limits {
        builder.push(Op::Limit(*limit));
    }
    builder.push(Op::Directory { path: path(process.cwd())?, make: make_directory });
    builder.push(Op::Credentials);
    if held {
        builder.push(Op::Ready);
    }
    builder.push(Op::Wait);
    hooks.into_iter().for_each(|hook| builder.push(Op::Hook(Box::new(hook))));
    builder.push(Op::Execute);
    Ok(())
}

/// Those that run before the root is entered; whether there are any.
fn hooks(builder: &mut Builder, bundle: &Bundle<'_>) -> Result<bool> {
    let inside = hook::compile(bundle.spec, [Stage::CreateContainer])?;
    if inside.is_empty() && hook::compile(bundle.spec, [Stage::Prestart, Stage::CreateRuntime])?.is_empty() {
        return Ok(false);
    }
    if !outsider::is_inside(bundle.ids) {
        return Err(Error::new("a container in which this user has no id cannot have hooks that find its files")
            .hint("use another --userns than auto or nomap"));
    }
    builder.push(Op::Hooked);
    inside.into_iter().for_each(|hook| builder.push(Op::Hook(Box::new(hook))));
    Ok(true)
}

/// Collects operations and hands out slots.
#[derive(Debug, Default)]
struct Builder {
    ops: Vec<Op>,
    slots: usize,
    warnings: Vec<String>,
}

impl Builder {
    fn push(&mut self, op: Op) {
        self.ops.push(op);
    }

    fn slot(&mut self) -> Slot {
        self.slots += 1;
        self.slots - 1
    }
}

/// The clone flags: what the Spec asks for without a path and nothing joined provides.
fn namespaces(bundle: &Bundle<'_>, linux: &Linux) -> Result<u64> {
    let joined = bundle.join.iter().fold(0, |kinds, join| kinds | join.kinds);
    let mut flags = libc::CLONE_NEWNS;
    for namespace in linux.namespaces().iter().flatten().filter(|n| n.path().is_none()) {
        flags |= kind(namespace.typ())?;
    }
    flags &= !(joined | libc::CLONE_NEWUSER);
    if bundle.maps.is_some() {
        flags |= libc::CLONE_NEWUSER;
    }
    Ok(flags as u64)
}

/// The CLONE_NEW* bit of a namespace.
pub(crate) fn kind(kind: LinuxNamespaceType) -> Result<i32> {
    Ok(match kind {
        LinuxNamespaceType::Mount => libc::CLONE_NEWNS,
        LinuxNamespaceType::Cgroup => libc::CLONE_NEWCGROUP,
        LinuxNamespaceType::Uts => libc::CLONE_NEWUTS,
        LinuxNamespaceType::Ipc => libc::CLONE_NEWIPC,
        LinuxNamespaceType::User => libc::CLONE_NEWUSER,
        LinuxNamespaceType::Pid => libc::CLONE_NEWPID,
        LinuxNamespaceType::Network => libc::CLONE_NEWNET,
        LinuxNamespaceType::Time => {
            return Err(Error::new("time namespaces are not supported by the built-in runtime"));
        }
    })
}

fn names(builder: &mut Builder, spec: &Spec) -> Result<()> {
    let name = |name: &Option<String>| name.as_deref().filter(|n| !n.is_empty()).map(cstring).transpose();
    let (host, domain) = (name(spec.hostname())?, name(spec.domainname())?);
    if host.is_some() || domain.is_some() {
        builder.push(Op::Names { host, domain });
    }
    Ok(())
}

fn root(rootfs: &Rootfs) -> Result<Root> {
    Ok(match rootfs {
        Rootfs::Overlay { lower, upper, work, volatile } => Root::Overlay {
            lower: lower.iter().map(|dir| path(dir)).collect::<Result<_>>()?,
            upper: path(upper)?,
            work: path(work)?,
            volatile: *volatile,
        },
        Rootfs::FuseOverlayfs { upper, .. } => Root::Received { place: path(upper)? },
        Rootfs::Directory { path: directory } => Root::Directory { path: path(directory)? },
    })
}

/// `net.ipv4.ip_forward` and `net/ipv4/ip_forward` are both written in the wild; a dot inside a name needs the second.
fn sysctls(builder: &mut Builder, linux: &Linux) -> Result<()> {
    let mut all: Vec<_> = linux.sysctl().iter().flatten().collect();
    all.sort();
    for (name, value) in all {
        let path = if name.contains('/') { name.clone() } else { name.replace('.', "/") };
        if path.split('/').any(|part| part.is_empty() || part == "..") {
            return Err(Error::new(format!("{name:?} is not a sysctl")));
        }
        builder.push(Op::Sysctl { path: cstring(&path)?, value: cstring(value)? });
    }
    Ok(())
}

fn cstring(text: &str) -> Result<CString> {
    CString::new(text).context(|| format!("{text:?} has a zero byte"))
}

fn path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).context(|| format!("{} has a zero byte", path.display()))
}

fn strings(list: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Strings> {
    Ok(Strings::new(list.into_iter().map(|text| cstring(text.as_ref())).collect::<Result<_>>()?))
}
