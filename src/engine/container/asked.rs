//! What was asked for in the words it was asked in: nothing is carried out from here, `inspect` shows it.

use serde::{Deserialize, Serialize};

use super::options::ipc::Sharing;

/// Words that the plan does not keep.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// `--userns`
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub userns: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes_from: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub publish_all: bool,
    /// `--attach`: stdin, stdout, stderr
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attach: Vec<String>,
    /// `--hosts-file`
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hosts_file: String,
    /// `--tz`
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub timezone: String,
    /// `--pidfile`
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pidfile: String,
    /// `--conmon-pidfile`
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub conmon_pidfile: String,
    /// `--passwd=false`
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_passwd: bool,
    /// `--ipc`
    #[serde(default, skip_serializing_if = "Sharing::is_shareable")]
    pub sharing: Sharing,
    /// The container is made for systemd.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub systemd: bool,
}

impl Asked {
    /// Whether a stream is to be connected; without `--attach` all are.
    pub(crate) fn attaches(&self, stream: &str) -> bool {
        self.attach.is_empty() || self.attach.iter().any(|attached| attached == stream)
    }

    /// Nothing that would have to be kept.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
