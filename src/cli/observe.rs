//! Verbs that look into running containers.

use std::ffi::OsString;

use clap::Args;

/// Show the processes of a running container
///
/// What to show is a list of descriptors, or options of ps(1) such as aux, -ef and -o pid,args. Descriptors:
/// args, capamb, capbnd, capeff, capinh, capprm, comm, etime, group, groups, hgroup, hgroups, hpid, huid, huser, label,
/// nice, pcpu, pgid, pid, ppid, rgroup, rss, ruser, seccomp, state, stime, time, tty, uid, user, vsz, and their AIX
/// letters (%p, %C …). Those beginning with h are the host's view.
#[derive(Debug, Args)]
#[command(override_usage = "rpod top [options] CONTAINER [DESCRIPTOR...|PS-OPTION...]")]
pub(crate) struct Top {
    /// Show the processes of the container that was created last
    #[arg(short, long)]
    pub latest: bool,
    #[arg(trailing_var_arg = true, value_name = "CONTAINER", hide = true)]
    pub words: Vec<OsString>,
}

/// Show what containers use: processor, memory, network and disk, again and again
#[derive(Debug, Args)]
#[command(override_usage = "rpod stats [options] [CONTAINER...]")]
pub(crate) struct Stats {
    /// Show containers that do not run as well
    #[arg(short, long)]
    pub all: bool,
    /// Change the output format to JSON or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Seconds between two looks
    #[arg(short, long, value_name = "SECONDS", default_value_t = 5)]
    pub interval: u64,
    /// Show the container that was created last
    #[arg(short, long)]
    pub latest: bool,
    /// Do not clear the screen between two looks
    #[arg(long)]
    pub no_reset: bool,
    /// Look once
    #[arg(long)]
    pub no_stream: bool,
    /// Do not shorten anything
    #[arg(long)]
    pub no_trunc: bool,
    #[arg(value_name = "CONTAINER", hide = true)]
    pub containers: Vec<String>,
}
