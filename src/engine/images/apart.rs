//! Pulling in a process of its own, for those that fork a container afterwards: pulling starts threads.

use std::fs::File;
use std::io::{Read, Write};

use rustix::pipe::{PipeFlags, pipe_with};

use super::{Image, Progress, PullOptions, pull};
use crate::error::{Context, Error, Result};
use crate::image::digest::Digest;
use crate::state::paths::Dirs;
use crate::storage::Store;
use crate::sys::process::{Fork, exit_now, fork};
use crate::userns::IdMaps;
use crate::userns::enter::Failure;

/// [`pull`] in a forked child. This process stays single-threaded.
pub(crate) fn pull_apart(
    dirs: &Dirs,
    store: &Store,
    maps: &IdMaps,
    name: &str,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<Image> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).context(|| "cannot make a pipe")?;
    match fork().context(|| "cannot start a process that pulls the image")? {
        Fork::Child => {
            drop(reader);
            let answer = pull(dirs, store, maps, name, options, progress)
                .map(|image| (image.manifest, image.name))
                .map_err(|e| Failure::from(&e));
            let sent = serde_json::to_vec(&answer).map(|bytes| File::from(writer).write_all(&bytes));
            exit_now(if matches!(sent, Ok(Ok(()))) { 0 } else { 1 })
        }
        Fork::Parent(child) => {
            drop(writer);
            let mut answer = Vec::new();
            let read = File::from(reader).read_to_end(&mut answer);
            child.wait().context(|| "cannot wait for the process that pulls the image")?;
            read.context(|| "cannot hear the process that pulls the image")?;
            let answer: Result<(Digest, Option<String>), Failure> = serde_json::from_slice(&answer)
                .map_err(|_| Error::new(format!("the process that pulled {name} was killed")))?;
            let (manifest, name) = answer.map_err(Error::from)?;
            Ok(Image { name, ..Image::read(store, manifest)? })
        }
    }
}
