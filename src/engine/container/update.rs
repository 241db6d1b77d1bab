//! Changing a container that exists: limits, restart policy, health check. What runs takes them on at once: its cgroup gets
//! the limits, its monitor reads the rest.

use std::time::{Duration, Instant};

use oci_spec::runtime::LinuxResources;
use serde_json::Value;

use super::options::health::{self, Typed};
use super::record::Config;
use super::rename;
use super::store::Container;
use crate::error::{Context, Error, Kind, Result};
use crate::monitor::client::Client;
use crate::monitor::health::Healthcheck;
use crate::monitor::restart::Policy;
use crate::monitor::state::State;
use crate::runtime::cgroup;
use crate::spec;
use crate::spec::settings::Resources;
use crate::state::file::Durability;
use crate::state::lock::Lock;

/// How long another process that is at work on the container is waited for.
const BUSY: Duration = Duration::from_secs(10);

/// What is to be different. What is not set stays.
pub(crate) struct Change<'a> {
    pub resources: &'a Resources,
    pub restart: Option<Policy>,
    pub health: Typed<'a>,
}

/// Who is to hear of a change: nobody, who may not start the container meanwhile, or its monitor.
enum Holder {
    Nobody(#[expect(dead_code, reason = "held, not read")] Lock),
    Monitor(Client),
}

fn holder(container: &Container) -> Result<Holder> {
    let deadline = Instant::now() + BUSY;
    loop {
        if let Some(lock) = container.place.try_lock()? {
            return Ok(Holder::Nobody(lock));
        }
        if let Ok(client) = Client::connect(&container.place) {
            return Ok(Holder::Monitor(client));
        }
        if Instant::now() > deadline {
            return Err(Error::new(format!("container {} is being used by another process", container.id()))
                .with_kind(Kind::Conflict));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Has the container's monitor, if there is one, read what was written down.
pub(crate) fn tell(container: &Container) -> Result<()> {
    if !container.place.locked()? {
        return Ok(());
    }
    match holder(container)? {
        Holder::Nobody(_) => Ok(()),
        Holder::Monitor(client) => client.reload().context(|| "the container's monitor has not heard of the change"),
    }
}

/// Changes the container; answers what could not be honoured.
pub(crate) fn update(container: &Container, change: &Change<'_>) -> Result<Vec<String>> {
    let Change { resources, restart, health } = change;
    let holder = holder(container)?;
    let mut warnings = Vec::new();
    let state = State::load(&container.place.record);
    rename::change(container, |record| {
        let mut config = container.config()?;
        if **resources != Resources::default() {
            limit(&mut config, resources)?;
            match (&holder, &state.cgroup) {
                (Holder::Nobody(_), _) => {}
                (Holder::Monitor(_), Some(path)) => warnings = cgroup::update(path, &planned(&config))?,
                (Holder::Monitor(_), None) => warnings.push(
                    "the limits take effect when the container is started again: it has no cgroup of its own"
                        .to_owned(),
                ),
            }
        }
        config.health = health::changed(config.health, health)?;
        record.restart = restart.unwrap_or(record.restart);
        record.health = config.health.is_some();
        record.revives = config.health.as_ref().is_some_and(Healthcheck::revives);
        let durability = if record.rm { Durability::Volatile } else { Durability::Synced };
        config.replace(&container.place.record, durability)?;
        Ok(true)
    })?;
    match holder {
        Holder::Nobody(_) => {}
        Holder::Monitor(client) => client.reload()?,
    }
    Ok(warnings)
}

/// The limits that the container is started with.
fn planned(config: &Config) -> LinuxResources {
    config.spec.linux().as_ref().and_then(|linux| linux.resources().clone()).unwrap_or_default()
}

/// The memory limit that is in force, in bytes.
pub(crate) fn memory_limit(config: &Config) -> Option<i64> {
    planned(config).memory().as_ref().and_then(|memory| memory.limit())
}

/// Sets the limits that are given and leaves the others.
pub(super) fn limit(config: &mut Config, given: &Resources) -> Result<()> {
    let what = || "cannot describe the limits";
    let mut all = serde_json::to_value(planned(config)).context(what)?;
    merge(&mut all, serde_json::to_value(spec::resources(given)?).context(what)?);
    let all = serde_json::from_value(all).context(what)?;
    if let Some(linux) = config.spec.linux_mut() {
        linux.set_resources(Some(all));
    }
    Ok(())
}

/// Objects key by key, limits of devices device by device.
fn merge(old: &mut Value, new: Value) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            new.into_iter().for_each(|(key, value)| merge(old.entry(key).or_insert(Value::Null), value));
        }
        (Value::Array(old), Value::Array(new)) => {
            for value in new {
                old.retain(|known| (&known["major"], &known["minor"]) != (&value["major"], &value["minor"]));
                old.push(value);
            }
        }
        (_, Value::Null) => {}
        (old, new) => *old = new,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_given_stays() {
        let device = |minor: u32, rate: u32| json!({ "major": 8, "minor": minor, "rate": rate });
        let mut old = json!({
            "memory": { "limit": 1, "swap": 2 },
            "blockIO": { "throttleReadBpsDevice": [device(0, 5), device(1, 6)] }
        });
        merge(
            &mut old,
            json!({
                "memory": { "limit": 3, "swap": null },
                "pids": { "limit": 7 },
                "blockIO": { "throttleReadBpsDevice": [device(1, 9)] }
            }),
        );
        assert_eq!(
            old,
            json!({
                "memory": { "limit": 3, "swap": 2 },
                "pids": { "limit": 7 },
                "blockIO": { "throttleReadBpsDevice": [device(0, 5), device(1, 9)] }
            })
        );
    }
}
