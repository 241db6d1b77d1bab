//! One stage, instruction by instruction, in a process of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use super::context::Context;
use super::context::digest::Known;
use super::dockerfile::{Instruction, Kind, Span};
use super::event::{Event, Outcome, Sender, StageFailure};
use super::plan::{Source, StagePlan, image_key};
use super::redact;
use super::request::Request;
use super::settings::{self, Seen};
use super::state::State;
use super::variables::{self, Globals};
use super::workroom::Workroom;
use crate::engine::images::Image;
use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::storage::worker::UnpackWorker;
use crate::storage::{BuildStep, Store};
use crate::userns::IdMaps;
use crate::userns::enter::Failure;

/// What all stages of a build have in common.
pub(crate) struct Build<'a> {
    pub room: &'a Workroom,
    pub store: &'a Store,
    pub maps: &'a IdMaps,
    pub request: &'a Request,
    pub globals: &'a Globals,
    pub escape: char,
    pub context: &'a Context,
    /// `--build-context`: directories by name.
    pub contexts: &'a BTreeMap<String, Context>,
    /// Images by what the Dockerfile calls them.
    pub images: &'a BTreeMap<String, Image>,
    /// When the build began, or `--timestamp`.
    pub now: jiff::Timestamp,
}

/// A stage at work.
pub(crate) struct Stage<'a> {
    pub build: &'a Build<'a>,
    pub plan: &'a StagePlan,
    /// Stages that are done.
    pub done: &'a BTreeMap<usize, State>,
    pub state: State,
    pub seen: Seen,
    pub sender: &'a mut Sender,
    worker: Option<UnpackWorker>,
    /// By the contexts' paths.
    known: BTreeMap<PathBuf, Known>,
}

/// Why a step failed.
pub(crate) enum Stop {
    Error(Error),
    /// The program ended with a code other than 0.
    Program(u8),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Builds the stage and says how it went; for the process of a stage.
pub(crate) fn run(
    build: &Build<'_>,
    plan: &StagePlan,
    done: &BTreeMap<usize, State>,
    sender: &mut Sender,
) -> Result<()> {
    let state = base(build, plan, done);
    let outcome = match state {
        Err(error) => Outcome::Failed(failure(&plan.from, Stop::Error(error))),
        Ok(state) => {
            let seen = Seen::default();
            let mut stage =
                Stage { build, plan, done, state, seen, sender: &mut *sender, worker: None, known: BTreeMap::new() };
            let all = stage.all();
            // What was learned of the context is of use whatever became of the stage.
            let stored = stage.known.values_mut().try_for_each(Known::store);
            match all.and_then(|()| stored.map_err(|e| Box::new((plan.from.clone(), Stop::Error(e))))) {
                Ok(()) => Outcome::Done(Box::new(stage.state)),
                Err(failed) => Outcome::Failed(failure(&failed.0, failed.1)),
            }
        }
    };
    sender.outcome(&outcome)
}

fn failure(instruction: &Instruction, stop: Stop) -> StageFailure {
    let Span { first, last } = instruction.span;
    let step = format!("building at STEP {:?}", instruction.text);
    let (error, code) = match stop {
        Stop::Error(error) => (Error::wrap(step, error), None),
        Stop::Program(code) => (Error::new(format!("{step}: exit status {code}")), Some(code)),
    };
    StageFailure { error: Failure::from(&error), lines: Some((first, last)), code }
}

/// What the stage begins with.
fn base(build: &Build<'_>, plan: &StagePlan, done: &BTreeMap<usize, State>) -> Result<State> {
    let mut state = match &plan.base {
        Source::Scratch => State::scratch(plan.platform.as_ref().unwrap_or(&build.request.platform)),
        Source::Stage(index) => {
            done.get(index).cloned().ok_or_else(|| Error::new("a stage is missing that another begins with"))?
        }
        Source::Image(name) => {
            let image = build
                .images
                .get(&image_key(name, plan.platform.as_ref()))
                .ok_or_else(|| Error::new(format!("{name}: image not known")))?;
            State::of_image(image)
        }
        Source::Context(name) => {
            return Err(Error::new(format!("the build context {name} is no image"))
                .hint("FROM takes --build-context NAME=docker-image://IMAGE"));
        }
    };
    // They have been carried out, or will be in a moment.
    state.config.config.on_build.clear();
    state.config.rootfs.diff_ids.clear();
    Ok(state)
}

impl<'a> Stage<'a> {
    fn all(&mut self) -> Result<(), Box<(Instruction, Stop)>> {
        let plan = self.plan;
        let total = plan.instructions.len() + 1;
        let begin = |text: &str, step| Event::Begin { step, total, text: redact::urls(text).into_owned() };
        let report = |e: Error| Box::new((plan.from.clone(), Stop::Error(e)));
        self.sender.event(&begin(&plan.from.text, 1)).map_err(report)?;
        for (index, instruction) in plan.instructions.iter().enumerate() {
            let failed = |stop| Box::new((instruction.clone(), stop));
            self.sender.event(&begin(&instruction.text, index + 2)).map_err(|e| failed(e.into()))?;
            let started = Instant::now();
            let cached = self.step(instruction).map_err(failed)?;
            let id = self.state.short();
            let event = match cached {
                true => Event::Cached { id },
                false => {
                    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                    Event::Done { id, milliseconds }
                }
            };
            self.sender.event(&event).map_err(|e| failed(e.into()))?;
        }
        Ok(())
    }

    /// Carries one instruction out; whether that had been done before.
    fn step(&mut self, instruction: &Instruction) -> Result<bool, Stop> {
        match &instruction.kind {
            Kind::Run(run) => self.command(run),
            Kind::Transfer(transfer) => self.transfer(transfer),
            Kind::Workdir(path) => self.workdir(path),
            kind => {
                let globals = self.build.globals;
                let line = settings::apply(kind, &mut self.state.config, &mut self.seen, globals, self.build.escape)
                    .map_err(Error::new)?
                    .ok_or_else(|| Error::new("the instruction cannot stand here"))?;
                let config = serde_json::to_string(&self.state.config.config)
                    .map_err(|e| Error::wrap("cannot write the config", e))?;
                let key = self.state.next_key(&[&line, &config]);
                let (step, cached) = self.lookup(&key)?;
                let step = match step {
                    Some(step) => step,
                    None => self.keep(&key, None)?,
                };
                self.state.add(key, line, &step);
                Ok(cached)
            }
        }
    }

    /// The step under `key`, unless the cache is not to be used.
    pub(crate) fn lookup(&self, key: &Digest) -> Result<(Option<BuildStep>, bool)> {
        let fresh = self.build.request.no_cache || self.plan.fresh;
        let step = if fresh { None } else { self.build.store.build_step(key) };
        let oldest = self.build.request.cache_ttl.map(|ttl| {
            let ttl = i64::try_from(ttl).unwrap_or(i64::MAX);
            jiff::Timestamp::now().as_second().saturating_sub(ttl)
        });
        let young = |step: &BuildStep| {
            let made = step.created.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second);
            oldest.is_none_or(|oldest| made > oldest)
        };
        let step = step.filter(young);
        // `--timestamp` decides, not when the step was carried out.
        let step = step.map(|step| match self.build.request.timestamp {
            Some(_) => BuildStep { created: self.created(), ..step },
            None => step,
        });
        let found = step.is_some();
        Ok((step, found))
    }

    /// Remembers what a step made.
    pub(crate) fn keep(&self, key: &Digest, layer: Option<Digest>) -> Result<BuildStep> {
        let step = BuildStep { layer, created: self.created() };
        self.build.store.put_build_step(key, &step)?;
        Ok(step)
    }

    /// A step that is not remembered.
    pub(crate) fn once(&self, layer: Digest) -> BuildStep {
        BuildStep { layer: Some(layer), created: self.created() }
    }

    fn created(&self) -> String {
        match self.build.request.timestamp {
            Some(_) => self.build.now.to_string(),
            None => jiff::Timestamp::now().to_string(),
        }
    }

    /// A word with the variables of this place.
    pub(crate) fn expand(&self, text: &str) -> Result<String> {
        let lookup = variables::lookup(&self.state.config.config.env, &self.seen.arguments);
        settings::expanded(text, self.build.escape, &*lookup).map_err(Error::new)
    }

    pub(crate) fn warn(&mut self, text: &str) -> Result<()> {
        self.sender.event(&Event::Warning { text: text.to_owned() })
    }

    /// What is known of a context's files.
    pub(crate) fn known(&mut self, context: &Context) -> &mut Known {
        let dir = self.build.store.build_cache_dir();
        self.known.entry(context.path().to_path_buf()).or_insert_with(|| Known::load(&dir, context.path()))
    }

    /// The process that makes layers, started when the first one is made.
    pub(crate) fn worker(&mut self) -> Result<UnpackWorker> {
        if self.worker.is_none() {
            self.worker = Some(UnpackWorker::start(self.build.store, self.build.maps)?);
        }
        self.worker.clone().ok_or_else(|| Error::new("the process that makes layers is missing"))
    }
}
