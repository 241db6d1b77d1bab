//! `--check`: what is legal in a Dockerfile and probably not meant. Names of the rules are BuildKit's.

use std::collections::BTreeSet;

use super::dockerfile::{Command, Dockerfile, Instruction, Kind, Span};
use super::variables::{Globals, PROXIES};

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub line: usize,
    pub rule: &'static str,
    pub text: String,
}

/// Everything there is to say.
pub(crate) fn lint(file: &Dockerfile, globals: &Globals) -> Vec<Finding> {
    let mut findings = BTreeSet::new();
    let skipped = file.directives.check.as_deref().unwrap_or_default();
    let mut add = |span: Span, rule: &'static str, text: String| {
        findings.insert(Finding { line: span.first, rule, text });
    };
    for span in &file.empty_continuations {
        add(*span, "NoEmptyContinuation", "Empty continuation line".to_owned());
    }
    let all: Vec<&Instruction> = file
        .global
        .iter()
        .chain(file.stages.iter().flat_map(|stage| std::iter::once(&stage.from).chain(&stage.instructions)))
        .collect();
    let lower = all.iter().filter(|i| i.keyword.chars().all(char::is_lowercase)).count();
    let majority_lower = lower * 2 > all.len();
    for instruction in &all {
        let word = &instruction.keyword;
        let wanted = if majority_lower { word.to_lowercase() } else { word.to_uppercase() };
        if *word != wanted {
            let case = if majority_lower { "lowercase" } else { "uppercase" };
            let text = format!("Command '{word}' should match the case of the command majority ({case})");
            add(instruction.span, "ConsistentInstructionCasing", text);
        }
    }
    let mut names = BTreeSet::new();
    for stage in &file.stages {
        if let Kind::From { name: Some(name), .. } = &stage.from.kind
            && !names.insert(name.clone())
        {
            let text = format!("Duplicate stage name {name:?}, stage names should be unique");
            add(stage.from.span, "DuplicateStageName", text);
        }
        if let Kind::From { image, .. } = &stage.from.kind {
            for name in variables(image) {
                if !globals.is_declared(&name) {
                    add(stage.from.span, "UndefinedArgInFrom", format!("FROM argument '{name}' is not declared"));
                }
            }
        }
        of_stage(&stage.instructions, &mut add);
    }
    let skip = |rule: &str| {
        skipped.strip_prefix("skip=").is_some_and(|list| list.split([',', ';']).any(|r| r == rule || r == "all"))
    };
    findings.into_iter().filter(|finding| !skip(finding.rule)).collect()
}

fn of_stage(instructions: &[Instruction], add: &mut dyn FnMut(Span, &'static str, String)) {
    let mut known: BTreeSet<String> = BTreeSet::new();
    let (mut cmd, mut entrypoint, mut healthcheck) = (None, None, None);
    let mut shell = false;
    for instruction in instructions {
        let span = instruction.span;
        let mut texts: Vec<&str> = Vec::new();
        match &instruction.kind {
            Kind::Arg(list) => known.extend(list.iter().map(|(name, _)| name.clone())),
            Kind::Env(pairs) => {
                texts.extend(pairs.iter().map(|(_, value)| value.as_str()));
                let secret = |name: &str| {
                    let upper = name.to_uppercase();
                    ["PASSWORD", "SECRET", "TOKEN", "APIKEY", "API_KEY", "CREDENTIAL"]
                        .iter()
                        .any(|word| upper.contains(word))
                };
                for (name, _) in pairs.iter().filter(|(name, _)| secret(name)) {
                    let text = format!("Do not use ARG or ENV instructions for sensitive data (ENV {name:?})");
                    add(span, "SecretsUsedInArgOrEnv", text);
                }
                if instruction.text.split_whitespace().nth(1).is_some_and(|word| !word.contains('=')) {
                    let text = "\"ENV key=value\" should be used instead of legacy \"ENV key value\" format".to_owned();
                    add(span, "LegacyKeyValueFormat", text);
                }
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
            }
            _ => {}
        }
        for name in texts.into_iter().flat_map(variables) {
            let predefined = PROXIES.contains(&name.as_str()) || name == "PATH" || name == "HOME";
            // What the base image sets is not known here; only what looks like a slip of a declared name is told.
            let similar = known.iter().find(|declared| slip(declared, &name));
            if let (false, false, Some(similar)) = (known.contains(&name), predefined, similar) {
                add(span, "UndefinedVar", format!("Usage of undefined variable '${name}' (did you mean ${similar}?)"));
            }
        }
        if let Kind::Env(pairs) = &instruction.kind {
            known.extend(pairs.iter().map(|(name, _)| name.clone()));
        }
    }
}

fn json_form(
    keyword: &str,
    command: &Command,
    shell: bool,
    span: Span,
    add: &mut dyn FnMut(Span, &'static str, String),
) {
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

/// Names in `$NAME` and `${NAME…}`.
fn variables(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let escaped = rest[..at].ends_with('\\');
        rest = rest[at + 1..].strip_prefix('{').unwrap_or(&rest[at + 1..]);
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end > 0 && !escaped && !rest.starts_with(|c: char| c.is_ascii_digit()) {
            names.push(rest[..end].to_owned());
        }
        rest = &rest[end..];
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::platform::Platform;

    fn rules(text: &str) -> Vec<(usize, &'static str)> {
        let file = super::super::dockerfile::parse(text).expect(text);
        let mut globals = Globals::new(&Default::default(), &Platform::host(), None);
        file.global.iter().for_each(|instruction| globals.declare(instruction, '\\').expect("declares"));
        lint(&file, &globals).into_iter().map(|finding| (finding.line, finding.rule)).collect()
    }

    #[test]
    fn what_is_probably_not_meant_is_found() {
        for (text, wanted) in [
            ("FROM a\nCMD [\"x\"]\n", vec![]),
            ("FROM a\nrun x\nRUN y\n", vec![(2, "ConsistentInstructionCasing")]),
            ("FROM a\nCMD x\n", vec![(2, "JSONArgsRecommended")]),
            ("FROM a\nSHELL [\"x\"]\nCMD x\n", vec![]),
            ("FROM a\nCMD [\"x\"]\nCMD [\"y\"]\n", vec![(2, "MultipleInstructionsDisallowed")]),
            ("FROM a AS x\nFROM b AS X\n", vec![(2, "DuplicateStageName")]),
            ("FROM a:$V\n", vec![(1, "UndefinedArgInFrom")]),
            ("ARG V\nFROM a:$V\n", vec![]),
            ("FROM a\nARG VERSION\nWORKDIR /$VERSON\n", vec![(3, "UndefinedVar")]),
            ("FROM a\nWORKDIR x\n", vec![(2, "WorkdirRelativePath")]),
            ("FROM a\nENV A b\n", vec![(2, "LegacyKeyValueFormat")]),
            ("FROM a\nENV DB_PASSWORD=x\n", vec![(2, "SecretsUsedInArgOrEnv")]),
            ("FROM a\nMAINTAINER x\n", vec![(2, "MaintainerDeprecated")]),
            ("FROM a\nRUN x \\\n\n y\n", vec![(2, "NoEmptyContinuation")]),
            ("# check=skip=JSONArgsRecommended\nFROM a\nCMD x\n", vec![]),
        ] {
            assert_eq!(rules(text), wanted, "{text:?}");
        }
    }
}
