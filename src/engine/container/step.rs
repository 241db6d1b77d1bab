//! A program run in a root file system without becoming a container that anybody could list: a step of a build.
//!
//! It runs as `run` would run it, in the same runtime and with the same defaults, but this process is its parent: there
//! is no record, no log and no monitor, and when this process ends so does the program.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::cdi;
use super::make::View;
use super::options::RunOptions;
use super::resolve::{self, HostFacts, Request};
use super::start::seccomp;
use crate::error::{Context, Error, Kind, Result};
use crate::image::config::ImageConfig;
use crate::network::files::{self, DnsOptions, HostNames};
use crate::network::helper::{self, Facts, Prepared};
use crate::runtime::{self, Bundle, Init, Rootfs, Stdio, cgroup, netdev};
use crate::spec;
use crate::spec::settings::Mount;
use crate::state::file::{self, Durability};
use crate::storage::{LayerView, RootfsPlan};
use crate::sys::process::exit_code;
use crate::userns::IdMaps;

/// What to run.
pub(crate) struct Step<'a> {
    /// Random digits: the host name, and the name of its cgroup.
    pub id: &'a str,
    pub options: &'a RunOptions,
    pub config: &'a ImageConfig,
    pub rootfs: &'a RootfsPlan,
    /// A private directory for the name files.
    pub scratch: &'a Path,
    /// Beside those of the options; sources are the host's paths.
    pub mounts: Vec<Mount>,
    /// Standard input is this process's own.
    pub stdin: bool,
    pub maps: &'a IdMaps,
    /// Commits need no flush: the layer is flushed as a whole.
    pub volatile: bool,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub code: u8,
    /// Paths without a leading slash where something was mounted, and the directories above them.
    pub places: Vec<String>,
    pub warnings: Vec<String>,
}

/// What the program writes: to standard error when the first argument says so.
pub(crate) type Output<'a> = dyn FnMut(bool, &[u8]) + 'a;

/// Runs it to its end. For a single-threaded process.
///
/// # Errors
/// Of kind `ProgramNotFound` or `CannotInvoke` when the program cannot be executed.
pub(crate) fn run(mut step: Step<'_>, output: &mut Output<'_>) -> Result<Ended> {
    let root = step.scratch.join("rootfs");
    let resolved = resolve::resolve(&Request {
        id: step.id,
        options: step.options,
        image: Some(step.config),
        files: &View(LayerView::new(&step.rootfs.directories())?),
        host: &HostFacts::read(step.maps.clone())?,
        maps: Some(step.maps),
        joined: None,
        images: &[],
        cdi: &cdi::Edits::of(&step.options.cdi)?,
        volumes: step.scratch,
        record: step.scratch,
        root: &root,
    })
    // The program was never run.
    .map_err(|e| e.with_kind(Kind::General))?;
    if let Some(why) = resolved.unresolved {
        return Err(Error::new(why));
    }
    let mut settings = resolved.settings;
    settings.mounts.append(&mut step.mounts);
    let spec = spec::build(&settings)?;
    let mut network = helper::prepare(&resolved.network)?;
    write_names(&step, &resolved.hostname, network.facts())?;
    let filter = seccomp(&spec)?;
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let mut cgroup = cgroup::prepare(resources, &step.options.cgroups, &format!("rpod-build-{}", step.id))?;
    let pipe = || pipe_with(PipeFlags::CLOEXEC).context(|| "cannot make a pipe for the program");
    let ((out, stdout), (err, stderr)) = (pipe()?, pipe()?);
    let setup = network.netdev().cloned();
    let configure = setup.as_ref().map(|setup| move || netdev::configure(setup));
    let bundle = Bundle {
        spec: &spec,
        maps: resolved.maps.as_ref(),
        ids: resolved.maps.as_ref(),
        rootfs: match step.rootfs.clone() {
            RootfsPlan::Overlay { lower, upper, work } => {
                Rootfs::Overlay { lower, upper, work, volatile: step.volatile }
            }
            RootfsPlan::FuseOverlayfs { lower, upper, work, program } => {
                Rootfs::FuseOverlayfs { lower, upper, work, program }
            }
            RootfsPlan::Directory { path } => Rootfs::Directory { path },
        },
        given: &[],
        shm: None,
        stdio: Stdio::Pipes { stdin: stdin(step.stdin)?, stdout, stderr },
        netdev: configure.as_ref().map(|configure| configure as &runtime::Netdev<'_>),
        join: Vec::new(),
        init: false,
        seccomp: filter.as_ref(),
        cgroup: cgroup.fd.take(),
        parent: None,
        subject: None,
        held: false,
    };
    let mut created = runtime::create(bundle, &mut Network(&mut network, resolved.maps.as_ref()))?;
    let _running = network.ready()?;
    created.start()?;
    let code = follow(&created.pidfd, [Some(out), Some(err)], output)?;
    if let Some(path) = &cgroup.path {
        cgroup::remove(path)?;
    }
    let mut warnings = resolved.warnings;
    warnings.append(&mut created.warnings);
    warnings.append(&mut cgroup.warnings);
    Ok(Ended { code, places: places(&spec, &settings.process.cwd), warnings })
}

/// With the ids of the step's user namespace.
struct Network<'a>(&'a mut Prepared, Option<&'a IdMaps>);

impl runtime::Hooks for Network<'_> {
    fn cloned(&mut self, init: &mut Init) -> Result<()> {
        self.0.cloned(init.link.take())
    }

    fn mapped(&mut self, init: &Init) -> Result<()> {
        self.0.mapped(init.pid, self.1)
    }
}

fn stdin(own: bool) -> Result<OwnedFd> {
    if own {
        return std::io::stdin().as_fd().try_clone_to_owned().context(|| "cannot pass standard input on");
    }
    rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, rustix::fs::Mode::empty())
        .context(|| "cannot open /dev/null")
}

/// Hands output on until the program has ended and everything of it was read.
fn follow(pidfd: &OwnedFd, mut streams: [Option<OwnedFd>; 2], output: &mut Output<'_>) -> Result<u8> {
    let mut buffer = vec![0u8; 64 << 10];
    while streams.iter().any(Option::is_some) {
        let open: Vec<usize> = (0..2).filter(|at| streams[*at].is_some()).collect();
        let mut fds: Vec<PollFd<'_>> = streams.iter().flatten().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(e) => return Err(Error::wrap("cannot wait for the program", std::io::Error::from(e))),
        }
        let ready: Vec<usize> =
            open.into_iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty()).map(|(at, _)| at).collect();
        for at in ready {
            let Some(fd) = &streams[at] else { continue };
            match rustix::io::read(fd, &mut buffer[..]) {
                Ok(0) => streams[at] = None,
                Ok(length) => output(at == 1, &buffer[..length]),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(e) => return Err(Error::wrap("cannot read what the program writes", std::io::Error::from(e))),
            }
        }
    }
    loop {
        match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Ok(Some(status)) => return Ok(exit_code(&status)),
            Ok(None) | Err(Errno::INTR) => {}
            Err(e) => return Err(Error::wrap("cannot wait for the program", std::io::Error::from(e))),
        }
    }
}

/// hosts, resolv.conf, hostname: as a container has them.
fn write_names(step: &Step<'_>, hostname: &str, facts: &Facts) -> Result<()> {
    let put = |name: &str, text: &str| file::write(&step.scratch.join(name), text.as_bytes(), Durability::Volatile);
    let text = |path: &str| std::fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
    let network = &step.options.network;
    put("hostname", &format!("{hostname}\n"))?;
    put(".containerenv", "")?;
    if !network.no_hosts {
        let added: Vec<String> = network.add_hosts.iter().map(super::make::host_entry).collect();
        let names = HostNames { added: &added, hostname, name: hostname };
        put("hosts", &files::hosts(&text("/etc/hosts"), facts, &names)?)?;
    }
    if !network.dns.unmanaged {
        let options = DnsOptions {
            servers: network.dns.servers.iter().map(ToString::to_string).collect(),
            search: network.dns.search.clone(),
            options: network.dns.options.clone(),
        };
        if let Some(content) = files::resolv_conf(&text("/etc/resolv.conf"), facts, &options)? {
            put("resolv.conf", &content)?;
        }
    }
    Ok(())
}

/// Every place where the runtime may have made something to mount on.
fn places(spec: &oci_spec::runtime::Spec, cwd: &str) -> Vec<String> {
    let mounts = spec.mounts().iter().flatten().map(|mount| mount.destination().clone());
    let mut places: Vec<String> = Vec::new();
    for destination in mounts.chain([std::path::PathBuf::from(cwd)]) {
        let ancestors = destination.ancestors().filter_map(Path::to_str).map(|path| path.trim_start_matches('/'));
        for path in ancestors.filter(|path| !path.is_empty()) {
            if !places.iter().any(|known| known == path) {
                places.push(path.to_owned());
            }
        }
    }
    places
}
