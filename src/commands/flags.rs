//! `contrib/flags.md`: every flag of Podman's busiest verbs, with what became of it here. The test keeps it true against
//! the commands themselves; `RPOD_UPDATE_MAN=1 cargo test man_pages` brings it up to date together with the man pages.

use std::collections::BTreeSet;
use std::path::Path;

use super::dispatch;
use crate::cli::refused;

/// A row of the table: `| --flag | state | note |`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    flag: String,
    state: String,
    note: String,
}

impl Row {
    fn parse(line: &str) -> Option<Self> {
        let cells: Vec<&str> =
            line.strip_prefix('|')?.trim_end().trim_end_matches('|').split('|').map(str::trim).collect();
        let [flag, state, note] = cells[..] else { return None };
        let flag = flag.strip_prefix('`')?.strip_suffix('`')?;
        Some(Self { flag: flag.to_owned(), state: state.to_owned(), note: note.to_owned() })
    }

    fn line(&self) -> String {
        format!("| `{}` | {} | {} |\n", self.flag, self.state, self.note)
    }
}

/// The flags that clap knows for a verb, hidden ones included; empty for a verb that is not there yet.
fn known(verb: &str) -> BTreeSet<String> {
    let command = match dispatch::find_exactly(&[verb.to_owned()]) {
        Some(found) => dispatch::command(found, &format!("rpod {verb}")),
        None if verb == "rpod" => dispatch::root_command(),
        None => return BTreeSet::new(),
    };
    command
        .get_arguments()
        .filter_map(|arg| arg.get_long())
        .filter(|long| *long != "help")
        .map(|long| format!("--{long}"))
        .collect()
}

/// What is wrong with the section of one verb.
fn complaints(verb: &str, rows: &[Row]) -> Vec<String> {
    let known = known(verb);
    let mut wrong = Vec::new();
    for Row { flag, state, note } in rows {
        let reason = refused::reason(verb, flag);
        match (state.as_str(), known.contains(flag)) {
            ("done", true) if reason.is_none() => {}
            ("refused", false) if reason == Some(note.as_str()) => {}
            // The command knows it, to refuse it in its own words where it is more than a name.
            ("refused", true) if reason.is_none() && !note.is_empty() => {}
            ("planned", false) if reason.is_none() => {}
            (_, true) => wrong.push(format!("{verb} {flag}: {state} in the table, but the command knows it")),
            (_, false) => wrong.push(format!("{verb} {flag}: {state} in the table, but the command does not know it")),
        }
    }
    let listed: BTreeSet<&str> = rows.iter().map(|row| row.flag.as_str()).collect();
    wrong.extend(
        known
            .iter()
            .filter(|flag| !listed.contains(flag.as_str()))
            .map(|flag| format!("{verb} {flag}: not in the table")),
    );
    if listed.len() != rows.len() {
        wrong.push(format!("{verb}: a flag stands there twice"));
    }
    wrong
}

/// The table with what the commands say; a flag that was done and is no more stays, and is complained about.
fn updated(text: &str) -> String {
    let mut out = String::new();
    let mut verb = "";
    let mut missing: BTreeSet<String> = BTreeSet::new();
    let own = |missing: &mut BTreeSet<String>| -> String {
        let row = |flag: &String| {
            Row { flag: flag.clone(), state: "done".to_owned(), note: "not in Podman".to_owned() }.line()
        };
        std::mem::take(missing).iter().map(row).collect()
    };
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            verb = name;
            missing = known(verb);
        }
        let Some(mut row) = Row::parse(line) else {
            if line.is_empty() && out.ends_with("|\n") {
                out.push_str(&own(&mut missing));
            }
            out.push_str(line);
            out.push('\n');
            continue;
        };
        match refused::reason(verb, &row.flag) {
            Some(why) => (row.state, row.note) = ("refused".to_owned(), why.to_owned()),
            None if row.state == "planned" && missing.contains(&row.flag) => row.state = "done".to_owned(),
            None => {}
        }
        missing.remove(&row.flag);
        out.push_str(&row.line());
    }
    out.push_str(&own(&mut missing));
    out
}

#[test]
fn man_pages_and_the_table_of_flags_agree() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/flags.md");
    let mut text = std::fs::read_to_string(&path).unwrap_or_default();
    if std::env::var_os("RPOD_UPDATE_MAN").is_some() {
        text = updated(&text);
        assert!(std::fs::write(&path, &text).is_ok());
    }
    let mut sections = text.split("\n## ");
    sections.next();
    let mut wrong = Vec::new();
    let mut verbs = Vec::new();
    for section in sections {
        let (verb, rows) = section.split_once('\n').unwrap_or((section, ""));
        let rows: Vec<Row> = rows.lines().filter_map(Row::parse).collect();
        assert!(!rows.is_empty(), "no rows for {verb}");
        wrong.extend(complaints(verb, &rows));
        verbs.push(verb.to_owned());
    }
    assert_eq!(verbs, ["rpod", "run", "create", "exec", "start", "logs", "ps", "build"]);
    assert!(wrong.is_empty(), "{}\nrun RPOD_UPDATE_MAN=1 cargo test man_pages", wrong.join("\n"));
}

#[test]
fn the_table_is_not_believed() {
    let row = |flag: &str, state: &str| Row { flag: flag.into(), state: state.into(), note: String::new() };
    let all: Vec<Row> = known("version").iter().map(|flag| row(flag, "done")).collect();
    assert_eq!(complaints("version", &all), Vec::<String>::new());
    let with = |extra: Row| complaints("version", &[all.clone(), vec![extra]].concat()).len();
    assert_eq!((with(row("--nope", "done")), with(row("--nope", "planned"))), (1, 0));
    assert_eq!((with(row("--nope", "refused")), with(row("--nope", "maybe"))), (1, 1));
    assert!(!complaints("version", &all[1..]).is_empty());
    let planned = Row { state: "planned".into(), ..all[0].clone() };
    assert_eq!(complaints("version", &[vec![planned], all[1..].to_vec()].concat()).len(), 1);
}
