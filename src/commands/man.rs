//! The man pages in `man/`, made from the commands' own help. They are kept in the repository so that packages need no
//! build step; the test fails when they are stale, and writes them anew with `RPOD_UPDATE_MAN=1 cargo test man_pages`.

use std::collections::BTreeMap;
use std::path::Path;

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::table::{NOUNS, VERBS, Verb};
use super::{dispatch, help};

#[test]
fn man_pages_are_up_to_date() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    let wanted = pages();
    if std::env::var_os("RPOD_UPDATE_MAN").is_some() {
        let _ = std::fs::remove_dir_all(&dir);
        assert!(std::fs::create_dir_all(&dir).is_ok());
        for (name, text) in &wanted {
            assert!(std::fs::write(dir.join(name), text).is_ok(), "{name}");
        }
    }
    let files = std::fs::read_dir(&dir).into_iter().flatten().flatten();
    let found: BTreeMap<String, String> = files
        .map(|f| (f.file_name().to_string_lossy().into_owned(), std::fs::read_to_string(f.path()).unwrap_or_default()))
        .collect();
    let stale: Vec<_> = wanted
        .keys()
        .chain(found.keys())
        .filter(|name| wanted.get(*name) != found.get(*name))
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    assert!(stale.is_empty(), "stale: {stale:?}; run RPOD_UPDATE_MAN=1 cargo test man_pages");
}

/// File name → text.
fn pages() -> BTreeMap<String, String> {
    let mut pages = BTreeMap::from([("rpod.1".to_owned(), overview())]);
    for verb in VERBS {
        pages.insert(format!("rpod-{}.1", verb.paths[0].replace(' ', "-")), page(verb));
    }
    for (noun, about) in NOUNS.iter().filter(|(noun, _)| help::noun_has_verbs(noun)) {
        let mut roff = head(&format!("rpod-{noun}"), about);
        roff.control("SH", ["SYNOPSIS"]).text([bold(format!("rpod {noun}")), roman(" COMMAND")]);
        list(&mut roff, "COMMANDS", |path| path.split_once(' ').filter(|(n, _)| n == noun).map(|(_, word)| word));
        pages.insert(format!("rpod-{noun}.1"), roff.render());
    }
    pages
}

fn overview() -> String {
    let mut roff = head("rpod", "rootless, daemonless containers");
    roff.control("SH", ["SYNOPSIS"]).text([bold("rpod"), roman(" [options] COMMAND")]);
    list(&mut roff, "COMMANDS", |path| (!path.contains(' ')).then_some(path));
    roff.control("SH", ["EXIT STATUS"]).text([roman(
        "That of the container's program for run, exec, start --attach and wait; 125 when rpod itself failed, 126 when \
         the program could not be executed, 127 when it was not found.",
    )]);
    roff.render() + &options(dispatch::root_command())
}

fn page(verb: &Verb) -> String {
    let path = verb.paths[0];
    let name = format!("rpod {path}");
    let command = dispatch::command(verb, &name);
    let mut roff = head(&format!("rpod-{}", path.replace(' ', "-")), &help::summary(verb));
    let usage = help::usage(&command, &name);
    roff.control("SH", ["SYNOPSIS"]).text([bold(name.as_str()), roman(usage.strip_prefix(&name).unwrap_or(&usage))]);
    if let Some(about) = command.get_long_about() {
        roff.control("SH", ["DESCRIPTION"]);
        for paragraph in about.to_string().split("\n\n").skip(1) {
            roff.control("PP", []).text([roman(paragraph)]);
        }
    }
    if verb.paths.len() > 1 {
        let others: Vec<_> = verb.paths[1..].iter().map(|path| format!("rpod {path}")).collect();
        roff.control("SH", ["ALIASES"]).text([roman(others.join(", "))]);
    }
    roff.render() + &options(command)
}

fn head(title: &str, about: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("TH", [title, "1"]).control("SH", ["NAME"]);
    roff.text([roman(format!("{} - {about}", title.replacen("rpod-", "rpod ", 1).replace(' ', "-")))]);
    roff
}

fn list(roff: &mut Roff, title: &str, word: impl Fn(&'static str) -> Option<&'static str>) {
    roff.control("SH", [title]);
    let mut rows: Vec<_> =
        VERBS.iter().filter_map(|verb| verb.paths.iter().find_map(|path| word(path)).map(|w| (w, verb))).collect();
    rows.sort_by_key(|(word, _)| *word);
    for (word, verb) in rows {
        roff.control("TP", []).text([bold(word)]).text([roman(help::summary(verb))]);
    }
}

fn options(command: clap::Command) -> String {
    let mut text = Vec::new();
    // Writing to memory cannot fail.
    let _ = Man::new(command.disable_help_subcommand(true)).render_options_section(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}
