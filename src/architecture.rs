//! Checks the arrows of DESIGN section 5 against what each file of the crate names with `crate::`.
//!
//! Arrows may be skipped, never reversed: a room may use itself, rooms of a later row, and of its own row only what
//! `SIDEWAYS` lists.

use std::collections::BTreeSet;
use std::path::Path;

const ROWS: &[&[&str]] = &[
    &["main"],
    &["commands", "api"],
    &["cli", "output"],
    &["compose", "kube", "quadlet", "build"],
    &["engine"],
    &["monitor", "registry", "storage"],
    &["network"],
    &["runtime"],
    &["spec"],
    &["config"],
    &["image"],
    &["systemd"],
    &["userns"],
    &["state"],
    &["error", "glob", "human", "sys"],
];

/// Within a row: who may use whom.
const SIDEWAYS: &[(&str, &str)] = &[("output", "cli")];

/// Arrows that the order of the rows would allow but that would mix what is kept apart.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("cli", "engine", "types of arguments only"),
    ("cli", "storage", "types of arguments only"),
    ("cli", "monitor", "types of arguments only"),
    ("cli", "runtime", "types of arguments only"),
    ("runtime", "image", "the runtime knows a Spec and file descriptors"),
    ("runtime", "state", "the runtime knows a Spec and file descriptors"),
    ("network", "image", "networks know no images"),
    ("spec", "state", "pure: no file"),
    ("spec", "sys", "pure: no system call"),
    ("registry", "storage", "layers reach the store through the engine"),
];

#[test]
fn arrows_are_never_reversed() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in rust_files(&source) {
        let relative = file.strip_prefix(&source).unwrap_or(&file).to_string_lossy().into_owned();
        let room = relative.split(['/', '.']).next().unwrap_or_default().to_owned();
        // The first is this file; the second re-enters the test executable for tests of the rooms above.
        if room == "architecture" || relative == "sys/scenario.rs" {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        for used in used_rooms(text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()) {
            if let Some(reason) = objection(&room, &used) {
                wrong.push(format!("src/{relative}: {room} → {used}: {reason}"));
            }
        }
    }
    assert!(wrong.is_empty(), "DESIGN section 5 does not allow:\n{}", wrong.join("\n"));
}

/// A number from outside is no owner before `userns::owner` has looked at it: the largest means "as it is".
#[test]
fn owners_are_checked_in_one_place() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in rust_files(&source) {
        let relative = file.strip_prefix(&source).unwrap_or(&file).to_string_lossy().into_owned();
        if matches!(relative.as_str(), "architecture.rs" | "userns/owner.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let unchecked = ["Uid::from_raw", "Gid::from_raw", "unix::fs::chown", "unix::fs::lchown", "unix::fs::fchown"];
        wrong.extend(unchecked.iter().filter(|way| text.contains(**way)).map(|way| format!("src/{relative}: {way}")));
    }
    assert!(wrong.is_empty(), "use userns::owner:\n{}", wrong.join("\n"));
}

fn objection(from: &str, to: &str) -> Option<&'static str> {
    if from == to {
        return None;
    }
    if let Some((.., reason)) = FORBIDDEN.iter().find(|(a, b, _)| (*a, *b) == (from, to)) {
        return Some(reason);
    }
    let row = |room: &str| ROWS.iter().position(|row| row.contains(&room));
    match (row(from), row(to)) {
        // A macro or an item of main.rs.
        (_, None) => None,
        (None, _) => Some("the room is not in the table of src/architecture.rs"),
        (Some(a), Some(b)) if a < b || SIDEWAYS.contains(&(from, to)) => None,
        _ => Some("the arrow points the other way"),
    }
}

/// The rooms named behind `crate::`, also in `use crate::{a::…, b::…}`; comments do not count.
fn used_rooms(text: &str) -> BTreeSet<String> {
    let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let name =
        |text: &str| text.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned);
    let mut used = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            used.extend(name(rest));
            continue;
        };
        let mut depth = 0usize;
        let inside = |c: char| {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => return true,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0 && c == ','
        };
        for item in list.split(';').next().unwrap_or_default().split(inside) {
            used.extend(name(item));
        }
    }
    used.remove("");
    used
}

fn rust_files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn the_table_knows_right_from_wrong() {
    for (from, to, allowed) in [
        ("commands", "engine", true),
        ("engine", "sys", true),
        ("sys", "error", false),
        ("state", "engine", false),
        ("storage", "registry", false),
        ("monitor", "network", true),
        ("network", "monitor", false),
        ("runtime", "image", false),
        ("output", "cli", true),
        ("cli", "output", false),
        ("surprise", "error", false),
    ] {
        assert_eq!(objection(from, to).is_none(), allowed, "{from} → {to}");
    }
    let code = "use crate::error::Error;\nuse crate::{\n    spec::{a, b},\n    state,\n};\n// crate::cli\nlet x = crate::sys::f();";
    let used: Vec<_> = used_rooms(code).into_iter().collect();
    assert_eq!(used, ["error", "spec", "state", "sys"]);
}
