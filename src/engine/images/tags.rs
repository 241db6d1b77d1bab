//! What a registry says of a repository: its tags (`pull --all-tags`, `search --list-tags`), its manifests (`manifest inspect`).

use crate::config::registries::Registries;
use crate::error::{Context, Error, Result};
use crate::image::reference::{Reference, is_short};
use crate::registry::{self, Registry};

/// Full names of every tag of the repository `name`, which has no tag of its own.
pub(crate) fn all_tags(name: &str, options: &registry::Options) -> Result<Vec<String>> {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains([':', '@']) {
        return Err(Error::new(format!("{name}: tag can't be used with --all-tags")));
    }
    let (repository, tags) = list_tags(name, options)?;
    Ok(tags.into_iter().map(|tag| format!("{repository}:{tag}")).collect())
}

/// The repository's full name, and its tags.
pub(crate) fn list_tags(name: &str, options: &registry::Options) -> Result<(String, Vec<String>)> {
    let config = Registries::load()?;
    let mut failure = Error::new(format!("no registry is configured for {name}"));
    for reference in registry::candidates(&config, name)? {
        match tags(&config, &reference, options) {
            Ok(tags) => return Ok((reference.repository(), tags)),
            Err(error) => failure = error,
        }
        if !is_short(name) {
            break;
        }
    }
    Err(failure)
}

fn tags(config: &Registries, reference: &Reference, options: &registry::Options) -> Result<Vec<String>> {
    let source = registry::push_target(config, reference)?;
    let registry = Registry::new(&source, options)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context(|| "cannot start the network client")?;
    runtime.block_on(registry.tags()).context(|| format!("cannot list the tags of {}", reference.repository()))
}

/// The manifest or index that `name` means at its registry, as it is.
pub(crate) fn remote_manifest(name: &str, options: &registry::Options) -> Result<String> {
    let config = Registries::load()?;
    let reference = registry::candidates(&config, name)?.into_iter().next();
    let reference = reference.ok_or_else(|| Error::new(format!("no registry is configured for {name}")))?;
    let registry = Registry::new(&registry::push_target(&config, &reference)?, options)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context(|| "cannot start the network client")?;
    let fetched = runtime.block_on(registry.manifest()).context(|| format!("cannot read {reference}"))?;
    Ok(String::from_utf8_lossy(&fetched.content).into_owned())
}
