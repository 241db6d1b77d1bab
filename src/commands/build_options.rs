//! The flags of `build` → what is built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::create_options::run_options;
use super::pull::{platform, registry_options};
use crate::build::request::{Format, Request, Secret, Squash, Where};
use crate::cli::build::{Build, Refused};
use crate::cli::image::RegistryFlags;
use crate::cli::limits::Resources;
use crate::cli::run;
use crate::engine::images::{PullOptions, PullPolicy};
use crate::error::{Context as _, Error, Result};
use crate::image::platform::Platform;

/// Typed values of everything. Reads the files that flags name, apart from Dockerfile and context.
pub(crate) fn request(args: &Build) -> Result<Request> {
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
    let platform = platform(
        result.platform.as_deref().map(one_platform).transpose()?,
        result.os.as_deref(),
        result.arch.as_deref(),
        result.variant.as_deref(),
    )?;
    Ok(Request {
        context: context(args)?,
        files: input.file.clone(),
        ignore_file: input.ignorefile.clone(),
        tags: result.tag.clone(),
        arguments,
        target: input.target.clone(),
        labels: pairs("label", &result.label)?,
        annotations: pairs("annotation", &result.annotation)?.into_iter().collect(),
        no_cache: args.cache.no_cache || !layers,
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

/// A list would make an index.
fn one_platform(text: &str) -> Result<&str> {
    match text.split_once(',') {
        Some(_) => Err(Error::new("--platform with more than one platform is not supported yet: it comes later")
            .hint("build one after the other")),
        None => Ok(text),
    }
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
    let registry = registry_options(&RegistryFlags {
        authfile: flags.authfile.clone(),
        cert_dir: flags.cert_dir.clone(),
        creds: flags.creds.clone(),
        tls_verify: flags.tls_verify,
        retry: flags.retry,
        retry_delay: flags.retry_delay.clone(),
    })?;
    Ok(PullOptions { platform, policy, registry })
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
    let cpus = steps.cpu_quota.filter(|quota| *quota > 0).map(|quota| {
        let period = steps.cpu_period.filter(|period| *period > 0).unwrap_or(100_000);
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a moment")]
        let share = quota as f64 / period as f64;
        share
    });
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
            userns: steps.userns.clone(),
            pid: steps.pid.clone(),
            ipc: steps.ipc.clone(),
            uts: steps.uts.clone(),
            cgroupns: steps.cgroupns.clone(),
            ..Default::default()
        },
        limits: run::Limits {
            resources: Resources { memory: steps.memory.clone(), cpus, ..Default::default() },
            ulimit: steps.ulimit.clone(),
            ..Default::default()
        },
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

/// Flags that are known but not carried out.
fn refuse(flags: &Refused) -> Result<()> {
    let later = "it comes later";
    let never = [
        ("cache-from", !flags.cache_from.is_empty(), "caches in registries come later"),
        ("cache-to", !flags.cache_to.is_empty(), "caches in registries come later"),
        ("cache-ttl", flags.cache_ttl.is_some(), later),
        ("all-platforms", flags.all_platforms, later),
        ("manifest", flags.manifest.is_some(), "manifest lists come later"),
        ("push", flags.push, "push the image when it is built"),
        ("compat-volumes", flags.compat_volumes, "what RUN writes to a volume stays in the image, as with Docker"),
        ("cgroup-parent", flags.cgroup_parent.is_some(), "steps run in the cgroup of this process"),
        ("cpp-flag", !flags.cpp_flag.is_empty(), "Dockerfiles are not run through a C preprocessor"),
        ("cpu-shares", flags.cpu_shares.is_some(), "only --cpu-quota and --memory limit steps"),
        ("cpuset-cpus", flags.cpuset_cpus.is_some(), "only --cpu-quota and --memory limit steps"),
        ("cpuset-mems", flags.cpuset_mems.is_some(), "only --cpu-quota and --memory limit steps"),
        ("memory-swap", flags.memory_swap.is_some(), "only --cpu-quota and --memory limit steps"),
        ("cw", flags.cw.is_some(), "confidential workloads are out of rpod's scope"),
        ("decryption-key", !flags.decryption_key.is_empty(), "encrypted images are not supported"),
        ("hooks-dir", !flags.hooks_dir.is_empty(), "OCI hooks are not supported"),
        ("identity-label", flags.identity_label == Some(true), "rpod adds no label of its own"),
        ("layer-label", !flags.layer_label.is_empty(), "there are no intermediate images"),
        ("logsplit", flags.logsplit, "there is one platform, and one log"),
        ("no-hostname", flags.no_hostname, "a step always has a host name"),
        ("os-feature", !flags.os_feature.is_empty(), "only Linux images are built"),
        ("os-version", flags.os_version.is_some(), "only Linux images are built"),
        ("runtime-flag", !flags.runtime_flag.is_empty(), "steps run in rpod's own runtime"),
        ("sbom", flags.sbom.is_some(), "bills of materials are not made"),
        ("attest", !flags.attest.is_empty(), "attestations are not made"),
        ("provenance", flags.provenance.as_deref().is_some_and(|v| v != "false"), "attestations are not made"),
        ("sign-by", flags.sign_by.is_some(), "images are not signed"),
        ("userns-uid-map", !flags.userns_uid_map.is_empty(), "steps have the whole map of the user"),
        ("userns-gid-map", !flags.userns_gid_map.is_empty(), "steps have the whole map of the user"),
        ("userns-uid-map-user", flags.userns_uid_map_user.is_some(), "steps have the whole map of the user"),
        ("userns-gid-map-group", flags.userns_gid_map_group.is_some(), "steps have the whole map of the user"),
    ];
    match never.iter().find(|(_, given, _)| *given) {
        Some((name, _, reason)) => Err(Error::new(format!("--{name} is not supported: {reason}"))),
        None => Ok(()),
    }
}
