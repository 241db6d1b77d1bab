//! From a plan to a running container with its monitor.

use std::os::fd::OwnedFd;
use std::path::Path;

use jiff::Timestamp;
use oci_spec::runtime::Spec;
use rustix::fs::OFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::pipe::{PipeFlags, pipe_with};

use super::client::Client;
use super::clients;
use super::input::Input;
use super::log;
use super::log::writer::Writer;
use super::place::{Place, leave_exit_code};
use super::protocol::{Event, Failure};
use super::serve::{Outputs, Serving};
use super::state::{State, Status, start_time};
use crate::error::{Context, Error, Result};
use crate::network::forward::{self, Forwarder, Listeners};
use crate::network::helper::{self, Prepared};
use crate::network::ports::PortMapping;
use crate::runtime::cgroup::{self, Cgroup};
use crate::runtime::crun::{self, Crun};
use crate::runtime::{self, Bundle, Init, Join, Rootfs, Stdio, netdev};
use crate::state::lock::Lock;
use crate::state::paths::create_private;
use crate::sys::descriptor;
use crate::sys::process::{Fork, exit_now, fork};
use crate::sys::seccomp::Filter;
use crate::sys::signal::SignalFd;
use crate::sys::tty::{self, Size};
use crate::userns::IdMaps;

/// Everything a container's start needs; plain data and what the caller has opened.
pub(crate) struct Launch<'a> {
    pub place: &'a Place,
    /// Held by the monitor from now on.
    pub lock: Lock,
    pub spec: &'a Spec,
    pub maps: Option<&'a IdMaps>,
    pub rootfs: Rootfs,
    pub init: bool,
    /// Another runtime that makes the container.
    pub crun: Option<&'a Path>,
    pub join: Vec<Join>,
    pub seccomp: Option<&'a Filter>,
    /// `None` once it is under way.
    pub network: Option<Prepared>,
    pub ports: &'a [PortMapping],
    /// With a terminal, its first size.
    pub terminal: Option<Size>,
    /// Standard input is a pipe that clients feed, not /dev/null.
    pub interactive: bool,
    pub log: &'a log::Options,
    pub stop_signal: i32,
    /// What the container was before.
    pub state: State,
    /// Removes the container after its end (`--rm`). Called with the lock held.
    pub remove: Option<&'a Remove<'a>>,
}

/// Removes a container whose lock is held.
pub(crate) type Remove<'a> = dyn Fn(&Lock) -> Result<()> + 'a;

/// Forks the monitor, which starts the container. The client hears `Started` or `Error` from it.
///
/// For a single-threaded process. What the caller printed must have been flushed.
pub(crate) fn launch(launch: Launch<'_>) -> Result<Client> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .context(|| "cannot make a socket for the container's monitor")?;
    match fork().context(|| "cannot start the container's monitor")? {
        Fork::Parent(_) => Ok(Client::new(ours)),
        Fork::Child => {
            drop(ours);
            monitor(launch, theirs);
            exit_now(0)
        }
    }
}

/// The monitor's whole life.
fn monitor(mut launch: Launch<'_>, socket: OwnedFd) {
    leave_caller();
    let mut client = clients::Client::new(socket);
    // A launch that fails here has nobody else to tell.
    match start(&mut launch) {
        Ok(started) => serve(launch, started, client),
        Err(error) => {
            let mut state = std::mem::take(&mut launch.state);
            state.error = error.to_string();
            let _ = std::fs::remove_file(launch.place.attach_socket());
            let gone = finish(&launch, &state);
            leave_exit_code(&launch.lock, Some(error.kind().exit_code()));
            drop(launch);
            let error = match gone {
                Ok(()) => error,
                Err(second) => error.hint(second.to_string()),
            };
            let failure = Failure::encode(&error);
            let _ = client.send_event(&Event::Error(&failure));
        }
    }
}

/// The session, directory and files of the caller are not the monitor's.
fn leave_caller() {
    // Fails only for a group leader, which a fresh child is not.
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir("/");
    let _ = rustix::thread::set_name(c"rpod-monitor");
    descriptor::close_inherited();
    if let Ok(null) = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, rustix::fs::Mode::empty()) {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    }
}

/// The container's ends and the monitor's ends of its standard streams.
fn streams(launch: &Launch<'_>) -> Result<(Stdio, Option<OwnedFd>, Option<Outputs>)> {
    if let Some(Size { rows, columns }) = launch.terminal {
        return Ok((Stdio::Terminal { rows, cols: columns }, None, None));
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
    network: Option<Prepared>,
    made: Option<(Writer, OwnedFd)>,
}

impl runtime::Hooks for Meanwhile<'_> {
    fn cloned(&mut self, init: &mut Init) -> Result<()> {
        if let Some(network) = &mut self.network {
            network.cloned(init.pid, init.tap.take())?;
        }
        self.made = Some((Writer::open(self.log, &self.place.disk)?, listen(self.place)?));
        Ok(())
    }

    fn mapped(&mut self, _: &Init) -> Result<()> {
        self.network.as_mut().map_or(Ok(()), Prepared::mapped)
    }
}

/// The cgroup that carries out the Spec's limits, named after the container.
fn cgroup(launch: &Launch<'_>) -> Result<Cgroup> {
    if launch.crun.is_some() {
        return Ok(Cgroup::default());
    }
    let resources = launch.spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    cgroup::prepare(resources, &format!("rpod-{}", id(launch.place)))
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
fn oom_killed(cgroup: &Path) -> bool {
    let events = std::fs::read_to_string(cgroup.join("memory.events")).unwrap_or_default();
    events.lines().filter_map(|line| line.strip_prefix("oom_kill ")).any(|count| count.trim() != "0")
}

/// The processes that connect the container; dropped, they end. The forwarder goes first: it leads into the helper's
/// network.
struct Network {
    _forwarder: Option<Forwarder>,
    _helper: Option<helper::Running>,
}

/// Waits for the network and publishes the ports. Answers them with the random ones filled in.
fn connect(network: Option<Prepared>, listeners: Option<Listeners>) -> Result<(Network, Vec<PortMapping>)> {
    let Some(network) = network else { return Ok((Network { _forwarder: None, _helper: None }, Vec::new())) };
    let facts = network.facts().clone();
    let helper = network.ready()?;
    let Some(listeners) = listeners else {
        return Ok((Network { _forwarder: None, _helper: Some(helper) }, Vec::new()));
    };
    let ports = listeners.mappings.clone();
    let target = helper.target.as_ref().ok_or_else(|| Error::new("this network cannot publish ports"))?;
    let forwarder = listeners.serve(target, &facts)?;
    forwarder.ready()?;
    Ok((Network { _forwarder: Some(forwarder), _helper: Some(helper) }, ports))
}

/// A container that runs, and what its monitor does from now on.
struct Started {
    serving: Serving,
    state: State,
    network: Network,
    /// What could not be honoured.
    warnings: Vec<String>,
}

/// Makes and starts the container; writes its state.
fn start(launch: &mut Launch<'_>) -> Result<Started> {
    leave_exit_code(&launch.lock, None);
    let listeners = match launch.ports {
        [] => None,
        ports => Some(forward::listen::listen(ports)?),
    };
    let (stdio, feed, outputs) = streams(launch)?;
    let mut cgroup = cgroup(launch)?;
    let network = launch.network.take().ok_or_else(|| Error::new("the container was started twice"))?;
    // The requests were compiled before; the child only sends them.
    let setup = network.netdev().cloned();
    let configure = setup.as_ref().map(|setup| move || netdev::configure(setup));
    let mut meanwhile = Meanwhile { place: launch.place, log: launch.log, network: Some(network), made: None };
    let bundle = Bundle {
        spec: launch.spec,
        maps: launch.maps,
        rootfs: std::mem::replace(&mut launch.rootfs, Rootfs::Directory { path: "/".into() }),
        stdio,
        netdev: configure.as_ref().map(|configure| configure as &runtime::Netdev<'_>),
        join: std::mem::take(&mut launch.join),
        init: launch.init,
        seccomp: launch.seccomp,
        cgroup: cgroup.fd.take(),
    };
    let mut created = match launch.crun {
        Some(program) => crun::create(crun(launch.place, program)?, bundle, &mut meanwhile)?,
        None => runtime::create(bundle, &mut meanwhile)?,
    };
    created.warnings.append(&mut cgroup.warnings);
    let (log, listener) = meanwhile.made.ok_or_else(|| Error::new("the runtime did not call back"))?;
    let (network, ports) = connect(meanwhile.network, listeners)?;
    created.start()?;
    let state = State {
        status: Status::Running,
        pid: created.pid.as_raw_nonzero().get(),
        pid_start: start_time(created.pid.as_raw_nonzero().get()).unwrap_or(0),
        monitor: rustix::process::getpid().as_raw_nonzero().get(),
        started_at: Some(Timestamp::now()),
        ports,
        cgroup: cgroup.path,
        ..State::default()
    };
    state.store(&launch.place.record)?;
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
    let signals = SignalFd::new(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT])
        .context(|| "cannot receive signals")?;
    let serving = Serving {
        pidfd,
        outputs,
        input: Input::new(feed),
        log,
        clients: Vec::new(),
        listener: Some(listener),
        signals,
        stop_signal: launch.stop_signal,
    };
    Ok(Started { serving, state, network, warnings: std::mem::take(&mut created.warnings) })
}

/// From the program's first instruction to the monitor's end.
fn serve(launch: Launch<'_>, started: Started, mut client: clients::Client) {
    let Started { mut serving, mut state, network, warnings } = started;
    for warning in warnings {
        let _ = client.send_event(&Event::Warning(warning.as_bytes()));
    }
    if client.send_event(&Event::Started).is_ok() && set_nonblocking_client(&client) {
        serving.clients.push(client);
    }
    let code = serving.run();
    drop(network);
    if let Some(path) = state.cgroup.take() {
        state.oom_killed = oom_killed(&path);
        // Its processes have ended; what is left of it is empty.
        let _ = cgroup::remove(&path);
    }
    state.status = Status::Exited;
    (state.pid, state.pid_start, state.monitor) = (0, 0, 0);
    state.exit_code = code;
    state.finished_at = Some(Timestamp::now());
    let Serving { clients, listener, .. } = serving;
    drop(listener);
    // A start that follows makes a socket of its own.
    let _ = std::fs::remove_file(launch.place.attach_socket());
    let _ = finish(&launch, &state);
    leave_exit_code(&launch.lock, Some(code));
    drop(launch);
    clients::farewell(clients, code);
}

/// Removes the container or writes its last state.
fn finish(launch: &Launch<'_>, state: &State) -> Result<()> {
    match launch.remove {
        Some(remove) => remove(&launch.lock),
        None => state.store(&launch.place.record),
    }
}

fn set_nonblocking_client(client: &clients::Client) -> bool {
    rustix::io::ioctl_fionbio(client, true).is_ok()
}

/// The socket that later clients connect to.
fn listen(place: &Place) -> Result<OwnedFd> {
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
