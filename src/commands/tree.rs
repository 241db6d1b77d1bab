//! All commands as one clap tree: for completion scripts and man pages, never for parsing.

use clap::Command;

use super::dispatch;
use super::table::{NOUNS, VERBS};

/// `rpod` with its verbs and nouns below it.
pub(crate) fn tree() -> Command {
    let mut root = dispatch::root_command().name("rpod").about("Rootless, daemonless containers");
    for verb in VERBS {
        for path in verb.paths.iter().filter(|path| !path.contains(' ')) {
            root = root.subcommand(dispatch::command(verb, &format!("rpod {path}")));
        }
    }
    for (noun, about) in NOUNS {
        let verbs: Vec<_> = VERBS
            .iter()
            .flat_map(|verb| verb.paths.iter().map(move |path| (verb, *path)))
            .filter(|(_, path)| path.split_once(' ').is_some_and(|(first, _)| first == *noun))
            .map(|(verb, path)| dispatch::command(verb, &format!("rpod {path}")))
            .collect();
        if !verbs.is_empty() {
            root = root.subcommand(Command::new(*noun).about(*about).disable_help_subcommand(true).subcommands(verbs));
        }
    }
    root.disable_help_subcommand(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// clap's own consistency checks: two flags of one name, a required argument behind an optional one.
    #[test]
    fn every_command_is_well_formed() {
        tree().debug_assert();
    }

    /// A path that two verbs claim would hide the second; one that no noun announces cannot be reached.
    #[test]
    fn every_verb_can_be_reached() {
        let mut seen = std::collections::HashSet::new();
        for path in VERBS.iter().flat_map(|verb| verb.paths) {
            assert!(seen.insert(path), "{path} twice");
            if let Some((noun, _)) = path.split_once(' ') {
                assert!(NOUNS.iter().any(|(known, _)| *known == noun), "no noun {noun}");
            }
        }
        for verb in VERBS {
            assert!(!super::super::help::summary(verb).is_empty(), "{} has no summary", verb.paths[0]);
        }
    }
}
