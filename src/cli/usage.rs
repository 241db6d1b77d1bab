//! clap's complaints in the words of Docker and Podman.

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::refused;
use crate::error::Error;

/// `error`, which came up while parsing for `command` (its display name is the words typed, "rpod container ls").
pub(crate) fn explain(error: &clap::Error, command: &Command) -> Error {
    let name = command.get_display_name().unwrap_or("rpod");
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        _ => None,
    };
    let arg = text(ContextKind::InvalidArg).unwrap_or_default();
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    let verb = name.rsplit(' ').next().unwrap_or(name);
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(why) = refused::reason(verb, flag(&arg))
    {
        return Error::new(format!("{} is not possible: {why}", flag(&arg)));
    }
    let what = match error.kind() {
        ErrorKind::UnknownArgument => unknown(&arg, name, command),
        ErrorKind::InvalidValue | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues if value.is_empty() => {
            format!("flag needs an argument: {}", flag(&arg))
        }
        ErrorKind::NoEquals => format!("flag needs an argument: {}", flag(&arg)),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let reason = std::error::Error::source(error).map(|e| format!(": {e}")).unwrap_or_default();
            format!("invalid argument {value:?} for {:?}{reason}", flag(&arg))
        }
        ErrorKind::TooManyValues => format!("too many values for {:?}: {value:?}", flag(&arg)),
        ErrorKind::ArgumentConflict => {
            let other = text(ContextKind::PriorArg).unwrap_or_default();
            format!("{:?} and {:?} cannot be used together", flag(&arg), flag(&other))
        }
        // Podman's words for verbs whose first word is followed by others.
        ErrorKind::MissingRequiredArgument if arg.contains(" [") => {
            "requires at least 1 arg(s), only received 0".to_owned()
        }
        ErrorKind::MissingRequiredArgument => {
            format!("`{name}` needs {}", arg.replace(['<', '>'], "").trim_end_matches("..."))
        }
        ErrorKind::InvalidUtf8 => "an argument is not valid UTF-8".to_owned(),
        _ => error.to_string().lines().next().unwrap_or("bad arguments").trim_start_matches("error: ").to_owned(),
    };
    let mut result = Error::new(what);
    if let Some(valid) = text(ContextKind::ValidValue).filter(|v| !v.is_empty()) {
        result = result.hint(format!("choose from: {valid}"));
    }
    if let Some(similar) = text(ContextKind::SuggestedArg) {
        result = result.hint(format!("did you mean {}?", flag(&similar)));
    }
    result.hint(format!("see '{name} --help'"))
}

/// Without clap's decoration: `--publish <PORT>` → `--publish`, `<SHELL>` → `SHELL`.
fn flag(arg: &str) -> &str {
    arg.split([' ', '[', '=']).next().unwrap_or(arg).trim_matches(['<', '>', '.'])
}

fn unknown(arg: &str, name: &str, command: &Command) -> String {
    match arg.strip_prefix('-') {
        Some(long) if long.starts_with('-') => format!("unknown flag: {}", flag(arg)),
        Some(short) => {
            let letter = short.chars().next().unwrap_or('-');
            format!("unknown shorthand flag: {letter:?} in {arg}")
        }
        None if command.get_positionals().next().is_none() => format!("`{name}` takes no arguments"),
        None => format!("`{name}` does not take the argument {arg:?}"),
    }
}
