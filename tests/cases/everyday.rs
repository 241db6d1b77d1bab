//! The command lines of `tests/everyday/commands.txt`: what people type, with rpod in place of `docker` and `podman`.

use std::time::Duration;

use crate::support::{Outcome, Sandbox, Trial, User, trial};

const COMMANDS: &str = include_str!("../everyday/commands.txt");
/// Stands between the outputs of two lines.
const MARK: char = '\u{1}';

pub fn trials() -> Vec<Trial> {
    vec![
        trial("everyday::lines", User::Sub, lines_hold),
        Trial::test("everyday::pieces_in_order", || {
            assert!(shows("a b c", "a … c") && shows("anything", "") && !shows("c a", "a … c"));
            Ok(())
        }),
    ]
}

struct Line<'a> {
    code: &'a str,
    shown: &'a str,
    command: &'a str,
}

fn lines() -> Vec<Line<'static>> {
    let lines = COMMANDS.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let fields: Vec<&str> = line.splitn(3, '\t').collect();
            let [code, shown, command] = fields[..] else { panic!("not three fields: {line}") };
            Line { code, shown, command }
        })
        .collect()
}

fn lines_hold(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let mut script =
        "set +eu +o pipefail; docker() { rpod \"$@\"; }; podman() { rpod \"$@\"; }; export -f docker podman\n\
        shopt -s expand_aliases; printf '#!/bin/sh\\nexec rpod \"$@\"\\n' >docker; chmod +x docker; PATH=$PWD:$PATH\n\
        echo 'from here' >file\n"
            .to_owned();
    for line in lines() {
        script.push_str(&format!("{{ {}\n}} 2>&1 </dev/null; printf '{MARK}%s{MARK}' $?\n", line.command));
    }
    let out = t.script(&script).limit(Duration::from_secs(240)).run();
    let parts: Vec<&str> = out.stdout.split(MARK).collect();
    let answers: Vec<(&str, &str)> = parts.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let lines = lines();
    assert_eq!(answers.len(), lines.len(), "a line ended the shell: {out}");
    let mut wrong = Vec::new();
    for (line, (shown, code)) in lines.iter().zip(answers) {
        if code != line.code || !shows(shown, line.shown) {
            wrong.push(format!(
                "{}\n  exit code {code}, {} expected; {:?} in:\n{shown}",
                line.command, line.code, line.shown
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), lines.len(), wrong.join("\n"));
    Ok(())
}

/// Whether the pieces of `pattern`, between `…`, occur in this order.
fn shows(text: &str, pattern: &str) -> bool {
    let mut rest = text;
    pattern.split('…').map(str::trim).filter(|piece| !piece.is_empty()).all(|piece| match rest.find(piece) {
        Some(at) => {
            rest = &rest[at + piece.len()..];
            true
        }
        None => false,
    })
}
