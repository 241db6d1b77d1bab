//! `rpod stats`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::Context;
use crate::cli::observe::Stats;
use crate::engine::container::select::Selection;
use crate::engine::container::stats::{self, Sample};
use crate::engine::container::store::{self, Container};
use crate::error::{Error, Kind, Result};
use crate::human;
use crate::image::duration;
use crate::monitor::state::Status;
use crate::output::listing::{Column, Listing};
use crate::state::id;

const COLUMNS: [Column; 10] = [
    Column("ID", "ID"),
    Column("Name", "NAME"),
    Column("CPUPerc", "CPU %"),
    Column("MemUsage", "MEM USAGE / LIMIT"),
    Column("MemPerc", "MEM %"),
    Column("NetIO", "NET IO"),
    Column("BlockIO", "BLOCK IO"),
    Column("PIDS", "PIDS"),
    Column("UpTime", "CPU TIME"),
    Column("AVGCPU", "AVG CPU %"),
];
const OTHER_HEADINGS: [Column; 2] = [Column("MemUsageBytes", "MEM USAGE / LIMIT"), Column("Container", "CONTAINER")];
/// Clears the screen and what has scrolled off it, and goes to its corner (ECMA-48 ED and CUP).
const CLEAR: &str = "\x1b[2J\x1b[3J\x1b[H";

pub(crate) fn run(args: Stats, context: &Context<'_>) -> Result<u8> {
    if args.interval < 1 {
        return Err(Error::new("invalid interval, must be a positive number greater zero"));
    }
    let mut earlier: BTreeMap<String, Sample> = BTreeMap::new();
    let clear = !args.no_stream && !args.no_reset && context.ui.stdout_is_terminal();
    let mut first = true;
    loop {
        let samples = look(&args, context, first)?;
        if clear {
            context.ui.print(CLEAR)?;
        }
        show(&args, context, &samples, &earlier)?;
        // Before a wait, and to notice a reader that has gone.
        context.ui.flush()?;
        if args.no_stream {
            return Ok(0);
        }
        first = false;
        earlier = samples.into_iter().map(|sample| (sample.id.clone(), sample)).collect();
        std::thread::sleep(Duration::from_secs(args.interval));
    }
}

/// The containers as they are now. One that goes away between two looks is no error: it is not shown any more.
fn look(args: &Stats, context: &Context<'_>, first: bool) -> Result<Vec<Sample>> {
    let dirs = context.dirs()?;
    let named = args.latest || !args.containers.is_empty();
    let containers: Vec<Container> = if named {
        let selection = Selection {
            names: &args.containers,
            all: args.all,
            latest: args.latest,
            ignore: !first,
            ..Selection::default()
        };
        let found = selection.resolve(dirs, "you must provide at least one name or id");
        let found = found.map_err(|e| {
            let missing = args.containers.iter().find(|name| store::find(dirs, name).is_err());
            let e = match missing {
                Some(name) => Error::wrap(format!("unable to look up container {name}"), e),
                None => e,
            };
            Error::wrap("unable to get list of containers", e)
        })?;
        found.into_iter().map(|(_, container)| container).collect()
    } else {
        store::list(dirs)?
    };
    let mut samples = Vec::with_capacity(containers.len());
    for container in containers {
        if !named && !args.all && container.state(dirs)?.status != Status::Running {
            continue;
        }
        match stats::sample(dirs, &container) {
            Ok(sample) => samples.push(sample),
            Err(e) if e.kind() == Kind::NoSuchObject || Container::load(dirs, container.id())?.is_none() => {}
            Err(e) => return Err(e),
        }
    }
    Ok(samples)
}

fn show(args: &Stats, context: &Context<'_>, samples: &[Sample], earlier: &BTreeMap<String, Sample>) -> Result<()> {
    let rows: Vec<Value> = samples.iter().map(|sample| row(sample, earlier.get(&sample.id), args)).collect();
    let listing = Listing {
        name: "stats",
        columns: &COLUMNS,
        other_headings: &OTHER_HEADINGS,
        format: args.format.as_deref(),
        noheading: false,
        quiet: None,
    };
    listing.print(context.ui, &rows, || {
        let object = |row: &Value| {
            json!({
                "id": row["ID"],
                "name": row["Name"],
                "cpu_time": row["UpTime"],
                "cpu_percent": row["CPUPerc"],
                "avg_cpu": row["AVGCPU"],
                "mem_usage": row["MemUsage"],
                "mem_percent": row["MemPerc"],
                "net_io": row["NetIO"],
                "block_io": row["BlockIO"],
                "pids": row["PIDS"],
            })
        };
        Ok(rows.iter().map(object).collect())
    })
}

fn row(sample: &Sample, earlier: Option<&Sample>, args: &Stats) -> Value {
    let id = if args.no_trunc { sample.id.as_str() } else { id::short(&sample.id) };
    let percent = |value: f64| format!("{value:.2}%");
    let pair = |(a, b): (u64, u64)| format!("{} / {}", human::size(a), human::size(b));
    let (received, sent) = sample.network.unwrap_or_default();
    let up = duration::written(sample.cpu);
    json!({
        "ID": id,
        "Container": id,
        "ContainerID": id,
        "Name": sample.name,
        "CPUPerc": percent(sample.cpu_percent(earlier)),
        "CPU": sample.cpu_percent(earlier),
        "AVGCPU": percent(sample.cpu_percent(None)),
        "AvgCPU": sample.cpu_percent(None),
        "CPUNano": u64::try_from(sample.cpu.as_nanos()).unwrap_or(u64::MAX),
        "CPUSystemNano": 0,
        "MemUsage": pair((sample.memory, sample.memory_limit)),
        "MemUsageBytes": format!("{} / {}", human::size_binary(sample.memory), human::size_binary(sample.memory_limit)),
        "MemPerc": percent(sample.memory_percent()),
        "MemLimit": sample.memory_limit,
        "NetIO": if sample.network.is_none() && sample.started.is_some() { "-- / --".to_owned() } else { pair((received, sent)) },
        "NetInput": received,
        "NetOutput": sent,
        "BlockIO": pair(sample.block),
        "BlockInput": sample.block.0,
        "BlockOutput": sample.block.1,
        "PIDS": sample.tasks.to_string(),
        "PIDs": sample.tasks,
        "UpTime": up,
        "Up": up,
    })
}
