//! `rpod image trust`, `rpod image sign`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::Context;
use super::pull::registry_options;
use crate::cli::trust::{Sign, Trust};
use crate::config::policy::{Keys, Policy, Requirement};
use crate::config::registries_d;
use crate::engine::images;
use crate::error::{Context as _, Error, Result};
use crate::image::reference::Reference;
use crate::output::listing::{Column, Listing};

const COLUMNS: &[Column] = &[
    Column("Transport", "TRANSPORT"),
    Column("RepoName", "NAME"),
    Column("Type", "TYPE"),
    Column("GPGId", "ID"),
    Column("SignatureStore", "STORE"),
];

pub(crate) fn trust(args: Trust, context: &Context<'_>) -> Result<u8> {
    match args.action.as_str() {
        "set" => set(&args),
        _ => show(&args, context),
    }
}

fn show(args: &Trust, context: &Context<'_>) -> Result<u8> {
    if args.raw {
        let path = existing(args).ok_or_else(|| Error::new("there is no policy.json: every image is accepted"))?;
        let text = std::fs::read_to_string(&path).context(|| format!("cannot read {}", path.display()))?;
        context.ui.print(&text)?;
        return Ok(0);
    }
    // Without a file everything is accepted.
    let policy = Policy::load(args.policypath.as_deref())?
        .map_or_else(|| Policy::parse(r#"{"default":[{"type":"insecureAcceptAnything"}]}"#), Ok)?;
    let mut rows = Vec::new();
    match &args.registry {
        Some(name) => {
            let reference = Reference::parse(name)?;
            rows.extend(row("repository", name, policy.for_reference(&reference)));
        }
        None => {
            rows.extend(row("all", "default", &policy.default));
            for (transport, scopes) in &policy.transports {
                let transport = if transport == "docker" { "repository" } else { transport };
                rows.extend(scopes.iter().flat_map(|(scope, list)| row(transport, scope, list)));
            }
        }
    }
    if args.json {
        let list: Vec<Value> = rows.iter().map(machine).collect();
        let text = serde_json::to_string_pretty(&list).context(|| "cannot encode the rules")?;
        context.ui.line(text)?;
        return Ok(0);
    }
    let noheading = args.noheading;
    let listing =
        Listing { name: "trust", columns: COLUMNS, other_headings: &[], format: None, noheading, quiet: None };
    listing.print(context.ui, &rows, || Ok(Value::Null))?;
    Ok(0)
}

/// A rule as it is listed: one line for each requirement.
fn row(transport: &str, scope: &str, list: &[Requirement]) -> Vec<Value> {
    list.iter()
        .map(|requirement| {
            let (kind, keys) = match requirement {
                Requirement::AcceptAnything {} => ("accept", None),
                Requirement::Reject {} => ("reject", None),
                Requirement::SignedBy(keys) => ("signed", Some(keys)),
                Requirement::SigstoreSigned(keys) => ("sigstoreSigned", Some(keys)),
                Requirement::SignedBaseLayer { .. } => ("signedBaseLayer", None),
            };
            // The files of the keys say whose they are; for sigstore Podman shows this.
            let id = match (requirement, keys) {
                (Requirement::SigstoreSigned(_), _) => "N/A".to_owned(),
                (_, Some(keys)) => keys.paths().collect::<Vec<_>>().join(", "),
                (_, None) => String::new(),
            };
            let reference = Reference::parse(&format!("{scope}/x")).or_else(|_| Reference::parse(scope));
            let store = match (requirement, reference) {
                (Requirement::SignedBy(_), Ok(reference)) if transport == "repository" => {
                    registries_d::lookaside(&reference, false).unwrap_or_default()
                }
                _ => String::new(),
            };
            json!({
                "Transport": transport, "RepoName": scope, "Type": kind, "GPGId": id, "SignatureStore": store,
            })
        })
        .collect()
}

fn machine(row: &Value) -> Value {
    let mut object = Map::new();
    let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let mut put = |key: &str, value: String| {
        if !value.is_empty() {
            object.insert(key.to_owned(), value.into());
        }
    };
    put("transport", text("Transport"));
    put("name", if text("Transport") == "all" { "* (default)".to_owned() } else { text("RepoName") });
    put("repo_name", text("RepoName"));
    put("sigstore", text("SignatureStore"));
    put("type", text("Type"));
    put("gpg_id", text("GPGId"));
    Value::Object(object)
}

fn existing(args: &Trust) -> Option<PathBuf> {
    args.policypath.clone().into_iter().chain(Policy::files()).find(|path| path.exists())
}

/// Changes the file as it is written, so that what rpod does not know about stays.
fn set(args: &Trust) -> Result<u8> {
    let scope = args.registry.as_deref().ok_or_else(|| Error::new("the registry is missing, or \"default\""))?;
    let target = match &args.policypath {
        Some(path) => path.clone(),
        None => Policy::files().into_iter().next().ok_or_else(|| Error::new("there is no place for policy.json"))?,
    };
    let requirements = match args.kind.as_str() {
        "accept" => vec![Requirement::AcceptAnything {}],
        "reject" => vec![Requirement::Reject {}],
        kind if args.pubkeysfile.is_empty() => {
            return Err(Error::new(format!("--type {kind} needs a key: --pubkeysfile")));
        }
        kind => args.pubkeysfile.iter().map(|path| signed(kind, path)).collect::<Result<_>>()?,
    };
    let source = existing(args);
    let mut content = match source {
        Some(path) => std::fs::read_to_string(&path).context(|| format!("cannot read {}", path.display()))?,
        None => r#"{"default":[{"type":"insecureAcceptAnything"}]}"#.to_owned(),
    };
    Policy::parse(&content)?;
    let mut policy: Value = serde_json::from_str(&content).context(|| "the policy is not JSON")?;
    let list = serde_json::to_value(requirements).context(|| "cannot encode the rule")?;
    match scope {
        "default" => policy["default"] = list,
        scope => {
            Reference::parse(&format!("{scope}/x")).or_else(|_| Reference::parse(scope))?;
            policy["transports"]["docker"][scope] = list;
        }
    }
    content = serde_json::to_string_pretty(&policy).context(|| "cannot encode the policy")?;
    if let Some(dir) = target.parent() {
        std::fs::create_dir_all(dir).context(|| format!("cannot create {}", dir.display()))?;
    }
    crate::state::file::write(&target, content.as_bytes(), crate::state::file::Durability::Synced)?;
    Ok(0)
}

fn signed(kind: &str, path: &Path) -> Result<Requirement> {
    let path = std::path::absolute(path).context(|| format!("cannot make {} absolute", path.display()))?;
    if !path.is_file() {
        return Err(Error::new(format!("there is no key {}", path.display())));
    }
    let path = path.into_os_string().into_string();
    let path = path.map_err(|path| Error::new(format!("the path {} is not UTF-8", path.display())))?;
    let keys = Keys { key_path: Some(path), ..Keys::default() };
    Ok(match kind {
        "sigstoreSigned" => Requirement::SigstoreSigned(keys),
        _ => Requirement::SignedBy(Keys { key_type: Some("GPGKeys".to_owned()), ..keys }),
    })
}

pub(crate) fn sign(args: Sign, context: &Context<'_>) -> Result<u8> {
    let options = registry_options(&args.registry)?;
    for name in &args.images {
        let name = name.strip_prefix("docker://").unwrap_or(name);
        for path in images::sign(name, &args.sign_by, args.directory.as_deref(), args.all, &options)? {
            context.ui.note(format_args!("Signature written to {}", path.display()));
        }
    }
    Ok(0)
}
