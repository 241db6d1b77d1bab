//! `rpod attach`.

use super::Context;
use super::foreground::{self, Connect};
use crate::cli::container::Attach;
use crate::engine::container::select::Selection;
use crate::engine::events;
use crate::error::{Error, Kind, Result};
use crate::monitor::client::Client;

pub(crate) fn run(args: Attach, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    if args.containers.len() > 1 {
        return Err(Error::new("attach accepts at most one argument"));
    }
    let selection = Selection { names: &args.containers, latest: args.latest, ..Selection::default() };
    let found = selection.resolve(dirs, "\"rpod attach\" requires a name, id, or the \"--latest\" flag")?;
    let Some((_, container)) = found.into_iter().next() else { return Err(Error::new("no such container")) };
    if !container.state(dirs)?.status.is_up() {
        return Err(Error::new(format!(
            "attaching to container {}: you can only attach to running containers",
            container.id()
        ))
        .with_kind(Kind::Conflict));
    }
    let connect = Connect {
        stdin: !args.no_stdin && container.record.interactive,
        stdout: true,
        stderr: true,
        sig_proxy: args.sig_proxy.unwrap_or(true),
        detach_keys: args.detach_keys.as_deref(),
        owner: false,
    };
    events::container(dirs, "attach", &container.record);
    context.ui.flush()?;
    foreground::follow(Client::connect(&container.place)?, &container, &connect, context)
}
