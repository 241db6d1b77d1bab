//! DESIGN's arrows: which module may use which. Read from the `crate::` paths in the sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

/// From the top down; a module may use those in lines below its own, and those named here.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["cli", "commands", "api"],
    &["compose", "kube", "quadlet", "build"],
    &["engine"],
    &["spec", "monitor", "image", "registry", "storage", "network", "runtime", "output"],
    &["userns"],
    &["state", "config"],
    &["error", "sys"],
];

/// Arrows within one line. `output` prints for the front ends only.
const SIDEWAYS: &[(&str, &str)] = &[
    ("commands", "cli"),
    ("monitor", "runtime"),
    ("monitor", "network"),
    ("registry", "image"),
    ("storage", "image"),
    ("spec", "image"),
    ("runtime", "network"),
    ("config", "state"),
    ("error", "sys"),
    ("sys", "error"),
];

const FORBIDDEN: &[(&str, &str)] = &[("engine", "output"), ("runtime", "image")];

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("architecture::arrows", || {
            let wrong = wrong_arrows();
            if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
        }),
        Trial::test("architecture::unsafe_only_in_sys", || {
            let wrong: Vec<String> = sources()
                .into_iter()
                .filter(|(module, _)| module != "sys")
                .filter(|(_, path)| {
                    code(path).lines().any(|line| line.contains("unsafe {") || line.contains("allow(unsafe_code)"))
                })
                .map(|(_, path)| path.display().to_string())
                .collect();
            if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
        }),
    ]
}

fn wrong_arrows() -> Vec<String> {
    let level: BTreeMap<&str, usize> =
        LAYERS.iter().enumerate().flat_map(|(n, names)| names.iter().map(move |name| (*name, n))).collect();
    let mut wrong = Vec::new();
    for (module, path) in sources() {
        let Some(&from) = level.get(module.as_str()) else {
            wrong.push(format!("{}: {module} has no place in LAYERS", path.display()));
            continue;
        };
        for used in used_modules(&code(&path)) {
            let Some(&to) = level.get(used.as_str()) else { continue };
            let pair = (module.as_str(), used.as_str());
            let allowed = module == used || (to > from && !FORBIDDEN.contains(&pair)) || SIDEWAYS.contains(&pair);
            if !allowed {
                wrong.push(format!("{}: {module} must not use {used}", path.display()));
            }
        }
    }
    wrong
}

/// Every source file with the name of its top module.
fn sources() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut todo = vec![root.clone()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let first = path.strip_prefix(&root).unwrap().components().next().unwrap();
                let name = Path::new(first.as_os_str()).file_stem().unwrap().to_string_lossy().into_owned();
                found.push((name, path));
            }
        }
    }
    found
}

/// The file without its comments and its unit tests.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The modules named after `crate::`, also within `use crate::{a::…, b::…}`.
fn used_modules(code: &str) -> Vec<String> {
    let mut used = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => used.extend(top_names(list)),
            None => used.extend(name_at(rest)),
        }
    }
    used.sort();
    used.dedup();
    used
}

fn name_at(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// The first names of `a::b, c::{d, e}}`.
fn top_names(list: &str) -> Vec<String> {
    let mut depth = 0;
    let mut names = Vec::new();
    let mut start = true;
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            _ if start && !c.is_whitespace() => {
                names.extend(name_at(&list[at..]));
                start = false;
            }
            _ => {}
        }
    }
    names
}
