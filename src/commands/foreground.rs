//! Being a container's foreground: what `run`, `start --attach` and `attach` have in common.

use super::Context;
use crate::engine::container::store::Container;
use crate::error::Result;
use crate::monitor::client::{Attach, Client, Outcome};
use crate::monitor::detach;
use crate::sys::tty::{self, Size};

/// What is connected, and how one gets away.
pub(super) struct Connect<'a> {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub sig_proxy: bool,
    /// `None`: the usual ones.
    pub detach_keys: Option<&'a str>,
    /// The container runs for this command alone: a closed standard output is passed on to it.
    pub owner: bool,
}

/// The size of the terminal that this command is on.
pub(super) fn size() -> Option<Size> {
    tty::size(std::io::stdin()).or_else(|| tty::size(std::io::stdout()))
}

/// Stays connected until the container ends, answering its exit code, or until the user detaches.
pub(super) fn follow(
    client: Client,
    container: &Container,
    connect: &Connect<'_>,
    context: &Context<'_>,
) -> Result<u8> {
    let attach = Attach {
        stdin: connect.stdin,
        stdout: connect.stdout,
        stderr: connect.stderr,
        tty: container.record.tty,
        sig_proxy: connect.sig_proxy,
        detach_keys: detach::parse(connect.detach_keys.unwrap_or(detach::DEFAULT))?,
        owner: connect.owner,
    };
    match client.attach(&attach, &mut |warning| context.ui.warn(warning))? {
        Outcome::Exited(code) => Ok(code),
        Outcome::Detached => Ok(0),
        Outcome::Lost => {
            // Settles what the monitor could not, and with --rm removes the container.
            let state = container.state(context.dirs()?)?;
            context.ui.note(format!("Error: container {}: {}", container.record.name, state.error));
            Ok(state.exit_code)
        }
    }
}
