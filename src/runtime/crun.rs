//! `--runtime crun`: the same Spec carried out by another OCI runtime, to compare the two and for what this one lacks.
//!
//! A process made in the usual way (clone, ids, network device, root file system) becomes `crun create` instead of the
//! container's program; crun finds itself as root of a user namespace and makes the rest. The caller becomes a subreaper, so
//! that the container's first process, orphaned when `crun create` ends, is its child.
//!
//! Differences: no cgroup limits (crun would need a delegated tree), no `--init`; and that the container dies with a killed
//! caller is a process's work ([`super::guard`]), not the kernel's.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as Descriptor};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::Value;

use super::create::{self, bring_up};
use super::guard::Guard;
use super::nested::Nested;
use super::plan::{self, Plan};
use super::{Bundle, Created, Hooks, Init, Rest, Rootfs, Stdio};
use crate::error::{Context, Error, Kind, Result};
use crate::spec::settings::SUBPATH;
use crate::sys::tty::{self, Size};
use crate::sys::{message, prctl};

/// Where crun is, and where it keeps what it knows about this container.
#[derive(Debug, Clone)]
pub(crate) struct Crun {
    pub program: PathBuf,
    /// A directory of the container's own; removed by the caller with the container.
    pub dir: PathBuf,
    pub id: String,
}

/// [`super::create()`] by crun. For a single-threaded process.
pub(crate) fn create(crun: Crun, bundle: Bundle<'_>, hooks: &mut dyn Hooks) -> Result<Created> {
    if bundle.init || !bundle.join.is_empty() {
        return Err(Error::new("--runtime crun can neither share another container's namespaces nor run with --init"));
    }
    if !bundle.given.is_empty() {
        return Err(Error::new("--runtime crun gives the program no descriptors beside its standard streams"));
    }
    let mounts = bundle.spec.mounts().iter().flatten();
    if mounts.flat_map(|mount| mount.options().iter().flatten()).any(|option| option.starts_with(SUBPATH)) {
        return Err(Error::new("--runtime crun cannot mount the subpath of a volume or an image"));
    }
    prctl::set_subreaper().context(|| "cannot become a subreaper")?;
    let place = match &bundle.rootfs {
        Rootfs::Overlay { upper, .. } | Rootfs::FuseOverlayfs { upper, .. } => upper,
        Rootfs::Directory { path } => path,
    };
    let config = serde_json::to_vec(&config(bundle.spec, place)?).context(|| "cannot encode the Spec for crun")?;
    let file = crun.dir.join("config.json");
    fs::write(&file, config).context(|| format!("cannot write {}", file.display()))?;
    let log = crun.dir.join("crun.log");
    let size = match bundle.stdio {
        Stdio::Terminal { rows, cols } => Some(Size { rows, columns: cols }),
        Stdio::Pipes { .. } => None,
    };
    let socket = size.map(|_| listen(&crun.dir)).transpose()?;

    let plan = plan::compile_crun(&bundle, arguments(&crun, &log, socket.is_some()))?;
    // With a terminal crun's own streams are nobody's.
    let null = || fs::File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from);
    let nobody = || Ok::<_, std::io::Error>(Stdio::Pipes { stdin: null()?, stdout: null()?, stderr: null()? });
    let stdio = match bundle.stdio {
        Stdio::Terminal { .. } => nobody().context(|| "cannot open /dev/null")?,
        pipes @ Stdio::Pipes { .. } => pipes,
    };
    let bundle = Bundle { stdio, ..bundle };
    let mut warnings = plan.warnings.clone();
    let pidfd = run(&plan, &bundle, hooks, &mut warnings)?;
    let console = socket.map(|socket| accept(&socket)).transpose();
    if let (Ok(Some(console)), Some(size)) = (&console, size) {
        tty::resize(console, size).context(|| "cannot set the size of the container's terminal")?;
    }
    if create::exit_status(&pidfd) != 0 {
        return Err(explain(&log));
    }
    let pid = fs::read_to_string(crun.dir.join("pid")).ok().and_then(|text| Pid::from_raw(text.trim().parse().ok()?));
    let pid = pid.ok_or_else(|| Error::new("crun did not say which process it made"))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).context(|| "cannot open the container's process")?;
    let guard = Some(Guard::new(&pidfd)?);
    Ok(Created { pid, pidfd, console: console?, warnings, guard, rest: Some(Rest::Crun(crun)) })
}

/// Brings up the process that becomes `crun create`; answers its pidfd.
fn run(plan: &Plan, bundle: &Bundle<'_>, hooks: &mut dyn Hooks, warnings: &mut Vec<String>) -> Result<OwnedFd> {
    let nested = Nested::of(bundle)?;
    let process = create::Process {
        nested: nested.as_ref(),
        plan,
        join: Vec::new(),
        mapped: bundle.maps.is_none(),
        cgroup: None,
        netdev: bundle.netdev,
        shm: None,
        given: &[],
        stdio: &bundle.stdio,
    };
    let (pid, pidfd, channel) = process.start()?;
    let mut guard = create::Guard { init: Some(Init { pid, pidfd, link: None }), channel };
    if let Err(e) = bring_up(&mut guard, plan, bundle, hooks, &mut None, warnings) {
        return Err(guard.explain(plan, e));
    }
    let create::Guard { init, channel } = guard;
    let pidfd = init.map(|init| init.pidfd).ok_or_else(|| Error::new("crun is gone"))?;
    create::start(&channel, plan, &pidfd, None, warnings)?;
    Ok(pidfd)
}

fn arguments(crun: &Crun, log: &Path, terminal: bool) -> Vec<String> {
    let text = |path: &Path| path.display().to_string();
    let mut list = vec![text(&crun.program), format!("--root={}", text(&crun.dir.join("state")))];
    list.push("--cgroup-manager=disabled".to_owned());
    list.push(format!("--log={}", text(log)));
    list.push("create".to_owned());
    list.push(format!("--bundle={}", text(&crun.dir)));
    list.push(format!("--pid-file={}", text(&crun.dir.join("pid"))));
    if terminal {
        list.push(format!("--console-socket={}", text(&crun.dir.join("console"))));
    }
    list.push(crun.id.clone());
    list
}

/// Lets the program run.
pub(super) fn start(crun: &Crun) -> Result<()> {
    let output = Command::new(&crun.program)
        .arg(format!("--root={}", crun.dir.join("state").display()))
        .arg("--cgroup-manager=disabled")
        .args(["start", &crun.id])
        .stdin(Descriptor::null())
        .output()
        .context(|| "cannot run crun")?;
    match output.status.success() {
        true => Ok(()),
        false => Err(from_message(&String::from_utf8_lossy(&output.stderr))),
    }
}

/// The Spec without what is made already: the user namespace, a new network namespace, cgroup limits.
fn config(spec: &oci_spec::runtime::Spec, root: &Path) -> Result<Value> {
    let mut config = serde_json::to_value(spec).context(|| "cannot encode the Spec for crun")?;
    config["root"]["path"] = Value::from(root.to_string_lossy());
    if let Some(linux) = config.get_mut("linux").and_then(Value::as_object_mut) {
        for made in ["uidMappings", "gidMappings", "resources"] {
            linux.remove(made);
        }
        if let Some(namespaces) = linux.get_mut("namespaces").and_then(Value::as_array_mut) {
            namespaces.retain(|namespace| namespace["type"] != "user");
            // The one that crun is started in; named, because crun wants to see one before it sets net.* sysctls.
            let new_network = |n: &Value| n["type"] == "network" && n.get("path").is_none_or(Value::is_null);
            for namespace in namespaces.iter_mut().filter(|n| new_network(n)) {
                namespace["path"] = Value::from("/proc/self/ns/net");
            }
        }
    }
    Ok(config)
}

fn listen(dir: &Path) -> Result<UnixListener> {
    let path = dir.join("console");
    // A socket of an earlier start.
    let _ = fs::remove_file(&path);
    let what = || format!("cannot listen on {}", path.display());
    // Addresses of sockets are short (unix(7)), paths may be long.
    let dir = fs::File::open(dir).context(what)?;
    UnixListener::bind(format!("/proc/self/fd/{}/console", dir.as_raw_fd())).context(what)
}

/// The terminal's master side, in crun's one message.
fn accept(socket: &UnixListener) -> Result<OwnedFd> {
    let failed = || "cannot receive the terminal from crun";
    let (stream, _) = socket.accept().context(failed)?;
    let (_, fd) = message::receive(&stream, &mut [0; 256]).context(failed)?;
    fd.ok_or_else(|| Error::new(failed()))
}

fn explain(log: &Path) -> Error {
    from_message(&fs::read_to_string(log).unwrap_or_default())
}

/// crun says only in words that it did not find the program.
fn from_message(text: &str) -> Error {
    let text = text.trim();
    let kind = if text.contains("not found") || text.contains("No such file or directory") && text.contains("exec") {
        Kind::ProgramNotFound
    } else if text.contains("Permission denied") && text.contains("exec") {
        Kind::CannotInvoke
    } else {
        Kind::General
    };
    Error::new(format!("crun cannot create the container: {text}")).with_kind(kind)
}
