//! From a plan to a running container: streams, cgroup, runtime, network, log.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use jiff::Timestamp;
use oci_spec::runtime::Spec;
use rustix::fs::OFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::pipe::{PipeFlags, pipe_with};

use super::connection::{Connection, connect};
use super::input::Input;
use super::launch::Launch;
use super::log;
use super::log::writer::Writer;
use super::place::{Place, leave_exit_code};
use super::serve::Outputs;
use super::state::{State, Status, start_time};
use crate::error::{Context, Error, Result};
use crate::network::forward;
use crate::network::helper::Prepared;
use crate::runtime::cgroup::{self, Cgroup};
use crate::runtime::crun::{self, Crun};
use crate::runtime::hook::{self, Subject};
use crate::runtime::{self, Bundle, Created, Guard, Init, Rootfs, Stdio, netdev};
use crate::state::given;
use crate::state::paths::create_private;
use crate::sys::tty::{self, Size};
use crate::userns::IdMaps;

/// The container's ends and the monitor's ends of its standard streams.
fn streams(launch: &Launch<'_>) -> Result<(Stdio, Option<OwnedFd>, Option<Outputs>)> {
    if let Some(Size { rows, columns }) = launch.terminal {
        return Ok((Stdio::Terminal { rows, cols: columns }, None, None));
    }
    if let Some(inherited) = &launch.inherited {
        let clone = |fd: &OwnedFd| fd.try_clone().context(|| "cannot pass a standard stream on");
        let [stdin, stdout, stderr] = inherited;
        let streams = Stdio::Pipes { stdin: clone(stdin)?, stdout: clone(stdout)?, stderr: clone(stderr)? };
        return Ok((streams, None, Some(Outputs::Pipes { stdout: None, stderr: None })));
    }
    let pipe = || pipe_with(PipeFlags::CLOEXEC).context(|| "cannot make a pipe for the container");
    let (stdin, feed) = if launch.interactive {
        let (stdin, feed) = pipe()?;
        (stdin, Some(feed))
    } else {
        let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, rustix::fs::Mode::empty());
        (null.context(|| "cannot open /dev/null")?, None)
    };
    let ((out, stdout), (err, stderr)) = (pipe()?, pipe()?);
    for fd in [&out, &err].into_iter().chain(&feed) {
        set_nonblocking(fd)?;
    }
    Ok((Stdio::Pipes { stdin, stdout, stderr }, feed, Some(Outputs::Pipes { stdout: Some(out), stderr: Some(err) })))
}

fn set_nonblocking(fd: &OwnedFd) -> Result<()> {
    rustix::io::ioctl_fionbio(fd, true).context(|| "cannot make a descriptor non-blocking")
}

/// What the monitor does while ids are being mapped: everything that does not need the container.
struct Meanwhile<'a> {
    place: &'a Place,
    log: &'a log::Options,
    name: &'a str,
    network: Option<Prepared>,
    /// Those of the container's user namespace.
    ids: Option<&'a IdMaps>,
    /// Nobody listens for clients yet.
    first: bool,
    made: Option<(Writer, Option<OwnedFd>)>,
}

impl runtime::Hooks for Meanwhile<'_> {
    fn cloned(&mut self, init: &mut Init) -> Result<()> {
        if let Some(network) = &mut self.network {
            network.cloned(init.link.take())?;
        }
        let listener = if self.first { Some(listen(self.place)?) } else { None };
        self.made = Some((Writer::open(self.log, &self.place.disk, self.name)?, listener));
        Ok(())
    }

    fn mapped(&mut self, init: &Init) -> Result<()> {
        self.network.as_mut().map_or(Ok(()), |network| network.mapped(init.pid, self.ids))
    }
}

/// The cgroup that carries out the Spec's limits, named after the container.
fn cgroup(launch: &Launch<'_>) -> Result<Cgroup> {
    if launch.crun.is_some() {
        return Ok(Cgroup::default());
    }
    let planned = launch.spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    cgroup::prepare(launch.terms.resources.as_ref().or(planned), launch.cgroup, &format!("rpod-{}", id(launch.place)))
}

/// crun, with an empty directory for what it keeps: what an earlier start left would be in its way.
fn crun(place: &Place, program: &Path) -> Result<Crun> {
    let dir = place.runtime.join("crun");
    match std::fs::remove_dir_all(&dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::wrap(format!("cannot empty {}", dir.display()), e));
        }
        _ => create_private(&dir)?,
    }
    Ok(Crun { program: program.to_path_buf(), dir, id: id(place) })
}

fn id(place: &Place) -> String {
    place.disk.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Whether the kernel killed a process of the cgroup for want of memory (cgroups(7), memory.events).
pub(super) fn oom_killed(cgroup: &Path) -> bool {
    let events = std::fs::read_to_string(cgroup.join("memory.events")).unwrap_or_default();
    events.lines().filter_map(|line| line.strip_prefix("oom_kill ")).any(|count| count.trim() != "0")
}

/// The program that runs: its process, streams and connections.
#[derive(Debug)]
pub(super) struct Program {
    /// The container's first process.
    pub pidfd: OwnedFd,
    pub outputs: Outputs,
    pub input: Input,
    pub log: Writer,
    pub connection: Connection,
    /// It waits for [`Created::start`].
    pub held: Option<Created>,
    /// Ends the program when this monitor is killed.
    pub _guard: Option<Guard>,
}

/// A container that has just come up.
pub(super) struct Started {
    pub program: Program,
    pub state: State,
    /// Where clients connect; made at the first start.
    pub listener: Option<OwnedFd>,
    /// What could not be honoured.
    pub warnings: Vec<String>,
}

/// Makes and starts the container; writes its state. `restarts`: how often its monitor has done so before.
pub(super) fn start(launch: &mut Launch<'_>, restarts: u32) -> Result<Started> {
    let started = make(launch, restarts);
    started.map_err(|error| after_end(launch.place, launch.spec).into_iter().fold(error, Error::hint))
}

/// The hooks of a container that has ended, or did not come up. Answers warnings.
pub(super) fn after_end(place: &Place, spec: &Spec) -> Vec<String> {
    match spec.hooks() {
        None => Vec::new(),
        Some(_) => hook::after_end(spec, Subject { id: &id(place), bundle: &place.record }),
    }
}

fn make(launch: &mut Launch<'_>, restarts: u32) -> Result<Started> {
    leave_exit_code(&launch.lock, None);
    let held = launch.held && restarts == 0;
    let listeners = match &launch.ports[..] {
        [] => None,
        ports => Some(forward::listen::listen(ports, &launch.state.ports)?),
    };
    let (stdio, feed, outputs) = streams(launch)?;
    let mut cgroup = cgroup(launch)?;
    let network = launch.network.take().ok_or_else(|| Error::new("the container was started twice"))?;
    // The requests were compiled before; the child only sends them.
    let setup = network.netdev().cloned();
    let configure = setup.as_ref().map(|setup| move || netdev::configure(setup));
    let keep = || "cannot keep the netkeeper's user namespace";
    let parent = match network.parent() {
        Some((user, maps)) => Some((user.try_clone_to_owned().context(keep)?, maps.clone())),
        None => None,
    };
    let mut meanwhile = Meanwhile {
        place: launch.place,
        log: launch.log,
        name: launch.terms.named.name,
        network: Some(network),
        ids: launch.ids,
        first: restarts == 0,
        made: None,
    };
    let bundle = Bundle {
        spec: launch.spec,
        maps: launch.maps,
        ids: launch.ids,
        parent: parent.as_ref().map(|(user, maps)| (user.as_fd(), maps)),
        rootfs: std::mem::replace(&mut launch.rootfs, Rootfs::Directory { path: "/".into() }),
        shm: launch.shm.take(),
        given: launch.given,
        stdio,
        netdev: configure.as_ref().map(|configure| configure as &runtime::Netdev<'_>),
        join: std::mem::take(&mut launch.join),
        init: launch.init,
        seccomp: launch.seccomp,
        cgroup: cgroup.fd.take(),
        subject: Some(Subject { id: &id(launch.place), bundle: &launch.place.record }),
        held,
    };
    let mut created = match launch.crun {
        Some(program) => crun::create(crun(launch.place, program)?, bundle, &mut meanwhile)?,
        None => runtime::create(bundle, &mut meanwhile)?,
    };
    created.warnings.append(&mut cgroup.warnings);
    let (log, listener) = meanwhile.made.ok_or_else(|| Error::new("the runtime did not call back"))?;
    let mut connection = connect(meanwhile.network, listeners)?;
    if !held {
        created.start()?;
    }
    let state = State {
        status: if held { Status::Initialized } else { Status::Running },
        pid: created.pid.as_raw_nonzero().get(),
        pid_start: start_time(created.pid.as_raw_nonzero().get()).unwrap_or(0),
        monitor: rustix::process::getpid().as_raw_nonzero().get(),
        started_at: (!held).then(Timestamp::now),
        ports: std::mem::take(&mut connection.ports),
        cgroup: cgroup.path,
        restarts,
        ..State::default()
    };
    state.store(&launch.place.record)?;
    for (path, pid) in launch.pidfiles.iter().zip([state.pid, state.monitor]) {
        if let Some(path) = path {
            given::write(path, pid.to_string()).context(|| format!("cannot write the pidfile {}", path.display()))?;
        }
    }
    let pidfd = created.pidfd.try_clone().context(|| "cannot keep the container's process")?;
    let outputs = match (created.console.take(), outputs) {
        (Some(master), _) => {
            set_nonblocking(&master)?;
            let slave = tty::peer(&master).context(|| "cannot open the container's terminal")?;
            Outputs::Console { master, slave: Some(slave) }
        }
        (None, Some(outputs)) => outputs,
        (None, None) => return Err(Error::new("the runtime made no terminal")),
    };
    let warnings = std::mem::take(&mut created.warnings);
    let _guard = created.guard.take();
    let held = held.then_some(created);
    let program = Program { pidfd, outputs, input: Input::new(feed), log, connection, held, _guard };
    Ok(Started { program, state, listener, warnings })
}

/// The socket that later clients connect to.
pub(super) fn listen(place: &Place) -> Result<OwnedFd> {
    let path = place.attach_socket();
    let what = || format!("cannot listen on {}", path.display());
    // Left by a monitor that was killed; the lock says that it is gone.
    let _ = std::fs::remove_file(&path);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).context(what)?;
    let (_dir, address) = super::client::address(place).context(what)?;
    rustix::net::bind(&socket, &address).context(what)?;
    rustix::net::listen(&socket, 16).context(what)?;
    Ok(socket)
}
