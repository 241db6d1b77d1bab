//! `build --output`.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::Context;
use crate::build::{Built, export};
use crate::engine::images::{self, Image, SaveOptions};
use crate::error::{Context as _, Error, Result};
use crate::image::archive::Format;
use crate::userns::IdMaps;

/// `-o`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output {
    Local(PathBuf),
    /// `None`: standard output.
    Tar(Option<PathBuf>),
    Archive(Format, PathBuf),
    /// The store, where the image is anyway.
    Store,
    /// Its registry, under the names it is given.
    Push,
}

impl Output {
    pub(super) fn parse(text: &str) -> Result<Self> {
        if !text.contains('=') {
            return Ok(if text == "-" { Self::Tar(None) } else { Self::Local(PathBuf::from(text)) });
        }
        let (mut kind, mut dest, mut push) = (None, None, false);
        for field in text.split(',') {
            match field.split_once('=') {
                Some(("type", value)) => kind = Some(value.to_owned()),
                Some(("push", value)) => push = value == "true",
                Some(("dest" | "output", value)) => dest = Some(value.to_owned()),
                _ => return Err(Error::new(format!("invalid build output option {text:?}: {field:?} is not known"))),
            }
        }
        let path = |dest: Option<String>| {
            dest.map(PathBuf::from)
                .ok_or_else(|| Error::new(format!("invalid build output option {text:?}: dest= is missing")))
        };
        Ok(match kind.as_deref() {
            Some("local") => Self::Local(path(dest)?),
            Some("tar") => Self::Tar(Some(path(dest)?).filter(|path| path != Path::new("-"))),
            Some("oci") => Self::Archive(Format::Oci, path(dest)?),
            Some("docker") if dest.is_some() => Self::Archive(Format::Docker, path(dest)?),
            Some("registry") => Self::Push,
            Some("image") if push => Self::Push,
            Some("image" | "docker") => Self::Store,
            other => {
                let other = other.unwrap_or_default();
                return Err(Error::new(format!("invalid build output type {other:?}"))
                    .hint("local, tar, oci, docker, image and registry are known"));
            }
        })
    }

    pub(super) fn write(&self, context: &Context<'_>, image: &Image, built: &Built) -> Result<()> {
        let (dirs, store, maps) = (context.dirs()?, context.store()?, IdMaps::for_user()?);
        let create = |path: &PathBuf| File::create(path).context(|| format!("cannot create {}", path.display()));
        match self {
            Self::Store | Self::Push => Ok(()),
            Self::Local(path) => export::directory(dirs, &store, &maps, image, path),
            Self::Tar(Some(path)) => export::tar(&store, &maps, image, &mut create(path)?),
            Self::Tar(None) => {
                context.ui.flush()?;
                let out =
                    std::io::stdout().as_fd().try_clone_to_owned().context(|| "cannot write to standard output")?;
                let mut out = File::from(out);
                export::tar(&store, &maps, image, &mut out)?;
                out.flush().context(|| "cannot write to standard output")
            }
            Self::Archive(format, path) => {
                let options = SaveOptions { format: *format, only_images: false };
                let names = if built.names.is_empty() { vec![built.id.hex()] } else { built.names.clone() };
                let plan = images::plan_save(&store, &names, options)?;
                images::save(&store, &maps, &plan, options, create(path)?)
            }
        }
    }
}
