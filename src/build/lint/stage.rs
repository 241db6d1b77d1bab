//! The instructions of stages.

use std::collections::{BTreeMap, BTreeSet};

use super::{Add, Environment, variables};
use crate::build::dockerfile::{Command, Dockerfile, Instruction, Kind, Span, expand};
use crate::build::variables::{Globals, PROXIES};

/// Stage by stage: what one has declared, those that begin with it have too.
pub(super) fn lint(file: &Dockerfile, globals: &Globals, environment: &Environment<'_>, add: &mut Add<'_>) {
    let mut done: BTreeMap<String, Known> = BTreeMap::new();
    for stage in &file.stages {
        let Kind::From { image, name, .. } = &stage.from.kind else { continue };
        let base = expand::word(image, file.escape(), &|name| globals.value(name)).unwrap_or_default();
        let mut known = match done.get(&base.to_lowercase()) {
            Some(known) => known.clone(),
            None if base == "scratch" => Known { names: BTreeSet::new(), complete: true },
            None => {
                let names = environment(&base);
                Known { complete: names.is_some(), names: names.into_iter().flatten().collect() }
            }
        };
        of_stage(&stage.instructions, &mut known, add);
        if let Some(name) = name {
            done.insert(name.clone(), known);
        }
    }
}

/// Variables that have a value, or may be given one.
#[derive(Debug, Clone)]
struct Known {
    names: BTreeSet<String>,
    /// Those of the base image are among them.
    complete: bool,
}

fn of_stage(instructions: &[Instruction], known: &mut Known, add: &mut Add<'_>) {
    let (mut cmd, mut entrypoint, mut healthcheck) = (None, None, None);
    let mut shell = false;
    for instruction in instructions {
        let span = instruction.span;
        let mut texts: Vec<&str> = Vec::new();
        match &instruction.kind {
            Kind::Arg(list) => {
                for (name, _) in list.iter().filter(|(name, _)| is_secret(name)) {
                    add(span, SECRETS, format!("Do not use ARG or ENV instructions for sensitive data (ARG {name:?})"));
                }
                texts.extend(list.iter().filter_map(|(_, default)| default.as_deref()));
                known.names.extend(list.iter().map(|(name, _)| name.clone()));
            }
            Kind::Expose(ports) => {
                texts.extend(ports.iter().map(String::as_str));
                ports.iter().for_each(|port| exposed(port, span, add));
            }
            Kind::Label(pairs) => {
                texts.extend(pairs.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]));
                legacy(instruction, "LABEL", add);
            }
            Kind::Volume(paths) => texts.extend(paths.iter().map(String::as_str)),
            Kind::StopSignal(signal) => texts.push(signal),
            Kind::Env(pairs) => {
                texts.extend(pairs.iter().map(|(_, value)| value.as_str()));
                for (name, _) in pairs.iter().filter(|(name, _)| is_secret(name)) {
                    add(span, SECRETS, format!("Do not use ARG or ENV instructions for sensitive data (ENV {name:?})"));
                }
                legacy(instruction, "ENV", add);
            }
            Kind::Workdir(path) => {
                texts.push(path);
                if !path.starts_with(['/', '$']) {
                    let text =
                        format!("Relative workdir {path:?} can have unexpected results if the base image changes");
                    add(span, "WorkdirRelativePath", text);
                }
            }
            Kind::User(text) => texts.push(text),
            Kind::Maintainer(_) => {
                let text = "Maintainer instruction is deprecated in favor of using label".to_owned();
                add(span, "MaintainerDeprecated", text);
            }
            Kind::Shell(_) => shell = true,
            Kind::Cmd(command) => {
                if let Some(before) = cmd.replace(span) {
                    add(before, "MultipleInstructionsDisallowed", "Multiple CMD instructions should not be used in the same stage because only the last one will be used".to_owned());
                }
                json_form("CMD", command, shell, span, add);
            }
            Kind::Entrypoint(command) => {
                if let Some(before) = entrypoint.replace(span) {
                    add(before, "MultipleInstructionsDisallowed", "Multiple ENTRYPOINT instructions should not be used in the same stage because only the last one will be used".to_owned());
                }
                json_form("ENTRYPOINT", command, shell, span, add);
            }
            Kind::Healthcheck(_) => {
                if let Some(before) = healthcheck.replace(span) {
                    add(before, "MultipleInstructionsDisallowed", "Multiple HEALTHCHECK instructions should not be used in the same stage because only the last one will be used".to_owned());
                }
            }
            Kind::Transfer(transfer) => {
                texts.extend(transfer.sources.iter().map(String::as_str));
                texts.push(&transfer.destination);
                texts.extend(transfer.chown.as_deref());
            }
            _ => {}
        }
        for name in texts.into_iter().flat_map(|text| variables(text, false)) {
            if known.names.contains(&name) || PROXIES.contains(&name.as_str()) || name == "PATH" {
                continue;
            }
            let similar = known.names.iter().find(|declared| slip(declared, &name));
            // Of an image that is not here it is not known what it sets: only what looks like a slip is told.
            if similar.is_some() || known.complete {
                let hint = similar.map(|similar| format!(" (did you mean ${similar}?)")).unwrap_or_default();
                add(span, "UndefinedVar", format!("Usage of undefined variable '${name}'{hint}"));
            }
        }
        if let Kind::Env(pairs) = &instruction.kind {
            known.names.extend(pairs.iter().map(|(name, _)| name.clone()));
        }
    }
}

fn legacy(instruction: &Instruction, keyword: &str, add: &mut Add<'_>) {
    if instruction.text.split_whitespace().nth(1).is_some_and(|word| !word.contains('=')) {
        let text = format!("\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format");
        add(instruction.span, "LegacyKeyValueFormat", text);
    }
}

const SECRETS: &str = "SecretsUsedInArgOrEnv";

/// By a word of the name (BuildKit's list), unless it is a public one.
fn is_secret(name: &str) -> bool {
    const WORDS: [&str; 10] =
        ["apikey", "auth", "credential", "credentials", "key", "password", "passwd", "pword", "secret", "token"];
    let lower = name.to_lowercase();
    lower.split('_').any(|word| WORDS.contains(&word)) && !lower.split('_').any(|word| word == "public")
}

fn exposed(port: &str, span: Span, add: &mut Add<'_>) {
    if port.contains('$') {
        return;
    }
    let (number, protocol) = port.split_once('/').unwrap_or((port, ""));
    if protocol.chars().any(char::is_uppercase) {
        add(span, "ExposeProtoCasing", format!("Defined protocol '{port}' in EXPOSE instruction should be lowercase"));
    }
    if number.contains(':') {
        let text = format!("EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'");
        add(span, "ExposeInvalidFormat", text);
    }
}

fn json_form(keyword: &str, command: &Command, shell: bool, span: Span, add: &mut Add<'_>) {
    if matches!(command, Command::Shell(text) if !text.is_empty()) && !shell {
        let text =
            format!("JSON arguments recommended for {keyword} to prevent unintended behavior related to OS signals");
        add(span, "JSONArgsRecommended", text);
    }
}

/// One letter away.
fn slip(declared: &str, used: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (declared.chars().collect(), used.chars().collect());
    if a.len().abs_diff(b.len()) > 1 || a.len() < 3 {
        return false;
    }
    let start = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let end = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    start + end + 1 >= a.len().max(b.len())
}
