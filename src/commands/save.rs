//! `rpod save`.

use std::fs::File;
use std::os::fd::AsFd;

use super::Context;
use crate::cli::image::Save;
use crate::engine::events;
use crate::engine::images::{self, SaveOptions};
use crate::error::{Context as _, Error, Result};
use crate::image::archive::Format;
use crate::state::given;
use crate::userns::IdMaps;

pub(crate) fn run(args: Save, context: &Context<'_>) -> Result<u8> {
    let store = context.store()?;
    let options = SaveOptions {
        format: match args.format.as_str() {
            "oci-archive" | "oci-dir" => Format::Oci,
            "docker-dir" => Format::Dir,
            _ => Format::Docker,
        },
        only_images: args.multi_image_archive,
    };
    if args.compress && args.format != "docker-dir" {
        return Err(Error::new("--compress can only be set when --format is 'docker-dir'"));
    }
    args.images.iter().try_for_each(|name| images::check_name(name))?;
    let plan = images::plan_save(&store, &args.images, options)?;
    let maps = IdMaps::for_user()?;
    match &args.output {
        Some(path) if args.format.ends_with("-dir") => {
            images::save_directory(&store, &maps, &plan, options.format, args.compress, path)?;
        }
        None if args.format.ends_with("-dir") => {
            return Err(Error::new(format!("--format {} writes a directory: name it with --output", args.format)));
        }
        Some(path) => {
            let file = given::create(path).context(|| format!("cannot create {}", path.display()))?;
            let is_file = file.metadata().is_ok_and(|meta| meta.is_file());
            let saved = images::save(&store, &maps, &plan, options, file);
            if saved.is_err() && is_file {
                // Half an archive is worse than none; the error that matters is the first.
                let _ = std::fs::remove_file(path);
            }
            saved?;
        }
        None if context.ui.stdout_is_terminal() => {
            return Err(Error::new("refusing to save to terminal. Use -o flag or redirect"));
        }
        None => {
            let out = std::io::stdout().as_fd().try_clone_to_owned().context(|| "cannot write to standard output")?;
            images::save(&store, &maps, &plan, options, File::from(out))?;
        }
    }
    let dirs = context.dirs()?;
    args.images.iter().for_each(|name| events::image(dirs, "save", "", name));
    Ok(0)
}
