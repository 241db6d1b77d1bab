//! `rpod init`.

use super::Context;
use super::each::each;
use crate::cli::change::Init;
use crate::engine::container::select::Selection;
use crate::engine::container::{requires, start};
use crate::error::{Error, Kind, Result};

pub(crate) fn run(args: Init, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    if args.all && !args.containers.is_empty() {
        return Err(Error::new("no arguments are needed with --all"));
    }
    let selection = Selection { names: &args.containers, all: args.all, latest: args.latest, ..Selection::default() };
    let containers = selection.resolve(dirs, "you must provide at least one name or id")?;
    each(context, &containers, |(name, container)| {
        let mut warn = |warning: &str| context.ui.warn(warning);
        requires::start_all(dirs, &container.record.requires, &mut warn)?;
        let Some(lock) = start::claim(dirs, container)? else {
            if args.all {
                return Ok(());
            }
            return Err(Error::new(format!(
                "container {} has already been created in runtime: container state improper",
                container.id()
            ))
            .with_kind(Kind::General));
        };
        let client = start::init(dirs, container, lock)?;
        client.wait_started(&mut warn)?;
        client.detach();
        context.ui.line(name)
    })
}
