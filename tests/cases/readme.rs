//! Everything the README shows: its `sh` blocks are run, in order, by one shell.

use std::time::Duration;

use crate::support::{Need, Outcome, Registry, Sandbox, Trial, User, free_port, need, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("readme::commands", User::Sub, commands),
        Trial::test("readme::two_commands_first", || {
            let blocks = blocks();
            let first = blocks.first().ok_or("no sh block")?;
            let lines: Vec<&str> = first.lines().collect();
            assert!(lines[0].starts_with("cargo run --release"), "command one builds and runs");
            assert_eq!(lines[1], "contrib/test");
            Ok(())
        }),
    ]
}

/// What stands between ```sh and ```.
fn blocks() -> Vec<String> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    text.split("\n```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next()).map(str::to_owned).collect()
}

fn commands(t: &Sandbox) -> Outcome {
    need([Need::Curl])?;
    // docker.io is the test registry, under the names the README uses.
    super::pull::configure(t, Registry::plain()?)?;
    if crate::support::debian_is_missing()? {
        return crate::support::skip("there is no Debian image");
    }
    // The README's commands as they stand; only command one's build, and the tests themselves, are not repeated.
    let port = free_port().to_string();
    let script = blocks()
        .join("\n")
        .lines()
        .filter(|line| *line != "contrib/test" && !line.starts_with("contrib/bench/"))
        .map(|line| line.replace("cargo run --release --quiet --", "rpod").replace("8080", &port))
        .collect::<Vec<_>>()
        .join("\n");
    // What is a Debian to the README is the image that the tests have made of Debian's archive.
    let debian = "rpod pull -q nginx >/dev/null\nrpod tag nginx docker.io/library/debian:stable-slim\n";
    let script = format!("{debian}{script}");
    let out = t.script(&script).limit(Duration::from_secs(900)).run();
    assert_eq!(out.code, Some(0), "{out}\n{script}");
    Ok(())
}
