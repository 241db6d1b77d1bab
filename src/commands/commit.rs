//! `rpod commit`.

use super::Context;
use crate::cli::files::Commit;
use crate::engine::container::files::commit::{self, CommitOptions};
use crate::engine::container::store;
use crate::engine::events;
use crate::error::{Context as _, Result};
use crate::state::given;

pub(crate) fn run(args: Commit, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let container = store::find(dirs, &args.container)?;
    let options = CommitOptions {
        name: args.image,
        changes: args.change,
        author: args.author,
        message: args.message.unwrap_or_default(),
        docker: args.format == "docker",
        squash: args.squash,
        include_volumes: args.include_volumes,
        pause: args.pause.unwrap_or(false),
    };
    let id = commit::commit(dirs, &context.store()?, &container, options)?;
    events::container(dirs, "commit", &container.record);
    if let Some(path) = &args.iidfile {
        given::write(path, id.hex()).context(|| format!("cannot write the image's ID to {}", path.display()))?;
    }
    context.ui.line(id.hex())?;
    Ok(0)
}
