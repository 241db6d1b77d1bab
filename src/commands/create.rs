//! `rpod create`, and what `run` has in common with it.

use super::Context;
use super::create_options::{pull_options, run_options};
use super::pull;
use crate::cli::run::{Container, Create, Image as Flags};
use crate::engine::container::options::{Pull, RootSource};
use crate::engine::container::{create, lifecycle, make, store};
use crate::engine::events;
use crate::engine::images::{self, Image, PullOptions, PullPolicy};
use crate::error::{Kind, Result};
use crate::image::builtin;
use crate::output::progress::progress;
use crate::registry::Options;
use crate::storage::Store;
use crate::userns::IdMaps;

pub(crate) fn run(args: Create, context: &Context<'_>) -> Result<u8> {
    let store = context.store()?;
    let made = container(&args.container, &store, context, false)?;
    create::flush(&made.container)?;
    events::container(context.dirs()?, "create", &made.container.record);
    context.ui.line(made.container.id())?;
    Ok(0)
}

/// Makes the container that the flags describe, which the caller waits for in the `foreground` or not, pulling its image when it is missing.
pub(super) fn container(
    args: &Container,
    store: &Store,
    context: &Context<'_>,
    foreground: bool,
) -> Result<make::Made> {
    let dirs = context.dirs()?;
    let mut options = run_options(args)?;
    options.cgroups.manager = context.cgroup_manager();
    let image = match &options.root {
        RootSource::Image(name) => Some(image(name, &args.image, store, context)?),
        RootSource::Directory { .. } => None,
    };
    if let Some(name) = args.general.name.as_deref().filter(|_| args.general.replace) {
        match store::find(dirs, name) {
            Ok(old) if old.record.name == name => {
                let removal = lifecycle::Removal { force: true, seconds: None, volumes: false };
                lifecycle::remove(dirs, &old, removal)?;
            }
            Err(e) if e.kind() != Kind::NoSuchObject => return Err(e),
            _ => {}
        }
    }
    let made = make::make(
        dirs,
        store,
        make::Order {
            options,
            image: image.as_ref(),
            name: args.general.name.as_deref().filter(|name| !name.is_empty()),
            runtime: context.runtime.clone(),
            cidfile: args.general.cidfile.as_deref(),
            create_command: std::env::args().collect(),
            foreground,
        },
    )?;
    for warning in &made.warnings {
        context.ui.warn(warning);
    }
    Ok(made)
}

/// The image, pulled if the flags say so.
pub(super) fn image(name: &str, flags: &Flags, store: &Store, context: &Context<'_>) -> Result<Image> {
    let wanted = pull_options(flags)?;
    if name == builtin::NAME {
        store.ensure_builtin(&IdMaps::for_user()?)?;
        return images::resolve(store, name);
    }
    // The start path: one ref, two blobs, no thread.
    if wanted.policy == Pull::Missing && wanted.platform.is_none() {
        match images::resolve(store, name) {
            Err(e) if e.kind() == Kind::NoSuchObject => {}
            result => return result,
        }
    }
    let policy = match wanted.policy {
        Pull::Always => PullPolicy::Always,
        Pull::Missing => PullPolicy::Missing,
        Pull::Never => PullPolicy::Never,
        Pull::Newer => PullPolicy::Newer,
    };
    let options = PullOptions {
        policy,
        platform: wanted.platform,
        registry: Options {
            tls_verify: flags.tls_verify,
            auth_file: flags.authfile.clone(),
            retry: pull::retry(flags.retry, flags.retry_delay.as_deref())?,
            ..Options::default()
        },
        signature_policy: None,
    };
    let progress = progress(context.ui, wanted.quiet);
    let dirs = context.dirs()?;
    let image = images::pull_apart(dirs, store, &IdMaps::for_user()?, name, &options, &*progress)
        .inspect_err(|error| events::pull_error(dirs, name, error))?;
    events::image(dirs, "pull", &image.id.hex(), name);
    Ok(image)
}
