//! Flags of `run` and `create` about the container among others and its service manager.

use clap::Args;

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Life {
    /// Containers that must run before this one is started
    #[arg(long, value_name = "CONTAINER", value_delimiter = ',')]
    pub requires: Vec<String>,

    /// Who tells the service manager ($NOTIFY_SOCKET) that the container is ready: container, conmon, healthy or ignore
    /// (default "container")
    #[arg(long, value_name = "MODE")]
    pub sdnotify: Option<String>,
}
