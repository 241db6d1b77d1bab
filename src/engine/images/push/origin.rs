//! A layer from the registry that it was pulled from straight to the one it is pushed to. Compressors differ, so nothing but
//! the blob itself keeps a layer's digest when it was not rpod that compressed it, and the store keeps layers unpacked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::layer::Wanted;
use super::{Layer, PushOptions};
use crate::config::registries::Registries;
use crate::error::{Error, Result};
use crate::image::manifest::Descriptor;
use crate::image::reference::Reference;
use crate::registry::{self, Registry, RetryPolicy, TransferError};

/// So many repositories are asked for one layer.
const MOST_ORIGINS: usize = 2;
/// The layer can still be made here, so a registry that does not answer is not waited for long.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes on their way from one connection to the other.
const BUFFER: usize = 1 << 20;

/// Other registries, by the repositories that are asked.
pub(super) struct Origins(BTreeMap<String, Origin>);

struct Origin {
    registry: Registry,
    /// Once it has not answered, it is not asked again.
    is_dead: AtomicBool,
}

/// Whose fault it was.
pub(super) enum CopyError {
    /// The layer has to be made here.
    Origin(Error),
    Target(Error),
}

impl Origins {
    /// For the layers that are to be sent. Reads configuration and may run credential helpers.
    pub(super) fn of(config: &Registries, layers: &[&Layer], options: &PushOptions) -> Self {
        // The flags are about the registry that is pushed to.
        let options = registry::Options {
            auth_file: options.registry.auth_file.clone(),
            retry: RetryPolicy { retries: 0, ..RetryPolicy::default() },
            stall: registry::Options::default().stall.min(PATIENCE),
            ..registry::Options::default()
        };
        let open = |place: &String| {
            let reference = Reference::parse(place).ok()?;
            let source = registry::push_target(config, &reference).ok()?;
            let registry = Registry::new(&source, &options).ok()?;
            Some((place.clone(), Origin { registry, is_dead: AtomicBool::new(false) }))
        };
        Self(layers.iter().flat_map(|layer| layer.origins.iter().take(MOST_ORIGINS)).filter_map(open).collect())
    }

    /// The first that has the blob.
    async fn with(&self, places: &[String], descriptor: &Descriptor) -> Option<&Registry> {
        for place in places.iter().take(MOST_ORIGINS) {
            let Some(origin) = self.0.get(place).filter(|origin| !origin.is_dead.load(Ordering::Relaxed)) else {
                continue;
            };
            match origin.registry.has_blob(&descriptor.digest).await {
                Ok(true) => return Some(&origin.registry),
                Ok(false) => {}
                Err(_) => origin.is_dead.store(true, Ordering::Relaxed),
            }
        }
        None
    }

    /// Copies the layer as the manifest names it, if it may be had; whether it was.
    pub(super) async fn copy(
        &self,
        layer: &Layer,
        target: &Registry,
        meter: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<bool, CopyError> {
        let Some(origin) = self.with(&layer.origins, &layer.descriptor).await else { return Ok(false) };
        let (mut into, mut from) = tokio::io::duplex(BUFFER);
        let copying = async move {
            let copied = origin.copy_blob(&layer.descriptor, &mut into, meter, None).await;
            // The end of it.
            drop(into);
            copied
        };
        let sending = async {
            let mut upload = target.upload().await?;
            let mut piece = vec![0; BUFFER];
            loop {
                let read = from.read(&mut piece).await.map_err(|e| Error::wrap("cannot copy a layer", e))?;
                if read == 0 {
                    return Ok(upload);
                }
                if let Err(error) = upload.write(&piece[..read]).await {
                    drop(from);
                    return Err(error);
                }
            }
        };
        let (copied, upload) = tokio::join!(copying, sending);
        let upload = upload.map_err(CopyError::Target)?;
        match copied {
            Ok(()) => {
                upload.finish(&layer.descriptor.digest).await.map_err(CopyError::Target)?;
                Ok(true)
            }
            Err(TransferError::Source(error) | TransferError::Content(error)) => {
                upload.cancel().await;
                Err(CopyError::Origin(error))
            }
            Err(TransferError::Sink) => {
                upload.cancel().await;
                Err(CopyError::Target(Error::new("the upload ended early")))
            }
        }
    }
}

/// Whether only a copy keeps the digest that the manifest names: the form will do, and was not made by rpod.
pub(super) fn is_worth_it(wanted: &Wanted, descriptor: &Descriptor) -> bool {
    wanted.acceptable.iter().any(|form| form.descriptor.digest == descriptor.digest && form.made_as.is_none())
}
