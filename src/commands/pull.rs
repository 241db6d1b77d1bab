//! `rpod pull`.

use std::time::Duration;

use super::Context;
use crate::cli::image::{Pull, RegistryFlags};
use crate::engine::events;
use crate::engine::images::{self, PullOptions, PullPolicy};
use crate::error::{Context as _, Error, Result};
use crate::image::platform::Platform;
use crate::image::transport::Transport;
use crate::output::progress::progress;
use crate::registry::{Credentials, Options, RetryPolicy};
use crate::userns::IdMaps;

pub(crate) fn run(args: Pull, context: &Context<'_>) -> Result<u8> {
    let options = PullOptions {
        platform: platform(
            args.platform.as_deref(),
            args.os.as_deref(),
            args.arch.as_deref(),
            args.variant.as_deref(),
        )?,
        policy: match args.policy.as_str() {
            "missing" => PullPolicy::Missing,
            "never" => PullPolicy::Never,
            "newer" => PullPolicy::Newer,
            _ => PullPolicy::Always,
        },
        registry: registry_options(&args.registry)?,
        signature_policy: args.signature_policy,
    };
    let dirs = context.dirs()?;
    let store = context.store()?;
    let store = if args.keep_compressed { store.keep_compressed() } else { store };
    let maps = IdMaps::for_user()?;
    let names = match args.all_tags {
        false => args.images.clone(),
        true => args.images.iter().map(|name| all_tags(name, &options)).collect::<Result<Vec<_>>>()?.concat(),
    };
    for name in &names {
        let progress = progress(context.ui, args.quiet);
        if let Some(Transport::Local(local)) = Transport::parse(name)? {
            let wanted = options.platform.clone().unwrap_or_else(Platform::host);
            let loaded = images::pull_local(
                dirs,
                &store,
                &maps,
                &local,
                &wanted,
                options.signature_policy.as_deref(),
                &*progress,
            )
            .inspect_err(|error| events::pull_error(dirs, name, error))?;
            drop(progress);
            for image in loaded {
                events::image(dirs, "pull", &image.id.hex(), name);
                context.ui.line(image.id.hex())?;
            }
            continue;
        }
        let image = images::pull(dirs, &store, &maps, name, &options, &*progress)
            .inspect_err(|error| events::pull_error(dirs, name, error))?;
        drop(progress);
        events::image(dirs, "pull", &image.id.hex(), name);
        context.ui.line(image.id.hex())?;
    }
    Ok(0)
}

/// Every tag of the repository `name`, as full names.
fn all_tags(name: &str, options: &PullOptions) -> Result<Vec<String>> {
    match Transport::parse(name)? {
        Some(Transport::Local(local)) => Err(Error::new(format!("--all-tags is for registries, not for {local}"))),
        Some(Transport::Docker(name)) => images::all_tags(&name, &options.registry),
        None => images::all_tags(name, &options.registry),
    }
}

/// `--platform`, or `--os`, `--arch` and `--variant`.
pub(crate) fn platform(
    platform: Option<&str>,
    os: Option<&str>,
    arch: Option<&str>,
    variant: Option<&str>,
) -> Result<Option<Platform>> {
    if let Some(platform) = platform.filter(|p| !p.is_empty()) {
        return Platform::parse(platform).map(Some);
    }
    if os.is_none() && arch.is_none() && variant.is_none() {
        return Ok(None);
    }
    let host = Platform::host();
    let mut text = format!("{}/{}", os.unwrap_or(&host.os), arch.unwrap_or(&host.architecture));
    if let Some(variant) = variant {
        text = format!("{text}/{variant}");
    }
    Platform::parse(&text).map(Some)
}

/// How registries are reached. A credential file that is named must be there.
pub(crate) fn registry_options(flags: &RegistryFlags) -> Result<Options> {
    if let Some(path) = &flags.authfile {
        std::fs::metadata(path).context(|| format!("credential file is not accessible: {}", path.display()))?;
    }
    Ok(Options {
        tls_verify: flags.tls_verify,
        credentials: flags.creds.as_deref().map(Credentials::parse).transpose()?,
        auth_file: flags.authfile.clone(),
        cert_dir: flags.cert_dir.clone(),
        retry: retry(flags.retry, flags.retry_delay.as_deref())?,
        ..Options::default()
    })
}

/// `--retry` and `--retry-delay`.
pub(super) fn retry(retries: Option<u32>, delay: Option<&str>) -> Result<RetryPolicy> {
    let usual = RetryPolicy::default();
    Ok(RetryPolicy {
        retries: retries.unwrap_or(usual.retries),
        delay: delay.map_or(Ok(usual.delay), duration)?,
        is_asked: retries.is_some(),
    })
}

pub(super) fn duration(text: &str) -> Result<Duration> {
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|d| Duration::try_from(d).ok());
    parsed.ok_or_else(|| Error::new(format!("{text:?} is not a duration")).hint("write 2s, 500ms or 1m"))
}
