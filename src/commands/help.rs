//! `rpod help [COMMAND]`, and the texts behind every `--help`.

use std::fmt::Write as _;

use super::Context;
use super::dispatch::{self, find_exactly};
use super::table::{Group, NOUNS, VERBS, Verb};
use crate::cli::system::Help;
use crate::error::Result;

const GROUPS: &[(Group, &str)] = &[
    (Group::Containers, "Containers"),
    (Group::Images, "Images"),
    (Group::Networks, "Networks"),
    (Group::System, "System"),
];

pub(crate) fn run(args: Help, context: &Context<'_>) -> Result<u8> {
    let text = match args.words.as_slice() {
        [] => overview(),
        [word] if NOUNS.iter().any(|(noun, _)| noun == word) && noun_has_verbs(word) => noun(word),
        words => match find_exactly(words) {
            Some(found) => verb(found, &format!("rpod {}", words.join(" "))),
            None => {
                let (first, second) = (words.first().map_or("", String::as_str), words.get(1).map(String::as_str));
                return Err(dispatch::unknown(first, second));
            }
        },
    };
    context.ui.print(&text)?;
    Ok(0)
}

/// The page of one verb, reached under `name`.
pub(crate) fn verb(verb: &Verb, name: &str) -> String {
    let mut command = dispatch::command(verb, name);
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let mut text = format!("{}\nUsage:\n  {}\n", wrapped(&about), usage(&command, name));
    if verb.paths.len() > 1 {
        let others: Vec<_> = verb.paths.iter().map(|p| format!("rpod {p}")).filter(|p| p != name).collect();
        let _ = write!(text, "\nAliases:\n  {}\n", others.join(", "));
    }
    if let Some(examples) = command.get_after_help() {
        let _ = write!(text, "\n{examples}\n");
    }
    let arguments: Vec<_> = command
        .get_positionals()
        .filter_map(|arg| Some((arg.get_value_names()?.first()?.as_str(), arg.get_help()?.to_string())))
        .collect();
    section(&mut text, "Arguments", &arguments);
    command = command.help_template("{options}");
    let _ = writeln!(text, "\nOptions:\n{}", command.render_help().to_string().trim_end());
    text
}

/// `rpod ps [options] CONTAINER [CONTAINER...]`, as Podman writes it.
pub(crate) fn usage(command: &clap::Command, name: &str) -> String {
    if let Some(usage) = command.get_overridden_usage() {
        // Written for the verb's first spelling.
        let usage = usage.to_string();
        return match usage.find(" [") {
            Some(rest) => format!("{name}{}", &usage[rest..]),
            None => usage,
        };
    }
    let mut usage = format!("{name} [options]");
    for arg in command.get_positionals() {
        let value = arg.get_value_names().and_then(|names| names.first()).map_or("ARG", |v| v.as_str());
        let many = arg.get_num_args().is_some_and(|n| n.max_values() > 1);
        let _ = match (arg.is_required_set(), many) {
            (true, true) => write!(usage, " {value} [{value}...]"),
            (true, false) => write!(usage, " {value}"),
            (false, true) => write!(usage, " [{value}...]"),
            (false, false) => write!(usage, " [{value}]"),
        };
    }
    usage
}

/// `rpod --help`.
pub(crate) fn overview() -> String {
    let mut text = "Rootless, daemonless containers\n\nUsage:\n  rpod [options] COMMAND\n".to_owned();
    for (group, title) in GROUPS {
        let verbs = VERBS.iter().filter(|verb| verb.group == *group);
        let mut rows: Vec<_> =
            verbs.filter(|v| !v.paths[0].contains(' ')).map(|verb| (verb.paths[0], summary(verb))).collect();
        rows.sort();
        section(&mut text, title, &rows);
    }
    let nouns: Vec<_> = NOUNS
        .iter()
        .filter(|(noun, _)| noun_has_verbs(noun))
        .map(|(noun, about)| (*noun, format!("{about} (see 'rpod {noun} --help')")))
        .collect();
    section(&mut text, "By object", &nouns);
    let mut root = dispatch::root_command().help_template("{options}");
    let _ = writeln!(text, "\nOptions:\n{}", root.render_help().to_string().trim_end());
    text
}

/// `rpod container --help`.
pub(crate) fn noun(noun: &str) -> String {
    let about = NOUNS.iter().find(|(name, _)| *name == noun).map_or("", |(_, about)| about);
    let mut text = format!("{about}\n\nUsage:\n  rpod {noun} COMMAND\n");
    let mut rows: Vec<_> = VERBS
        .iter()
        .filter_map(|verb| {
            let path = verb.paths.iter().find_map(|p| p.split_once(' ').filter(|(first, _)| *first == noun))?;
            Some((path.1, summary(verb)))
        })
        .collect();
    rows.sort();
    section(&mut text, "Commands", &rows);
    text
}

pub(crate) fn noun_has_verbs(noun: &str) -> bool {
    VERBS.iter().flat_map(|verb| verb.paths).any(|path| path.split_once(' ').is_some_and(|(first, _)| first == noun))
}

/// The first line of the doc comment on the verb's arguments.
pub(crate) fn summary(verb: &Verb) -> String {
    (verb.augment)(clap::Command::new("")).get_about().map(ToString::to_string).unwrap_or_default()
}

/// Paragraphs in lines of at most 100 characters, each followed by an empty line.
fn wrapped(text: &str) -> String {
    let mut result = String::new();
    for paragraph in text.split("\n\n") {
        let mut column = 0;
        for word in paragraph.split_whitespace() {
            if column > 0 {
                let full = column + 1 + word.len() > 100;
                result.push(if full { '\n' } else { ' ' });
                column = if full { 0 } else { column + 1 };
            }
            result.push_str(word);
            column += word.len();
        }
        result.push_str("\n\n");
    }
    result.pop();
    result
}

fn section(text: &mut String, title: &str, rows: &[(&str, String)]) {
    if rows.is_empty() {
        return;
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let _ = write!(text, "\n{title}:\n");
    for (name, about) in rows {
        let _ = writeln!(text, "  {name:width$}  {about}");
    }
}
