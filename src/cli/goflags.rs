//! Makes clap read flags the way Go's pflag does, which scripts written for Docker and Podman count on.
//!
//! - a switch may be given a value: `--rm=false`, `-t=1`
//! - an option takes the next word whatever it looks like: `--memory-swap -1`, `-e -x`
//! - of an option given twice the last one counts
//! - `--help` everywhere, `-h` where the verb has no other use for it (`run -h NAME` is the host's name)

use clap::builder::{TypedValueParser, ValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};

/// Adds `--help`, and `-h` when it is free. Asking for help ends the parsing, whatever else is missing or wrong later.
pub(crate) fn with_help(command: Command) -> Command {
    let short_taken = command.get_arguments().any(|arg| arg.get_short() == Some('h'));
    let help = Arg::new("help").long("help").action(ArgAction::Help).help("Show this help");
    let help = if short_taken { help } else { help.short('h') };
    command.disable_help_flag(true).disable_version_flag(true).arg(help)
}

/// Turns switches and options into their pflag forms. Help texts are made from the command as declared, before this.
pub(crate) fn relaxed(command: Command) -> Command {
    command.args_override_self(true).mut_args(|arg| match arg.get_action() {
        ArgAction::SetTrue => switch(arg, "false", "true"),
        ArgAction::SetFalse => switch(arg, "true", "false"),
        ArgAction::Set | ArgAction::Append if !arg.is_positional() => arg.allow_hyphen_values(true),
        _ => arg,
    })
}

fn switch(arg: Arg, default: &'static str, given: &'static str) -> Arg {
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_value(default)
        .default_missing_value(given)
        .value_parser(ValueParser::new(GoBool))
}

/// What Go's `strconv.ParseBool` accepts.
#[derive(Clone)]
struct GoBool;

impl TypedValueParser for GoBool {
    type Value = bool;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Self::Value, clap::Error> {
        match value.to_str() {
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            _ => {
                let mut error = clap::Error::new(ErrorKind::InvalidValue).with_cmd(command);
                let mut put = |kind, text: String| error.insert(kind, ContextValue::String(text));
                put(ContextKind::InvalidValue, value.to_string_lossy().into_owned());
                if let Some(arg) = arg {
                    put(ContextKind::InvalidArg, arg.to_string());
                }
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    #[derive(Debug, Args)]
    struct Sample {
        #[arg(short, long)]
        interactive: bool,
        #[arg(short, long)]
        tty: bool,
        #[arg(long)]
        rm: bool,
        #[arg(short, long)]
        env: Vec<String>,
        #[arg(long)]
        memory_swap: Option<i64>,
        #[arg(trailing_var_arg = true, required = true)]
        words: Vec<String>,
    }

    fn parse(line: &str) -> Result<String, clap::error::ErrorKind> {
        let command = super::relaxed(super::with_help(Sample::augment_args(Command::new("x")))).no_binary_name(true);
        let matches = command.try_get_matches_from(line.split(' ')).map_err(|e| e.kind())?;
        let s = Sample::from_arg_matches(&matches).map_err(|e| e.kind())?;
        let flags = [(s.interactive, 'i'), (s.tty, 't'), (s.rm, 'r')];
        let flags: String = flags.iter().filter(|f| f.0).map(|f| f.1).collect();
        Ok(format!("{flags} {:?} {:?} {:?}", s.env, s.memory_swap, s.words).replace('"', ""))
    }

    #[test]
    fn reads_flags_as_pflag_does() {
        use clap::error::ErrorKind;
        for (line, wanted) in [
            ("-it img", Ok("it [] None [img]")),
            ("-ti --rm img sh -c ls", Ok("itr [] None [img, sh, -c, ls]")),
            ("-i=false -t=1 --rm=T img", Ok("tr [] None [img]")),
            ("--rm --rm=false img", Ok(" [] None [img]")),
            ("-ie A=1 -e -x --env=b img -e y", Ok("i [A=1, -x, b] None [img, -e, y]")),
            ("--memory-swap -1 img", Ok(" [] Some(-1) [img]")),
            ("--memory-swap 1 --memory-swap 2 img --rm", Ok(" [] Some(2) [img, --rm]")),
            ("-- img --rm", Ok(" [] None [img, --rm]")),
            ("img -- --rm", Ok(" [] None [img, --, --rm]")),
            ("--rm=maybe img", Err(ErrorKind::InvalidValue)),
            ("--nope img", Err(ErrorKind::UnknownArgument)),
            ("-x img", Err(ErrorKind::UnknownArgument)),
            ("--rm", Err(ErrorKind::MissingRequiredArgument)),
            ("--rm --help", Err(ErrorKind::DisplayHelp)),
            ("-h", Err(ErrorKind::DisplayHelp)),
            ("img --help", Ok(" [] None [img, --help]")),
        ] {
            assert_eq!(parse(line), wanted.map(str::to_owned), "{line}");
        }
    }
}
