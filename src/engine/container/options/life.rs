//! What becomes of the container while nobody looks: `--restart`, `--timeout`, `--sdnotify`, `--requires`.

use std::collections::BTreeMap;

use super::health::HealthOptions;
use super::values::Log;
use crate::engine::container::record::{Config, Record};
use crate::error::{Error, Result};
use crate::image::config::ImageConfig;
use crate::monitor::health::Healthcheck;
use crate::monitor::notify;
use crate::monitor::restart::Policy;

/// What its monitor is asked to do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Life {
    pub restart: Policy,
    pub health: HealthOptions,
    /// Seconds that the program may run; 0: without a limit.
    pub timeout: u32,
    pub sdnotify: notify::Mode,
    /// Names of containers that must run first.
    pub requires: Vec<String>,
}

impl Life {
    /// Puts all of it into what is kept of the container.
    pub(crate) fn apply(&self, image: Option<&ImageConfig>, record: &mut Record, config: &mut Config) -> Result<()> {
        config.health = self.health.resolve(image.and_then(|image| image.config.healthcheck.as_ref()))?;
        config.timeout = self.timeout;
        if self.sdnotify == notify::Mode::Healthy && config.health.is_none() {
            return Err(Error::new("sdnotify policy \"healthy\" requires a healthcheck to be set"));
        }
        config.sdnotify = self.sdnotify;
        record.restart = self.restart;
        record.health = config.health.is_some();
        record.revives = config.health.as_ref().is_some_and(Healthcheck::revives);
        Ok(())
    }
}

/// What `--log-opt labels=`, `env=` and `tag=` ask for, as far as the container has it (Docker's rules).
pub(crate) fn log_attributes(log: &Log, record: &Record, config: &Config) -> BTreeMap<String, String> {
    let labels = log.labels.iter().filter_map(|name| Some((name.clone(), record.labels.get(name)?.clone())));
    let env = config.spec.process().as_ref().and_then(|process| process.env().clone()).unwrap_or_default();
    let variables = env.iter().filter_map(|variable| variable.split_once('='));
    let variables = variables.filter(|(name, _)| log.env.iter().any(|wanted| wanted == name));
    let tag = Some(("tag".to_owned(), config.log.tag.clone())).filter(|(_, tag)| !tag.is_empty());
    labels.chain(variables.map(|(name, value)| (name.to_owned(), value.to_owned()))).chain(tag).collect()
}

/// `--log-opt tag=` with what it says of the container in place of `{{.Name}}` and the like: Podman's words, and Docker's.
pub(crate) fn log_tag(tag: &str, record: &Record) -> Result<String> {
    let (mut text, mut rest) = (String::new(), tag);
    while let Some((before, after)) = rest.split_once("{{") {
        let invalid = || Error::new(format!("invalid log-opt tag {tag:?}"));
        let (word, behind) = after.split_once("}}").ok_or_else(invalid)?;
        text.push_str(before);
        text.push_str(match word.trim() {
            ".ID" | ".FullID" => &record.id,
            ".Name" => &record.name,
            ".ImageName" => &record.image,
            ".Image" | ".ImageFullID" => &record.image_id,
            ".ImageID" => crate::state::id::short(&record.image_id),
            _ => return Err(invalid().hint("it can have {{.ID}}, {{.Name}}, {{.Image}} and {{.ImageName}}")),
        });
        rest = behind;
    }
    Ok(text + rest)
}

/// `--sdnotify`.
pub(crate) fn sdnotify(text: Option<&str>) -> Result<notify::Mode> {
    let text = text.unwrap_or("container");
    notify::Mode::parse(text).ok_or_else(|| {
        Error::new(format!("invalid sdnotify value {text:?}: must be container, conmon, healthy or ignore"))
    })
}

/// `--restart`.
pub(crate) fn restart(text: Option<&str>, rm: bool) -> Result<Policy> {
    let policy = text.unwrap_or_default();
    let policy = Policy::parse(policy).ok_or_else(|| {
        Error::new(format!("{policy:?} is not a valid restart policy: invalid argument"))
            .hint("choose from: no, on-failure[:TIMES], always, unless-stopped")
    })?;
    if rm && !matches!(policy, Policy::No | Policy::OnFailure(..)) {
        return Err(Error::new(
            "the --rm option conflicts with --restart, when the restartPolicy is not \"\" and \"no\"",
        ));
    }
    Ok(policy)
}
