//! Options that every verb takes, before it or after it, with Podman's names.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Options for every command.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Globals {
    /// Directory of images, layers and volumes (default "$XDG_DATA_HOME/rpod"; $RPOD_ROOT)
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,

    /// Directory of run-time state, local to this host (default "$XDG_RUNTIME_DIR/rpod"; $RPOD_RUNTIME)
    #[arg(long, value_name = "DIR")]
    pub runroot: Option<PathBuf>,

    /// How layers become a root file system: overlay, fuse-overlayfs or copy (default: what works here)
    #[arg(long, value_name = "NAME")]
    pub storage_driver: Option<String>,

    /// What starts containers: rpod itself, or the path of an OCI runtime such as crun
    #[arg(long, value_name = "PROGRAM")]
    pub runtime: Option<String>,

    /// Show messages of this level and above
    #[arg(long, value_name = "LEVEL", ignore_case = true)]
    pub log_level: Option<LogLevel>,

    /// Show all there is to know: --log-level debug
    #[arg(long, short = 'D')]
    pub debug: bool,

    /// Where a container's cgroup is made: cgroupfs (directly below this process's) or systemd (in a scope) (default: what works here)
    #[arg(long, value_name = "NAME")]
    pub cgroup_manager: Option<CgroupManager>,

    /// Where events are kept: file is the only place
    #[arg(long, value_name = "NAME")]
    pub events_backend: Option<EventsBackend>,

    /// Write what goes to standard output to a file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Podman's cgroup managers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CgroupManager {
    Cgroupfs,
    Systemd,
}

/// Podman's places for events, as far as they are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EventsBackend {
    File,
}

/// Podman's levels. `fatal` and `panic` are the same as `error` here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, ValueEnum)]
pub(crate) enum LogLevel {
    Trace,
    Debug,
    Info,
    #[default]
    #[value(alias = "warning")]
    Warn,
    #[value(aliases = ["fatal", "panic"])]
    Error,
}

impl Globals {
    /// More than the usual is to be said.
    pub(crate) fn is_verbose(&self) -> bool {
        self.debug || self.log_level.is_some_and(|level| level <= LogLevel::Debug)
    }
}
