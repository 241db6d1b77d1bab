//! What a long operation tells while it runs. The engine does not print; `output::progress` does.

use crate::image::digest::Digest;

/// Where a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LayerState {
    Waiting,
    Downloading,
    /// All bytes have been handed over; the rest is being written.
    Unpacking,
    Done,
    /// It was in the store already, or another process has brought it meanwhile.
    Exists,
    Failed,
}

/// Told from any thread.
pub(crate) trait Progress: Send + Sync {
    /// A line for people: what happens next.
    fn message(&self, text: &str);

    /// Something is not as it should be, but goes on.
    fn warning(&self, text: &str);

    /// A layer of `size` bytes (0: not known) will be transferred.
    fn layer(&self, digest: &Digest, size: u64) -> Box<dyn LayerProgress>;
}

/// One layer's share.
pub(crate) trait LayerProgress: Send + Sync {
    /// So many bytes have arrived.
    fn position(&self, bytes: u64);

    fn state(&self, state: LayerState);
}
