//! Every verb in one table. To add one: a clap type in `cli/`, a file here with `run`, `mod` and a line below.

use clap::{ArgMatches, Command};

use super::context::Context;
use crate::cli;
use crate::error::{Context as _, Result};

/// Where the overview shows a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Containers,
    Images,
    System,
}

/// One thing rpod can do.
pub(crate) struct Verb {
    pub group: Group,
    /// All spellings, the one that the overview and the man page use first.
    pub paths: &'static [&'static str],
    /// Adds the verb's arguments and texts to an empty command.
    pub augment: fn(Command) -> Command,
    pub run: fn(&mut ArgMatches, &Context<'_>) -> Result<u8>,
}

/// The nouns that verbs are sorted under.
pub(crate) const NOUNS: &[(&str, &str)] = &[
    ("container", "Manage containers"),
    ("image", "Manage images"),
    ("system", "Manage rpod itself"),
    ("volume", "Manage volumes"),
];

macro_rules! verb {
    ($group:ident, $args:ty, $run:path, [$($path:literal),+]) => {
        Verb {
            group: Group::$group,
            paths: &[$($path),+],
            augment: <$args as clap::Args>::augment_args,
            run: |matches, context| {
                let args = <$args as clap::FromArgMatches>::from_arg_matches_mut(matches);
                $run(args.context(|| concat!("cannot read the arguments of ", stringify!($args)))?, context)
            },
        }
    };
}

pub(crate) const VERBS: &[Verb] = &[
    verb!(System, cli::system::Completion, super::completion::run, ["completion"]),
    verb!(System, cli::system::Help, super::help::run, ["help"]),
    verb!(System, cli::system::Info, super::info::run, ["info", "system info"]),
    verb!(System, cli::system::Version, super::version::run, ["version"]),
];
