//! Devices by name (Container Device Interface, <https://github.com/cncf-tags/container-device-interface>, SPEC.md 0.8):
//! `vendor.com/class=name`, described by files that a driver's packages put on the host.
//!
//! ```text
//! document  one file, JSON or YAML         registry  all files of the directories, and which of them names a device
//! ```
//!
//! What a device needs (nodes, mounts, variables, groups) becomes part of the container as if it had been asked for; its hooks
//! (programs of the host that change the container's files before it starts) become hooks of the Spec.

mod document;
mod registry;

use std::path::PathBuf;

use oci_spec::runtime::{self as oci, Hooks};

pub(crate) use registry::Registry;

use super::options::values::Device;
use crate::error::{Error, Result};
use document::ContainerEdits;

/// A device's full name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    /// `vendor.com/class`.
    pub kind: String,
    pub device: String,
}

impl Name {
    /// `None` when the text is no such name: a path, then.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (kind, device) = text.split_once('=')?;
        let (vendor, class) = kind.split_once('/')?;
        let word = |text: &str, extra: &[char]| {
            let mut chars = text.chars();
            chars.next().is_some_and(|c| c.is_ascii_alphanumeric())
                && chars.all(|c| c.is_ascii_alphanumeric() || extra.contains(&c))
                && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        };
        let sound =
            word(vendor, &['_', '-', '.']) && word(class, &['_', '-', '.']) && word(device, &['_', '-', '.', ':']);
        sound.then(|| Self { kind: kind.to_owned(), device: device.to_owned() })
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.kind, self.device)
    }
}

/// What devices bring into a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Edits {
    /// `NAME=value`.
    pub env: Vec<String>,
    pub devices: Vec<Device>,
    pub mounts: Vec<Mount>,
    pub groups: Vec<u32>,
    pub hooks: Hooks,
}

/// A mount of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub source: PathBuf,
    pub destination: String,
    /// `bind` unless the file says otherwise.
    pub kind: String,
    pub options: Vec<String>,
}

impl Edits {
    /// What the devices called so bring.
    pub(crate) fn of(names: &[Name]) -> Result<Self> {
        match names {
            [] => Ok(Self::default()),
            names => Registry::read().edits(names),
        }
    }

    fn add(&mut self, edits: &ContainerEdits, of: &str) -> Result<()> {
        for hook in &edits.hooks {
            self.add_hook(hook, of)?;
        }
        if edits.intel_rdt.is_some() || !edits.net_devices.is_empty() {
            return Err(Error::new(format!("the CDI device {of} needs Intel RDT or a network device of the host"))
                .hint("rpod supports device nodes, mounts, environment variables and groups"));
        }
        for variable in &edits.env {
            match variable.split_once('=') {
                Some((name, _)) if !name.is_empty() && !variable.contains('\0') => self.env.push(variable.clone()),
                _ => return Err(Error::new(format!("the CDI device {of} has an impossible variable {variable:?}"))),
            }
        }
        for node in &edits.device_nodes {
            let destination = absolute(&node.path, of)?;
            let source = node.host_path.as_deref().filter(|path| !path.is_empty()).unwrap_or(&node.path);
            let permissions = node.permissions.as_deref().unwrap_or("rwm");
            self.devices.push(Device {
                source: absolute(source, of)?.into(),
                destination,
                writable: permissions.contains('w'),
            });
        }
        for mount in &edits.mounts {
            let options = match mount.options.is_empty() {
                true => ["rbind", "nosuid", "nodev"].map(str::to_owned).to_vec(),
                false => mount.options.clone(),
            };
            self.mounts.push(Mount {
                source: absolute(&mount.host_path, of)?.into(),
                destination: absolute(&mount.container_path, of)?,
                kind: mount.kind.clone().filter(|kind| !kind.is_empty()).unwrap_or_else(|| "bind".to_owned()),
                options,
            });
        }
        self.groups.extend(edits.additional_gids.iter().filter(|gid| **gid != 0));
        Ok(())
    }

    fn add_hook(&mut self, hook: &document::Hook, of: &str) -> Result<()> {
        let document::Hook { hook_name, path, args, env, timeout } = hook;
        let list = list(&mut self.hooks, hook_name)
            .ok_or_else(|| Error::new(format!("the CDI device {of} has an unknown kind of hook {hook_name:?}")))?;
        let mut hook = oci::Hook::default();
        hook.set_path(absolute(path, of)?.into());
        hook.set_args(Some(args.clone()).filter(|args| !args.is_empty()));
        hook.set_env(Some(env.clone()).filter(|env| !env.is_empty()));
        hook.set_timeout(*timeout);
        list.get_or_insert_default().push(hook);
        Ok(())
    }
}

/// The list of `hooks` that has this name.
fn list<'h>(hooks: &'h mut Hooks, name: &str) -> Option<&'h mut Option<Vec<oci::Hook>>> {
    Some(match name {
        "prestart" => hooks.prestart_mut(),
        "createRuntime" => hooks.create_runtime_mut(),
        "createContainer" => hooks.create_container_mut(),
        "startContainer" => hooks.start_container_mut(),
        "poststart" => hooks.poststart_mut(),
        "poststop" => hooks.poststop_mut(),
        _ => return None,
    })
}

fn absolute(path: &str, of: &str) -> Result<String> {
    if path.starts_with('/') && !path.contains('\0') && path != "/" {
        return Ok(path.to_owned());
    }
    Err(Error::new(format!("the CDI device {of} has an impossible path {path:?}")))
}

/// `--gpus`: names of NVIDIA's devices, which is what Podman makes of it.
pub(crate) fn gpus(text: &str) -> Result<Vec<Name>> {
    let gpu = |device: &str| {
        Name::parse(&format!("nvidia.com/gpu={device}")).ok_or_else(|| {
            Error::new(format!("invalid value for --gpus: {text:?}")).hint("all, a number, or device=ID,…")
        })
    };
    // As Docker has it: comma-separated fields, of which one is the devices; the list of devices may be quoted.
    let text = text.trim_matches('"');
    match text.parse::<u32>() {
        Ok(count) => return (0..count).map(|number| gpu(&number.to_string())).collect(),
        Err(_) if text == "all" => return Ok(vec![gpu("all")?]),
        Err(_) => {}
    }
    match text.strip_prefix("device=") {
        Some(list) if !list.is_empty() => list.split(',').map(gpu).collect(),
        _ => text.split(',').map(gpu).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (text, sound) in [
            ("vendor.com/class=name", true),
            ("nvidia.com/gpu=0", true),
            ("a/b=GPU-1:2", true),
            ("/dev/null", false),
            ("/dev/x=y", false),
            ("a/b/c=d", false),
            ("a/b=", false),
            ("a/b=x=y", false),
            ("-a/b=x", false),
            ("../b=x", false),
            ("a=b", false),
        ] {
            assert_eq!(Name::parse(text).is_some(), sound, "{text}");
        }
    }

    #[test]
    fn gpus_are_names() {
        let read = |text: &str| {
            gpus(text)
                .map_or_else(|e| e.to_string(), |names| names.iter().map(Name::to_string).collect::<Vec<_>>().join(" "))
        };
        for (text, expected) in [
            ("all", "nvidia.com/gpu=all"),
            ("2", "nvidia.com/gpu=0 nvidia.com/gpu=1"),
            ("device=0,GPU-7", "nvidia.com/gpu=0 nvidia.com/gpu=GPU-7"),
            ("\"device=0,1\"", "nvidia.com/gpu=0 nvidia.com/gpu=1"),
            ("", "invalid value for --gpus: \"\""),
            ("device=/dev/x", "invalid value for --gpus: \"device=/dev/x\""),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
