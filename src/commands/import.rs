//! `rpod import`.

use std::fs::File;

use super::Context;
use super::pull::platform;
use crate::cli::image::Import;
use crate::engine::events;
use crate::engine::images::{self, Download, ImportOptions};
use crate::error::{Context as _, Result};
use crate::image::change;
use crate::image::config::Settings;
use crate::image::platform::Platform;
use crate::output::progress::progress;
use crate::userns::IdMaps;

pub(crate) fn run(args: Import, context: &Context<'_>) -> Result<u8> {
    let mut settings = Settings::default();
    change::apply_all(&mut settings, &args.change)?;
    let name = args.name.clone();
    let options = ImportOptions {
        name: args.name,
        settings,
        message: args.message.unwrap_or_default(),
        platform: platform(None, args.os.as_deref(), args.arch.as_deref(), args.variant.as_deref())?
            .unwrap_or_else(Platform::host),
        signature_policy: args.signature_policy,
    };
    let store = context.store()?;
    let maps = IdMaps::for_user()?;
    let progress = progress(context.ui, args.quiet);
    let id = match args.path.as_str() {
        "-" => images::import(&store, &maps, std::io::stdin().lock(), options, &*progress)?,
        url if url.starts_with("http://") || url.starts_with("https://") => {
            images::import(&store, &maps, Download::start(url)?, options, &*progress)?
        }
        path => {
            let file = File::open(path).context(|| format!("cannot open {path}"))?;
            images::import(&store, &maps, file, options, &*progress)?
        }
    };
    drop(progress);
    if let Some(name) = &name {
        events::image(context.dirs()?, "tag", &id.to_string(), name);
    }
    context.ui.line(id)?;
    Ok(0)
}
