//! `rpod unshare [COMMAND]`: a command in the user namespace that containers and layers live in.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::Context;
use crate::cli::system::Unshare;
use crate::error::{Context as _, Error, Kind, Result};
use crate::sys::{exec, umask};
use crate::userns::{IdMaps, enter};

pub(crate) fn run(args: Unshare, context: &Context<'_>) -> Result<u8> {
    let maps = IdMaps::for_user()?;
    if let Some(reason) = &maps.single {
        context.ui.warn(format_args!("only one user id is mapped: {reason}"));
    }
    let shell = || std::env::var_os("SHELL").filter(|s| !s.is_empty()).unwrap_or_else(|| "/bin/sh".into());
    let mut words = args.words.into_iter();
    let program: OsString = words.next().unwrap_or_else(shell);
    enter::this_process(&maps)?;
    umask::restore();
    exec::reset_signals().context(|| "cannot reset the signals")?;
    // Returns only when it failed.
    let error = Command::new(&program).args(words).exec();
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => Kind::ProgramNotFound,
        _ => Kind::CannotInvoke,
    };
    Err(Error::wrap(format!("cannot execute {}", program.to_string_lossy()), error).with_kind(kind))
}
