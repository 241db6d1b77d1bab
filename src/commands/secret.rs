//! `rpod secret …`.

use std::collections::BTreeMap;
use std::io::Read;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Context;
use crate::cli::secret::{Create, Exists, Inspect, Ls, Rm};
use crate::engine::pattern;
use crate::engine::secrets::{self, CreateOptions, Secret};
use crate::error::{Context as _, Error, Kind, Result};
use crate::human;
use crate::output::listing::{Column, Listing};
use crate::output::{self, json as printed, listing, podman_types};

const COLUMNS: &[Column] = &[
    Column("ID", "ID"),
    Column("Name", "NAME"),
    Column("Driver", "DRIVER"),
    Column("CreatedAt", "CREATED"),
    Column("UpdatedAt", "UPDATED"),
];
/// More than any secret may have.
const LIMIT: u64 = 1 << 20;

pub(crate) fn create(args: Create, context: &Context<'_>) -> Result<u8> {
    let data = match (args.env.unwrap_or(false), args.file.as_str()) {
        (true, name) => std::env::var_os(name)
            .ok_or_else(|| {
                Error::new(format!("cannot create store secret data: environment variable {name} is not set"))
            })?
            .into_encoded_bytes(),
        (false, "-") => read(std::io::stdin().lock(), "standard input")?,
        (false, path) => read(std::fs::File::open(path).context(|| format!("cannot open {path}"))?, path)?,
    };
    let options = CreateOptions {
        name: &args.name,
        driver: &args.driver,
        labels: pairs(&args.label),
        options: pairs(&args.driver_opts),
        replace: args.replace,
        ignore: args.ignore,
    };
    context.ui.line(secrets::create(context.dirs()?, options, &data)?)?;
    Ok(0)
}

fn read(input: impl Read, shown: &str) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    input.take(LIMIT).read_to_end(&mut data).context(|| format!("cannot read {shown}"))?;
    Ok(data)
}

fn pairs(texts: &[String]) -> BTreeMap<String, String> {
    let split =
        |text: &String| text.split_once('=').map_or((text.clone(), String::new()), |(k, v)| (k.into(), v.into()));
    texts.iter().map(split).collect()
}

pub(crate) fn exists(args: Exists, context: &Context<'_>) -> Result<u8> {
    match secrets::find(context.dirs()?, &args.secret) {
        Ok(_) => Ok(0),
        Err(e) if e.kind() == Kind::NoSuchObject => Ok(1),
        Err(e) => Err(e),
    }
}

pub(crate) fn inspect(args: Inspect, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let (mut found, mut code) = (Vec::new(), 0);
    for name in &args.secrets {
        match secrets::find(dirs, name) {
            Ok(secret) => {
                let mut shown = inspected(&secret);
                if args.showsecret {
                    shown["SecretData"] = String::from_utf8_lossy(&secrets::data(dirs, &secret)?).into();
                }
                found.push((secret, shown));
            }
            Err(e) if e.kind() == Kind::NoSuchObject => {
                code = 125;
                output::report::error(context.ui, &e);
            }
            Err(e) => return Err(e),
        }
    }
    if args.pretty {
        for (secret, shown) in &found {
            let labels: Vec<String> = secret.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let lines = [
                ("ID", secret.id.clone()),
                ("Name", secret.name.clone()),
                ("Labels", labels.join(", ")),
                ("Driver", "file".to_owned()),
                ("Created", secret.created.to_string()),
                ("Updated", secret.updated.to_string()),
            ];
            for (name, value) in lines {
                context.ui.line(format_args!("{:<18}{}", format!("{name}:"), output::escape::line(&value)))?;
            }
            if let Some(data) = shown["SecretData"].as_str() {
                context.ui.line(format_args!("{:<18}{}", "Secret:", output::escape::line(data)))?;
            }
        }
        return Ok(code);
    }
    let all: Vec<Value> = found.into_iter().map(|(_, shown)| shown).collect();
    match args.format.as_deref() {
        None | Some("json") => printed::pretty(context.ui, &all)?,
        Some(format) => all.iter().try_for_each(|one| {
            listing::typed_object(context.ui, "secret inspect", format, one, false, &podman_types::SECRET_REPORT)
        })?,
    }
    Ok(code)
}

fn inspected(secret: &Secret) -> Value {
    json!({
        "ID": secret.id,
        "CreatedAt": secret.created.to_string(),
        "UpdatedAt": secret.updated.to_string(),
        "Spec": {
            "Name": secret.name,
            "Driver": {"Name": "file", "Options": secret.options},
            "Labels": secret.labels,
        },
    })
}

pub(crate) fn ls(args: Ls, context: &Context<'_>) -> Result<u8> {
    let mut all = secrets::list(context.dirs()?)?;
    for filter in &args.filter {
        match filter.split_once('=') {
            Some(("name", value)) => {
                let wanted = pattern::regex(value)?;
                all.retain(|secret| wanted.is_match(&secret.name));
            }
            Some(("id", value)) => all.retain(|secret| secret.id.starts_with(value)),
            _ => return Err(Error::new(format!("invalid filter {filter:?}")).hint("secrets have name and id")),
        }
    }
    let now = Timestamp::now();
    let rows: Vec<Value> = all
        .iter()
        .map(|secret| {
            json!({
                "ID": secret.id,
                "Name": secret.name,
                "Driver": "file",
                "CreatedAt": human::ago(secret.created, now),
                "UpdatedAt": human::ago(secret.updated, now),
            })
        })
        .collect();
    let listing = Listing {
        name: "secret ls",
        columns: COLUMNS,
        other_headings: &[],
        format: args.format.as_deref(),
        noheading: args.noheading,
        quiet: args.quiet.then_some("ID"),
    };
    listing.print(context.ui, &rows, || Ok(Value::Array(all.iter().map(inspected).collect())))?;
    Ok(0)
}

pub(crate) fn rm(args: Rm, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    if args.all != args.secrets.is_empty() {
        return Err(Error::new("secret names or --all must be given, and not both"));
    }
    let names = if args.all { secrets::list(dirs)?.into_iter().map(|s| s.name).collect() } else { args.secrets };
    let mut code = 0;
    for name in names {
        match secrets::find(dirs, &name).and_then(|secret| secrets::remove(dirs, &secret).map(|()| secret.id)) {
            Ok(id) => context.ui.line(id)?,
            Err(e) if e.kind() == Kind::NoSuchObject && args.ignore => {}
            Err(e) => {
                code = 125;
                output::report::error(context.ui, &e);
            }
        }
    }
    Ok(code)
}
