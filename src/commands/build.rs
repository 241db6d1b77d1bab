//! `rpod build`.

use std::path::PathBuf;

use serde_json::json;

use super::build_call::Call;
use super::build_output::Output;
use super::{Context, build_options, build_share};
use crate::build::request::Request;
use crate::build::{self, Built, Failure, Remark, platforms};
use crate::cli::build::Build;
use crate::engine::events;
use crate::engine::images::Image;
use crate::error::{Context as _, Error, Result};
use crate::image::digest::Digest;
use crate::image::manifest::{Descriptor, Document};
use crate::output::build::{Plain, Sink, View};
use crate::output::build_json::RawJson;
use crate::output::build_live::{self, Live};
use crate::output::progress::progress;
use crate::output::report;
use crate::state::given;
use crate::storage::Store;
use crate::userns::IdMaps;

pub(crate) fn run(args: Build, context: &Context<'_>) -> Result<u8> {
    if context.runtime.is_some() {
        return Err(Error::new("build runs its steps in rpod's own runtime: leave --runtime out"));
    }
    let outputs = args.result.output.iter().map(|text| Output::parse(text)).collect::<Result<Vec<_>>>()?;
    let push = args.result.push || outputs.iter().any(Output::is_push);
    let call = Call::of(&args)?;
    let to_stdout = outputs.iter().any(Output::is_stdout);
    let shown = if to_stdout { Shown::Quiet } else { shown(&args, context)? };
    let quiet = matches!(shown, Shown::Quiet | Shown::Json);
    let requests = requests(&args, context, call)?;
    if let (Some(call), [request, ..]) = (call, &requests[..]) {
        return call.answer(context, request);
    }
    let names = build_share::list_names(&args, &outputs, requests.len())?;
    if requests.len() > 1 && outputs.iter().any(Output::is_one_file) {
        return Err(Error::new("this form of -o holds one image: build one platform at a time for it")
            .hint("type=local makes a directory for each platform"));
    }
    let sink = match &args.cache.logfile {
        Some(path) => Sink::File(given::create(path).context(|| format!("cannot create {}", path.display()))?),
        None => Sink::Standard,
    };
    let (dirs, store, maps) = (context.dirs()?, context.store()?, IdMaps::for_user()?);
    context.ui.flush()?;
    let progress = progress(context.ui, quiet);
    let mut reporter: Box<dyn View + '_> = match shown {
        Shown::Live => Box::new(Live::new(context.ui)),
        Shown::Json => Box::new(RawJson::new(context.ui)),
        Shown::Lines | Shown::Quiet => Box::new(Plain::new(context.ui, sink, quiet)),
    };
    let mut built = Vec::new();
    for request in &requests {
        match build::build(dirs, &store, &maps, request, &*progress, &mut *reporter) {
            Ok(image) => built.push(image),
            Err(Failure { error, excerpt, code }) => {
                drop(progress);
                reporter.fail(&error.to_string());
                if let Some(excerpt) = excerpt {
                    context.ui.note(excerpt);
                }
                let code = code.unwrap_or_else(|| error.kind().exit_code());
                report::error(context.ui, &error);
                return Ok(code);
            }
        }
    }
    for built in &built {
        events::image(dirs, "build", "", &built.id.hex());
        let image = Image::read(&store, built.manifest)?;
        let several = built_of_several(requests.len(), &image);
        outputs.iter().try_for_each(|output| output.write(context, &image, built, several.as_deref()))?;
    }
    let list = build_share::list(&args, context, &names, &built, &*progress)?.map(|list| (list, names));
    let list_names = list.as_ref().map_or(Ok(Vec::new()), |(_, names)| build_share::full_names(names))?;
    // From here on threads are started.
    if push {
        build_share::push(&args, context, list.as_ref(), &built, &*progress)?;
    }
    if let Some(request) = requests.first() {
        build_share::cache(&args, context, &request.cache_to, &built, &*progress)?;
    }
    drop(progress);
    let Some(last) = built.last() else { return Err(Error::new("nothing was built")) };
    // Of several platforms the list is what was asked for.
    let (id, manifest, names) = match &list {
        Some((list, _)) if built.len() > 1 => (list.digest, list.digest, &list_names),
        _ => (last.id, last.manifest, &last.names),
    };
    write_files(&args, &store, id, manifest, names)?;
    if to_stdout {
        return Ok(0);
    }
    if !quiet {
        let short = id.hex();
        context.ui.line(format!("--> {}", short.get(..12).unwrap_or_default()))?;
        for name in names {
            context.ui.line(format!("Successfully tagged {name}"))?;
        }
    }
    context.ui.line(id.hex())?;
    if !quiet {
        remarks(context, &built);
    }
    Ok(0)
}

/// What is probably not meant in the Dockerfile, in BuildKit's form and once for all platforms.
fn remarks(context: &Context<'_>, built: &[Built]) {
    let mut all: Vec<&Remark> = Vec::new();
    for remark in built.iter().flat_map(|built| &built.remarks) {
        if !all.contains(&remark) {
            all.push(remark);
        }
    }
    let debug = context.globals.is_verbose();
    let (count, how) = (all.len(), if debug { "" } else { " (use --debug to expand)" });
    match count {
        0 => return,
        1 => context.ui.note(format!("\n 1 warning found{how}:")),
        _ => context.ui.note(format!("\n {count} warnings found{how}:")),
    }
    for remark in all {
        context.ui.note(format!(" - {}", remark.short));
        if debug {
            context.ui.note(format!("{}\n", remark.excerpt));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Quiet,
    Lines,
    Live,
    Json,
}

/// What is to be built, for each platform.
fn requests(args: &Build, context: &Context<'_>, call: Option<Call>) -> Result<Vec<Request>> {
    let mut platforms = build_options::platforms(args)?;
    if args.result.all_platforms && call.is_none() {
        build_options::input_can_be_read_again(args)?;
        context.ui.flush()?;
        let request = build_options::request(args, None, true)?;
        let all = platforms::all(context.dirs()?, &context.store()?, &IdMaps::for_user()?, &request)?;
        platforms = all.into_iter().map(Some).collect();
    }
    let several = platforms.len() > 1;
    let request = |platform| {
        let mut request = build_options::request(args, platform, several)?;
        request.template.cgroups.manager = context.cgroup_manager();
        Ok(request)
    };
    platforms.into_iter().map(request).collect()
}

/// The directory for the files of one platform of several, as BuildKit calls it: `linux_arm_v7`.
fn built_of_several(count: usize, image: &Image) -> Option<String> {
    (count > 1).then(|| image.config.platform().to_string().replace('/', "_"))
}

/// `--progress`: as BuildKit, `tty` wants a terminal and `auto` takes one. A standard output that goes elsewhere gets the lines.
fn shown(args: &Build, context: &Context<'_>) -> Result<Shown> {
    let lines = if args.cache.quiet { Shown::Quiet } else { Shown::Lines };
    let environment = std::env::var("BUILDKIT_PROGRESS").ok();
    match args.cache.progress.as_deref().or(environment.as_deref()) {
        Some("quiet") => Ok(Shown::Quiet),
        Some("plain") => Ok(lines),
        None | Some("" | "auto") => {
            let terminal = context.ui.stdout_is_terminal() && args.cache.logfile.is_none();
            let live = lines == Shown::Lines && terminal && build_live::possible().is_ok();
            Ok(if live { Shown::Live } else { lines })
        }
        Some("tty") if lines == Shown::Quiet => Ok(lines),
        Some("tty") if args.cache.logfile.is_some() => {
            Err(Error::new("--progress tty and --logfile cannot be used together")
                .hint("use --progress plain for a log"))
        }
        Some("tty") => match build_live::possible() {
            Ok(()) => Ok(Shown::Live),
            Err(why) => Err(Error::new(format!("--progress tty: {why}")).hint("use --progress auto, plain or quiet")),
        },
        Some("rawjson") => Ok(if lines == Shown::Quiet { lines } else { Shown::Json }),
        Some(other) => Err(Error::new(format!("unrecognized --progress mode {other:?}"))),
    }
}

/// `--iidfile`, `--metadata-file`.
fn write_files(args: &Build, store: &Store, id: Digest, manifest: Digest, names: &[String]) -> Result<()> {
    let write =
        |path: &PathBuf, text: String| given::write(path, text).context(|| format!("cannot write {}", path.display()));
    if let Some(path) = &args.result.iidfile {
        write(path, id.to_string())?;
    }
    if let Some(path) = &args.result.metadata_file {
        let content = store.read_blob(&manifest)?;
        let kind = Document::parse(&content, None)?.media_type().to_owned();
        let metadata = json!({
            "containerimage.config.digest": id.to_string(),
            "containerimage.descriptor": Descriptor::of(&kind, &content),
            "containerimage.digest": manifest.to_string(),
            "image.name": names.join(","),
        });
        write(path, format!("{metadata:#}\n"))?;
    }
    Ok(())
}
