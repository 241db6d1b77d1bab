//! `rpod exec`.

use super::Context;
use super::foreground;
use crate::cli::container::Exec;
use crate::engine::container::exec::{self, ExecOptions, Executed};
use crate::engine::container::options::environment::{Environment, host_variables};
use crate::engine::container::{preserved, store};
use crate::error::{Error, Kind, Result};
use crate::monitor::detach;
use crate::output;
use crate::sys::tty::Size;

/// What Podman answers when there is nothing to run in.
const NOT_RUNNING: u8 = 255;

pub(crate) fn run(args: Exec, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let detach_keys = detach::parse(args.detach_keys.as_deref().unwrap_or(detach::DEFAULT))?;
    let word = |word: &std::ffi::OsString| {
        word.to_str().map(str::to_owned).ok_or_else(|| Error::new(format!("the argument {word:?} is not valid UTF-8")))
    };
    let mut words = args.words.iter().map(word).collect::<Result<Vec<_>>>()?;
    let container = match (args.latest, words.is_empty()) {
        (true, _) => store::latest(dirs)?,
        (false, true) => {
            return Err(Error::new("exec requires the name or ID of a container or the --latest flag"));
        }
        (false, false) => store::find(dirs, &words.remove(0))?,
    };
    if words.is_empty() {
        return Err(Error::new("must provide a non-empty command to start an exec session: invalid argument"));
    }
    let host = host_variables();
    let mut environment = Environment::default();
    for file in &args.env_file {
        environment.add_file(file, &host)?;
    }
    for variable in &args.env {
        environment.add(variable, &host)?;
    }
    let options = ExecOptions {
        command: words,
        environment,
        user: args.user,
        workdir: args.workdir,
        interactive: args.interactive,
        terminal: args.tty.then(|| foreground::size().unwrap_or(Size { rows: 24, columns: 80 })),
        privileged: args.privileged,
        detach: args.detach,
        detach_keys,
        preserved: preserved::at_exec(args.preserve_fds, &args.preserve_fd)?,
    };
    context.ui.flush()?;
    match exec::exec(dirs, &container, &options, &mut |warning| context.ui.warn(warning)) {
        Err(error) if error.kind() == Kind::Conflict => {
            output::report::error(context.ui, &error);
            Ok(NOT_RUNNING)
        }
        Ok(Executed::Detached(id)) if args.detach => context.ui.line(id).map(|()| 0),
        Ok(Executed::Detached(_)) => Ok(0),
        Ok(Executed::Exited(code)) => Ok(code),
        Err(error) => Err(error),
    }
}
