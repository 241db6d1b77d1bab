//! `rpod run`.

use super::Context;
use super::create;
use super::foreground::{self, Connect};
use crate::cli::run::Run;
use crate::engine::container::create::flush;
use crate::engine::container::lifecycle::{self, Removal};
use crate::engine::container::{logout, requires, start};
use crate::engine::events;
use crate::error::Result;

pub(crate) fn run(args: Run, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let store = context.store()?;
    requires::start_all(dirs, &args.container.life.requires, &mut |warning| context.ui.warn(warning))?;
    let made = create::container(&args.container, &store, context)?;
    let (container, config) = (&made.container, &made.config);
    context.ui.flush()?;
    let client = start::start(dirs, container, config, made.lock, foreground::size()).inspect_err(|_| {
        if container.record.rm {
            // It never ran; what keeps it from being removed now will be told by `rm`.
            let _ = lifecycle::remove(dirs, container, Removal { force: false, seconds: None, volumes: true });
        }
    })?;
    // While the monitor is at work, which writes nothing that has to be flushed.
    flush(container)?;
    events::container(dirs, "create", &container.record);
    if args.detach {
        client.wait_started(&mut |warning| context.ui.warn(warning))?;
        client.detach();
        context.ui.line(container.id())?;
        if let Some(warning) = logout::warning(dirs, container) {
            context.ui.warn(warning);
        }
        return Ok(0);
    }
    let connect = Connect {
        stdin: container.record.interactive,
        stdout: true,
        stderr: true,
        sig_proxy: args.sig_proxy.unwrap_or(true),
        detach_keys: args.detach_keys.as_deref(),
        // Its log outlives others, and is complete whatever becomes of this command.
        owner: container.record.rm,
    };
    foreground::follow(client, container, &connect, context)
}
