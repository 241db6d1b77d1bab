//! `--all-platforms`: those that every base image of the target is there for.

use super::describe;
use super::plan::Source;
use super::request::Request;
use crate::engine::images::{self, PullPolicy};
use crate::error::{Error, Kind, Result};
use crate::image::manifest::Document;
use crate::image::platform::Platform;
use crate::image::reference::LOCAL_HOST;
use crate::state::paths::Dirs;
use crate::storage::Store;
use crate::userns::IdMaps;

/// The platforms, in the order of the first image's index. For a single-threaded process.
pub(crate) fn all(dirs: &Dirs, store: &Store, maps: &IdMaps, request: &Request) -> Result<Vec<Platform>> {
    let mut common: Option<Vec<Platform>> = None;
    for stage in describe::stages(dirs, maps, request)? {
        let Source::Image(name) = &stage.base else { continue };
        // It is the same image for every platform.
        if stage.platform.is_some() {
            continue;
        }
        let found = of_image(store, name, request)?;
        common = Some(match common {
            None => found,
            Some(common) => common.into_iter().filter(|platform| found.contains(platform)).collect(),
        });
    }
    match common {
        Some(platforms) if platforms.is_empty() => {
            Err(Error::new("there is no platform that all base images are there for"))
        }
        Some(platforms) => Ok(platforms),
        None => Err(Error::new("no base image says for which platforms to build").hint("name them with --platform")),
    }
}

fn is_made_here(name: &str) -> bool {
    name.strip_prefix(LOCAL_HOST).is_some_and(|rest| rest.starts_with('/'))
}

fn of_image(store: &Store, name: &str, request: &Request) -> Result<Vec<Platform>> {
    let here = images::resolve(store, name);
    if let Ok(image) = &here
        && (request.pull.policy == PullPolicy::Never || image.name.as_deref().is_some_and(is_made_here))
    {
        return Ok(vec![image.config.platform()]);
    }
    let text =
        match images::apart(&format!("looks for {name}"), || images::remote_manifest(name, &request.pull.registry)) {
            Ok(text) => text,
            Err(e) => return here.map(|image| vec![image.config.platform()]).map_err(|_| e.with_kind(Kind::General)),
        };
    match Document::parse(text.as_bytes(), None)? {
        Document::Index(index) => Ok(index.platforms()),
        Document::Image(_) => Ok(vec![request.platform.clone()]),
    }
}
