//! `--output`: the files of the result, in a directory or as a tar.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::context::select::Root;
use super::copy::{Attributes, Target};
use super::extract;
use super::workroom::Workroom;
use crate::engine::images::Image;
use crate::error::{Context, Error, Result};
use crate::state::given;
use crate::state::paths::Dirs;
use crate::storage::{Store, diff};
use crate::userns::{IdMaps, enter};

/// Writes the root file system as a tar.
pub(crate) fn tar(store: &Store, maps: &IdMaps, image: &Image, output: &mut dyn Write) -> Result<()> {
    let failed = || "cannot export the image";
    let directories: Vec<_> = store.layers(&image.layers)?.iter().rev().map(crate::storage::Layer::diff).collect();
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context(failed)?;
    let child = enter::spawn(maps, || u8::from(diff::export_layers(&directories, File::from(writer)).is_err()))?;
    let mut reader = File::from(reader);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer).context(failed)? {
            0 => break,
            read => output.write_all(&buffer[..read]).context(failed)?,
        }
    }
    match child.wait().context(failed)? {
        0 => Ok(()),
        code => Err(Error::new(format!("{}: the process ended with code {code}", failed()))),
    }
}

/// Writes the files into a directory; all of them belong to this user.
pub(crate) fn directory(dirs: &Dirs, store: &Store, maps: &IdMaps, image: &Image, to: &Path) -> Result<()> {
    given::create_directories(to).context(|| format!("cannot create {}", to.display()))?;
    let room = Workroom::open(dirs, maps)?;
    let done = (|| {
        let path = room.path("root.tar");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .context(|| "cannot export the image")?;
        tar(store, maps, image, &mut file)?;
        file.rewind().context(|| "cannot export the image")?;
        let root = Root::open(to)?;
        let owner = Some((rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()));
        let attributes = Attributes { owner, ..Attributes::default() };
        let mut target = Target::replacing(&root, &attributes);
        extract::unpack(&mut target, &file, b"")?;
        target.done()
    })();
    done.context(|| format!("cannot write the result to {}", to.display()))
}
