//! The image config: OCI's, plus what Docker adds (Healthcheck, Shell, OnBuild, StopTimeout).
//!
//! The stored bytes stay as they were received, for their digest is the image's id; this type is what rpod understands
//! of them. Builders of all ages write `null` for what is empty, which reads as absent, or as the empty
//! value within a list or a map, as Go reads it. Maps keep the order given.

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Context, Error, Result};
use crate::image::digest::DiffId;
use crate::image::platform::Platform;

/// A JSON object in the order given; the last of equal keys counts.
pub(crate) type OrderedMap<V> = indexmap::IndexMap<String, V>;

/// Docker writes sets as objects of empty objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Empty {}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct ImageConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub architecture: String,
    #[serde(default, deserialize_with = "or_default")]
    pub os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub config: Settings,
    pub rootfs: RootFs,
    #[serde(default, deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
}

/// How a container of the image runs when nothing else is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Settings {
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub user: String,
    #[serde(default, deserialize_with = "entries", skip_serializing_if = "OrderedMap::is_empty")]
    pub exposed_ports: OrderedMap<Empty>,
    #[serde(default, deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    #[serde(default, deserialize_with = "entries", skip_serializing_if = "OrderedMap::is_empty")]
    pub volumes: OrderedMap<Empty>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    #[serde(default, deserialize_with = "entries", skip_serializing_if = "OrderedMap::is_empty")]
    pub labels: OrderedMap<String>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// In seconds; below zero it never ends.
    pub stop_timeout: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
}

/// Durations are nanoseconds; zero means "as inherited".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Healthcheck {
    #[serde(default, deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_zero")]
    pub interval: i64,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_zero")]
    pub timeout: i64,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_zero")]
    pub start_period: i64,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_zero")]
    pub retries: i64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct RootFs {
    #[serde(rename = "type", default, deserialize_with = "or_default")]
    pub kind: String,
    /// Bottom first.
    #[serde(deserialize_with = "or_default")]
    pub diff_ids: Vec<DiffId>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct History {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub author: String,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

impl ImageConfig {
    /// Reads a config whose digest has been verified.
    pub(crate) fn parse(content: &[u8]) -> Result<Self> {
        let config: Self = serde_json::from_slice(content).context(|| "the image's config is damaged")?;
        if !matches!(config.rootfs.kind.as_str(), "layers" | "") {
            return Err(Error::new(format!(
                "the image's root file system is of unknown type {:?}",
                config.rootfs.kind
            )));
        }
        Ok(config)
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).context(|| "cannot encode an image config")
    }

    pub(crate) fn platform(&self) -> Platform {
        Platform {
            architecture: self.architecture.clone(),
            os: self.os.clone(),
            variant: self.variant.clone(),
            os_version: self.os_version.clone(),
        }
    }

    /// When the image was made; images with a reproducible build say 1970 or nothing.
    pub(crate) fn created(&self) -> Option<jiff::Timestamp> {
        self.created.as_deref()?.parse().ok()
    }
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

fn list<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let list = Option::<Vec<Option<T>>>::deserialize(deserializer)?;
    Ok(list.into_iter().flatten().map(Option::unwrap_or_default).collect())
}

fn entries<'de, D: Deserializer<'de>, V: Deserialize<'de> + Default + Clone>(
    deserializer: D,
) -> Result<OrderedMap<V>, D::Error> {
    let map = Option::<OrderedMap<Option<V>>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(map.iter().map(|(key, value)| (key.to_owned(), value.clone().unwrap_or_default())).collect())
}

/// A command: a list, or (in very old images) one string.
fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        List(Vec<Option<String>>),
        One(String),
    }
    Ok(match Option::<Words>::deserialize(deserializer)? {
        None => Vec::new(),
        Some(Words::List(list)) => list.into_iter().map(Option::unwrap_or_default).collect(),
        Some(Words::One(word)) if word.is_empty() => Vec::new(),
        Some(Words::One(word)) => vec![word],
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_docker_writes() {
        let text = r#"{"architecture":"amd64","os":"linux","created":"2024-05-01T10:00:00.5Z","container":"x","docker_version":"20",
            "config":{"User":"","Env":["B=1","A=2"],"Entrypoint":null,"Cmd":"sh","Labels":{"z":"1","a":"2","z":"3"},"ExposedPorts":{"80/tcp":{},"53/udp":{}},
            "Volumes":null,"OnBuild":null,"Healthcheck":{"Test":["CMD","true"],"Interval":30000000000},"StopTimeout":3,"Shell":["/bin/bash","-c"],"Future":1},
            "rootfs":{"type":"layers","diff_ids":null},"history":[{"created_by":"x","empty_layer":true}]}"#;
        let config = ImageConfig::parse(text.as_bytes()).expect("config");
        assert_eq!(config.config.cmd, ["sh"]);
        let labels = config.config.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        assert_eq!(labels.collect::<Vec<_>>(), [("z", "3"), ("a", "2")]);
        assert_eq!(config.config.exposed_ports.keys().collect::<Vec<_>>(), ["80/tcp", "53/udp"]);
        assert_eq!(config.config.healthcheck.as_ref().map(|h| h.interval), Some(30_000_000_000));
        assert_eq!(config.created().map(|t| t.as_millisecond()), Some(1_714_557_600_500));
        let again = ImageConfig::parse(&config.to_bytes().expect("bytes")).expect("again");
        assert_eq!(again.config, config.config);
    }

    #[test]
    fn reads_what_go_reads() {
        let text = r#"{"config":{"StopTimeout":-5,"Env":["A=1",null],"Entrypoint":[null],"Labels":{"a":null},"Volumes":{"/v":null},
            "ExposedPorts":{"80/tcp":null},"Healthcheck":{"Test":null,"Interval":null,"Retries":null,"Timeout":-5}},
            "rootfs":{"type":null,"diff_ids":[]},"history":[null]}"#;
        let config = ImageConfig::parse(text.as_bytes()).expect("config");
        let settings = &config.config;
        assert_eq!(
            (settings.stop_timeout, &settings.env, &settings.entrypoint),
            (Some(-5), &vec!["A=1".to_owned(), String::new()], &vec![String::new()])
        );
        assert_eq!((settings.labels.get("a").map(String::as_str), settings.volumes.keys().count()), (Some(""), 1));
        assert_eq!((config.history.len(), settings.healthcheck.as_ref().map(|check| check.timeout)), (1, Some(-5)));
    }

    #[test]
    fn minimal_and_bad() {
        assert!(ImageConfig::parse(br#"{"config":null,"rootfs":{"diff_ids":[]}}"#).is_ok());
        for bad in [
            r"{}",
            r#"{"rootfs":{"type":"zfs","diff_ids":[]}}"#,
            r#"{"rootfs":{"type":"layers","diff_ids":["md5:1"]}}"#,
        ] {
            assert!(ImageConfig::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
