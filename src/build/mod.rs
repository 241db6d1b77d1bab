//! `rpod build`: a Dockerfile and a context → an image.
//!
//! ```text
//! context    what was typed → a directory, a Dockerfile, what is ignored
//! dockerfile the language, pure data
//! plan       stages as a graph; base images are brought
//! schedule ── fork ──▶ stage      a process per stage, instruction by instruction
//!    │                   ├─ settings   ENV, CMD, … : the image's config
//!    │                   ├─ transfer   COPY, ADD: copied into a mounted root (copy, extract, fetch, git); WORKDIR (directories)
//!    │                   ├─ command    RUN: a step in the same runtime as `run` (engine::container::step)
//!    │                   └─ layer      the upper directory becomes the layer
//!    ◀── event, outcome ──┘
//! commit     layers and config → an image of the store
//! ```
//! Passwords in URLs are masked in all that is shown or kept (`redact`).
//! `lint` and `describe` tell about a Dockerfile without building it.
//! All that a build makes and that goes with it is in its `workroom`.
//!
//! Without a range of ids everything belongs to root. Programs start in one place (`engine::container::step`), and owners
//! become part of a layer in one (`Stage::make_layer`, by its `Ids`): whatever emulates root for such a user answers the
//! program's calls in the former and hands the owners it was told to the latter.
//!
//! Every step has a key that stands for everything that went into it: its base, the instruction with its variables
//! replaced, the content of what it copies or mounts (`context::digest`, `content`). What is known under the key is not done
//! again (`storage::build_cache`), here or, through a registry, elsewhere (`remote_cache`).

mod chmod;
mod command;
mod commit;
mod content;
mod context;
mod copy;
pub(crate) mod describe;
mod directories;
pub(crate) mod dockerfile;
mod event;
pub(crate) mod export;
mod extract;
mod fetch;
mod git;
mod git_reference;
mod layer;
mod link;
mod lint;
mod mounts;
mod owners;
mod plan;
pub(crate) mod platforms;
mod prune;
mod redact;
pub(crate) mod remote_cache;
pub(crate) mod request;
mod run_mounts;
mod schedule;
mod settings;
mod stage;
mod state;
mod transfer;
mod variables;
mod workroom;

use std::collections::BTreeMap;

pub(crate) use commit::Built;
pub(crate) use event::{Event, Reporter};
pub(crate) use lint::Remark;
pub(crate) use prune::{Limits, prune};
pub(crate) use request::Request;

use self::context::Context;
use self::dockerfile::error::excerpt;
use self::dockerfile::{Kind, Problem, Span};
use self::plan::{Planner, Source};
use self::stage::Build;
use self::variables::Globals;
use self::workroom::Workroom;
use crate::engine::images::{self, Image, Progress};
use crate::error::{Context as _, Error, Result};
use crate::image::platform::Platform;
use crate::state::lock::Mode;
use crate::state::paths::Dirs;
use crate::storage::Store;
use crate::userns::IdMaps;

/// Whether a context is to be fetched: a URL or a git repository.
pub(crate) fn is_remote(context: &str) -> bool {
    fetch::is_git(context) || fetch::is_url(context)
}

/// Why there is no image.
#[derive(Debug)]
pub(crate) struct Failure {
    pub error: Error,
    /// The lines in question, ready to be shown.
    pub excerpt: Option<String>,
    /// Of the program that failed.
    pub code: Option<u8>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, excerpt: None, code: None }
    }
}

/// Builds. For a single-threaded process; what the caller printed must have been flushed.
pub(crate) fn build(
    dirs: &Dirs,
    store: &Store,
    maps: &IdMaps,
    request: &Request,
    progress: &dyn Progress,
    reporter: &mut dyn Reporter,
) -> Result<Built, Failure> {
    carry_out(dirs, store, maps, request, progress, reporter)
        .map_err(|failure| Failure { error: redact::error(failure.error), ..failure })
}

fn carry_out(
    dirs: &Dirs,
    store: &Store,
    maps: &IdMaps,
    request: &Request,
    progress: &dyn Progress,
    reporter: &mut dyn Reporter,
) -> Result<Built, Failure> {
    let names = commit::names(request)?;
    let room = Workroom::open(dirs, maps)?;
    let opened = context::open(&room, request)?;
    let (name, text) = (&opened.name, &opened.text);
    let wrong = |problem: Problem| Failure {
        excerpt: Some(excerpt(name, text, problem.span)),
        error: problem.into_error(name),
        code: None,
    };
    let file = dockerfile::parse(text).map_err(wrong)?;
    // From here on nothing that the build needs may be collected.
    let _guard = store.gc_lock(Mode::Shared)?;
    remote_cache::import(dirs, store, maps, &request.cache_from, &request.pull, progress)?;
    let mut globals = Globals::new(&request.arguments, &request.platform, request.target.as_deref());
    for instruction in &file.global {
        globals.declare(instruction, file.escape()).map_err(wrong)?;
    }
    if lint::Checks::of(&file, &globals).error
        && let Some(found) = lint::of_buildkit(&file, &globals, &describe::environment(store)).into_iter().next()
    {
        return Err(wrong(found.into_problem()));
    }
    let mut images: BTreeMap<String, Image> = BTreeMap::new();
    let mut bring = |name: &str, platform: Option<&Platform>| -> Result<Vec<String>> {
        let key = plan::image_key(name, platform);
        if !images.contains_key(&key) {
            let image = base_image(dirs, store, maps, name, platform, request, progress)?;
            images.insert(key.clone(), image);
        }
        Ok(images.get(&key).map(|image| image.config.config.on_build.clone()).unwrap_or_default())
    };
    let planner = Planner {
        file: &file,
        globals: &globals,
        contexts: &request.contexts,
        target: request.target.as_deref(),
        skip_unused: request.skip_unused,
        first: request.from.clone(),
        fresh: &request.fresh_stages,
    };
    let plan = match planner.plan(&mut bring) {
        Ok(plan) => plan,
        Err(plan::Failure::Problem(problem)) => return Err(wrong(problem)),
        Err(plan::Failure::Other(error)) => return Err(error.into()),
    };
    for stage in plan.stages.iter().flatten() {
        for source in stage.sources.values() {
            if let Source::Image(name) = source {
                bring(name, None)?;
            }
        }
    }
    let contexts = named_contexts(&room, request, &plan)?;
    let now = match request.timestamp {
        Some(seconds) => jiff::Timestamp::from_second(seconds).map_err(|e| Error::wrap("invalid --timestamp", e))?,
        None => jiff::Timestamp::now(),
    };
    let shown: Vec<(usize, Option<String>)> = plan
        .stages
        .iter()
        .enumerate()
        .filter_map(|(index, stage)| stage.as_ref().map(|stage| (index, stage.name.clone())))
        .collect();
    reporter.stages(&shown);
    let build = Build {
        room: &room,
        store,
        maps,
        request,
        globals: &globals,
        escape: file.escape(),
        context: &opened.context,
        contexts: &contexts,
        images: &images,
        now,
    };
    let (state, steps) = match schedule::run(&build, &plan, reporter)? {
        Ok(done) => done,
        Err(failure) => {
            let lines = failure.lines.map(|(first, last)| Span { first, last });
            let excerpt = lines.map(|span| excerpt(name, text, span));
            return Err(Failure { error: failure.error.into(), excerpt, code: failure.code });
        }
    };
    reporter.commit(&request.tags);
    let mut built = commit::commit(&build, state, steps, &names)?;
    // The base images are here by now, so that their variables are known.
    let found = lint::of_buildkit(&file, &globals, &describe::environment(store));
    built.remarks = found.into_iter().map(|found| found.into_remark(name, text)).collect();
    unused(&file, request, progress);
    Ok(built)
}

/// `--build-arg` that nothing asked for.
fn unused(file: &dockerfile::Dockerfile, request: &Request, progress: &dyn Progress) {
    let all = file.global.iter().chain(file.stages.iter().flat_map(|stage| &stage.instructions));
    let declared: Vec<&str> = all
        .filter_map(|instruction| if let Kind::Arg(list) = &instruction.kind { Some(list) } else { None })
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    let known = |name: &&String| {
        let name = name.as_str();
        declared.contains(&name) || variables::PROXIES.contains(&name) || variables::OF_THE_BUILDER.contains(&name)
    };
    let left: Vec<&str> = request.arguments.keys().filter(|name| !known(name)).map(String::as_str).collect();
    if !left.is_empty() {
        progress.warning(&format!("one or more build args were not consumed: [{}]", left.join(" ")));
    }
}

fn base_image(
    dirs: &Dirs,
    store: &Store,
    maps: &IdMaps,
    name: &str,
    platform: Option<&Platform>,
    request: &Request,
    progress: &dyn Progress,
) -> Result<Image> {
    let mut options = request.pull.clone();
    if let Some(platform) = platform {
        options.platform = Some(platform.clone());
    }
    // One ref, two blobs, no process.
    if options.policy == images::PullPolicy::Missing
        && options.platform.is_none()
        && name != crate::image::builtin::NAME
    {
        // Damaged, or the beginning of several ids, which a name can be: what is pulled replaces it.
        if let Ok(image) = images::resolve(store, name) {
            return Ok(image);
        }
    }
    images::pull_apart(dirs, store, maps, name, &options, progress)
}

/// The `--build-context`s that are used and are no images.
fn named_contexts(room: &Workroom, request: &Request, plan: &plan::Plan) -> Result<BTreeMap<String, Context>> {
    let mut contexts = BTreeMap::new();
    for stage in plan.stages.iter().flatten() {
        for source in stage.sources.values() {
            if let Source::Context(name) = source
                && let Some(value) = request.contexts.get(name)
                && !contexts.contains_key(name)
            {
                let context = context::named(room, value, &request.ssh)
                    .context(|| format!("cannot use --build-context {name}={value}"))?;
                contexts.insert(name.clone(), context.called(name));
            }
        }
    }
    Ok(contexts)
}
