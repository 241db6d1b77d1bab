//! `rpod wait`.

use std::time::Duration;

use super::Context;
use crate::cli::container::Wait;
use crate::engine::container::select::Selection;
use crate::engine::container::store::Container;
use crate::engine::container::{health, lifecycle};
use crate::error::{Error, Result};
use crate::image::duration;
use crate::monitor::health::Status as Health;
use crate::monitor::state::Status;
use crate::state::paths::Dirs;

pub(crate) fn run(args: Wait, context: &Context<'_>) -> Result<u8> {
    let interval = interval(&args.interval)?;
    let wanted = args.condition.iter().map(|name| condition(name)).collect::<Result<Vec<_>>>()?;
    let dirs = context.dirs()?;
    let selection = Selection {
        names: &args.containers,
        latest: args.latest,
        ignore: args.ignore,
        repeats: true,
        ..Default::default()
    };
    let missing = "\"rpod wait\" requires a name, id, or the \"--latest\" flag";
    for (_, container) in selection.resolve(dirs, missing)? {
        let code = if wanted.iter().all(|wanted| *wanted == Condition::Stopped) {
            i32::from(lifecycle::wait(dirs, &container)?)
        } else if let [Condition::Health(wanted)] = wanted[..] {
            health::wait(dirs, &container, wanted, interval)?;
            -1
        } else {
            poll(dirs, &container, &wanted, interval)?
        };
        context.ui.line(code)?;
        context.ui.flush()?;
    }
    Ok(0)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Stopped,
    Is(Status),
    Health(Health),
    Gone,
}

fn condition(name: &str) -> Result<Condition> {
    match name {
        "stopped" | "exited" => Ok(Condition::Stopped),
        "created" | "configured" => Ok(Condition::Is(Status::Created)),
        "initialized" => Ok(Condition::Is(Status::Initialized)),
        "running" => Ok(Condition::Is(Status::Running)),
        "paused" => Ok(Condition::Is(Status::Paused)),
        "healthy" => Ok(Condition::Health(Health::Healthy)),
        "unhealthy" => Ok(Condition::Health(Health::Unhealthy)),
        "removing" => Ok(Condition::Gone),
        _ => Err(Error::new(format!("invalid container state {name:?}"))
            .hint("conditions are created, running, paused, stopped, exited, removing, healthy and unhealthy")),
    }
}

/// A number alone is in milliseconds.
fn interval(text: &str) -> Result<Duration> {
    let millis = text.parse().ok().map(Duration::from_millis);
    let duration = || duration::parse(text).and_then(|duration| duration.try_into().ok());
    millis.or_else(duration).ok_or_else(|| Error::new(format!("invalid interval {text:?}")))
}

/// Conditions that no lock announces are looked for; the code of a condition other than the end is -1, as Podman's.
fn poll(dirs: &Dirs, container: &Container, wanted: &[Condition], interval: Duration) -> Result<i32> {
    loop {
        let state = match Container::load(dirs, container.id())? {
            Some(container) => Some(container.state(dirs)?),
            None => None,
        };
        for wanted in wanted {
            match (wanted, &state) {
                (Condition::Stopped, Some(state)) if !state.status.is_alive() => {
                    return Ok(state.exit_code.into());
                }
                (Condition::Is(status), Some(state)) if state.status == *status => return Ok(-1),
                (Condition::Health(wanted), Some(state))
                    if state.status.is_alive() && container.health().is_some_and(|report| report.status == *wanted) =>
                {
                    return Ok(-1);
                }
                (_, None) => return Ok(-1),
                _ => {}
            }
        }
        std::thread::sleep(interval);
    }
}
