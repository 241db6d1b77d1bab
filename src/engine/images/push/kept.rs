//! A layer that was kept as it came (`storage::compressed`) to the registry: the bytes that its digest stands for.

use std::fs::File;
use std::io::Read;

use sha2::{Digest as _, Sha256};

use super::layer::Acceptable;
use crate::error::{Context, Result};
use crate::image::digest::{DiffId, Digest};
use crate::registry::Registry;
use crate::storage::Store;

/// Read and sent at a time.
const PIECE: usize = 1 << 20;

/// The best of the forms that will do which is kept.
pub(super) fn find<'a>(
    store: &Store,
    diff_id: &DiffId,
    acceptable: &'a [Acceptable],
) -> Option<(&'a Acceptable, File)> {
    acceptable.iter().find_map(|form| Some((form, store.compressed(diff_id, &form.descriptor.digest)?)))
}

/// Sends it; `false` when it is damaged, and nothing was sent then.
pub(super) async fn send(
    registry: &Registry,
    mut file: File,
    digest: &Digest,
    meter: &(dyn Fn(u64) + Send + Sync),
) -> Result<bool> {
    let failed = || format!("cannot read what is kept of {digest}");
    let mut upload = registry.upload().await?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE];
    let mut sent = 0u64;
    loop {
        let read = match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) => {
                upload.cancel().await;
                return Err(e).context(failed);
            }
        };
        hash.update(&piece[..read]);
        upload.write(&piece[..read]).await?;
        sent += read as u64;
        meter(sent);
    }
    if Digest::from_bytes(hash.finalize().into()) != *digest {
        upload.cancel().await;
        return Ok(false);
    }
    upload.finish(digest).await?;
    Ok(true)
}
