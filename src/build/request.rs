//! What a build is asked for, typed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::engine::container::options::RunOptions;
use crate::engine::images::PullOptions;
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
    /// RUN steps read this process's standard input.
    pub stdin: bool,
    pub skip_unused: bool,
    /// Stages at work at the same time.
    pub jobs: usize,
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

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Secret {
    File(PathBuf),
    Variable(String),
}
