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
use crate::state::given;
use crate::userns::IdMaps;

/// `-o`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output {
    Local(PathBuf),
    /// `None`: standard output.
    Tar(Option<PathBuf>),
    /// `None`: standard output. The image gets these names as well.
    Archive(Format, Option<PathBuf>, Vec<String>),
    /// An OCI layout that is no archive.
    Layout(PathBuf, Vec<String>),
    /// The store, where the image is anyway, under these names as well.
    Store(Vec<String>),
    /// Its registry, under the names it is given and these.
    Push(Vec<String>),
}

impl Output {
    pub(super) fn parse(text: &str) -> Result<Self> {
        if !text.contains('=') {
            return Ok(if text == "-" { Self::Tar(None) } else { Self::Local(PathBuf::from(text)) });
        }
        let (mut kind, mut dest, mut push, mut names, mut tar) = (None, None, false, Vec::new(), true);
        for field in text.split(',') {
            match field.split_once('=') {
                Some(("type", value)) => kind = Some(value.to_owned()),
                Some(("push", value)) => push = value == "true",
                Some(("dest" | "output", value)) => dest = Some(value.to_owned()),
                Some(("tar", value @ ("true" | "false"))) => tar = value == "true",
                Some(("name", value)) => names.push(value.to_owned()),
                _ => return Err(Error::new(format!("invalid build output option {text:?}: {field:?} is not known"))),
            }
        }
        let path = |dest: Option<String>| {
            dest.map(PathBuf::from)
                .ok_or_else(|| Error::new(format!("invalid build output option {text:?}: dest= is missing")))
        };
        let file = |dest| path(dest).map(|path| Some(path).filter(|path| path != Path::new("-")));
        Ok(match kind.as_deref() {
            Some("local") => Self::Local(path(dest)?),
            Some("tar") => Self::Tar(file(dest)?),
            Some("oci") if !tar => Self::Layout(path(dest)?, names),
            Some("oci") => Self::Archive(Format::Oci, file(dest)?, names),
            Some("docker") if dest.is_some() => Self::Archive(Format::Docker, file(dest)?, names),
            Some("registry") => Self::Push(names),
            Some("image") if push => Self::Push(names),
            Some("image" | "docker") => Self::Store(names),
            other => {
                let other = other.unwrap_or_default();
                return Err(Error::new(format!("invalid build output type {other:?}"))
                    .hint("local, tar, oci, docker, image and registry are known"));
            }
        })
    }

    pub(super) fn is_stdout(&self) -> bool {
        matches!(self, Self::Tar(None) | Self::Archive(_, None, _))
    }

    pub(super) fn is_push(&self) -> bool {
        matches!(self, Self::Push(_))
    }

    /// Whether it cannot hold the images of several platforms.
    pub(super) fn is_one_file(&self) -> bool {
        matches!(self, Self::Tar(_) | Self::Archive(..) | Self::Layout(..))
    }

    /// Names beside those of `--tag`.
    pub(super) fn names(&self) -> &[String] {
        match self {
            Self::Store(names) | Self::Push(names) | Self::Archive(_, _, names) | Self::Layout(_, names) => names,
            _ => &[],
        }
    }

    /// `several`: the directory that is for this platform of several.
    pub(super) fn write(
        &self,
        context: &Context<'_>,
        image: &Image,
        built: &Built,
        several: Option<&str>,
    ) -> Result<()> {
        let (dirs, store, maps) = (context.dirs()?, context.store()?, IdMaps::for_user()?);
        let create = |path: &PathBuf| given::create(path).context(|| format!("cannot create {}", path.display()));
        match self {
            Self::Store(_) | Self::Push(_) => Ok(()),
            Self::Local(path) => {
                let path = several.map_or_else(|| path.clone(), |directory| path.join(directory));
                export::directory(dirs, &store, &maps, image, &path)
            }
            Self::Tar(Some(path)) => export::tar(&store, &maps, image, &mut create(path)?),
            Self::Tar(None) => {
                let mut out = standard_output(context)?;
                export::tar(&store, &maps, image, &mut out)?;
                out.flush().context(|| "cannot write to standard output")
            }
            Self::Archive(format, path, _) => {
                let options = SaveOptions { format: *format, only_images: false };
                let plan = images::plan_save(&store, &names_of(built), options)?;
                let file = path.as_ref().map_or_else(|| standard_output(context), create)?;
                images::save(&store, &maps, &plan, options, file)
            }
            Self::Layout(path, _) => {
                let options = SaveOptions { format: Format::Oci, only_images: false };
                let plan = images::plan_save(&store, &names_of(built), options)?;
                images::save_directory(&store, &maps, &plan, Format::Oci, false, path)
            }
        }
    }
}

fn names_of(built: &Built) -> Vec<String> {
    if built.names.is_empty() { vec![built.id.hex()] } else { built.names.clone() }
}

fn standard_output(context: &Context<'_>) -> Result<File> {
    let failed = || "cannot write to standard output";
    context.ui.flush()?;
    std::io::stdout().as_fd().try_clone_to_owned().map(File::from).context(failed)
}
