//! The flags of `build` → what is built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::create_options::run_options;
use super::pull::{duration, platform, registry_options};
use crate::build::request::{CachePlace, Format, Request, Secret, Squash, Where};
use crate::cli::build::{Build, Refused};
use crate::cli::image::RegistryFlags;
use crate::cli::limits::Resources;
use crate::cli::run;
use crate::cli::surroundings::Surroundings;
use crate::engine::images::{PullOptions, PullPolicy};
use crate::error::{Context as _, Error, Result};
use crate::image::platform::Platform;
use crate::registry;

/// Typed values of everything. Reads the files that flags name, apart from Dockerfile and context.
pub(crate) fn request(args: &Build, platform: Option<Platform>) -> Result<Request> {
    refuse(&args.refused)?;
    let (input, result, steps) = (&args.input, &args.result, &args.steps);
    isolation(steps.isolation.as_deref())?;
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
        tags: if several(args) { Vec::new() } else { result.tag.clone() },
        arguments,
        target: input.target.clone(),
        labels: pairs("label", &result.label)?,
        annotations: pairs("annotation", &result.annotation)?.into_iter().collect(),
        no_cache: args.cache.no_cache || !layers || cache_ttl == Some(0),
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

/// The platforms to build for; `None` is this machine's.
pub(crate) fn platforms(args: &Build) -> Result<Vec<Option<Platform>>> {
    let result = &args.result;
    if several(args) {
        let input = args.input.file.iter().map(String::as_str).chain(args.context.as_deref());
        if input.into_iter().any(|text| text == "-") {
            return Err(Error::new(
                "standard input can be read once, so it cannot give the context of several platforms",
            )
            .hint("write it to a file or a directory"));
        }
        let texts = result.platform.iter().flat_map(|text| text.split(',')).filter(|text| !text.is_empty());
        return texts.map(|text| platform(Some(text), None, None, None)).collect();
    }
    let text = result.platform.first().map(String::as_str);
    let one = platform(text, result.os.as_deref(), result.arch.as_deref(), result.variant.as_deref())?;
    Ok(vec![one])
}

fn several(args: &Build) -> bool {
    args.result.platform.iter().flat_map(|text| text.split(',')).filter(|text| !text.is_empty()).count() > 1
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
    Ok(PullOptions { platform, policy, registry: registry(args)? })
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
    run_options(&run::Container {
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
    })
}

fn isolation(text: Option<&str>) -> Result<()> {
    match text {
        None | Some("" | "default" | "oci" | "rootless") => Ok(()),
        Some("chroot") => {
            Err(Error::new("--isolation chroot is not supported: steps always run in a container of their own")
                .hint("leave it out"))
        }
        Some(other) => Err(Error::new(format!("unrecognized isolation type {other:?}"))),
    }
}

/// Why steps have no map of their own.
const WHOLE_MAP: &str = "layers hold the ids of your whole map, and a step with another one would change their owners";

/// Flags that are known but not carried out.
fn refuse(flags: &Refused) -> Result<()> {
    let never = [
        ("all-platforms", flags.all_platforms, "name those that you want: --platform linux/amd64,linux/arm64"),
        ("compat-volumes", flags.compat_volumes, "what RUN writes to a volume stays in the image, as with Docker"),
        ("cpp-flag", !flags.cpp_flag.is_empty(), "Dockerfiles are not run through a C preprocessor"),
        ("cw", flags.cw.is_some(), "confidential workloads are out of rpod's scope"),
        ("decryption-key", !flags.decryption_key.is_empty(), "encrypted images are not supported"),
        ("hooks-dir", !flags.hooks_dir.is_empty(), "OCI hooks are not supported"),
        ("identity-label", flags.identity_label == Some(true), "rpod adds no label of its own"),
        ("layer-label", !flags.layer_label.is_empty(), "there are no intermediate images"),
        ("logsplit", flags.logsplit, "platforms are built one after the other, into one log"),
        ("os-feature", !flags.os_feature.is_empty(), "only Linux images are built"),
        ("os-version", flags.os_version.is_some(), "only Linux images are built"),
        ("runtime-flag", !flags.runtime_flag.is_empty(), "steps run in rpod's own runtime"),
        ("sbom", flags.sbom.is_some(), "bills of materials are not made"),
        ("attest", !flags.attest.is_empty(), "attestations are not made"),
        ("provenance", flags.provenance.as_deref().is_some_and(|v| v != "false"), "attestations are not made"),
        ("sign-by", flags.sign_by.is_some(), "images are not signed"),
        ("userns-uid-map", !flags.userns_uid_map.is_empty(), WHOLE_MAP),
        ("userns-gid-map", !flags.userns_gid_map.is_empty(), WHOLE_MAP),
        ("userns-uid-map-user", flags.userns_uid_map_user.is_some(), WHOLE_MAP),
        ("userns-gid-map-group", flags.userns_gid_map_group.is_some(), WHOLE_MAP),
    ];
    match never.iter().find(|(_, given, _)| *given) {
        Some((name, _, reason)) => Err(Error::new(format!("--{name} is not supported: {reason}"))),
        None => Ok(()),
    }
}
