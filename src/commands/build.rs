//! `rpod build`, `rpod builder prune`.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::Context;
use super::build_options;
use crate::build::{self, Built, Failure, export};
use crate::cli::build::{Build, Prune};
use crate::engine::images::{self, Image, SaveOptions};
use crate::error::{Context as _, Error, Result};
use crate::image::archive::Format;
use crate::output::build::{Plain, Sink};
use crate::output::progress::progress;
use crate::output::report;
use crate::userns::IdMaps;

pub(crate) fn run(args: Build, context: &Context<'_>) -> Result<u8> {
    if context.runtime.is_some() {
        return Err(Error::new("build runs its steps in rpod's own runtime: leave --runtime out"));
    }
    let request = build_options::request(&args)?;
    let outputs = args.result.output.iter().map(|text| Output::parse(text)).collect::<Result<Vec<_>>>()?;
    let quiet = match args.cache.progress.as_deref() {
        Some("quiet") => true,
        None | Some("" | "auto" | "plain") => args.cache.quiet,
        Some(known @ ("tty" | "rawjson")) => {
            return Err(
                Error::new(format!("--progress {known} is not supported")).hint("use --progress plain or quiet")
            );
        }
        Some(other) => return Err(Error::new(format!("unrecognized progress mode {other:?}"))),
    };
    let sink = match &args.cache.logfile {
        Some(path) => Sink::File(File::create(path).context(|| format!("cannot create {}", path.display()))?),
        None => Sink::Standard,
    };
    let (dirs, store, maps) = (context.dirs()?, context.store()?, IdMaps::for_user()?);
    context.ui.flush()?;
    let progress = progress(context.ui, quiet);
    if args.input.check {
        let findings = build::check(dirs, &maps, &request)?;
        findings.iter().try_for_each(|finding| context.ui.line(finding))?;
        return Ok(u8::from(!findings.is_empty()));
    }
    let mut reporter = Plain::new(context.ui, sink, quiet);
    let built = match build::build(dirs, &store, &maps, &request, &*progress, &mut reporter) {
        Ok(built) => built,
        Err(Failure { error, excerpt, code }) => {
            drop(progress);
            if let Some(excerpt) = excerpt {
                context.ui.note(excerpt);
            }
            let code = code.unwrap_or_else(|| error.kind().exit_code());
            report::error(context.ui, &error);
            return Ok(code);
        }
    };
    drop(progress);
    let image = Image::read(&store, built.manifest)?;
    for output in &outputs {
        output.write(context, &image, &built)?;
    }
    write_files(&args, &built)?;
    if !quiet {
        let short = built.id.hex();
        context.ui.line(format!("--> {}", short.get(..12).unwrap_or_default()))?;
        for name in &built.names {
            context.ui.line(format!("Successfully tagged {name}"))?;
        }
    }
    context.ui.line(built.id.hex())?;
    Ok(0)
}

/// `--iidfile`, `--metadata-file`.
fn write_files(args: &Build, built: &Built) -> Result<()> {
    let write = |path: &PathBuf, text: String| {
        std::fs::write(path, text).context(|| format!("cannot write {}", path.display()))
    };
    if let Some(path) = &args.result.iidfile {
        write(path, built.id.to_string())?;
    }
    if let Some(path) = &args.result.metadata_file {
        let metadata = json!({
            "containerimage.config.digest": built.id.to_string(),
            "containerimage.digest": built.manifest.to_string(),
            "image.name": built.names.join(","),
        });
        write(path, format!("{metadata:#}\n"))?;
    }
    Ok(())
}

/// `-o`.
#[derive(Debug, PartialEq, Eq)]
enum Output {
    Local(PathBuf),
    /// `None`: standard output.
    Tar(Option<PathBuf>),
    Archive(Format, PathBuf),
    /// The store, where the image is anyway.
    Store,
}

impl Output {
    fn parse(text: &str) -> Result<Self> {
        if !text.contains('=') {
            return Ok(if text == "-" { Self::Tar(None) } else { Self::Local(PathBuf::from(text)) });
        }
        let (mut kind, mut dest) = (None, None);
        for field in text.split(',') {
            match field.split_once('=') {
                Some(("type", value)) => kind = Some(value.to_owned()),
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
            Some("image" | "docker") => Self::Store,
            other => {
                let other = other.unwrap_or_default();
                return Err(Error::new(format!("invalid build output type {other:?}"))
                    .hint("local, tar, oci and docker are known"));
            }
        })
    }

    fn write(&self, context: &Context<'_>, image: &Image, built: &Built) -> Result<()> {
        let (dirs, store, maps) = (context.dirs()?, context.store()?, IdMaps::for_user()?);
        let create = |path: &PathBuf| File::create(path).context(|| format!("cannot create {}", path.display()));
        match self {
            Self::Store => Ok(()),
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

pub(crate) fn prune(args: Prune, context: &Context<'_>) -> Result<u8> {
    let store = context.store()?;
    if !args.force && std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        context.ui.stderr("WARNING! This will remove all build cache. Are you sure you want to continue? [y/N] ");
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).context(|| "cannot read the answer")?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(0);
        }
    }
    let steps = store.forget_build_steps()?;
    if args.all {
        build::forget_mounts(&store, &IdMaps::for_user()?)?;
    }
    images::collect(context.dirs()?, &store)?;
    context.ui.line(format!("Removed {steps} cached build steps"))?;
    Ok(0)
}
