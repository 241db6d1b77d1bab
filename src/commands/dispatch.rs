//! Words typed → the verb that is meant. Only that verb's clap command is built: with sixty verbs and their hundreds of
//! flags, building all of them would cost more than listing containers does.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Args as _, Command, FromArgMatches as _};

use super::context::Context;
use super::help;
use super::table::{NOUNS, VERBS, Verb};
use crate::cli::globals::{Globals, LogLevel};
use crate::cli::{goflags, refused, usage};
use crate::error::{Error, Result};
use crate::output::ui::Ui;

/// What the words before any verb-specific argument lead to.
enum Target {
    Verb { verb: &'static Verb, name: String },
    Noun(&'static str),
}

/// Runs what `args` (without the program's own name) ask for; answers the exit code.
pub(crate) fn dispatch(args: Vec<OsString>, ui: &Ui) -> Result<u8> {
    let (mut globals, words) = match args.first() {
        Some(first) if first.as_encoded_bytes().starts_with(b"-") => match leading_options(args, ui)? {
            Some(found) => found,
            None => return Ok(0),
        },
        _ => (Globals::default(), args),
    };
    let mut words = words.into_iter().peekable();
    let Some(first) = words.next() else {
        ui.print(&help::overview())?;
        return Err(Error::new("missing command 'rpod COMMAND'"));
    };
    let second = words.peek().and_then(|word| word.to_str());
    let (target, used) = find(first.to_str().unwrap_or_default(), second)
        .ok_or_else(|| unknown(&first.to_string_lossy(), second.filter(|w| !w.starts_with('-'))))?;
    if used == 2 {
        words.next();
    }
    match target {
        Target::Noun(noun) => {
            ui.print(&help::noun(noun))?;
            let asked = words.next().is_some_and(|word| word == "--help" || word == "-h");
            if asked { Ok(0) } else { Err(Error::new(format!("missing command 'rpod {noun} COMMAND'"))) }
        }
        Target::Verb { verb, name } => {
            let command = command_with_globals(verb, &name);
            let Some(mut matches) = parse(command, words.collect())? else {
                ui.print(&help::verb(verb, &name))?;
                return Ok(0);
            };
            let before = globals.debug;
            globals.update_from_arg_matches(&matches).map_err(|e| Error::new(e.to_string()))?;
            // A flag that is not repeated behind the verb is not taken back.
            globals.debug |= before;
            ui.set_verbosity(globals.log_level.unwrap_or_default() <= LogLevel::Warn, globals.is_verbose());
            if let Some(path) = &globals.out {
                ui.write_to(path)?;
            }
            (verb.run)(&mut matches, &Context::new(globals, ui)?)
        }
    }
}

/// Global options in front of the verb; `None` when they asked for something that has been printed.
fn leading_options(args: Vec<OsString>, ui: &Ui) -> Result<Option<(Globals, Vec<OsString>)>> {
    let Some(mut matches) = parse(root_command().allow_external_subcommands(true), args)? else {
        ui.print(&help::overview())?;
        return Ok(None);
    };
    if matches.remove_one::<bool>("version") == Some(true) {
        ui.print(&format!("rpod version {}\n", env!("CARGO_PKG_VERSION")))?;
        return Ok(None);
    }
    let words = match matches.remove_subcommand() {
        Some((first, mut rest)) => {
            let rest = rest.remove_many::<OsString>("").into_iter().flatten();
            std::iter::once(OsString::from(first)).chain(rest).collect()
        }
        None => Vec::new(),
    };
    let globals = Globals::from_arg_matches(&matches).map_err(|e| Error::new(e.to_string()))?;
    Ok(Some((globals, words)))
}

/// `rpod` alone: the global options, `--version` and `--help`.
pub(crate) fn root_command() -> Command {
    let version = clap::Arg::new("version").short('v').long("version").action(clap::ArgAction::SetTrue);
    let command = Globals::augment_args(Command::new("rpod").display_name("rpod"));
    goflags::with_help(command.arg(version.help("Show the version of rpod")))
}

/// The verb's own command, as help, man pages and completions show it. `name` is "rpod container ls".
pub(crate) fn command(verb: &Verb, name: &str) -> Command {
    let word = name.rsplit(' ').next().unwrap_or(name).to_owned();
    goflags::with_help((verb.augment)(Command::new(word)).display_name(name.to_owned()).bin_name(name.to_owned()))
}

/// What is parsed: the global options as well, unless the verb has a use of its own for the name.
fn command_with_globals(verb: &Verb, name: &str) -> Command {
    let mut command = command(verb, name);
    let globals = Globals::augment_args(Command::new("globals"));
    for arg in globals.get_arguments() {
        let taken = |other: &clap::Arg| other.get_id() == arg.get_id() || other.get_long() == arg.get_long();
        if command.get_arguments().any(taken) {
            continue;
        }
        let letter = arg.get_short().filter(|letter| command.get_arguments().all(|a| a.get_short() != Some(*letter)));
        command = command.arg(arg.clone().short(letter).hide(true));
    }
    command
}

/// `None` when the words ask for help.
fn parse(command: Command, words: Vec<OsString>) -> Result<Option<clap::ArgMatches>> {
    let mut command = goflags::relaxed(command).no_binary_name(true).color(clap::ColorChoice::Never);
    match command.try_get_matches_from_mut(words) {
        Ok(matches) => Ok(Some(matches)),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => Ok(None),
        Err(error) => Err(usage::explain(&error, &command)),
    }
}

/// The verb or noun that one or two words name, and how many of them it took.
fn find(first: &str, second: Option<&str>) -> Option<(Target, usize)> {
    let is_noun = NOUNS.iter().find(|(noun, _)| *noun == first && help::noun_has_verbs(noun));
    if let Some((noun, _)) = is_noun {
        return match second {
            Some(word) if !word.starts_with('-') => {
                let verb = VERBS.iter().find(|v| v.paths.iter().any(|p| p.split_once(' ') == Some((first, word))))?;
                Some((Target::Verb { verb, name: format!("rpod {first} {word}") }, 2))
            }
            _ => Some((Target::Noun(noun), 1)),
        };
    }
    let verb = VERBS.iter().find(|v| v.paths.contains(&first))?;
    Some((Target::Verb { verb, name: format!("rpod {first}") }, 1))
}

/// The verb that all of `words` name, for `help`.
pub(crate) fn find_exactly(words: &[String]) -> Option<&'static Verb> {
    let path = words.join(" ");
    VERBS.iter().find(|v| v.paths.contains(&path.as_str()))
}

/// An unknown command, with those that look like it.
pub(crate) fn unknown(first: &str, second: Option<&str>) -> Error {
    if let Some((words, why)) = refused::verb(first, second) {
        return Error::new(format!("`rpod {words}` is not possible: {why}"));
    }
    let noun = NOUNS.iter().any(|(noun, _)| *noun == first && help::noun_has_verbs(noun));
    let (prefix, typed) = match second {
        Some(second) if noun => (format!("{first} "), second),
        _ => (String::new(), first),
    };
    let mut error = Error::new(format!("unrecognized command `rpod {prefix}{typed}`"));
    let mut similar: Vec<_> = VERBS
        .iter()
        .flat_map(|verb| verb.paths)
        .filter_map(|path| path.strip_prefix(prefix.as_str()))
        .filter(|word| !word.contains(' ') && (distance(typed, word) <= 2 || word.starts_with(typed)))
        .collect();
    similar.sort_by_key(|word| distance(typed, word));
    similar.dedup();
    if !similar.is_empty() && !typed.is_empty() {
        similar.truncate(3);
        error = error.hint(format!("did you mean {}?", similar.join(", ")));
    }
    let see = if prefix.is_empty() { "rpod".to_owned() } else { format!("rpod {first}") };
    error.hint(format!("try '{see} --help' for the commands there are"))
}

/// Levenshtein's edit distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is printed, or the error with its hints.
    fn run(line: &str) -> Result<String, String> {
        let ui = Ui::in_memory();
        let words = line.split_whitespace().map(OsString::from).collect();
        match dispatch(words, &ui) {
            Ok(0) => Ok(ui.take()),
            Ok(code) => Err(format!("exit code {code}")),
            Err(error) => Err(format!("{error}; {}", error.hints().join("; "))),
        }
    }

    #[test]
    fn finds_the_verb_and_the_global_options_around_it() {
        let version = env!("CARGO_PKG_VERSION");
        for line in [
            "version -f {{.Client.Version}}",
            "--root /x version -f {{.Client.Version}}",
            "--root=/x --log-level debug version --format={{.Client.Version}}",
            "version --root /x -f{{.Client.Version}} --log-level=WARN",
            "version -f x --format {{.Client.Version}}",
        ] {
            assert_eq!(run(line), Ok(format!("{version}\n")), "{line}");
        }
        assert_eq!(run("--version"), Ok(format!("rpod version {version}\n")));
        assert_eq!(run("-v"), run("--version"));
    }

    #[test]
    fn help_is_the_same_however_it_is_asked_for() {
        let help = run("version --help");
        assert!(help.as_ref().is_ok_and(|text| text.contains("Usage:\n  rpod version [options]\n")), "{help:?}");
        for line in
            ["version -h", "help version", "version -f x --help", "version --help --bad", "--root /x version --help"]
        {
            assert_eq!(run(line), help, "{line}");
        }
        assert!(run("completion --help").is_ok(), "help needs no SHELL");
        assert_eq!(run("help"), run("--help"));
        assert_eq!(run("system --help"), run("help system"));
        let alias = run("system info --help").unwrap_or_default();
        assert!(alias.contains("rpod system info [options]") && alias.contains("Aliases:\n  rpod info\n"), "{alias}");
    }

    #[test]
    fn refuses_in_podmans_words() {
        for (line, wanted) in [
            ("", "missing command 'rpod COMMAND'; "),
            ("--root /x", "missing command 'rpod COMMAND'; "),
            ("system", "missing command 'rpod system COMMAND'; "),
            (
                "nothing-like-it",
                "unrecognized command `rpod nothing-like-it`; try 'rpod --help' for the commands there are",
            ),
            (
                "versoin",
                "unrecognized command `rpod versoin`; did you mean version?; try 'rpod --help' for the commands there are",
            ),
            (
                "system inof",
                "unrecognized command `rpod system inof`; did you mean info?; try 'rpod system --help' for the commands there are",
            ),
            (
                "help nothing-like-it",
                "unrecognized command `rpod nothing-like-it`; try 'rpod --help' for the commands there are",
            ),
            ("version --bad", "unknown flag: --bad; see 'rpod version --help'"),
            ("version --bad=x", "unknown flag: --bad; see 'rpod version --help'"),
            ("version -Z", "unknown shorthand flag: 'Z' in -Z; see 'rpod version --help'"),
            ("version -f", "flag needs an argument: --format; see 'rpod version --help'"),
            (
                "container create --init-ctr once x",
                "--init-ctr is not possible: init containers belong to pods: use `kube play`; ",
            ),
            (
                "container checkpoint x",
                "`rpod container checkpoint` is not possible: CRIU, which does it, needs root; ",
            ),
            ("swarm init", "`rpod swarm` is not possible: rpod manages containers of one machine, not a swarm; "),
            ("version x", "`rpod version` takes no arguments; see 'rpod version --help'"),
            ("--bad version", "unknown flag: --bad; see 'rpod --help'"),
            ("-f version", "unknown shorthand flag: 'f' in -f; see 'rpod --help'"),
            (
                "--log-level loud version",
                "invalid argument \"loud\" for \"--log-level\"; choose from: trace, debug, info, warn, error; see 'rpod --help'",
            ),
            ("completion", "`rpod completion` needs SHELL; see 'rpod completion --help'"),
            (
                "completion tcsh",
                "invalid argument \"tcsh\" for \"SHELL\"; choose from: bash, zsh, fish, powershell; see 'rpod completion --help'",
            ),
            (
                "completion bash zsh",
                "`rpod completion` does not take the argument \"zsh\"; see 'rpod completion --help'",
            ),
        ] {
            assert_eq!(run(line), Err(wanted.to_owned()), "{line}");
        }
    }
}
