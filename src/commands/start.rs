//! `rpod start`.

use super::Context;
use super::each::each;
use super::foreground::{self, Connect};
use crate::cli::container::Start;
use crate::engine::container::logout;
use crate::engine::container::select::Selection;
use crate::engine::container::start::Audience;
use crate::engine::container::store::Container;
use crate::engine::container::{requires, start};
use crate::engine::events;
use crate::error::{Error, Kind, Result};
use crate::monitor::client::Client;

pub(crate) fn run(args: Start, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let selection = Selection {
        names: &args.containers,
        all: args.all,
        latest: args.latest,
        filters: &args.filter,
        ..Selection::default()
    };
    let containers = selection.resolve(dirs, "start requires at least one argument")?;
    let attach = args.attach || args.interactive;
    if attach && containers.len() > 1 {
        return Err(Error::new("you cannot start and attach multiple containers at once"));
    }
    if let (true, [(_, container)]) = (attach, containers.as_slice()) {
        return start_attached(&args, container, context).map_err(|error| failed(container, error));
    }
    each(context, &containers, |(name, container)| {
        start_detached(container, context).map_err(|error| failed(container, error))?;
        context.ui.line(name)
    })
}

fn start_detached(container: &Container, context: &Context<'_>) -> Result<()> {
    let dirs = context.dirs()?;
    requires::start_all(dirs, &container.record.requires, &mut |warning| context.ui.warn(warning))?;
    if let Some(client) = start::up(dirs, container, Audience::default())? {
        client.wait_started(&mut |warning| context.ui.warn(warning))?;
        client.detach();
        if let Some(warning) = logout::warning(dirs, container) {
            context.ui.warn(warning);
        }
    }
    Ok(())
}

/// Unlike `run`, `start` has one exit code for everything that keeps a container from starting.
fn failed(container: &Container, error: Error) -> Error {
    let what = format!("unable to start container {:?}", container.record.name);
    let error = Error::wrap(what, error).with_kind(Kind::General);
    let directories = container.config().map(|config| config.rootfs.directories()).unwrap_or_default();
    match directories.iter().find(|directory| !directory.is_dir()) {
        Some(gone) => error.hint(format!(
            "{} is not there: pull or load its image again, or mount the store that has it",
            gone.display()
        )),
        None => error,
    }
}

fn start_attached(args: &Start, container: &Container, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let asked = container.config()?.asked;
    let connect = Connect {
        stdin: args.interactive && container.record.interactive,
        stdout: asked.attaches("stdout"),
        stderr: asked.attaches("stderr"),
        sig_proxy: args.sig_proxy.unwrap_or(true),
        detach_keys: args.detach_keys.as_deref(),
        owner: false,
    };
    context.ui.flush()?;
    requires::start_all(dirs, &container.record.requires, &mut |warning| context.ui.warn(warning))?;
    let client = match start::up(dirs, container, Audience { size: foreground::size(), attached: true })? {
        Some(client) => client,
        None => {
            events::container(dirs, "attach", &container.record);
            Client::connect(&container.place)?
        }
    };
    foreground::follow(client, container, &connect, context)
}
