//! The profile format that Docker and Podman share: rules under conditions, for several architectures.

use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompFilterFlag, LinuxSyscall};
use oci_spec::runtime::{LinuxSeccompArg, LinuxSyscallBuilder};
use serde::Deserialize;

use super::arch::Native;
use crate::error::{Context, Error, Result};
use crate::spec::capabilities::CapSet;

const DEFAULT: &str = include_str!("../../../contrib/seccomp/default.json");

/// What the conditions of a profile are about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host {
    pub native: Native,
    /// Major and minor number of the running kernel.
    pub kernel: (u32, u32),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile<'a> {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Option<Vec<Arch>>,
    #[serde(default)]
    arch_map: Option<Vec<ArchMap>>,
    #[serde(default)]
    flags: Option<Vec<LinuxSeccompFilterFlag>>,
    #[serde(default, borrow)]
    syscalls: Option<Vec<Rule<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: Arch,
    #[serde(default)]
    sub_architectures: Option<Vec<Arch>>,
}

/// Unlike its fellows the type borrows: the default profile is read at every start.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule<'a> {
    /// The form of old profiles.
    #[serde(default)]
    name: Option<&'a str>,
    #[serde(default, borrow)]
    names: Option<Vec<&'a str>>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<LinuxSeccompArg>>,
    #[serde(default, borrow)]
    includes: Option<Conditions<'a>>,
    #[serde(default, borrow)]
    excludes: Option<Conditions<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Conditions<'a> {
    #[serde(default, borrow)]
    caps: Option<Vec<&'a str>>,
    #[serde(default, borrow)]
    arches: Option<Vec<&'a str>>,
    #[serde(default)]
    min_kernel: Option<String>,
}

/// The built-in profile for a container whose bounding set is `caps`.
pub(crate) fn default_profile(caps: CapSet, host: Host) -> Result<LinuxSeccomp> {
    resolve(DEFAULT, caps, host).context(|| "cannot use the built-in seccomp profile")
}

/// The rules of the profile `text` whose conditions hold.
pub(crate) fn resolve(text: &str, caps: CapSet, host: Host) -> Result<LinuxSeccomp> {
    let profile: Profile<'_> = serde_json::from_str(text).context(|| "decoding seccomp profile failed")?;
    if profile.architectures.as_ref().is_some_and(|a| !a.is_empty())
        && profile.arch_map.as_ref().is_some_and(|a| !a.is_empty())
    {
        return Err(Error::new("both 'architectures' and 'archMap' were specified in the seccomp profile, use either"));
    }
    let mut syscalls = Vec::new();
    for rule in profile.syscalls.unwrap_or_default() {
        if rule.applies(caps, host)? {
            syscalls.push(rule.into_syscall()?);
        }
    }
    let architectures = match profile.arch_map.filter(|map| !map.is_empty()) {
        Some(map) => map.into_iter().find(|entry| entry.architecture == host.native.arch()).map(|entry| {
            std::iter::once(entry.architecture).chain(entry.sub_architectures.unwrap_or_default()).collect()
        }),
        None => profile.architectures.filter(|list| !list.is_empty()),
    };
    let mut filter = LinuxSeccomp::default();
    filter.set_default_action(profile.default_action);
    filter.set_default_errno_ret(profile.default_errno_ret);
    filter.set_architectures(architectures);
    filter.set_flags(profile.flags.filter(|flags| !flags.is_empty()));
    filter.set_syscalls(Some(syscalls));
    Ok(filter)
}

impl Rule<'_> {
    fn applies(&self, caps: CapSet, host: Host) -> Result<bool> {
        if let Some(needed) = &self.includes {
            let arches = needed.arches.as_deref().unwrap_or_default();
            let fits = (arches.is_empty() || arches.contains(&host.native.go_name()))
                && needed.caps.iter().flatten().all(|cap| caps.contains_name(cap))
                && needed.kernel()?.is_none_or(|minimum| host.kernel >= minimum);
            if !fits {
                return Ok(false);
            }
        }
        if let Some(barred) = &self.excludes {
            let hit = barred.arches.iter().flatten().any(|arch| *arch == host.native.go_name())
                || barred.caps.iter().flatten().any(|cap| caps.contains_name(cap))
                || barred.kernel()?.is_some_and(|minimum| host.kernel >= minimum);
            return Ok(!hit);
        }
        Ok(true)
    }

    fn into_syscall(self) -> Result<LinuxSyscall> {
        let names: Vec<String> =
            self.name.into_iter().chain(self.names.unwrap_or_default()).map(ToOwned::to_owned).collect();
        if self.name.is_some() && names.len() > 1 {
            return Err(Error::new("both 'name' and 'names' are given in a rule of the seccomp profile, use either"));
        }
        let mut call = LinuxSyscallBuilder::default()
            .names(names)
            .action(self.action)
            .build()
            .context(|| "cannot describe a rule of the seccomp profile")?;
        call.set_errno_ret(self.errno_ret);
        call.set_args(self.args.filter(|args| !args.is_empty()));
        Ok(call)
    }
}

impl Conditions<'_> {
    fn kernel(&self) -> Result<Option<(u32, u32)>> {
        let Some(text) = self.min_kernel.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
        kernel_version(text)
            .map(Some)
            .ok_or_else(|| Error::new(format!("invalid minKernel {text:?} in the seccomp profile")))
    }
}

/// Major and minor number of a release such as `6.1.0-18-amd64`.
pub(crate) fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next().unwrap_or("0").parse().ok()?))
}
