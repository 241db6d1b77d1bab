//! The stages as a graph: which there are, what each begins with and needs, and which are needed at all.

use std::collections::{BTreeMap, BTreeSet};

use super::dockerfile::{self, Dockerfile, Instruction, Kind, Problem, expand};
use super::mounts;
use super::variables::{Arguments, Globals};
use crate::image::platform::Platform;

/// The base of a stage, or what `--from` names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Scratch,
    Stage(usize),
    /// As it is called.
    Image(String),
    /// `--build-context NAME=…`.
    Context(String),
}

/// What an image is known by during a build: the same name may be wanted for several platforms.
pub(crate) fn image_key(name: &str, platform: Option<&Platform>) -> String {
    platform.map_or_else(|| name.to_owned(), |platform| format!("{name} {platform}"))
}

/// A stage that will be built.
#[derive(Debug, Clone)]
pub(crate) struct StagePlan {
    pub name: Option<String>,
    pub base: Source,
    pub platform: Option<Platform>,
    pub from: Instruction,
    /// With the base's ONBUILD triggers in front.
    pub instructions: Vec<Instruction>,
    /// What the `--from` of its instructions mean.
    pub sources: BTreeMap<String, Source>,
    /// Nothing of it is taken from the cache.
    pub fresh: bool,
}

impl StagePlan {
    /// The stages that must be there before.
    pub(crate) fn needs(&self) -> BTreeSet<usize> {
        let all = self.sources.values().chain([&self.base]);
        all.filter_map(|source| if let Source::Stage(index) = source { Some(*index) } else { None }).collect()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// `None`: nothing needs it.
    pub stages: Vec<Option<StagePlan>>,
    pub target: usize,
}

/// Tells the ONBUILD triggers of an image, having brought it.
pub(crate) type Triggers<'a> = dyn FnMut(&str, Option<&Platform>) -> crate::error::Result<Vec<String>> + 'a;

/// Why there is no plan.
#[derive(Debug)]
pub(crate) enum Failure {
    Problem(Problem),
    Other(crate::error::Error),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// What planning has to know.
pub(crate) struct Planner<'a> {
    pub file: &'a Dockerfile,
    pub globals: &'a Globals,
    pub contexts: &'a BTreeMap<String, String>,
    pub target: Option<&'a str>,
    pub skip_unused: bool,
    /// `--from`: instead of the first stage's image.
    pub first: Option<String>,
    /// `--no-cache-filter`: names of stages.
    pub fresh: &'a [String],
}

impl Planner<'_> {
    /// Plans what the target needs.
    pub(crate) fn plan(&self, triggers: &mut Triggers<'_>) -> Result<Plan, Failure> {
        let target = self.target()?;
        if let Some(unknown) = self.fresh.iter().find(|name| self.named(name, self.file.stages.len()).is_none()) {
            return Err(Failure::Other(crate::error::Error::new(format!(
                "--no-cache-filter: no stage is called {unknown:?}"
            ))));
        }
        let mut stages: Vec<Option<StagePlan>> = vec![None; self.file.stages.len()];
        let mut todo: Vec<usize> = if self.skip_unused { vec![target] } else { (0..=target).collect() };
        let mut seen = BTreeSet::new();
        while let Some(index) = todo.pop() {
            if !seen.insert(index) {
                continue;
            }
            let stage = self.stage(index, triggers)?;
            todo.extend(stage.needs());
            stages[index] = Some(stage);
        }
        Ok(Plan { stages, target })
    }

    /// The stage that is built, by number.
    pub(crate) fn target(&self) -> Result<usize, Failure> {
        let last = self.file.stages.len() - 1;
        let Some(wanted) = self.target.filter(|target| !target.is_empty()) else { return Ok(last) };
        if let Some(index) = self.named(wanted, self.file.stages.len()) {
            return Ok(index);
        }
        let names: Vec<&str> = self.file.stages.iter().filter_map(|stage| name_of(&stage.from)).collect();
        let mut error = crate::error::Error::new(format!("target stage {wanted:?} could not be found"));
        if !names.is_empty() {
            error = error.hint(format!("the stages are {}", names.join(", ")));
        }
        Err(Failure::Other(error))
    }

    /// A stage in front of stage `before`, by name or number. The last of a name counts.
    fn named(&self, wanted: &str, before: usize) -> Option<usize> {
        let lower = wanted.to_lowercase();
        let by_name = (0..before).rev().find(|index| name_of(&self.file.stages[*index].from) == Some(&lower));
        by_name.or_else(|| wanted.parse().ok().filter(|index| *index < before))
    }

    fn source(&self, text: &str, before: usize) -> Source {
        if let Some(value) = self.contexts.get(text) {
            return match (value.strip_prefix("docker-image://"), value.strip_prefix("oci-layout://")) {
                (Some(image), _) => Source::Image(image.to_owned()),
                (None, Some(layout)) => Source::Image(format!("oci:{layout}")),
                (None, None) => Source::Context(text.to_owned()),
            };
        }
        match self.named(text, before) {
            Some(index) => Source::Stage(index),
            None if text == "scratch" => Source::Scratch,
            None => Source::Image(text.to_owned()),
        }
    }

    fn stage(&self, index: usize, triggers: &mut Triggers<'_>) -> Result<StagePlan, Failure> {
        let stage = &self.file.stages[index];
        let Kind::From { image, name, platform } = &stage.from.kind else {
            return Err(Problem::new("a stage begins with FROM", stage.from.span).into());
        };
        let value = |name: &str| self.globals.value(name);
        let expanded = |text: &str| {
            expand::word(text, self.file.escape(), &value).map_err(|what| Problem::new(what, stage.from.span))
        };
        let base_name = match &self.first {
            Some(name) if index == 0 => name.clone(),
            _ => expanded(image)?,
        };
        if base_name.is_empty() {
            return Err(Problem::new(format!("base name ({image}) should not be blank"), stage.from.span).into());
        }
        let platform = match platform.as_deref().map(expanded).transpose()?.filter(|text| !text.is_empty()) {
            Some(text) => Some(Platform::parse(&text).map_err(|e| Problem::new(e.to_string(), stage.from.span))?),
            None => None,
        };
        // A stage cannot be taken by its number here: `FROM 0` is an image.
        let base = match self.source(&base_name, index) {
            Source::Stage(_) if base_name.parse::<usize>().is_ok() && !self.is_name(&base_name) => {
                Source::Image(base_name)
            }
            source => source,
        };
        let triggers: Vec<Instruction> = match &base {
            Source::Image(image) => {
                let texts = triggers(image, platform.as_ref()).map_err(Failure::Other)?;
                let read = |text: &String| dockerfile::parse_trigger(text, stage.from.span);
                texts.iter().map(read).collect::<Result<_, _>>()?
            }
            Source::Stage(below) => self.onbuild(*below)?,
            _ => Vec::new(),
        };
        let instructions: Vec<Instruction> = triggers.into_iter().chain(stage.instructions.iter().cloned()).collect();
        let sources = self.sources(&instructions, index)?;
        let fresh = self.fresh.iter().any(|name| self.named(name, self.file.stages.len()) == Some(index));
        Ok(StagePlan { name: name.clone(), base, platform, from: stage.from.clone(), instructions, sources, fresh })
    }

    fn is_name(&self, text: &str) -> bool {
        self.file.stages.iter().any(|stage| name_of(&stage.from) == Some(text))
    }

    fn onbuild(&self, stage: usize) -> Result<Vec<Instruction>, Problem> {
        let of = self.file.stages[stage].instructions.iter();
        let texts = of.filter_map(|i| if let Kind::Onbuild(text) = &i.kind { Some((text, i.span)) } else { None });
        texts.map(|(text, span)| dockerfile::parse_trigger(text, span)).collect()
    }

    /// What every `--from` means. Variables in it are those of ARG.
    fn sources(&self, instructions: &[Instruction], index: usize) -> Result<BTreeMap<String, Source>, Problem> {
        let mut arguments = Arguments::default();
        let mut sources = BTreeMap::new();
        for instruction in instructions {
            let mut texts: Vec<String> = Vec::new();
            match &instruction.kind {
                Kind::Arg(list) => {
                    for (name, default) in list {
                        let value = default
                            .as_deref()
                            .and_then(|text| expand::word(text, self.file.escape(), &|name| arguments.get(name)).ok());
                        arguments.declare(name, value, self.globals);
                    }
                }
                Kind::Transfer(transfer) => texts.extend(transfer.from.clone()),
                Kind::Run(run) => texts.extend(run.mounts.iter().filter_map(|text| mounts::from_of(text))),
                _ => {}
            }
            for text in texts {
                let value = |name: &str| arguments.get(name).or_else(|| self.globals.value(name));
                let name = expand::word(&text, self.file.escape(), &value)
                    .map_err(|what| Problem::new(what, instruction.span))?;
                if name.is_empty() {
                    return Err(Problem::new("--from names nothing", instruction.span));
                }
                if let Ok(number) = name.parse::<usize>()
                    && number >= index
                    && self.named(&name, index).is_none()
                {
                    return Err(Problem::new(
                        format!("--from={name}: there is no stage of that number before this one"),
                        instruction.span,
                    ));
                }
                if name_of(&self.file.stages[index].from) == Some(name.to_lowercase().as_str())
                    && self.named(&name, index).is_none()
                {
                    return Err(Problem::new(
                        format!("circular dependency: a stage cannot copy from itself ({name})"),
                        instruction.span,
                    ));
                }
                let source = self.source(&name, index);
                sources.insert(text, source);
            }
        }
        Ok(sources)
    }
}

fn name_of(from: &Instruction) -> Option<&str> {
    match &from.kind {
        Kind::From { name, .. } => name.as_deref(),
        _ => None,
    }
}
