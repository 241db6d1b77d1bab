//! The container's program: words, environment, user, working directory, limits.

use oci_spec::runtime::PosixRlimitType;
use std::borrow::Cow;

use super::accounts::Accounts;
use super::mounts::Plan;
use super::{HostFacts, Request, systemd};
use crate::engine::container::options::RunOptions;
use crate::engine::container::options::mounts::clean;
use crate::engine::container::options::surroundings::expand;
use crate::error::{Error, Kind, Result};
use crate::spec::settings::Rlimit;
use crate::spec::user::{self, User};
use crate::userns::choice::own_id;

/// Largest passwd or group file of an image that is read.
const ACCOUNT_FILE_LIMIT: u64 = 4 << 20;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Podman's default for open files and processes, as far as the session's own limits reach.
const DEFAULT_LIMIT: u64 = 1_048_576;

/// What is executed.
pub(super) struct Command {
    pub entrypoint: Vec<String>,
    pub arguments: Vec<String>,
}

impl Command {
    pub(super) fn words(&self) -> Vec<String> {
        self.entrypoint.iter().chain(&self.arguments).cloned().collect()
    }
}

/// A given command replaces the image's; a given entrypoint replaces the image's entrypoint and drops its command.
pub(super) fn command(request: &Request<'_>) -> Result<Command> {
    let config = request.image.map(|image| &image.config);
    let given = &request.options.command;
    let command = match &request.options.entrypoint {
        Some(entrypoint) => Command { entrypoint: entrypoint.clone(), arguments: given.clone() },
        None => Command {
            // One empty word is what Docker has where an entrypoint was taken back.
            entrypoint: config.map(|c| c.entrypoint.clone()).filter(|words| *words != [""]).unwrap_or_default(),
            arguments: match config {
                Some(config) if given.is_empty() => config.cmd.clone(),
                _ => given.clone(),
            },
        },
    };
    let words = command.words();
    if words.first().is_none_or(String::is_empty) {
        return Err(Error::new("no command or entrypoint provided, and no CMD or ENTRYPOINT from image"));
    }
    words.iter().try_for_each(|word| no_nul("the command", word))?;
    Ok(command)
}

/// A NUL ends a string for the kernel; what comes after it would be lost.
fn no_nul(what: &str, text: &str) -> Result<()> {
    if text.contains('\0') { Err(Error::new(format!("{what} contains a NUL byte: {text:?}"))) } else { Ok(()) }
}

pub(super) fn environment(request: &Request<'_>, home: &str, hostname: &str, for_systemd: bool) -> Result<Vec<String>> {
    let options = &request.options.environment;
    let mut variables = Variables::default();
    variables.set("PATH", PATH);
    if request.options.tty {
        variables.set("TERM", "xterm");
    }
    variables.set("container", "rpod");
    options.proxy.iter().for_each(|(name, value)| variables.set(name, value));
    if !options.unset_all {
        for variable in request.image.iter().flat_map(|image| &image.config.env) {
            let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
            if !name.is_empty() {
                variables.set(name, value);
            }
        }
    }
    variables.0.retain(|(name, _)| !(options.unset.contains(name) || options.unset_all && name == "PATH"));
    for variable in &request.cdi.env {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        variables.set(name, value);
    }
    for (name, text) in &request.options.surroundings.merge {
        let merged = expand(text, |name| variables.get(name));
        variables.set(name, &merged);
    }
    options.set.iter().for_each(|(name, value)| variables.set(name, value));
    variables.set_default("HOME", home);
    if for_systemd {
        variables.set_default(systemd::UUID, request.id.get(..32).unwrap_or(request.id));
    }
    variables.set_default("HOSTNAME", hostname);
    variables
        .0
        .into_iter()
        .map(|(name, value)| {
            let variable = format!("{name}={value}");
            no_nul("the environment", &variable).map(|()| variable)
        })
        .collect()
}

/// In the order of their first mention.
#[derive(Default)]
struct Variables(Vec<(String, String)>);

impl Variables {
    fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some(variable) => value.clone_into(&mut variable.1),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }

    fn get(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    fn set_default(&mut self, name: &str, value: &str) {
        if !self.0.iter().any(|(known, _)| known == name) {
            self.set(name, value);
        }
    }
}

/// `--user`, else the caller's own ids where they are kept, else the image's USER.
pub(super) fn wanted_user<'r>(request: &Request<'r>) -> Option<Cow<'r, str>> {
    let kept = || request.options.userns.keep_id().map(own_id).map(|(uid, gid)| format!("{uid}:{gid}").into());
    let image = || request.image.map(|image| image.config.user.as_str().into());
    request.options.user.as_deref().map(Cow::from).or_else(kept).or_else(image)
}

/// [`wanted_user`] looked up in the root file system.
pub(super) fn user(request: &Request<'_>, accounts: &Accounts) -> Result<User> {
    let own = request.options.userns.keep_id().map(own_id);
    let wanted = wanted_user(request);
    let keeps = request.options.keeps_groups();
    if keeps && request.options.groups.len() > 1 {
        return Err(Error::new(
            "the '--group-add keep-groups' option is not allowed with any other --group-add options",
        ));
    }
    let groups = if keeps { &[] } else { request.options.groups.as_slice() };
    let text = |added: &Option<String>, path| added.clone().map_or_else(|| account_file(request, path), Ok);
    let (passwd, group) = (text(&accounts.passwd, "etc/passwd")?, text(&accounts.group, "etc/group")?);
    let mut user = user::resolve(&wanted.unwrap_or_default(), groups, &passwd, &group)?;
    for gid in &request.cdi.groups {
        if !user.identity.groups.contains(gid) {
            user.identity.groups.push(*gid);
        }
    }
    if let Some((_, gid)) = own.filter(|(_, gid)| !user.identity.groups.contains(gid)) {
        // Whoever runs in it may use what belongs to the user's group.
        user.identity.groups.push(gid);
    }
    Ok(user)
}

/// A file of accounts of the image; empty when it has none.
pub(super) fn account_file(request: &Request<'_>, path: &str) -> Result<String> {
    let content = request.files.read(path, ACCOUNT_FILE_LIMIT)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&content).into_owned())
}

/// The directory of the image is made when it is missing, one that was asked for must exist.
pub(super) fn workdir(request: &Request<'_>, plan: &Plan) -> Result<String> {
    let image = request.image.map(|image| image.config.working_dir.as_str()).unwrap_or_default();
    let Some(asked) = request.options.workdir.as_deref().filter(|dir| !dir.is_empty()) else {
        no_nul("the image's working directory", image)?;
        return Ok(clean(image));
    };
    if !asked.starts_with('/') {
        let what = format!("the working directory {asked:?} is invalid, it needs to be an absolute path");
        return Err(Error::new(what).with_kind(Kind::CannotInvoke));
    }
    no_nul("the working directory", asked)?;
    let dir = clean(asked);
    let below = |mount: &str| dir == mount || dir.strip_prefix(mount).is_some_and(|rest| rest.starts_with('/'));
    let mounted = plan.mounts.iter().any(|m| below(&m.destination)) || ["/dev", "/proc", "/sys"].into_iter().any(below);
    if dir != image && !mounted && !request.files.exists(&dir)? {
        return Err(Error::new(format!("workdir {asked:?} does not exist on container {}", request.id))
            .with_kind(Kind::CannotInvoke));
    }
    Ok(dir)
}

pub(super) fn rlimits(options: &RunOptions, host: &HostFacts) -> Result<Vec<Rlimit>> {
    let unlimited = u64::MAX;
    let mut limits = Vec::new();
    for limit in &options.ulimits.limits {
        let (soft, hard) = (limit.soft.unwrap_or(unlimited), limit.hard.unwrap_or(unlimited));
        let highest = super::host::hard_limit(limit.kind).unwrap_or(unlimited);
        let (soft, hard) = match limit.hard {
            // "Unlimited" is as much as this session has.
            None if !host.may_raise_limits => (soft.min(highest), highest),
            _ => (soft, hard),
        };
        if hard > highest && !host.may_raise_limits {
            return Err(Error::new(format!("ulimit {}={hard} cannot be set: the hard limit is {highest}", limit.name))
                .hint("an ordinary user may lower limits only; see `ulimit -H -a` and limits.conf(5)"));
        }
        limits.push(Rlimit { kind: limit.kind, soft, hard });
    }
    if !options.ulimits.host {
        for kind in [PosixRlimitType::RlimitNofile, PosixRlimitType::RlimitNproc] {
            if !limits.iter().any(|limit| limit.kind == kind) {
                let limit = super::host::hard_limit(kind).unwrap_or(unlimited).min(DEFAULT_LIMIT);
                limits.push(Rlimit { kind, soft: limit, hard: limit });
            }
        }
    }
    Ok(limits)
}

/// An ordinary user may raise the value only (proc(5), oom_score_adj).
pub(super) fn oom_score_adj(options: &RunOptions, host: &HostFacts, warnings: &mut Vec<String>) -> Option<i32> {
    let wanted = options.oom_score_adj?;
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").ok().and_then(|text| text.trim().parse().ok());
    match own {
        Some(own) if wanted < own && !host.may_raise_limits => {
            warnings.push(format!("--oom-score-adj {wanted} cannot be set by an ordinary user; it stays at {own}"));
            Some(own)
        }
        _ => Some(wanted),
    }
}
