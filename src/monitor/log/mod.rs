//! A container's log: written by its monitor, read by `logs`, in the formats of the other tools.
//!
//! The newest file is `ctr.log`; with `max-size`, a full one becomes `ctr.log.1`, that one `ctr.log.2`, and so on until
//! `max-file` of them exist.

mod format;
pub(crate) mod journal;
pub(crate) mod journal_reader;
pub(crate) mod reader;
pub(crate) mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The newest log file in the container's directory.
pub(crate) const FILE: &str = "ctr.log";

/// As many files a log may have: each rotation renames all of them.
pub(crate) const MOST_FILES: u32 = 1000;

/// How lines are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Driver {
    /// `TIME stdout|stderr F|P TEXT`, as Podman and Kubernetes write it.
    #[default]
    K8sFile,
    /// One JSON object per line, as Docker writes it.
    JsonFile,
    /// Entries of systemd's journal.
    Journald,
    None,
    /// The program writes to where rpod was started, past every log.
    Passthrough,
    /// The same, also to a terminal.
    PassthroughTty,
}

impl Driver {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::K8sFile => "k8s-file",
            Self::JsonFile => "json-file",
            Self::Journald => "journald",
            Self::None => "none",
            Self::Passthrough => "passthrough",
            Self::PassthroughTty => "passthrough-tty",
        }
    }

    /// Nothing is kept that could be read later.
    pub(crate) fn keeps_nothing(self) -> bool {
        matches!(self, Self::None) || self.passes_through()
    }

    /// Lines go to files of ours.
    pub(crate) fn has_files(self) -> bool {
        matches!(self, Self::K8sFile | Self::JsonFile)
    }

    pub(crate) fn passes_through(self) -> bool {
        matches!(self, Self::Passthrough | Self::PassthroughTty)
    }
}

/// `--log-driver` and `--log-opt`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Options {
    pub driver: Driver,
    /// Bytes after which a new file is begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u64>,
    /// How many files are kept; 1 when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_file: Option<u32>,
    /// `--log-opt path=`: instead of `ctr.log` in the container's directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// `--log-opt tag=`: shown by `inspect` and `logs --names`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tag: String,
    /// What `--log-opt labels=` and `env=` ask for, with the tag: in every line of a json-file, and shown by `logs --details`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

impl Options {
    /// Where the newest file of a container with the directory `dir` is.
    pub(crate) fn file(&self, dir: &Path) -> PathBuf {
        self.path.clone().unwrap_or_else(|| dir.join(FILE))
    }
}

/// The file that was the newest `age` rotations ago.
fn rotated(file: &Path, age: u32) -> PathBuf {
    if age == 0 {
        return file.to_path_buf();
    }
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{age}"));
    name.into()
}
