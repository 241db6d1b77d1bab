//! Verbs on containers that exist. `run` and `create` have a file of their own.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

/// Start one or more containers
#[derive(Debug, Args)]
#[command(override_usage = "rpod start [options] CONTAINER [CONTAINER...]")]
pub(crate) struct Start {
    /// Attach the container's output to this terminal and pass signals on
    #[arg(short, long)]
    pub attach: bool,
    /// Attach standard input as well
    #[arg(short, long)]
    pub interactive: bool,
    /// Pass signals on to the container (default with --attach)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new())]
    pub sig_proxy: Option<bool>,
    /// Keys that detach
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
    /// Start all containers
    #[arg(long)]
    pub all: bool,
    /// Start the container that was created last
    #[arg(short, long)]
    pub latest: bool,
    /// Only containers that match
    #[arg(short, long, value_name = "FILTER")]
    pub filter: Vec<String>,
    #[arg(value_name = "CONTAINER", hide = true)]
    pub containers: Vec<String>,
}

/// Stop one or more containers
///
/// Sends the container's stop signal and, when it still runs after the timeout, SIGKILL.
#[derive(Debug, Args)]
#[command(override_usage = "rpod stop [options] CONTAINER [CONTAINER...]")]
pub(crate) struct Stop {
    /// Stop all running containers
    #[arg(short, long)]
    pub all: bool,
    /// Do not complain about containers that do not exist
    #[arg(short, long)]
    pub ignore: bool,
    /// Stop the container that was created last
    #[arg(short, long)]
    pub latest: bool,
    /// Seconds to wait before killing; -1 waits for ever (default: as the container was created, 10)
    #[arg(short, long, visible_alias = "timeout", value_name = "SECONDS")]
    pub time: Option<i64>,
    /// Only containers that match
    #[arg(short, long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Read the container's ID from a file
    #[arg(long, value_name = "FILE")]
    pub cidfile: Vec<PathBuf>,
    #[arg(value_name = "CONTAINER", hide = true)]
    pub containers: Vec<String>,
}

/// Send a signal to one or more running containers
#[derive(Debug, Args)]
#[command(override_usage = "rpod kill [options] CONTAINER [CONTAINER...]")]
pub(crate) struct Kill {
    /// Signal all running containers
    #[arg(short, long)]
    pub all: bool,
    /// Signal the container that was created last
    #[arg(short, long)]
    pub latest: bool,
    /// Name or number of the signal
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL")]
    pub signal: String,
    /// Read the container's ID from a file
    #[arg(long, value_name = "FILE")]
    pub cidfile: Vec<PathBuf>,
    #[arg(value_name = "CONTAINER", hide = true)]
    pub containers: Vec<String>,
}

/// Stop all processes of one or more containers for a while
///
/// A container with a cgroup of its own (version 2) is frozen; elsewhere its processes get SIGSTOP.
#[derive(Debug, Args)]
#[command(override_usage = "rpod pause [options] CONTAINER [CONTAINER...]")]
pub(crate) struct Pause {
    #[command(flatten)]
    pub chosen: Chosen,
}

/// Let the processes of one or more paused containers go on
#[derive(Debug, Args)]
#[command(override_usage = "rpod unpause [options] CONTAINER [CONTAINER...]")]
pub(crate) struct Unpause {
    #[command(flatten)]
    pub chosen: Chosen,
}

/// Which containers to pause, or to let go on.
#[derive(Debug, Args)]
pub(crate) struct Chosen {
    /// All containers that run and are not paused, or that are
    #[arg(short, long)]
    pub all: bool,
    /// Read the container's ID from a file
    #[arg(long, value_name = "FILE")]
    pub cidfile: Vec<PathBuf>,
    /// Only containers that match
    #[arg(short, long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// The container that was created last
    #[arg(short, long)]
    pub latest: bool,
    #[arg(value_name = "CONTAINER", hide = true)]
    pub containers: Vec<String>,
}

/// Restart one or more containers
#[derive(Debug, Args)]
#[command(override_usage = "rpod restart [options] CONTAINER [CONTAINER...]")]
pub(crate) struct Restart {
    /// Restart all containers
    #[arg(short, long)]
    pub all: bool,
    /// Restart the container that was created last
    #[arg(short, long)]
    pub latest: bool,
    /// Restart only running containers, with --all
    #[arg(long)]
    pub running: bool,
    /// Read the container's ID from a file
    #[arg(long, value_name = "FILE")]
    pub cidfile: Vec<PathBuf>,
    /// Seconds to wait before killing; -1 waits for ever (default: as the container was created, 10)
    #[arg(short, long, visible_alias = "timeout", value_name = "SECONDS")]
    pub time: Option<i64>,
    /// Only containers that match
    #[arg(short, long, value_name = "FILTER")]
    pub filter: Vec<String>,
    #[arg(value_name = "CONTAINER", hide = true)]
    pub containers: Vec<String>,
}

/// Remove one or more containers
#[derive(Debug, Args)]
#[command(override_usage = "rpod rm [options] CONTAINER [CONTAINER...]")]
pub(crate) struct Rm {
    /// Remove all containers
    #[arg(short, long)]
    pub all: bool,
    /// Kill containers that run, and do not complain about those that do not exist
    #[arg(short, long)]
    pub force: bool,
    /// Do not complain about containers that do not exist
    #[arg(short, long)]
    pub ignore: bool,
    /// Remove the container that was created last
    #[arg(short, long)]
    pub latest: bool,
    /// Remove the containers that require it as well
    #[arg(long)]
    pub depend: bool,
    /// Remove anonymous volumes of the container as well
    #[arg(short, long)]
    pub volumes: bool,
    /// Seconds to wait for the container to stop, with --force; -1 waits for ever
    #[arg(short, long, value_name = "SECONDS")]
    pub time: Option<i64>,
    /// Only containers that match
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Read the container's ID from a file
    #[arg(long, value_name = "FILE")]
    pub cidfile: Vec<PathBuf>,
    #[arg(value_name = "CONTAINER", hide = true)]
    pub containers: Vec<String>,
}

/// Wait until containers end and print their exit codes
#[derive(Debug, Args)]
#[command(override_usage = "rpod wait [options] CONTAINER [CONTAINER...]")]
pub(crate) struct Wait {
    /// Wait for one of these conditions: created, exited, running, paused, stopped, removing, healthy, unhealthy
    #[arg(long, value_name = "CONDITION")]
    pub condition: Vec<String>,
    /// Do not complain about containers that do not exist; their code is -1
    #[arg(long)]
    pub ignore: bool,
    /// Milliseconds between two looks at the condition
    #[arg(short, long, value_name = "DURATION", default_value = "250ms")]
    pub interval: String,
    /// Wait for the container that was created last
    #[arg(short, long)]
    pub latest: bool,
    #[arg(value_name = "CONTAINER", hide = true)]
    pub containers: Vec<String>,
}

/// List containers
#[derive(Debug, Default, Args)]
pub(crate) struct Ps {
    /// Show containers that do not run as well
    #[arg(short, long)]
    pub all: bool,
    /// Only containers that match: name=, id=, status=, label=, ancestor=, exited=, before=, since=, volume=, network= …
    #[arg(short, long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Change the output format to JSON or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Show only the last N containers created, in all states
    #[arg(short = 'n', long, value_name = "N", default_value_t = -1)]
    pub last: i64,
    /// Show the container that was created last
    #[arg(short, long)]
    pub latest: bool,
    /// Do not shorten anything
    #[arg(long)]
    pub no_trunc: bool,
    /// Do not print the column headers
    #[arg(long)]
    pub noheading: bool,
    /// Show the namespaces of running containers
    #[arg(long, visible_alias = "namespace")]
    pub ns: bool,
    /// Show the pod
    #[arg(short, long)]
    pub pod: bool,
    /// Print only the IDs
    #[arg(short, long)]
    pub quiet: bool,
    /// Show how much space the container's files take
    #[arg(short, long)]
    pub size: bool,
    /// Sort by command, created, id, image, names, runningfor, size or status
    #[arg(long, value_name = "KEY", default_value = "created")]
    pub sort: String,
    /// Accepted for compatibility: what is shown is always in sync
    #[arg(long, hide = true)]
    pub sync: bool,
    /// Accepted for compatibility: no container is kept outside of rpod's own store
    #[arg(long, alias = "storage", hide = true)]
    pub external: bool,
    /// Show the list again and again, every so many seconds
    #[arg(short, long, value_name = "SECONDS")]
    pub watch: Option<u64>,
}

/// Show the output of one or more containers
#[derive(Debug, Args)]
#[command(override_usage = "rpod logs [options] CONTAINER [CONTAINER...]")]
pub(crate) struct Logs {
    /// Go on until the container ends
    #[arg(short, long)]
    pub follow: bool,
    /// Show only lines since a time (2026-01-02T15:04:05) or for a duration (10m)
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Show only lines until a time or a duration ago
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Show only this many lines from the end
    #[arg(long, value_name = "N", default_value_t = -1)]
    pub tail: i64,
    /// Put the time before each line
    #[arg(short, long)]
    pub timestamps: bool,
    /// Put the container's name before each line
    #[arg(short, long)]
    pub names: bool,
    /// Give each container a colour, on a terminal
    #[arg(long)]
    pub color: bool,
    /// Show the log of the container that was created last
    #[arg(short, long)]
    pub latest: bool,
    /// Put the labels and variables that --log-opt names before each line
    #[arg(long)]
    pub details: bool,
    #[arg(value_name = "CONTAINER", hide = true)]
    pub containers: Vec<String>,
}

/// Run a program in a running container
///
/// The program ends when this command is killed; with --detach, and after the detach keys, it goes on without it.
#[derive(Debug, Args)]
#[command(override_usage = "rpod exec [options] CONTAINER COMMAND [ARG...]")]
pub(crate) struct Exec {
    /// Do not wait for the program
    #[arg(short, long)]
    pub detach: bool,
    /// Keys that detach
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
    /// Set an environment variable; NAME alone takes its value from here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Read environment variables from a file
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Connect standard input
    #[arg(short, long)]
    pub interactive: bool,
    /// Run in the container that was created last
    #[arg(short, long)]
    pub latest: bool,
    /// Pass this number of descriptors on, those from 3 on
    #[arg(long, value_name = "NUMBER")]
    pub preserve_fds: Option<u32>,
    /// Pass these descriptors on
    #[arg(long, value_name = "FD", value_delimiter = ',')]
    pub preserve_fd: Vec<String>,
    /// Give the program all capabilities
    #[arg(long)]
    pub privileged: bool,
    /// Give the program a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Run as this user (NAME|UID[:GROUP|GID])
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    #[arg(trailing_var_arg = true, value_name = "CONTAINER", hide = true)]
    pub words: Vec<OsString>,
}

/// Connect this terminal to a running container
#[derive(Debug, Args)]
#[command(override_usage = "rpod attach [options] CONTAINER")]
pub(crate) struct Attach {
    /// Keys that detach
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
    /// Attach to the container that was created last
    #[arg(short, long)]
    pub latest: bool,
    /// Do not connect standard input
    #[arg(long)]
    pub no_stdin: bool,
    /// Pass signals on to the container (default true)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new())]
    pub sig_proxy: Option<bool>,
    #[arg(value_name = "CONTAINER", hide = true)]
    pub containers: Vec<String>,
}

/// Check whether a container exists: exit code 0 or 1
#[derive(Debug, Args)]
pub(crate) struct Exists {
    /// Accepted for compatibility: no container is kept outside of rpod's own store
    #[arg(long, hide = true)]
    pub external: bool,
    /// Container to look for
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

/// Show everything known about containers, images, volumes or networks
///
/// A container when one has the name, otherwise an image, a volume, a network.
#[derive(Debug, Args)]
#[command(override_usage = "rpod inspect [options] NAME [NAME...]")]
pub(crate) struct Inspect {
    #[command(flatten)]
    pub options: InspectContainer,
    /// What to look for: container, image, volume, network, pod or all
    #[arg(short = 't', long = "type", value_name = "TYPE", default_value = "all")]
    pub kind: String,
}

/// Show everything known about containers
#[derive(Debug, Args)]
#[command(override_usage = "rpod container inspect [options] CONTAINER [CONTAINER...]")]
pub(crate) struct InspectContainer {
    /// Change the output format to JSON or a Go template
    #[arg(short, long, value_name = "FORMAT", default_value = "json")]
    pub format: String,
    /// Inspect the container that was created last
    #[arg(short, long)]
    pub latest: bool,
    /// Include the size of the container's files
    #[arg(short, long)]
    pub size: bool,
    #[arg(value_name = "NAME", hide = true)]
    pub names: Vec<String>,
}

/// Show the published ports of containers
#[derive(Debug, Args)]
#[command(override_usage = "rpod port [options] CONTAINER [PORT]")]
pub(crate) struct Port {
    /// Show the ports of all containers
    #[arg(short, long)]
    pub all: bool,
    /// Show the ports of the container that was created last
    #[arg(short, long)]
    pub latest: bool,
    #[arg(value_name = "CONTAINER", hide = true)]
    pub words: Vec<String>,
}
