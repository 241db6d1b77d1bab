//! `rpod events`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Context;
use crate::cli::system::Events;
use crate::engine::events::{self, Event, Filters, Subject, Wanted};
use crate::engine::when;
use crate::error::{Context as _, Result};
use crate::output::escape;
use crate::output::template::{Options, Template};
use crate::state::id;

pub(crate) fn run(args: Events, context: &Context<'_>) -> Result<u8> {
    let wanted = Wanted {
        since: args.since.as_deref().map(|text| when::parse("--since", text)).transpose()?,
        until: args.until.as_deref().map(|text| when::parse("--until", text)).transpose()?,
        filters: Filters::parse(&args.filter)?,
        stream: args.stream.unwrap_or(true),
    };
    let show = Show::new(args.format.as_deref(), !args.no_trunc.unwrap_or(true), context)?;
    let each = &mut |event: &Event<'_>| show.line(event).and_then(|line| context.ui.line(line)).map(|()| true);
    events::read(context.dirs()?, &wanted, each, &mut || context.ui.flush())?;
    Ok(0)
}

/// How one event is shown.
struct Show {
    json: bool,
    template: Option<Template>,
    short: bool,
}

impl Show {
    fn new(format: Option<&str>, short: bool, context: &Context<'_>) -> Result<Self> {
        let format = format.map(str::trim).filter(|format| !format.is_empty());
        let compact: String = format.unwrap_or_default().chars().filter(|c| !c.is_whitespace()).collect();
        let json = matches!(compact.as_str(), "json" | "{{json.}}");
        let options = Options { escape: context.ui.stdout_is_terminal(), ..Options::default() };
        let template = format.filter(|_| !json).map(|text| Template::parse("events", text, options)).transpose()?;
        Ok(Self { json, template, short })
    }

    fn line(&self, event: &Event<'_>) -> Result<String> {
        match &self.template {
            _ if self.json => serde_json::to_string(event).context(|| "cannot encode an event as JSON"),
            Some(template) => template.render(&fields(event)),
            None => Ok(escape::line(&text(event, self.short)).into_owned()),
        }
    }
}

fn time(event: &Event<'_>) -> String {
    let time = Timestamp::from_nanosecond(event.time_nano.into()).unwrap_or_default();
    time.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%.f %z %Z").to_string()
}

/// What templates name.
fn fields(event: &Event<'_>) -> Value {
    json!({
        "ID": event.id, "Image": event.image, "Name": event.name, "Network": event.network, "Status": event.status,
        "Type": event.subject.as_str(), "Time": time(event), "TimeNano": event.time_nano, "PodID": "",
        "ContainerExitCode": event.exit_code, "HealthStatus": event.health_status, "Attributes": event.attributes,
    })
}

/// In the words of `podman events`.
fn text(event: &Event<'_>, short: bool) -> String {
    let id = if short { id::short(&event.id) } else { &event.id };
    let head = format!("{} {} {}", time(event), event.subject.as_str(), event.status);
    match event.subject {
        Subject::Container | Subject::Pod => {
            let mut details = format!("image={}, name={}", event.image, event.name);
            if event.status == "health_status" {
                let streak = event.health_failing_streak.unwrap_or(0);
                details += &format!(
                    ", health_status={}, health_failing_streak={streak}, health_log={}",
                    event.health_status, event.health_log
                );
            }
            for (name, value) in event.attributes.iter().flat_map(|labels| labels.iter()) {
                details += &format!(", {name}={value}");
            }
            format!("{head} {id} ({details})")
        }
        Subject::Network => {
            let driver = event.attributes.as_ref().and_then(|list| list.get("driver")).map_or("", String::as_str);
            format!("{head} {id} (name={}, type={driver})", event.network)
        }
        Subject::Image => format!("{head} {id} {}", event.name),
        Subject::Volume | Subject::Secret => format!("{head} {}", event.name),
        Subject::System => head,
    }
}
