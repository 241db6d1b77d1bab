//! `--filter KEY=VALUE` of `ps`, `rm`, `stop`, `start`: Podman's keys. Values of one key are alternatives, keys must all
//! hold; labels must all hold as well.

use jiff::Timestamp;
use regex_lite::Regex;

use super::record::Mount;
use super::store::{self, Container};
use crate::engine::{pattern, when};
use crate::error::{Error, Result};
use crate::monitor::restart::Policy;
use crate::monitor::state::{State, Status};
use crate::state::paths::Dirs;

/// All filters of a command line.
#[derive(Debug, Default)]
pub(crate) struct Filters(Vec<Filter>);

#[derive(Debug)]
enum Filter {
    Id(Vec<String>),
    Name(Vec<Regex>),
    Status(Vec<Option<Status>>),
    Exited(Vec<u8>),
    Label {
        name: String,
        value: Option<String>,
        wanted: bool,
    },
    Ancestor(Vec<String>),
    Before(Timestamp),
    Since(Timestamp),
    Volume(Vec<String>),
    Network(Vec<String>),
    Command(Vec<String>),
    RestartPolicy(Vec<String>),
    /// Started again after a reboot by somebody who asks for these: always, and unless-stopped if nobody stopped it.
    StartsOnBoot(bool),
    Health(Vec<String>),
    /// Nothing here has what the filter asks for (pods).
    Nothing,
}

impl Filters {
    /// Reads the filters; those that name a container need the directories.
    pub(crate) fn parse(dirs: &Dirs, texts: &[String]) -> Result<Self> {
        let mut filters = Self::default();
        for text in texts {
            let (key, value) = text.split_once('=').ok_or_else(|| Error::new(format!("invalid filter {text:?}")))?;
            filters.add(dirs, key, value)?;
        }
        Ok(filters)
    }

    fn add(&mut self, dirs: &Dirs, key: &str, value: &str) -> Result<()> {
        let text = value.to_owned();
        match key {
            "id" => self.either(|f| if let Filter::Id(v) = f { Some(v) } else { None }, Filter::Id, text),
            "name" => {
                let pattern = pattern::regex(value)?;
                self.either(|f| if let Filter::Name(v) = f { Some(v) } else { None }, Filter::Name, pattern);
            }
            "status" => {
                let status = status(value)?;
                self.either(|f| if let Filter::Status(v) = f { Some(v) } else { None }, Filter::Status, status);
            }
            "exited" => {
                let code = value.parse().map_err(|_| Error::new(format!("exited code out of range: {value:?}")))?;
                self.either(|f| if let Filter::Exited(v) = f { Some(v) } else { None }, Filter::Exited, code);
            }
            "label" | "label!" => {
                let (name, value) = match value.split_once('=') {
                    Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                    None => (text, None),
                };
                self.0.push(Filter::Label { name, value, wanted: key == "label" });
            }
            "ancestor" => {
                self.either(|f| if let Filter::Ancestor(v) = f { Some(v) } else { None }, Filter::Ancestor, text);
            }
            "before" => self.0.push(Filter::Before(store::find(dirs, value)?.record.created)),
            "since" => self.0.push(Filter::Since(store::find(dirs, value)?.record.created)),
            "until" => self.0.push(Filter::Before(when::parse("filter until", value)?)),
            "volume" => self.either(|f| if let Filter::Volume(v) = f { Some(v) } else { None }, Filter::Volume, text),
            "command" => {
                self.either(|f| if let Filter::Command(v) = f { Some(v) } else { None }, Filter::Command, text);
            }
            "network" => {
                self.either(|f| if let Filter::Network(v) = f { Some(v) } else { None }, Filter::Network, text);
            }
            "restart-policy" => {
                let policy = Policy::parse(value).map(|policy| policy.name().to_owned());
                let policy = policy.ok_or_else(|| Error::new(format!("{value} is not a valid restart policy")))?;
                self.either(
                    |f| if let Filter::RestartPolicy(v) = f { Some(v) } else { None },
                    Filter::RestartPolicy,
                    policy,
                );
            }
            "should-start-on-boot" => {
                let wanted = value.parse().map_err(|_| Error::new(format!("{value:?} is neither true nor false")))?;
                self.0.push(Filter::StartsOnBoot(wanted));
            }
            "health" if !["starting", "healthy", "unhealthy", "none"].contains(&value) => {
                return Err(Error::new(format!("{value} is not a health: starting, healthy, unhealthy or none")));
            }
            "health" => self.either(|f| if let Filter::Health(v) = f { Some(v) } else { None }, Filter::Health, text),
            "pod" => self.0.push(Filter::Nothing),
            _ => return Err(Error::new(format!("{key} is an invalid filter"))),
        }
        Ok(())
    }

    /// Adds an alternative to the filter of the same kind, or the filter.
    fn either<T>(
        &mut self,
        pick: impl Fn(&mut Filter) -> Option<&mut Vec<T>>,
        make: impl FnOnce(Vec<T>) -> Filter,
        value: T,
    ) {
        match self.0.iter_mut().find_map(pick) {
            Some(values) => values.push(value),
            None => self.0.push(make(vec![value])),
        }
    }

    /// Whether a state was asked for: `ps` then shows containers that do not run as well.
    pub(crate) fn name_states(&self) -> bool {
        self.0.iter().any(|filter| matches!(filter, Filter::Status(_) | Filter::Exited(_)))
    }

    pub(crate) fn match_all(&self, container: &Container, state: &State) -> bool {
        self.0.iter().all(|filter| filter.matches(container, state))
    }
}

impl Filter {
    fn matches(&self, container: &Container, state: &State) -> bool {
        let record = &container.record;
        match self {
            Self::Id(ids) => ids.iter().any(|id| record.id.starts_with(id)),
            Self::Name(names) => names.iter().any(|name| name.is_match(&record.name)),
            Self::Status(statuses) => statuses.contains(&Some(state.status)),
            Self::Exited(codes) => state.status == Status::Exited && codes.contains(&state.exit_code),
            Self::Label { name, value, wanted } => {
                let found = record.labels.get(name).is_some_and(|has| value.as_ref().is_none_or(|value| has == value));
                found == *wanted
            }
            Self::Ancestor(images) => images.iter().any(|image| is_image(container, image)),
            Self::Before(time) => record.created < *time,
            Self::Since(time) => record.created > *time,
            Self::Volume(mounts) => mounts.iter().any(|mount| has_mount(container, mount)),
            Self::Command(words) => words.iter().any(|word| record.command.first() == Some(word)),
            Self::Network(networks) => {
                networks.contains(&record.network) || record.networks.iter().any(|name| networks.contains(name))
            }
            Self::RestartPolicy(names) => names.iter().any(|name| name == record.restart.name()),
            Self::Health(words) => {
                let health = container.health_word(state);
                words.iter().any(|word| word == if health.is_empty() { "none" } else { health })
            }
            Self::StartsOnBoot(wanted) => {
                let starts = match record.restart {
                    Policy::Always => true,
                    Policy::UnlessStopped => !state.stopped,
                    Policy::No | Policy::OnFailure(_) => false,
                };
                starts == *wanted
            }
            Self::Nothing => false,
        }
    }
}

/// A mount's destination, a volume's name, or the directory behind it.
fn has_mount(container: &Container, wanted: &str) -> bool {
    if container.record.mounts.iter().any(|destination| destination == wanted) {
        return true;
    }
    // Names are not in the record, which every listing reads.
    let is = |mount: &Mount| mount.name.as_deref() == Some(wanted) || mount.source.as_os_str() == wanted;
    !container.record.mounts.is_empty() && container.config().is_ok_and(|config| config.mounts.iter().any(is))
}

/// A state's name; `None` for states that no container here is ever in.
fn status(name: &str) -> Result<Option<Status>> {
    match name {
        "created" | "configured" => Ok(Some(Status::Created)),
        "initialized" => Ok(Some(Status::Initialized)),
        "running" => Ok(Some(Status::Running)),
        "exited" | "stopped" => Ok(Some(Status::Exited)),
        "paused" => Ok(Some(Status::Paused)),
        "restarting" => Ok(Some(Status::Restarting)),
        "removing" | "stopping" | "dead" | "unknown" => Ok(None),
        _ => Err(Error::new(format!("unknown container state: {name}: invalid argument"))),
    }
}

/// An image's full name, its end after a slash, the same without the tag, or the beginning of its id.
fn is_image(container: &Container, wanted: &str) -> bool {
    let ends_with = |image: &str| {
        image == wanted || image.strip_suffix(wanted).is_some_and(|rest| rest.ends_with('/') && !wanted.is_empty())
    };
    let image = container.record.image.as_str();
    let untagged = match image.rsplit_once([':', '@']) {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    };
    ends_with(image) || ends_with(untagged) || (wanted.len() >= 4 && container.record.image_id.starts_with(wanted))
}
