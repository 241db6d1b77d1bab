//! `rpod image scp`.

use super::Context;
use super::load::show;
use crate::cli::registry::Scp;
use crate::engine::images::{self, Copied, Place};
use crate::error::Result;
use crate::output::progress::progress;
use crate::userns::IdMaps;

pub(crate) fn run(args: Scp, context: &Context<'_>) -> Result<u8> {
    let from = Place::parse(&args.image)?;
    let to = match &args.destination {
        Some(text) => Place::parse(text)?,
        None => Place { host: None, image: None },
    };
    let store = context.store()?;
    let progress = progress(context.ui, args.quiet);
    let copied = images::scp(context.dirs()?, &store, &IdMaps::for_user()?, &from, &to, &*progress)?;
    drop(progress);
    match copied {
        Copied::Here(loaded) => show(context, loaded),
        Copied::Elsewhere => Ok(0),
    }
}
