//! `--filter` of volumes (podman-volume-ls(1)). Values of one key are alternatives, except labels; keys must all match.

use jiff::Timestamp;
use regex_lite::Regex;

use crate::engine::container::volumes::Volume;
use crate::engine::{pattern, when};
use crate::error::{Error, Result};

/// Filters that were understood.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    names: Vec<Regex>,
    others: Vec<(Key, Vec<String>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Anonymous,
    Dangling,
    Driver,
    Label,
    NotLabel,
    Option,
    Scope,
    Since,
    Until,
}

impl Filters {
    /// `since` takes a volume's name; `created` answers when it was made.
    pub(crate) fn parse(texts: &[String], created: impl Fn(&str) -> Result<Timestamp>) -> Result<Self> {
        let mut filters = Self::default();
        for text in texts {
            let (name, value) = text
                .split_once('=')
                .ok_or_else(|| Error::new(format!("invalid filter {text:?}: it is written as KEY=VALUE")))?;
            let (key, value) = match name {
                "label!" => (Key::NotLabel, value.to_owned()),
                "label" => (Key::Label, value.to_owned()),
                "name" => {
                    filters.names.push(pattern::regex(value)?);
                    continue;
                }
                "driver" => (Key::Driver, value.to_owned()),
                "opt" => (Key::Option, value.to_owned()),
                "scope" => (Key::Scope, value.to_owned()),
                "dangling" | "anonymous" => match value {
                    "true" | "1" => (key_of(name), "true".to_owned()),
                    "false" | "0" => (key_of(name), "false".to_owned()),
                    _ => return Err(Error::new(format!("{value:?} is not a valid value for the {name} filter"))),
                },
                "since" | "after" => (Key::Since, created(value)?.to_string()),
                "until" => (Key::Until, when::parse("until", value)?.to_string()),
                _ => return Err(Error::new(format!("{name:?} is an invalid volume filter"))),
            };
            match filters.others.iter_mut().find(|(other, _)| *other == key) {
                Some((_, values)) => values.push(value),
                None => filters.others.push((key, vec![value])),
            }
        }
        Ok(filters)
    }

    /// Whether it must be known which containers there are.
    pub(crate) fn needs_users(&self) -> bool {
        self.others.iter().any(|(key, _)| *key == Key::Dangling)
    }

    pub(crate) fn matches(&self, volume: &Volume, used: bool) -> bool {
        let label = |wanted: &String| match wanted.split_once('=') {
            Some((key, value)) => volume.labels.get(key).is_some_and(|label| label == value),
            None => volume.labels.contains_key(wanted),
        };
        let time = |text: &String| text.parse::<Timestamp>().unwrap_or_default();
        let named = self.names.is_empty() || self.names.iter().any(|name| name.is_match(&volume.name));
        let others = || {
            self.others.iter().all(|(key, values)| match key {
                Key::Label => values.iter().all(label),
                Key::NotLabel => !values.iter().any(label),
                Key::Anonymous => values.iter().any(|value| (value == "true") == volume.anonymous),
                Key::Dangling => values.iter().any(|value| (value == "true") != used),
                Key::Driver | Key::Scope => values.iter().any(|value| value == "local"),
                Key::Option => values.iter().any(|value| match value.split_once('=') {
                    Some((key, value)) => volume.options.get(key).is_some_and(|option| option == value),
                    None => volume.options.contains_key(value),
                }),
                Key::Since => values.iter().any(|value| volume.created > time(value)),
                Key::Until => values.iter().any(|value| volume.created < time(value)),
            })
        };
        named && others()
    }
}

fn key_of(name: &str) -> Key {
    if name == "dangling" { Key::Dangling } else { Key::Anonymous }
}
