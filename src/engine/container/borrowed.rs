//! `--volumes-from`: the volumes and directories of other containers at the same places in a new one.

use super::options::RunOptions;
use super::options::mounts::{MountRequest, VolumesFrom};
use super::record::Mount;
use super::resolve::MountKind;
use super::store::{self, Container};
use super::volumes;
use crate::error::{Error, Result};
use crate::state::paths::Dirs;

/// Adds them to what was asked for, which goes before them; of two containers with something at one place the later one
/// counts. Answers warnings: what exists for its own container only cannot be shared.
pub(super) fn add(dirs: &Dirs, options: &mut RunOptions) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let mut found: Vec<MountRequest> = Vec::new();
    for from in &options.volumes_from {
        if from.container.is_empty() {
            return Err(Error::new("looking up container \"\" for volumes-from: name or ID cannot be empty"));
        }
        let container = store::find(dirs, &from.container)
            .map_err(|e| Error::wrap(format!("looking up container {:?} for volumes-from", from.container), e))?;
        for mount in container.config()?.mounts {
            match request(&container, from, &mount)? {
                Some(request) => {
                    found.retain(|other| other.destination() != request.destination());
                    found.push(request);
                }
                None => warnings.push(format!(
                    "Unable to match volume {} from container {} for volumes-from",
                    mount.destination,
                    container.id()
                )),
            }
        }
    }
    found.retain(|request| !options.mounts.iter().any(|asked| asked.destination() == request.destination()));
    for request in &found {
        if let MountRequest::Borrowed { name, .. } = request {
            volumes::borrow(&dirs.data.join("volumes"), name)?;
        }
    }
    options.mounts.append(&mut found);
    Ok(warnings)
}

fn request(container: &Container, from: &VolumesFrom, mount: &Mount) -> Result<Option<MountRequest>> {
    if mount.has("O") {
        return Ok(None);
    }
    let options = |volume| from.options(&mount.options, volume);
    let destination = mount.destination.clone();
    Ok(match (mount.kind, &mount.name) {
        (MountKind::Bind, _) => {
            Some(MountRequest::Bind { source: mount.source.clone(), destination, options: options(false)? })
        }
        (MountKind::Volume, Some(name)) if container.record.volumes.contains(name) => Some(MountRequest::Borrowed {
            name: name.clone(),
            destination,
            options: options(true)?,
            subpath: mount.subpath.clone(),
        }),
        (MountKind::Volume, Some(name)) => Some(MountRequest::Volume {
            name: Some(name.clone()),
            destination,
            options: options(true)?,
            copy: !mount.has("nocopy"),
            subpath: mount.subpath.clone(),
        }),
        _ => None,
    })
}
