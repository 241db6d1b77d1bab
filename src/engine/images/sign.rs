//! `image sign`: a registry's manifest signed with gpg.

use std::path::{Path, PathBuf};

use super::verify;
use crate::config::registries::Registries;
use crate::error::{Context, Error, Result};
use crate::image::digest::Digest;
use crate::image::manifest::Document;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::registry::{self, Registry};

/// Whether [`sign_pushed`] has a key and a place for it, to be asked before the push.
pub(crate) fn can_sign(name: &Reference, key: &str) -> Result<()> {
    verify::can_sign(name, key)
}

/// Signs what has just been pushed as `name`.
pub(crate) fn sign_pushed(name: &Reference, manifest: Digest, key: &str) -> Result<()> {
    verify::sign(name, manifest, key, None).map(drop).context(|| format!("{name} was pushed, but it is not signed"))
}

/// Signs what `name` means at its registry: the manifest for this machine, or with `all` that of every platform and the index.
/// Answers where the signatures are.
pub(crate) fn sign(
    name: &str,
    key: &str,
    directory: Option<&Path>,
    all: bool,
    options: &registry::Options,
) -> Result<Vec<PathBuf>> {
    let config = Registries::load()?;
    let reference = registry::candidates(&config, name)?.into_iter().next();
    let reference: Reference = reference.ok_or_else(|| Error::new(format!("no registry is configured for {name}")))?;
    let registry = Registry::new(&registry::push_target(&config, &reference)?, options)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context(|| "cannot start the network client")?;
    let fetched = runtime.block_on(registry.manifest()).context(|| format!("cannot sign {reference}"))?;
    let mut digests = vec![fetched.digest];
    if let Document::Index(index) = Document::parse(&fetched.content, fetched.content_type.as_deref())? {
        match all {
            true => digests.extend(index.manifests.iter().map(|entry| entry.digest)),
            false => digests.push(index.select(&Platform::host())?.digest),
        }
    }
    digests.into_iter().map(|digest| verify::sign(&reference, digest, key, directory)).collect()
}
