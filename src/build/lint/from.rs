//! FROM: names, platforms, and stages that nothing needs.

use std::collections::{BTreeMap, BTreeSet};

use super::{Add, variables};
use crate::build::dockerfile::{Dockerfile, Instruction, Kind, expand};
use crate::build::plan::Planner;
use crate::build::variables::Globals;

pub(super) fn lint(file: &Dockerfile, globals: &Globals, add: &mut Add<'_>) {
    let mut names = BTreeSet::new();
    for stage in &file.stages {
        let Kind::From { image, name, platform } = &stage.from.kind else { continue };
        let span = stage.from.span;
        if let Some(name) = name {
            if !names.insert(name.clone()) {
                add(span, "DuplicateStageName", format!("Duplicate stage name {name:?}, stage names should be unique"));
            }
            if matches!(name.as_str(), "context" | "scratch") {
                add(
                    span,
                    "ReservedStageName",
                    format!("Stage name should not use the same name as reserved stage {name:?}"),
                );
            }
            written(&stage.from, add);
        }
        for name in variables(image, true) {
            if !globals.is_declared(&name) {
                add(span, "UndefinedArgInFrom", format!("FROM argument '{name}' is not declared"));
            }
        }
        if variables(image, true).iter().all(|name| globals.is_declared(name)) && !is_name_by_default(file, image) {
            let text = format!("Default value for ARG {image} results in empty or invalid base image name");
            add(span, "InvalidDefaultArgInFrom", text);
        }
        match platform.as_deref() {
            Some("$TARGETPLATFORM" | "${TARGETPLATFORM}") => {
                let text = "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior";
                add(span, "RedundantTargetPlatform", text.to_owned());
            }
            // A stage may be about one platform when its name says so.
            Some(text) if !text.contains('$') && !text.split('/').any(|part| mentions(name.as_deref(), part)) => {
                let text = format!("FROM --platform flag should not use constant value {text:?}");
                add(span, "FromPlatformFlagConstDisallowed", text);
            }
            _ => {}
        }
    }
    unused(file, globals, add);
}

fn mentions(name: Option<&str>, part: &str) -> bool {
    name.is_some_and(|name| name.contains(part))
}

/// How `AS NAME` is written: the parser has made the name lower case.
fn written(from: &Instruction, add: &mut Add<'_>) {
    let words: Vec<&str> = from.text.split_whitespace().collect();
    let [.., word, name] = words[..] else { return };
    if name.chars().any(char::is_uppercase) {
        add(from.span, "StageNameCasing", format!("Stage name '{name}' should be lowercase"));
    }
    let lower = |word: &str| word.chars().all(char::is_lowercase);
    if lower(word) != lower(&from.keyword) {
        add(from.span, "FromAsCasing", format!("'{word}' and '{}' keywords' casing do not match", from.keyword));
    }
}

/// Whether an image's name comes out when nothing is given with `--build-arg`.
fn is_name_by_default(file: &Dockerfile, image: &str) -> bool {
    let mut defaults = Globals::new(&BTreeMap::new(), &crate::image::platform::Platform::host(), None);
    if file.global.iter().any(|instruction| defaults.declare(instruction, file.escape()).is_err()) {
        return false;
    }
    let name = expand::word(image, file.escape(), &|name| defaults.value(name));
    name.is_ok_and(|name| !name.is_empty() && !name.ends_with([':', '@', '/']) && !name.starts_with([':', '@', '/']))
}

/// A rule of rpod's own: what is built by default needs neither the stage nor what begins with it.
fn unused(file: &Dockerfile, globals: &Globals, add: &mut Add<'_>) {
    let (contexts, fresh) = (BTreeMap::new(), Vec::new());
    let planner =
        Planner { file, globals, contexts: &contexts, target: None, skip_unused: true, first: None, fresh: &fresh };
    let Ok(plan) = planner.plan(&mut |_, _| Ok(Vec::new())) else { return };
    for (index, _) in plan.stages.iter().enumerate().filter(|(_, stage)| stage.is_none()) {
        let from = &file.stages[index].from;
        let name = match &from.kind {
            Kind::From { name: Some(name), .. } => name.clone(),
            _ => index.to_string(),
        };
        add(from.span, super::UNUSED, format!("The last stage does not need stage {name:?}: only --target builds it"));
    }
}
