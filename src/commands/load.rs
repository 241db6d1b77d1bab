//! `rpod load`.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;

use super::Context;
use crate::cli::image::Load;
use crate::engine::events;
use crate::engine::images::{self, Loaded};
use crate::error::{Context as _, Error, Result};
use crate::image::platform::Platform;
use crate::image::transport::{Kind, Local};
use crate::output::progress::progress;
use crate::userns::IdMaps;

pub(crate) fn run(args: Load, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let store = context.store()?;
    let store = if args.keep_compressed { store.keep_compressed() } else { store };
    let maps = IdMaps::for_user()?;
    let policy = args.signature_policy.as_deref();
    let directory = args.input.as_ref().filter(|path| path.is_dir());
    if let Some(path) = directory {
        let kind = if path.join("index.json").exists() { Kind::Oci } else { Kind::Dir };
        let progress = progress(context.ui, args.quiet);
        let local = Local::new(kind, path);
        let loaded = images::pull_local(dirs, &store, &maps, &local, &Platform::host(), policy, &*progress)?;
        drop(progress);
        return show(context, loaded);
    }
    let path = args.input.as_deref().filter(|path| path.as_os_str() != "-");
    let input = match path {
        Some(path) => File::open(path).context(|| format!("cannot open {}", path.display()))?,
        None if std::io::stdin().is_terminal() => {
            return Err(Error::new("cannot read from terminal, use command-line redirection or the --input flag"));
        }
        None => File::from(std::io::stdin().as_fd().try_clone_to_owned().context(|| "cannot read standard input")?),
    };
    let progress = progress(context.ui, args.quiet);
    let loaded = images::load(dirs, &store, &maps, input, path, policy, &*progress)?;
    drop(progress);
    show(context, loaded)
}

/// Says what has been loaded.
pub(super) fn show(context: &Context<'_>, loaded: Vec<Loaded>) -> Result<u8> {
    let dirs = context.dirs()?;
    for image in loaded {
        let name = image.names.first().map_or("", String::as_str);
        events::image(dirs, "loadfromarchive", &image.id.to_string(), name);
        if image.names.is_empty() {
            context.ui.line(format_args!("Loaded image: {}", image.id))?;
        }
        image.names.iter().try_for_each(|name| context.ui.line(format_args!("Loaded image: {name}")))?;
    }
    Ok(0)
}
