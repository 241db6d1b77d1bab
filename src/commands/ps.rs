//! `rpod ps`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Context;
use crate::cli::container::Ps;
use crate::engine::container::filter::Filters;
use crate::engine::container::ports;
use crate::engine::container::record::Record;
use crate::engine::container::store::{self, Container};
use crate::error::{Error, Result};
use crate::human;
use crate::monitor::state::{State, Status};
use crate::output::listing::{Column, Listing};
use crate::state::id;

const COLUMNS: [Column; 7] = [
    Column("ID", "CONTAINER ID"),
    Column("Image", "IMAGE"),
    Column("Command", "COMMAND"),
    Column("CreatedHuman", "CREATED"),
    Column("Status", "STATUS"),
    Column("Ports", "PORTS"),
    Column("Names", "NAMES"),
];
const SIZE: Column = Column("Size", "SIZE");
const POD: [Column; 2] = [Column("Pod", "POD ID"), Column("PodName", "PODNAME")];
const NAMESPACES: [Column; 10] = [
    Column("ID", "CONTAINER ID"),
    Column("Names", "NAMES"),
    Column("Pid", "PID"),
    Column("CGROUPNS", "CGROUPNS"),
    Column("IPC", "IPC"),
    Column("MNT", "MNT"),
    Column("NET", "NET"),
    Column("PIDNS", "PIDNS"),
    Column("USERNS", "USERNS"),
    Column("UTS", "UTS"),
];
/// What Go's zero time is in seconds since 1970.
const NEVER: i64 = -62_135_596_800;

/// Clears the screen and goes to its corner (ECMA-48 ED and CUP).
const CLEAR: &str = "\x1b[2J\x1b[H";

pub(crate) fn run(args: Ps, context: &Context<'_>) -> Result<u8> {
    let Some(seconds) = args.watch.filter(|seconds| *seconds > 0) else { return show(&args, context) };
    loop {
        if context.ui.stdout_is_terminal() {
            context.ui.print(CLEAR)?;
        }
        show(&args, context)?;
        // Before a wait, and to notice a reader that has gone.
        context.ui.flush()?;
        std::thread::sleep(std::time::Duration::from_secs(seconds));
    }
}

fn show(args: &Ps, context: &Context<'_>) -> Result<u8> {
    let shown = select(args, context)?;
    let now = Timestamp::now();
    let template = args.format.as_deref().is_some_and(|format| format != "json" && format != "table");
    let rows: Vec<Value> = match args.format.as_deref() {
        Some("json") => Vec::new(),
        _ => shown.iter().map(|(container, state)| row(container, state, args, now, template)).collect(),
    };
    let mut columns: Vec<Column> = if args.ns { NAMESPACES.into() } else { COLUMNS.into() };
    if !args.ns {
        columns.extend(if args.size { Some(SIZE) } else { None });
        columns.extend(if args.pod { Some(POD) } else { None }.into_iter().flatten());
    }
    let listing = Listing {
        name: "ps",
        columns: &columns,
        other_headings: &[],
        format: args.format.as_deref(),
        noheading: args.noheading,
        quiet: args.quiet.then_some("ID"),
    };
    listing.print(context.ui, &rows, || {
        Ok(shown.iter().map(|(container, state)| object(container, state, args, now)).collect())
    })?;
    Ok(0)
}

/// The containers to show, with their states, in order.
fn select(args: &Ps, context: &Context<'_>) -> Result<Vec<(Container, State)>> {
    if args.latest && args.last >= 0 {
        return Err(Error::new("last and latest are mutually exclusive"));
    }
    if args.quiet && (args.size || args.ns) {
        return Err(Error::new("quiet conflicts with size and namespace"));
    }
    let dirs = context.dirs()?;
    let filters = Filters::parse(dirs, &args.filter)?;
    let last = if args.latest { 1 } else { usize::try_from(args.last).unwrap_or(0) };
    let all = args.all || last > 0 || filters.name_states();
    let mut shown = Vec::new();
    let (containers, damaged) = store::survey(dirs)?;
    for one in damaged {
        context.ui.warn(format!("container {0} is left out, `rpod rm -f {0}` removes it: {1}", one.id, one.why));
    }
    for container in containers {
        let state = container.state(dirs)?;
        // Settling it may have removed it.
        let gone = container.record.rm && state.status == Status::Exited;
        if !gone && (all || state.status.is_up()) && filters.match_all(&container, &state) {
            shown.push((container, state));
        }
    }
    if last > 0 {
        shown.drain(..shown.len().saturating_sub(last));
    }
    sort(&mut shown, &args.sort)?;
    Ok(shown)
}

fn sort(shown: &mut [(Container, State)], key: &str) -> Result<()> {
    match key {
        // The order they come in.
        "created" => {}
        "runningfor" => shown.sort_by_key(|(_, state)| state.started_at),
        "command" => shown.sort_by(|a, b| a.0.record.command.cmp(&b.0.record.command)),
        "id" => shown.sort_by(|a, b| a.0.record.id.cmp(&b.0.record.id)),
        "image" => shown.sort_by(|a, b| a.0.record.image.cmp(&b.0.record.image)),
        "names" => shown.sort_by(|a, b| a.0.record.name.cmp(&b.0.record.name)),
        "status" => shown.sort_by_key(|(_, state)| state.status.as_str()),
        "size" => shown.sort_by_cached_key(|(container, _)| container.written()),
        _ => {
            return Err(Error::new(format!("invalid argument {key:?} for \"--sort\" flag"))
                .hint("choose from: command, created, id, image, names, runningfor, size, status"));
        }
    }
    Ok(())
}

/// "Up 3 minutes (healthy)", "Exited (3) 2 hours ago".
fn status(container: &Container, state: &State, now: Timestamp) -> String {
    let since = |time: Option<Timestamp>| time.unwrap_or(now);
    let words = match state.status {
        Status::Created => "Created".to_owned(),
        Status::Initialized => "Initialized".to_owned(),
        Status::Running => format!("Up {}", human::ago(since(state.started_at), now).trim_end_matches(" ago")),
        Status::Paused => "Paused".to_owned(),
        Status::Restarting => {
            return format!("Restarting ({}) {}", state.exit_code, human::ago(since(state.finished_at), now));
        }
        Status::Exited => format!("Exited ({}) {}", state.exit_code, human::ago(since(state.finished_at), now)),
    };
    match container.health_word(state) {
        "" => words,
        health => format!("{words} ({health})"),
    }
}

/// A row of the table; a template may name more fields.
fn row(container: &Container, state: &State, args: &Ps, now: Timestamp, every: bool) -> Value {
    let record = &container.record;
    let id = if args.no_trunc { &record.id } else { id::short(&record.id) };
    let mut row = json!({ "ID": id });
    if args.quiet && !every {
        return row;
    }
    let mut command = record.command.join(" ");
    if !args.no_trunc && command.chars().count() > 20 {
        command = command.chars().take(17).chain("...".chars()).collect();
    }
    let created = human::ago(record.created, now);
    row["Image"] = record.image.as_str().into();
    row["Command"] = command.into();
    row["Status"] = status(container, state, now).into();
    row["Ports"] = ports::summary(record, ports::current(container, state)).into();
    row["Names"] = record.name.as_str().into();
    row["CreatedHuman"] = created.as_str().into();
    row["Pid"] = state.pid.into();
    if args.size || every {
        row["Size"] = if args.size { size(container).into() } else { "".into() };
    }
    if args.pod || every {
        row["Pod"] = "".into();
        row["PodName"] = "".into();
    }
    if args.ns || every {
        for (field, name) in NAMESPACE_FILES {
            row[field] = if args.ns { namespace(state.pid, name).into() } else { "".into() };
        }
    }
    if every {
        let image_id = if args.no_trunc { &record.image_id } else { id::short(&record.image_id) };
        let zoned = record.created.to_zoned(jiff::tz::TimeZone::system());
        let created_at = zoned.strftime("%Y-%m-%d %H:%M:%S.%f %z %Z").to_string();
        row["ImageID"] = image_id.into();
        row["Created"] = created_at.as_str().into();
        row["CreatedAt"] = created_at.into();
        row["RunningFor"] = created.into();
        row["State"] = state.status.as_str().into();
        row["Labels"] = json!(record.labels);
        row["Mounts"] = json!(record.mounts);
        row["Networks"] = networks(container).join(",").into();
        row["Exited"] = (state.status == Status::Exited).into();
        row["ExitCode"] = state.exit_code.into();
        row["ExitedAt"] = seconds(state.finished_at).into();
        row["StartedAt"] = seconds(state.started_at).into();
        row["Restarts"] = state.restarts.into();
        row["IsInfra"] = false.into();
        row["AutoRemove"] = record.rm.into();
        row["CIDFile"] = json!(record.cidfile.as_deref().unwrap_or("".as_ref()));
        row["ExposedPorts"] = exposed(record);
    }
    row
}

const NAMESPACE_FILES: [(&str, &str); 7] = [
    ("CGROUPNS", "cgroup"),
    ("IPC", "ipc"),
    ("MNT", "mnt"),
    ("NET", "net"),
    ("PIDNS", "pid"),
    ("USERNS", "user"),
    ("UTS", "uts"),
];

/// The number in `net:[4026532183]`.
fn namespace(pid: i32, name: &str) -> String {
    let link = std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap_or_default();
    let text = link.to_string_lossy();
    text.split_once('[').map(|(_, rest)| rest.trim_end_matches(']').to_owned()).unwrap_or_default()
}

fn seconds(time: Option<Timestamp>) -> i64 {
    time.map_or(NEVER, Timestamp::as_second)
}

/// Networks that have a name; the user-mode ones have none, as in Podman's list.
fn networks(container: &Container) -> &[String] {
    &container.record.networks
}

fn size(container: &Container) -> String {
    let written = container.written();
    format!("{} (virtual {})", human::size(written), human::size(written + container.image_size()))
}

/// The container in the fields of `podman ps --format json`.
fn object(container: &Container, state: &State, args: &Ps, now: Timestamp) -> Value {
    let record = &container.record;
    let ports = ports::ranges(ports::current(container, state));
    let null_if = |empty: bool, value: Value| if empty { Value::Null } else { value };
    json!({
        "AutoRemove": record.rm,
        "Command": record.command,
        "CreatedAt": human::ago(record.created, now),
        "CIDFile": record.cidfile.as_deref().unwrap_or("".as_ref()),
        "Exited": state.status == Status::Exited,
        "ExitedAt": seconds(state.finished_at),
        "ExitCode": state.exit_code,
        "ExposedPorts": exposed(record),
        "Id": record.id,
        "Image": record.image,
        "ImageID": record.image_id,
        "IsInfra": false,
        "Labels": null_if(record.labels.is_empty(), json!(record.labels)),
        "Mounts": record.mounts,
        "Names": [record.name],
        "Namespaces": {},
        "Networks": networks(container),
        "Pid": state.pid,
        "Pod": "",
        "PodName": "",
        "Ports": null_if(ports.is_empty(), json!(ports)),
        "Restarts": state.restarts,
        "Size": if args.size {
            let written = container.written();
            json!({ "rootFsSize": written + container.image_size(), "rwSize": written })
        } else {
            Value::Null
        },
        "StartedAt": seconds(state.started_at),
        "State": state.status.as_str(),
        "Status": status(container, state, now),
        "Created": record.created.as_second(),
    })
}

/// `{"80": ["tcp"]}`; null for none.
fn exposed(record: &Record) -> Value {
    let mut ports: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (port, protocol) in record.exposed.iter().filter_map(|port| port.split_once('/')) {
        ports.entry(port).or_default().push(protocol);
    }
    if ports.is_empty() { Value::Null } else { json!(ports) }
}
