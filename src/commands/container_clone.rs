//! `rpod container clone`.

use super::Context;
use super::create;
use super::create_options::resource_flags;
use crate::cli::change::Clone;
use crate::cli::run::Image;
use crate::engine::container::create::flush;
use crate::engine::container::duplicate::{self, Wanted};
use crate::engine::container::lifecycle::{self, Removal};
use crate::engine::container::options::resources;
use crate::engine::container::{start, store};
use crate::engine::events;
use crate::error::{Error, Result};

pub(crate) fn run(args: Clone, context: &Context<'_>) -> Result<u8> {
    let (original, name, image) = match args.words.as_slice() {
        [original] => (original, None, None),
        [original, name] => (original, Some(name), None),
        [original, name, image] => (original, Some(name), Some(image)),
        words => {
            return Err(Error::new(format!("accepts between 1 and 3 arg(s), received {}", words.len())));
        }
    };
    if args.force && !args.destroy {
        return Err(Error::new("cannot set --force without --destroy: invalid argument"));
    }
    let (dirs, store) = (context.dirs()?, context.store()?);
    let original = store::find(dirs, original)?;
    let image = image.map(|image| create::image(image, &Image::default(), &store, context)).transpose()?;
    let (resources, ignored) = resources::resources(resource_flags(&args.resources))?;
    ignored.iter().for_each(|text| context.ui.warn(text));
    let name = name.or(args.name.as_ref()).map(String::as_str);
    let wanted = Wanted { name, image: image.as_ref(), resources: &resources };
    let made = duplicate::duplicate(dirs, &store, &original, &wanted)?;
    made.warnings.iter().for_each(|text| context.ui.warn(text));
    flush(&made.container)?;
    events::container(dirs, "create", &made.container.record);
    if args.destroy {
        lifecycle::remove(dirs, &original, Removal { force: args.force, seconds: None, volumes: false })?;
    }
    if args.run {
        context.ui.flush()?;
        let client = start::start(dirs, &made.container, &made.config, made.lock, start::Audience::default())?;
        client.wait_started(&mut |warning| context.ui.warn(warning))?;
        client.detach();
    }
    context.ui.line(made.container.id())?;
    Ok(0)
}
