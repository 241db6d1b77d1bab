//! The flags of `build` → what is built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::build_output::Output;
use super::build_refused::{self, WHOLE_MAP};
use super::create_options::run_options;
use super::pull::{duration, platform, registry_options};
use crate::build::request::{CachePlace, Format, Request, Secret, Squash, Where};
use crate::cli::build::Build;
use crate::cli::image::RegistryFlags;
use crate::cli::limits::Resources;
use crate::cli::run;
use crate::cli::surroundings::Surroundings;
use crate::engine::container::cdi;
use crate::engine::images::{PullOptions, PullPolicy};
use crate::error::{Context as _, Error, Result};
use crate::image::platform::Platform;
use crate::network::mode::Mode;
use crate::registry;

/// Typed values of everything. Reads the files that flags name, apart from Dockerfile and context.
/// `several`: this is one of several platforms.
pub(crate) fn request(args: &Build, platform: Option<Platform>, several: bool) -> Result<Request> {
    build_refused::refuse(&args.refused)?;
    let (input, result, steps) = (&args.input, &args.result, &args.steps);
    build_refused::isolation(steps.isolation.as_deref())?;
    allowed(&steps.allow)?;
    let variable = |text: &String| match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => std::env::var(text).ok().map(|value| (text.clone(), value)),
    };
    let mut arguments = BTreeMap::new();
    for path in &input.build_arg_file {
        let text = std::fs::read_to_string(path).context(|| format!("cannot read {}", path.display()))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        arguments.extend(lines.filter_map(|line| variable(&line.to_owned())));
    }
    arguments.extend(input.build_arg.iter().filter_map(variable));
    let environment = std::env::var("SOURCE_DATE_EPOCH").ok();
    let epoch = match (result.source_date_epoch, &environment) {
        (Some(seconds), _) => Some(seconds),
        (None, Some(text)) if result.timestamp.is_none() && !text.is_empty() => {
            Some(text.parse().map_err(|_| Error::new(format!("SOURCE_DATE_EPOCH={text:?} is no number of seconds")))?)
        }
        _ => None,
    };
    if result.timestamp.is_some() && result.source_date_epoch.is_some() {
        return Err(Error::new("--timestamp and --source-date-epoch may not be specified together"));
    }
    if let Some(epoch) = epoch {
        arguments.entry("SOURCE_DATE_EPOCH".to_owned()).or_insert_with(|| epoch.to_string());
    }
    let layers = args.cache.layers.unwrap_or(true);
    let cache_ttl = args.cache.cache_ttl.as_deref().map(ttl).transpose()?;
    let places = |texts: &[String]| texts.iter().map(|text| CachePlace::parse(text)).collect::<Result<Vec<_>>>();
    Ok(Request {
        context: context(args)?,
        files: input.file.clone(),
        ignore_file: input.ignorefile.clone(),
        // Of several platforms it is the list that has the names.
        tags: if several { Vec::new() } else { tags(args)? },
        arguments,
        target: input.target.clone(),
        labels: pairs("label", &result.label)?,
        annotations: annotations(&result.annotation)?.of_manifest,
        no_cache: args.cache.no_cache || !layers || cache_ttl == Some(0),
        fresh_stages: args.cache.no_cache_filter.clone(),
        cache_from: places(&args.cache.cache_from)?,
        cache_to: places(&args.cache.cache_to)?,
        cache_ttl,
        squash: match (result.squash_all, result.squash || !layers) {
            (true, _) => Squash::All,
            (false, true) => Squash::New,
            (false, false) => Squash::No,
        },
        pull: pull(args, platform.clone())?,
        platform: platform.unwrap_or_else(Platform::host),
        format: match result.format.as_deref() {
            None | Some("" | "oci") => Format::Oci,
            Some("docker") => Format::Docker,
            Some(other) => return Err(Error::new(format!("unrecognized image type {other:?}"))),
        },
        timestamp: result.timestamp.or(epoch),
        rewrite_timestamp: result.rewrite_timestamp.unwrap_or(result.timestamp.is_some()),
        secrets: steps.secret.iter().map(|text| secret(text)).collect::<Result<_>>()?,
        ssh: steps.ssh.iter().map(|text| ssh(text)).collect::<Result<_>>()?,
        contexts: pairs("build-context", &input.build_context)?.into_iter().collect(),
        template: template(args)?,
        environment: result.env.iter().filter_map(variable).collect(),
        unset_environment: result.unsetenv.clone(),
        unset_labels: result.unsetlabel.clone(),
        omit_history: result.omit_history,
        insecure: steps.allow.iter().any(|name| name == "security.insecure"),
        stdin: steps.stdin,
        skip_unused: input.skip_unused_stages.unwrap_or(true),
        jobs: match args.cache.jobs {
            Some(0) => usize::MAX,
            Some(jobs) => jobs,
            None => std::thread::available_parallelism().map_or(2, |n| n.get().max(2)),
        },
        from: input.from.clone(),
    })
}

/// `--tag`, and the names of `--output type=image,name=…`.
fn tags(args: &Build) -> Result<Vec<String>> {
    let mut tags = args.result.tag.clone();
    for output in &args.result.output {
        tags.extend(Output::parse(output)?.names().iter().cloned());
    }
    Ok(tags)
}

/// The platforms that are named; `None` is this machine's.
pub(crate) fn platforms(args: &Build) -> Result<Vec<Option<Platform>>> {
    let result = &args.result;
    let texts: Vec<&str> =
        result.platform.iter().flat_map(|text| text.split(',')).filter(|text| !text.is_empty()).collect();
    let read = |text: &str| match text {
        "local" => Ok(Some(Platform::host())),
        text => platform(Some(text), None, None, None),
    };
    match texts[..] {
        [] => Ok(vec![platform(None, result.os.as_deref(), result.arch.as_deref(), result.variant.as_deref())?]),
        [one] => Ok(vec![read(one)?]),
        _ => {
            input_can_be_read_again(args)?;
            texts.into_iter().map(read).collect()
        }
    }
}

/// Standard input gives its content once only.
pub(crate) fn input_can_be_read_again(args: &Build) -> Result<()> {
    let input = args.input.file.iter().map(String::as_str).chain(args.context.as_deref());
    if input.into_iter().any(|text| text == "-") {
        return Err(Error::new("standard input can be read once, so it cannot give the context of several platforms")
            .hint("write it to a file or a directory"));
    }
    Ok(())
}

/// `--allow`. RUN --network=host needs no leave, as with Podman; it gives a step no more than this user has.
fn allowed(names: &[String]) -> Result<()> {
    let known = |name: &str| matches!(name.split('=').next(), Some("network.host" | "security.insecure" | "device"));
    match names.iter().find(|name| !known(name)) {
        Some(name) => Err(Error::new(format!("invalid --allow {name:?}"))
            .hint("network.host, security.insecure and device are known")),
        None => Ok(()),
    }
}

/// `--annotation`, sorted by what is annotated.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Annotations {
    pub of_manifest: BTreeMap<String, String>,
    /// `NAME=VALUE`.
    pub of_list: Vec<String>,
}

/// Reads `[TYPE,…:]NAME=VALUE`.
pub(crate) fn annotations(texts: &[String]) -> Result<Annotations> {
    let mut annotations = Annotations::default();
    for text in texts {
        let (types, pair) = match text.split_once(':') {
            Some((types, pair)) if !types.contains('=') && types.split(',').all(is_annotated) => (types, pair),
            _ => ("manifest", text.as_str()),
        };
        for kind in types.split(',') {
            match kind {
                "manifest" => annotations.of_manifest.extend(pairs("annotation", &[pair.to_owned()])?),
                "index" => annotations.of_list.push(pair.to_owned()),
                other => {
                    return Err(Error::new(format!("--annotation {text:?}: {other} cannot be annotated"))
                        .hint("manifest and index can; rpod manifest annotate changes the entries of a list"));
                }
            }
        }
    }
    Ok(annotations)
}

/// What BuildKit can annotate.
fn is_annotated(kind: &str) -> bool {
    let kind = kind.split('[').next().unwrap_or(kind);
    matches!(kind, "manifest" | "index" | "manifest-descriptor" | "index-descriptor")
}

/// `--cache-ttl`, in seconds.
fn ttl(text: &str) -> Result<u64> {
    if text == "0" {
        return Ok(0);
    }
    duration(text).map(|duration| duration.as_secs()).context(|| format!("invalid --cache-ttl {text:?}"))
}

/// `NAME=VALUE` in the order given; a name alone has an empty value.
fn pairs(flag: &str, texts: &[String]) -> Result<Vec<(String, String)>> {
    let pair = |text: &String| match text.split_once('=') {
        Some(("", _)) => Err(Error::new(format!("invalid --{flag} {text:?}: it has no name"))),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None if flag == "label" => Ok((text.clone(), String::new())),
        None => Err(Error::new(format!("invalid --{flag} {text:?}: write NAME=VALUE"))),
    };
    texts.iter().map(pair).collect()
}

/// The context, by default the directory of the Dockerfile.
fn context(args: &Build) -> Result<Where> {
    let text = match &args.context {
        Some(text) => text.clone(),
        None => match &args.input.file[..] {
            [] => ".".to_owned(),
            [one, ..] if one == "-" => return Ok(Where::Nothing),
            [one, ..] => {
                let parent = Path::new(one).parent().filter(|parent| !parent.as_os_str().is_empty());
                parent.map_or_else(|| ".".to_owned(), |parent| parent.display().to_string())
            }
        },
    };
    let remote = crate::build::is_remote(&text);
    Ok(match text.as_str() {
        "-" => {
            if args.input.file.iter().any(|file| file == "-") {
                return Err(Error::new("context and Dockerfile cannot both come from standard input"));
            }
            Where::StandardInput
        }
        _ if remote => Where::Remote(text),
        _ => Where::Directory(PathBuf::from(text)),
    })
}

fn pull(args: &Build, platform: Option<Platform>) -> Result<PullOptions> {
    let flags = &args.registry;
    let policy = match flags.pull.as_deref() {
        _ if flags.pull_always => PullPolicy::Always,
        _ if flags.pull_never => PullPolicy::Never,
        None | Some("missing" | "ifmissing" | "false") => PullPolicy::Missing,
        Some("always" | "true") => PullPolicy::Always,
        Some("never" | "ifnotpresent") => PullPolicy::Never,
        Some("newer" | "ifnewer") => PullPolicy::Newer,
        Some(other) => return Err(Error::new(format!("unrecognized pull policy {other:?}"))),
    };
    Ok(PullOptions { platform, policy, registry: registry(args)?, signature_policy: None })
}

/// How registries are reached.
pub(super) fn registry(args: &Build) -> Result<registry::Options> {
    let flags = &args.registry;
    registry_options(&RegistryFlags {
        authfile: flags.authfile.clone(),
        cert_dir: flags.cert_dir.clone(),
        creds: flags.creds.clone(),
        tls_verify: flags.tls_verify,
        retry: flags.retry,
        retry_delay: flags.retry_delay.clone(),
    })
}

/// `id=NAME[,src=FILE][,env=VARIABLE][,type=file|env]`.
fn secret(text: &str) -> Result<(String, Secret)> {
    let (mut id, mut file, mut variable, mut kind) = (None, None, None, None);
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("id", value)) => id = Some(value.to_owned()),
            Some(("src" | "source", value)) => file = Some(value.to_owned()),
            Some(("env", value)) => variable = Some(value.to_owned()),
            Some(("type", value)) if matches!(value, "file" | "env") => kind = Some(value.to_owned()),
            _ => {
                return Err(Error::new(format!(
                    "incorrect secret flag format {text:?}: should be --secret id=foo,src=bar[,env=ENV][,type=file|env]"
                )));
            }
        }
    }
    let id = id.filter(|id| !id.is_empty()).ok_or_else(|| Error::new(format!("the secret {text:?} has no id")))?;
    let secret = match (file, variable, kind.as_deref()) {
        (Some(name), None, Some("env")) => Secret::Variable(name),
        (Some(file), None, _) => Secret::File(PathBuf::from(file)),
        (None, Some(name), _) => Secret::Variable(name),
        // As BuildKit: a variable of that name, else a file.
        (None, None, Some("env")) => Secret::Variable(id.clone()),
        (None, None, None) if std::env::var_os(&id).is_some() => Secret::Variable(id.clone()),
        (None, None, _) => Secret::File(PathBuf::from(&id)),
        _ => return Err(Error::new(format!("the secret {text:?} names a file and a variable"))),
    };
    if let Secret::File(path) = &secret
        && !path.is_file()
    {
        return Err(Error::new(format!("could not find secret file {}: no such file or directory", path.display())));
    }
    Ok((id, secret))
}

/// `default`, `NAME=SOCKET`.
fn ssh(text: &str) -> Result<(String, PathBuf)> {
    use std::os::unix::fs::FileTypeExt;
    let (name, path) = match text.split_once('=') {
        Some((name, path)) => (name.to_owned(), PathBuf::from(path)),
        None => {
            let socket = std::env::var_os("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty());
            let socket = socket.ok_or_else(|| Error::new(format!("--ssh {text}: SSH_AUTH_SOCK is not set")))?;
            (text.to_owned(), PathBuf::from(socket))
        }
    };
    let meta = std::fs::metadata(&path).context(|| format!("cannot use --ssh {text}"))?;
    if !meta.file_type().is_socket() {
        return Err(Error::new(format!("--ssh {text}: {} is no agent's socket", path.display()))
            .hint("add the key to an agent (ssh-add) and give the agent's socket"));
    }
    Ok((if name.is_empty() { "default".to_owned() } else { name }, path))
}

/// How RUN steps run, as `run` reads its own flags.
fn template(args: &Build) -> Result<crate::engine::container::options::RunOptions> {
    let steps = &args.steps;
    match steps.userns.as_deref() {
        None | Some("" | "host" | "private") => {}
        Some(other) => {
            return Err(Error::new(format!("--userns {other} is not supported: {WHOLE_MAP}"))
                .hint("host and private mean that map"));
        }
    }
    for volume in &steps.volume {
        let source = volume.split(':').next().unwrap_or_default();
        if !source.starts_with(['/', '.']) {
            return Err(Error::new(format!("invalid --volume {volume:?}: {source:?} is no path of the host"))
                .hint("RUN --mount=type=cache keeps a directory from one build to the next"));
        }
    }
    let options = run_options(&run::Container {
        process: run::Process {
            http_proxy: steps.http_proxy,
            group_add: steps.group_add.clone(),
            ..Default::default()
        },
        storage: run::Storage {
            volume: steps.volume.clone(),
            device: steps.device.clone(),
            shm_size: steps.shm_size.clone(),
            // What RUN writes to a VOLUME stays in the image, as with Docker and Buildah today.
            image_volume: Some("ignore".to_owned()),
            ..Default::default()
        },
        network: run::Network {
            network: steps.network.iter().filter(|network| *network != "default").cloned().collect(),
            add_host: steps.add_host.clone(),
            no_hosts: steps.no_hosts,
            dns: steps.dns.clone(),
            dns_search: steps.dns_search.clone(),
            dns_option: steps.dns_option.clone(),
            ..Default::default()
        },
        security: run::Security {
            cap_add: steps.cap_add.clone(),
            cap_drop: steps.cap_drop.clone(),
            security_opt: steps.security_opt.clone(),
            pid: steps.pid.clone(),
            ipc: steps.ipc.clone(),
            uts: steps.uts.clone(),
            cgroupns: steps.cgroupns.clone(),
            ..Default::default()
        },
        limits: run::Limits {
            resources: Resources {
                memory: steps.memory.clone(),
                memory_swap: steps.memory_swap.clone(),
                cpu_quota: steps.cpu_quota,
                cpu_period: steps.cpu_period,
                cpu_shares: steps.cpu_shares,
                cpuset_cpus: steps.cpuset_cpus.clone(),
                cpuset_mems: steps.cpuset_mems.clone(),
                ..Default::default()
            },
            cgroup_parent: steps.cgroup_parent.clone(),
            ulimit: steps.ulimit.clone(),
            ..Default::default()
        },
        surroundings: Surroundings { no_hostname: steps.no_hostname, ..Default::default() },
        words: vec!["build".into()],
        ..Default::default()
    })?;
    // Devices that are not there are told now.
    cdi::Edits::of(&options.cdi)?;
    match &options.network.mode {
        Mode::Bridge(_) | Mode::Container(_) => Err(Error::new(format!(
            "--network {}: RUN steps cannot join networks",
            steps.network.as_deref().unwrap_or_default()
        ))
        .hint("none, host, private, slirp4netns and pasta can be used")),
        _ => Ok(options),
    }
}
