//! What can be said of a Dockerfile without building it: `--check`, and BuildKit's `--call outline` and `targets`.
//!
//! A comment right in front of a FROM or ARG that begins with the name of the stage or argument describes it.

use super::context::{self, Opened};
use super::dockerfile::{self, Dockerfile, Instruction, Kind, Problem};
use super::lint;
use super::mounts::{MountKind, RunMount};
use super::plan::{Failure, Planner, StagePlan};
use super::request::Request;
use super::variables::{Arguments, Globals};
use super::workroom::Workroom;
use crate::engine::images;
use crate::error::{Error, Result};
use crate::state::paths::Dirs;
use crate::storage::Store;
use crate::userns::IdMaps;

/// A stage that `--target` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Empty: it has no name.
    pub name: String,
    pub description: String,
    /// What is built when no target is named.
    pub default: bool,
}

/// What a target can be given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Outline {
    pub target: String,
    pub description: String,
    pub arguments: Vec<Argument>,
    /// Ids of secrets and agents, and whether the build fails without them.
    pub secrets: Vec<(String, bool)>,
    pub agents: Vec<(String, bool)>,
}

/// A `--build-arg`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Argument {
    pub name: String,
    pub value: String,
    pub description: String,
}

/// What is probably not meant, a line each.
pub(crate) fn check(dirs: &Dirs, store: &Store, maps: &IdMaps, request: &Request) -> Result<Vec<String>> {
    let (opened, file, globals) = read(dirs, maps, request)?;
    let line = |found: lint::Finding| format!("{}:{}: {}: {}", opened.name, found.span.first, found.rule, found.text);
    Ok(lint::lint(&file, &globals, &environment(store)).into_iter().map(line).collect())
}

/// The variables of images that are in the store; others are not brought to be looked at.
pub(crate) fn environment(store: &Store) -> impl Fn(&str) -> Option<Vec<String>> {
    |image: &str| {
        let image = images::resolve(store, image).ok()?;
        let name = |variable: &String| variable.split('=').next().unwrap_or_default().to_owned();
        Some(image.config.config.env.iter().map(name).collect())
    }
}

/// The stages, in the order of the file.
pub(crate) fn targets(dirs: &Dirs, maps: &IdMaps, request: &Request) -> Result<Vec<Target>> {
    let (_, file, globals) = read(dirs, maps, request)?;
    let default = planner(&file, &globals, request).target().map_err(|e| into_error(e, ""))?;
    let target = |(index, stage): (usize, &dockerfile::Stage)| {
        let name = name_of(&stage.from);
        Target { description: description(&stage.from, &name), name, default: index == default }
    };
    Ok(file.stages.iter().enumerate().map(target).collect())
}

/// The stages that the target needs. Triggers of base images are not among their instructions: no image is brought for this.
pub(crate) fn stages(dirs: &Dirs, maps: &IdMaps, request: &Request) -> Result<Vec<StagePlan>> {
    let (opened, file, globals) = read(dirs, maps, request)?;
    let plan = planner(&file, &globals, request).plan(&mut |_, _| Ok(Vec::new()));
    Ok(plan.map_err(|e| into_error(e, &opened.name))?.stages.into_iter().flatten().collect())
}

/// What the target, or the stage that is built without one, can be given.
pub(crate) fn outline(dirs: &Dirs, maps: &IdMaps, request: &Request) -> Result<Outline> {
    let (opened, file, globals) = read(dirs, maps, request)?;
    // No image is brought for this; what its triggers would ask for is not known.
    let plan = planner(&file, &globals, request).plan(&mut |_, _| Ok(Vec::new()));
    let plan = plan.map_err(|e| into_error(e, &opened.name))?;
    let mut outline = Outline::default();
    if let Some(target) = plan.stages.get(plan.target).and_then(Option::as_ref) {
        outline.target = name_of(&target.from);
        outline.description = description(&target.from, &outline.target);
    }
    let stages: Vec<&StagePlan> = plan.stages.iter().flatten().collect();
    let declares = |stage: &StagePlan, name: &str| {
        let of = |kind: &Kind| matches!(kind, Kind::Arg(list) if list.iter().any(|(declared, _)| declared == name));
        stage.instructions.iter().any(|instruction| of(&instruction.kind))
    };
    for instruction in &file.global {
        let used = |name: &str| stages.iter().any(|stage| mentions(&stage.from.text, name) || declares(stage, name));
        outline.declare(instruction, &used, &|name| globals.value(name));
    }
    for stage in stages {
        let mut arguments = Arguments::default();
        for instruction in &stage.instructions {
            if let Kind::Arg(list) = &instruction.kind {
                for (name, default) in list {
                    arguments.declare(name, default.clone(), &globals);
                }
            }
            outline.declare(instruction, &|_| true, &|name| arguments.get(name));
            outline.mounts(instruction, file.escape());
        }
    }
    Ok(outline)
}

impl Outline {
    fn declare(
        &mut self,
        instruction: &Instruction,
        used: &dyn Fn(&str) -> bool,
        value: &dyn Fn(&str) -> Option<String>,
    ) {
        let Kind::Arg(list) = &instruction.kind else { return };
        for (name, _) in list.iter().filter(|(name, _)| used(name)) {
            let found = Argument {
                name: name.clone(),
                value: value(name).unwrap_or_default(),
                description: description(instruction, name),
            };
            match self.arguments.iter_mut().find(|known| known.name == *name) {
                // ARG NAME in a stage means the one in front of all stages.
                Some(known) if known.description.is_empty() => known.description = found.description,
                Some(_) => {}
                None => self.arguments.push(found),
            }
        }
    }

    fn mounts(&mut self, instruction: &Instruction, escape: char) {
        let Kind::Run(run) = &instruction.kind else { return };
        for mount in run.mounts.iter().filter_map(|text| RunMount::parse(text, escape, &|_| None).ok()) {
            let (list, id) = match mount.kind {
                MountKind::Secret => (&mut self.secrets, mount.id.unwrap_or_default()),
                MountKind::Ssh => (&mut self.agents, mount.id.unwrap_or_else(|| "default".to_owned())),
                _ => continue,
            };
            match list.iter_mut().find(|(known, _)| *known == id) {
                Some((_, required)) => *required |= mount.required,
                None => list.push((id, mount.required)),
            }
        }
    }
}

fn read(dirs: &Dirs, maps: &IdMaps, request: &Request) -> Result<(Opened, Dockerfile, Globals)> {
    let room = Workroom::open(dirs, maps)?;
    let opened = context::open(&room, request)?;
    let wrong = |problem: Problem| problem.into_error(&opened.name);
    let file = dockerfile::parse(&opened.text).map_err(wrong)?;
    let mut globals = Globals::new(&request.arguments, &request.platform, request.target.as_deref());
    for instruction in &file.global {
        globals.declare(instruction, file.escape()).map_err(wrong)?;
    }
    Ok((opened, file, globals))
}

fn planner<'a>(file: &'a Dockerfile, globals: &'a Globals, request: &'a Request) -> Planner<'a> {
    Planner {
        file,
        globals,
        contexts: &request.contexts,
        target: request.target.as_deref(),
        skip_unused: true,
        first: request.from.clone(),
        fresh: &request.fresh_stages,
    }
}

fn into_error(failure: Failure, file: &str) -> Error {
    match failure {
        Failure::Problem(problem) => problem.into_error(file),
        Failure::Other(error) => error,
    }
}

fn name_of(from: &Instruction) -> String {
    match &from.kind {
        Kind::From { name: Some(name), .. } => name.clone(),
        _ => String::new(),
    }
}

fn description(instruction: &Instruction, name: &str) -> String {
    if name.is_empty() {
        return String::new();
    }
    let about = |comment: &String| comment.strip_prefix(name)?.strip_prefix(' ').map(|text| text.trim().to_owned());
    instruction.comments.iter().find_map(about).unwrap_or_default()
}

/// `$NAME`, `${NAME}`.
fn mentions(text: &str, name: &str) -> bool {
    let after = |rest: &str| rest.strip_prefix(name).is_some_and(|rest| !rest.starts_with(is_of_name));
    text.split('$').skip(1).any(|rest| after(rest.strip_prefix('{').unwrap_or(rest)))
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
