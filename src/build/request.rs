//! What a build is asked for, typed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::engine::container::options::RunOptions;
use crate::engine::images::PullOptions;
use crate::error::{Error, Result};
use crate::image::platform::Platform;

/// Everything `build` can be told.
#[derive(Debug)]
pub(crate) struct Request {
    pub context: Where,
    /// `-f`; several are read one after the other. `-` is standard input.
    pub files: Vec<String>,
    pub ignore_file: Option<PathBuf>,
    pub tags: Vec<String>,
    pub arguments: BTreeMap<String, String>,
    pub target: Option<String>,
    pub labels: Vec<(String, String)>,
    pub annotations: BTreeMap<String, String>,
    pub no_cache: bool,
    /// `--no-cache-filter`: stages of which every step is carried out.
    pub fresh_stages: Vec<String>,
    pub squash: Squash,
    pub pull: PullOptions,
    pub platform: Platform,
    pub format: Format,
    /// Seconds since the epoch for everything that has a time.
    pub timestamp: Option<i64>,
    /// The files of new layers get that time as well.
    pub rewrite_timestamp: bool,
    pub secrets: BTreeMap<String, Secret>,
    pub ssh: BTreeMap<String, PathBuf>,
    /// `--build-context`.
    pub contexts: BTreeMap<String, String>,
    /// How RUN steps are started: network, limits, capabilities, …
    pub template: RunOptions,
    /// `--env`, `--unsetenv`, `--unsetlabel`: the last changes to the image's settings.
    pub environment: Vec<(String, String)>,
    pub unset_environment: Vec<String>,
    pub unset_labels: Vec<String>,
    pub omit_history: bool,
    /// `--allow security.insecure`: RUN --security=insecure may be asked for.
    pub insecure: bool,
    /// RUN steps read this process's standard input.
    pub stdin: bool,
    pub skip_unused: bool,
    /// Stages at work at the same time.
    pub jobs: usize,
    /// `--cache-from`, `--cache-to`.
    pub cache_from: Vec<CachePlace>,
    pub cache_to: Vec<CachePlace>,
    /// Steps older than so many seconds are carried out again.
    pub cache_ttl: Option<u64>,
    /// `--from`: instead of the first FROM's image.
    pub from: Option<String>,
}

/// The context as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Where {
    /// Only a Dockerfile: nothing can be copied from it.
    Nothing,
    Directory(PathBuf),
    /// An archive on standard input.
    StandardInput,
    /// A git repository or an archive, `http://`, `https://`, `git@…`, `git://`, `ssh://`.
    Remote(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Squash {
    #[default]
    No,
    /// What the build added becomes one layer.
    New,
    /// Everything, the base image included.
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Format {
    #[default]
    Oci,
    Docker,
}

/// How much of a build goes into a cache: the steps of the target, or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum CacheMode {
    Target,
    #[default]
    All,
}

/// Where a build cache is kept for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CachePlace {
    Registry { name: String, mode: CacheMode },
    Directory { path: PathBuf, mode: CacheMode },
}

impl CachePlace {
    /// Reads `NAME`, `type=registry,ref=NAME` or `type=local,src=DIRECTORY` (`dest=` when it is written), each with `mode=min|max`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if !text.contains('=') {
            return Ok(Self::Registry { name: text.to_owned(), mode: CacheMode::default() });
        }
        let bad = |why: String| Error::new(format!("invalid build cache {text:?}: {why}"));
        let (mut kind, mut place, mut mode) = ("registry", None, CacheMode::default());
        for field in text.split(',') {
            match field.split_once('=').unwrap_or((field, "")) {
                ("type", value @ ("registry" | "local")) => kind = value,
                ("type", other) => {
                    return Err(bad(format!("type {other} is not supported")).hint("registry and local are"));
                }
                ("ref" | "src" | "dest", value) => place = Some(value.to_owned()),
                ("mode", "max") => mode = CacheMode::All,
                ("mode", "min") => mode = CacheMode::Target,
                // As it is written anyway.
                ("image-manifest" | "oci-mediatypes", "true") => {}
                (name, value) => return Err(bad(format!("{name}={value} is not known"))),
            }
        }
        let place = place.filter(|place| !place.is_empty()).ok_or_else(|| bad("it says no place".to_owned()))?;
        Ok(match kind {
            "local" => Self::Directory { path: PathBuf::from(place), mode },
            _ => Self::Registry { name: place, mode },
        })
    }

    pub(crate) fn mode(&self) -> CacheMode {
        match self {
            Self::Registry { mode, .. } | Self::Directory { mode, .. } => *mode,
        }
    }
}

impl std::fmt::Display for CachePlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Registry { name, .. } => f.write_str(name),
            Self::Directory { path, .. } => write!(f, "{}", path.display()),
        }
    }
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Secret {
    File(PathBuf),
    Variable(String),
}
