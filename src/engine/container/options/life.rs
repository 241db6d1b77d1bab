//! What becomes of the container while nobody looks: `--restart`, `--timeout`.

use super::health::HealthOptions;
use crate::engine::container::record::{Config, Record};
use crate::error::{Error, Result};
use crate::image::config::ImageConfig;
use crate::monitor::health::Healthcheck;
use crate::monitor::restart::Policy;

/// What its monitor is asked to do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Life {
    pub restart: Policy,
    pub health: HealthOptions,
    /// Seconds that the program may run; 0: without a limit.
    pub timeout: u32,
}

impl Life {
    /// Puts all of it into what is kept of the container.
    pub(crate) fn apply(&self, image: Option<&ImageConfig>, record: &mut Record, config: &mut Config) -> Result<()> {
        config.health = self.health.resolve(image.and_then(|image| image.config.healthcheck.as_ref()))?;
        config.timeout = self.timeout;
        record.restart = self.restart;
        record.health = config.health.is_some();
        record.revives = config.health.as_ref().is_some_and(Healthcheck::revives);
        Ok(())
    }
}

/// `--restart`.
pub(crate) fn restart(text: Option<&str>, rm: bool) -> Result<Policy> {
    let policy = text.unwrap_or_default();
    let policy = Policy::parse(policy).ok_or_else(|| {
        Error::new(format!("{policy:?} is not a valid restart policy: invalid argument"))
            .hint("choose from: no, on-failure[:TIMES], always, unless-stopped")
    })?;
    if rm && !policy.is_no() {
        return Err(Error::new(
            "the --rm option conflicts with --restart, when the restartPolicy is not \"\" and \"no\"",
        ));
    }
    Ok(policy)
}
