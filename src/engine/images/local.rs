//! Images out of files and directories by name: `docker-archive:`, `oci-archive:`, `oci:`, `dir:`.

use std::fs::File;
use std::path::Path;

use super::load::{self, Loaded};
use super::{Progress, verify};
use crate::config::policy::Policy;
use crate::error::{Context, Error, Kind as ErrorKind, Result};
use crate::image::archive::{self, Archived, Index, Name};
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::transport::{Kind, Local};
use crate::state::paths::Dirs;
use crate::storage::Store;
use crate::userns::IdMaps;

/// Brings the images that `local` means into the store: the named one, or all, if `policy` or policy.json
/// lets them in. Must be called while the process has one thread.
pub(crate) fn pull_local(
    dirs: &Dirs,
    store: &Store,
    maps: &IdMaps,
    local: &Local,
    wanted: &Platform,
    policy: Option<&Path>,
    progress: &dyn Progress,
) -> Result<Vec<Loaded>> {
    let named = chosen(dirs, local, wanted, policy)?;
    load::bring(dirs, store, maps, named, progress)
}

/// Brings the first image that `local` means into the store, without the names that it has there: none of the store's own is
/// moved. Must be called while the process has one thread.
pub(crate) fn pull_unnamed(
    dirs: &Dirs,
    store: &Store,
    maps: &IdMaps,
    local: &Local,
    wanted: &Platform,
    progress: &dyn Progress,
) -> Result<Loaded> {
    let first = chosen(dirs, local, wanted, None)?.into_iter().take(1).map(|(_, image)| (Vec::new(), image)).collect();
    let loaded = load::bring(dirs, store, maps, first, progress)?;
    loaded.into_iter().next().ok_or_else(|| Error::new(format!("there is no image in {local}")))
}

/// The images that `local` means, with their names there, if `policy` or policy.json lets them in.
fn chosen(
    dirs: &Dirs,
    local: &Local,
    wanted: &Platform,
    policy: Option<&Path>,
) -> Result<Vec<(Vec<Reference>, Archived)>> {
    let index = open(&dirs.data, local).context(|| format!("cannot read {local}"))?;
    let images = archive::read(&index, wanted).context(|| format!("cannot read {local}"))?;
    verify::local_image(Policy::load(policy)?.as_ref(), local)?;
    let mut named = Vec::new();
    for (number, mut image) in images.into_iter().enumerate() {
        if let Some(name) = &local.name {
            image.names.retain(|candidate| means(name, candidate));
            let by_number = name.strip_prefix('@').and_then(|n| n.parse().ok()) == Some(number);
            if image.names.is_empty() && !by_number {
                continue;
            }
        }
        named.push((load::names(&image)?, image));
    }
    if named.is_empty() {
        return Err(Error::new(format!("there is no such image in {local}")).with_kind(ErrorKind::NoSuchObject));
    }
    Ok(named)
}

fn open(scratch: &Path, local: &Local) -> Result<Index> {
    if !local.is_archive() {
        return Index::directory(&local.path);
    }
    let file = File::open(&local.path).context(|| format!("cannot open {}", local.path.display()))?;
    let index = Index::read(load::seekable(scratch, file)?)?;
    let (expected, what) = match local.kind {
        Kind::OciArchive => ("index.json", "an OCI archive"),
        _ => ("manifest.json", "a docker archive"),
    };
    if !index.contains(expected) {
        return Err(Error::new(format!("it is not {what}: there is no {expected} in it")));
    }
    Ok(index)
}

/// Whether an image's name in the archive is the one typed.
fn means(typed: &str, name: &Name) -> bool {
    let same = |parse: fn(&str) -> Result<Reference>, name: &str| matches!((parse(typed), parse(name)), (Ok(a), Ok(b)) if a.store_name() == b.store_name());
    match name {
        Name::Docker(name) => same(Reference::parse, name),
        Name::Oci(name) => typed == name || same(Reference::parse_local, name),
    }
}
