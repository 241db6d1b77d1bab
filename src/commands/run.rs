//! `rpod run`.

use std::io::IsTerminal;

use super::Context;
use super::collect::collect;
use super::create;
use super::foreground::{self, Connect};
use crate::cli::run::Run;
use crate::engine::container::create::flush;
use crate::engine::container::lifecycle::{self, Removal};
use crate::engine::container::start::Audience;
use crate::engine::container::{logout, preserved, requires, start, store};
use crate::engine::events;
use crate::engine::images::{self, RemoveOptions};
use crate::error::{Error, Kind, Result};
use crate::image::digest::Digest;
use crate::storage::Store;

pub(crate) fn run(mut args: Run, context: &Context<'_>) -> Result<u8> {
    if args.rmi {
        if args.detach {
            return Err(Error::new("--rmi goes with a container in the foreground only")
                .hint("nobody is left to remove the image: use --rm, and `rpod rmi` later"));
        }
        args.container.general.rm = true;
    }
    let preserved = preserved::at_start(args.preserve_fds, &args.preserve_fd)?;
    let dirs = context.dirs()?;
    let store = context.store()?;
    requires::start_all(dirs, &args.container.life.requires, &mut |warning| context.ui.warn(warning))?;
    let made = create::container(&args.container, &store, context, !args.detach)?;
    let (container, config) = (&made.container, &made.config);
    context.ui.flush()?;
    events::container(dirs, "create", &container.record);
    let audience = Audience { size: foreground::size(), attached: !args.detach };
    let client = start::start_with(dirs, container, config, made.lock, audience, &preserved).inspect_err(|_| {
        if container.record.rm {
            // It never ran; what keeps it from being removed now will be told by `rm`.
            let _ = lifecycle::remove(dirs, container, Removal { force: false, seconds: None, volumes: true });
        }
    })?;
    // While the monitor is at work, which writes nothing that has to be flushed.
    flush(container)?;
    if args.detach {
        client.wait_started(&mut |warning| context.ui.warn(warning))?;
        client.detach();
        context.ui.line(container.id())?;
        if let Some(warning) = logout::warning(dirs, container) {
            context.ui.warn(warning);
        }
        return Ok(0);
    }
    if container.record.tty && container.record.interactive && !std::io::stdin().is_terminal() {
        context.ui.warn("The input device is not a TTY. The --tty and --interactive flags might not work properly");
    }
    let asked = &config.asked;
    if !asked.attaches("stdout") && !asked.attaches("stderr") {
        // Nothing else would be seen.
        context.ui.line(container.id())?;
        context.ui.flush()?;
    }
    let connect = Connect {
        stdin: container.record.interactive && asked.attaches("stdin"),
        stdout: asked.attaches("stdout"),
        stderr: asked.attaches("stderr"),
        sig_proxy: args.sig_proxy.unwrap_or(true),
        detach_keys: args.detach_keys.as_deref(),
        // Its log outlives others, and is complete whatever becomes of this command.
        owner: container.record.rm,
    };
    let code = foreground::follow(client, container, &connect, context)?;
    if args.rmi {
        remove_image(&container.record.image, &store, context)?;
    }
    Ok(code)
}

/// `--rmi`: an image that others use stays without a word, as in Podman.
fn remove_image(name: &str, store: &Store, context: &Context<'_>) -> Result<()> {
    let dirs = context.dirs()?;
    let options = RemoveOptions { ignore: true, ..RemoveOptions::default() };
    let users = |image: &Digest| -> Result<Vec<String>> {
        let containers = store::list(dirs)?.into_iter().filter(|c| c.record.image_id == image.hex());
        Ok(containers.map(|container| container.record.id).collect())
    };
    match images::remove(store, name, options, &users) {
        Ok(_) => collect(context, store),
        Err(e) if e.kind() == Kind::Conflict => Ok(()),
        Err(e) => Err(e),
    }
}
