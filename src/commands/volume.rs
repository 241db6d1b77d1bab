//! `rpod volume …`.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;

use serde_json::{Value, json};

use super::Context;
use super::confirm::confirm;
use super::each::each;
use crate::cli::volume::{Create, Exists, Export, Import, Inspect, Ls, Mount, Prune, Rm, Unmount};
use crate::engine::container::files::mount as mounts;
use crate::engine::container::volumes::Volume;
use crate::engine::volumes::{self, CreateOptions, Filters};
use crate::error::{Context as _, Error, Kind, Result};
use crate::human;
use crate::output::listing::{Column, Listing};
use crate::output::{self, json as printed, listing, podman_types};
use crate::state::given;
use crate::state::paths::Dirs;

const COLUMNS: &[Column] = &[Column("Driver", "DRIVER"), Column("Name", "VOLUME NAME")];

pub(crate) fn create(args: Create, context: &Context<'_>) -> Result<u8> {
    let pairs = |texts: &[String]| -> BTreeMap<String, String> {
        texts
            .iter()
            .map(|text| {
                text.split_once('=').map_or((text.clone(), String::new()), |(k, v)| (k.to_owned(), v.to_owned()))
            })
            .collect()
    };
    let options = CreateOptions {
        name: args.name,
        driver: args.driver,
        labels: pairs(&args.label),
        options: pairs(&args.opt),
        ignore: args.ignore,
    };
    context.ui.line(volumes::create(context.dirs()?, options)?)?;
    Ok(0)
}

pub(crate) fn exists(args: Exists, context: &Context<'_>) -> Result<u8> {
    match volumes::find(context.dirs()?, &args.volume) {
        Ok(_) => Ok(0),
        Err(e) if e.kind() == Kind::NoSuchObject => Ok(1),
        Err(e) => Err(e),
    }
}

pub(crate) fn export(args: Export, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let volume = volumes::find(dirs, &args.volume)?;
    let file = match &args.output {
        Some(path) => given::create(path).context(|| format!("cannot create {}", path.display()))?,
        None if context.ui.stdout_is_terminal() => {
            return Err(Error::new("refusing to export to terminal. Use -o flag or redirect"));
        }
        None => {
            let out = std::io::stdout().as_fd().try_clone_to_owned().context(|| "cannot write to standard output")?;
            File::from(out)
        }
    };
    volumes::export(dirs, &volume, &file)?.iter().for_each(|warning| context.ui.warn(warning));
    Ok(0)
}

pub(crate) fn import(args: Import, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let volume = volumes::find(dirs, &args.volume)?;
    let file = match args.source.as_str() {
        "-" => File::from(std::io::stdin().as_fd().try_clone_to_owned().context(|| "cannot read standard input")?),
        path => File::open(path).context(|| format!("cannot open {path}"))?,
    };
    volumes::import(dirs, &volume, &file)?.iter().for_each(|warning| context.ui.warn(warning));
    Ok(0)
}

pub(crate) fn inspect(args: Inspect, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    if args.all != args.volumes.is_empty() {
        return Err(Error::new("volume names or --all must be given, and not both"));
    }
    let (mut found, mut code) = (Vec::new(), 0);
    if args.all {
        found = volumes::list(dirs)?;
    }
    for name in &args.volumes {
        match volumes::find(dirs, name) {
            Ok(volume) => found.push(volume),
            Err(e) if e.kind() == Kind::NoSuchObject => {
                code = 125;
                output::report::error(context.ui, &e);
            }
            Err(e) => return Err(e),
        }
    }
    let users = volumes::users(dirs)?;
    let all: Vec<Value> = found.iter().map(|volume| inspected(dirs, volume, &users)).collect::<Result<_>>()?;
    let compact: String = args.format.chars().filter(|c| !c.is_whitespace()).collect();
    match compact.as_str() {
        "json" => printed::pretty(context.ui, &all)?,
        _ => all.iter().try_for_each(|one| {
            listing::typed_object(context.ui, "volume inspect", &args.format, one, false, &podman_types::VOLUME)
        })?,
    }
    Ok(code)
}

/// What is known about a volume; `users` are the containers of every one.
pub(super) fn inspected(dirs: &Dirs, volume: &Volume, users: &BTreeMap<String, Vec<String>>) -> Result<Value> {
    let mut inspected = json!({
        "Name": volume.name,
        "Driver": "local",
        "Mountpoint": volumes::mountpoint(dirs, volume),
        "CreatedAt": volume.created.to_string(),
        "Labels": volume.labels,
        "Scope": "local",
        "Options": volume.options,
        "Anonymous": volume.anonymous,
        "MountCount": users.get(&volume.name).map_or(0, Vec::len),
        "NeedsCopyUp": !volume.filled,
    });
    let (uid, gid) = volumes::owner(dirs, volume)?.unwrap_or_default();
    for (name, id) in [("UID", uid), ("GID", gid)] {
        if id != 0 {
            inspected[name] = id.into();
        }
        if let Some(number) = volume.number(&name.to_lowercase()) {
            inspected["Options"][name] = number.to_string().into();
        }
    }
    Ok(inspected)
}

pub(crate) fn ls(args: Ls, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let filters = Filters::parse(&args.filter, |name| Ok(volumes::find(dirs, name)?.created))?;
    let users = if filters.needs_users() || args.format.is_some() { volumes::users(dirs)? } else { BTreeMap::new() };
    let mut all = volumes::list(dirs)?;
    all.retain(|volume| filters.matches(volume, users.contains_key(&volume.name)));
    let rows: Vec<Value> = all.iter().map(|volume| inspected(dirs, volume, &users)).collect::<Result<_>>()?;
    let listing = Listing {
        name: "volume ls",
        columns: COLUMNS,
        other_headings: &[],
        format: args.format.as_deref(),
        noheading: args.noheading,
        quiet: args.quiet.then_some("Name"),
    };
    listing.print(context.ui, &rows, || Ok(Value::Array(rows.clone())))?;
    Ok(0)
}

pub(crate) fn mount(args: Mount, context: &Context<'_>) -> Result<u8> {
    mounts::check("volume mount")?;
    let dirs = context.dirs()?;
    each(context, &args.volumes, |name| {
        context.ui.line(volumes::mountpoint(dirs, &volumes::find(dirs, name)?).display())
    })
}

pub(crate) fn unmount(args: Unmount, context: &Context<'_>) -> Result<u8> {
    mounts::check("volume unmount")?;
    let dirs = context.dirs()?;
    each(context, &args.volumes, |name| context.ui.line(volumes::find(dirs, name)?.name))
}

pub(crate) fn prune(mut args: Prune, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    // Docker's older form of --all.
    let others = args.filter.len();
    args.filter.retain(|filter| !matches!(filter.as_str(), "all=1" | "all=true"));
    args.all |= args.filter.len() < others;
    let filters = Filters::parse(&args.filter, |name| Ok(volumes::find(dirs, name)?.created))?;
    if !args.force {
        let what = if args.all { "all volumes" } else { "all volumes without a name" };
        let mut question = format!("WARNING! This will remove {what} not used by at least one container.");
        let doomed = volumes::unused(dirs, args.all, &filters)?;
        if !doomed.is_empty() {
            question.push_str(" The following volumes will be removed:");
            doomed.iter().for_each(|volume| question.push_str(&format!("\n{}", volume.name)));
        }
        if !confirm(context, &format!("{question}\nAre you sure you want to continue?"))? {
            return Ok(0);
        }
    }
    let (gone, bytes) = volumes::prune(dirs, args.all, &filters)?;
    gone.iter().try_for_each(|name| context.ui.line(name))?;
    if !gone.is_empty() {
        context.ui.line(format_args!("Total reclaimed space: {}", human::size(bytes)))?;
    }
    Ok(0)
}

pub(crate) fn rm(args: Rm, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    if args.all != args.volumes.is_empty() {
        return Err(Error::new("you must choose at least one volume or all"));
    }
    let mut code = 0;
    let names = if args.all { volumes::list(dirs)?.into_iter().map(|v| v.name).collect() } else { args.volumes };
    for name in names {
        let removed = volumes::find(dirs, &name)
            .and_then(|volume| volumes::remove(dirs, &volume, args.force, args.time).map(|()| volume.name));
        match removed {
            Ok(name) => context.ui.line(name)?,
            Err(e) if e.kind() == Kind::NoSuchObject && args.force => {}
            Err(e) => {
                code = code.max(match e.kind() {
                    Kind::NoSuchObject => 1,
                    Kind::Conflict => 2,
                    _ => 125,
                });
                output::report::error(context.ui, &e);
            }
        }
    }
    Ok(code)
}
