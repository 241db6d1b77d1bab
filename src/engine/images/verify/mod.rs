//! Whether an image may be brought in: policy.json asked, signatures fetched and checked, before any layer is.

mod gpg;
mod sigstore;

use std::path::Path;

use crate::config::policy::{Keys, Policy, Requirement};
use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::image::reference::Reference;
use crate::image::transport::Local;
use crate::registry::Registry;

pub(crate) use gpg::{can_sign, sign};

/// Checks an image of a registry. `manifests` are its manifest and the index that led to it: a signature of either covers it.
pub(super) async fn registry_image(
    policy: Option<&Policy>,
    reference: &Reference,
    registry: &Registry,
    manifests: &[Digest],
) -> Result<()> {
    let Some(policy) = policy else { return Ok(()) };
    for requirement in policy.for_reference(reference) {
        if let Some(what) = requirement.unchecked() {
            return Err(unchecked(policy, &reference.to_string(), what));
        }
        match requirement {
            Requirement::AcceptAnything {} => {}
            Requirement::Reject {} | Requirement::SignedBaseLayer { .. } => {
                return Err(rejected(policy, &reference.to_string()));
            }
            Requirement::SignedBy(keys) => {
                let signatures = gpg::signatures(reference, registry, manifests).await?;
                one_of(policy, reference, signatures, |signature| gpg::check(signature, keys, reference, manifests))?;
            }
            Requirement::SigstoreSigned(keys) => {
                let signatures = sigstore::signatures(registry, manifests).await?;
                one_of(policy, reference, signatures, |signature| {
                    sigstore::check(signature, keys, reference, manifests)
                })?;
            }
        }
    }
    Ok(())
}

/// Checks an image in a file or a directory, which have no signatures that rpod reads.
pub(super) fn local_image(policy: Option<&Policy>, local: &Local) -> Result<()> {
    // Scopes are of where it really is; a link beside it is no way around them.
    let path = std::fs::canonicalize(&local.path).or_else(|_| std::path::absolute(&local.path));
    let path = path.unwrap_or_else(|_| local.path.clone());
    local_place(policy, local.kind.prefix(), &path, local.name.as_deref(), &local.to_string())
}

/// Checks images from a stream, known only as an archive.
pub(super) fn stream(policy: Option<&Policy>, transport: &str) -> Result<()> {
    local_place(policy, transport, Path::new(""), None, "the archive")
}

/// Checks whether the tar of a root file system may become an image.
pub(super) fn tarball(policy: Option<&Policy>) -> Result<()> {
    local_place(policy, "tarball", Path::new(""), None, "the tarball")
}

fn local_place(policy: Option<&Policy>, transport: &str, path: &Path, name: Option<&str>, shown: &str) -> Result<()> {
    let Some(policy) = policy else { return Ok(()) };
    for requirement in policy.for_path(transport, path, name) {
        if let Some(what) = requirement.unchecked() {
            return Err(unchecked(policy, shown, what));
        }
        match requirement {
            Requirement::AcceptAnything {} => {}
            Requirement::Reject {} => return Err(rejected(policy, shown)),
            Requirement::SignedBy(_) | Requirement::SigstoreSigned(_) | Requirement::SignedBaseLayer { .. } => {
                return Err(Error::new(format!(
                    "{shown} is rejected: it needs a signature, and there is none beside it"
                ))
                .hint(format!("that is what {} says", policy.place())));
            }
        }
    }
    Ok(())
}

fn rejected(policy: &Policy, what: &str) -> Error {
    Error::new(format!("{what} is rejected by the signature policy"))
        .hint(format!("that is what {} says", policy.place()))
}

/// A requirement that may be meant well, and that no image can fulfil here.
fn unchecked(policy: &Policy, what: &str, member: &str) -> Error {
    Error::new(format!("{what} is rejected: the signature policy asks for {member}, which rpod cannot check"))
        .hint(format!("that is what {} says", policy.place()))
}

/// The first good signature is enough; otherwise all reasons are told.
fn one_of<S>(
    policy: &Policy,
    reference: &Reference,
    signatures: Vec<S>,
    check: impl Fn(&S) -> Result<()>,
) -> Result<()> {
    let mut reasons = Vec::new();
    for signature in &signatures {
        match check(signature) {
            Ok(()) => return Ok(()),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    let why =
        if reasons.is_empty() { "a signature is needed, and there is none".to_owned() } else { reasons.join("; ") };
    Err(Error::new(format!("{reference} is rejected: {why}")).hint(format!("that is what {} says", policy.place())))
}

/// Whether the name in a verified signature is the one that the image is brought in by.
fn check_name(keys: &Keys, reference: &Reference, signed: &str) -> Result<()> {
    if keys.signed_identity.clone().unwrap_or_default().allows(reference, signed) {
        return Ok(());
    }
    Err(Error::new(format!("the signature is for the name {signed:?}")))
}
