//! All CDI files of this host.

use std::path::PathBuf;

use super::document::{self, DeviceEntry, Document};
use super::{Edits, Name};
use crate::error::{Error, Result};

/// Files that were read, those of a directory of higher priority later. What cannot be read counts only when a device is not
/// found, as CDI's own library does.
#[derive(Debug)]
pub(crate) struct Registry {
    /// The priority of its directory with each file.
    documents: Vec<(usize, PathBuf, Document)>,
    broken: Vec<Error>,
    directories: Vec<PathBuf>,
}

impl Registry {
    /// Reads /etc/cdi, /var/run/cdi, and the user's own directory.
    pub(crate) fn read() -> Self {
        let own = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
        let own = own.or_else(home).filter(|dir| dir.is_absolute()).map(|dir| dir.join("cdi"));
        Self::of([PathBuf::from("/etc/cdi"), PathBuf::from("/var/run/cdi")].into_iter().chain(own).collect())
    }

    fn of(directories: Vec<PathBuf>) -> Self {
        let mut registry = Self { documents: Vec::new(), broken: Vec::new(), directories };
        for (priority, dir) in registry.directories.iter().enumerate() {
            let mut files: Vec<PathBuf> =
                std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
            files.sort();
            let known = |file: &PathBuf| file.extension().is_some_and(|e| e == "json" || e == "yaml" || e == "yml");
            for file in files.into_iter().filter(known) {
                match document::read(&file) {
                    Ok(document) => registry.documents.push((priority, file, document)),
                    Err(e) => registry.broken.push(e),
                }
            }
        }
        registry
    }

    /// What all `names` together bring.
    ///
    /// # Errors
    /// In Podman's words for devices that no file describes, or two files of the same directory.
    pub(crate) fn edits(&self, names: &[Name]) -> Result<Edits> {
        let mut edits = Edits::default();
        let mut used: Vec<&PathBuf> = Vec::new();
        for name in names {
            for (path, document, device) in self.find(name)? {
                // What belongs to the whole file comes once.
                if !used.contains(&path) {
                    edits.add(&document.container_edits, &name.to_string())?;
                    used.push(path);
                }
                edits.add(&device.container_edits, &name.to_string())?;
            }
        }
        Ok(edits)
    }

    fn find(&self, name: &Name) -> Result<Vec<(&PathBuf, &Document, &DeviceEntry)>> {
        let mut found: Vec<(usize, &PathBuf, &Document, &DeviceEntry)> = Vec::new();
        let mut all = Vec::new();
        for (priority, path, document) in self.documents.iter().filter(|(.., document)| document.kind == name.kind) {
            for device in &document.devices {
                all.push((path, document, device));
                if device.name == name.device {
                    found.push((*priority, path, document, device));
                }
            }
        }
        let highest = found.iter().map(|(priority, ..)| *priority).max();
        found.retain(|(priority, ..)| Some(*priority) == highest);
        match found[..] {
            [(_, path, document, device)] => Ok(vec![(path, document, device)]),
            // A kind without a device of that name has all of its devices in it.
            [] if name.device == "all" && !all.is_empty() => Ok(all),
            [] => Err(self.unresolvable(name)),
            [(_, one, ..), (_, two, ..), ..] => Err(Error::new(format!(
                "setting up CDI devices: {name} is described twice, in {} and {}",
                one.display(),
                two.display()
            ))),
        }
    }

    fn unresolvable(&self, name: &Name) -> Error {
        let error = Error::new(format!("setting up CDI devices: unresolvable CDI devices {name}"));
        let looked: Vec<String> = self.directories.iter().map(|dir| dir.display().to_string()).collect();
        let kinds: Vec<&str> = self.documents.iter().map(|(.., document)| document.kind.as_str()).collect();
        let error = match kinds[..] {
            [] => error.hint(format!("no device is described in {}", looked.join(", "))),
            _ => error.hint(format!("what is described in {}: {}", looked.join(", "), kinds.join(", "))),
        };
        let error = match name.kind == "nvidia.com/gpu" {
            true => error.hint("NVIDIA's: nvidia-ctk cdi generate --output=~/.config/cdi/nvidia.yaml"),
            false => error,
        };
        self.broken.iter().fold(error, |error, broken| error.hint(broken.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"{ "cdiVersion": "0.6.0", "kind": "vendor.com/thing", "containerEdits": { "env": ["ALL=1"] }, "devices": [
        { "name": "a", "containerEdits": { "deviceNodes": [{ "path": "/dev/a", "hostPath": "/dev/null", "permissions": "r" }],
          "additionalGids": [7, 0] } },
        { "name": "b", "containerEdits": { "mounts": [{ "hostPath": "/lib/x", "containerPath": "/lib/y", "options": ["ro"] }] } }] }"#;
    const TWO: &str =
        "cdiVersion: 0.6.0\nkind: vendor.com/thing\ndevices:\n- name: b\n  containerEdits:\n    env:\n    - B=over\n";
    const HOOK: &str = r#"{ "cdiVersion": "0.6.0", "kind": "vendor.com/hooked", "devices": [{ "name": "h", "containerEdits":
        { "hooks": [{ "hookName": "createContainer", "path": "/usr/bin/x", "args": ["x"] }] } }] }"#;

    #[test]
    fn devices_bring_what_their_files_say() {
        let root = std::env::temp_dir().join(format!("rpod-cdi-{}", std::process::id()));
        let (low, high) = (root.join("low"), root.join("high"));
        for dir in [&low, &high] {
            std::fs::create_dir_all(dir).expect("directories");
        }
        let put = |path: PathBuf, text: &str| std::fs::write(path, text).expect("writes");
        put(low.join("one.json"), ONE);
        put(low.join("hook.json"), HOOK);
        put(low.join("broken.json"), "{");
        put(low.join("ignored.txt"), "x");
        put(high.join("two.yaml"), TWO);
        let registry = Registry::of(vec![low.clone(), high.clone()]);
        let edits =
            |names: &[&str]| registry.edits(&names.iter().map(|n| Name::parse(n).expect(n)).collect::<Vec<_>>());
        let a = edits(&["vendor.com/thing=a"]).expect("known");
        assert_eq!((a.env.clone(), a.groups.clone(), a.mounts.len()), (vec!["ALL=1".to_owned()], vec![7], 0));
        assert_eq!((a.devices[0].destination.as_str(), a.devices[0].writable), ("/dev/a", false));
        // The directory of higher priority wins.
        assert_eq!(edits(&["vendor.com/thing=b"]).expect("known").env, ["B=over"]);
        let all = edits(&["vendor.com/thing=all"]).expect("known");
        assert_eq!((all.devices.len(), all.mounts.len(), all.env.len()), (1, 1, 2));
        let unknown = edits(&["vendor.com/thing=c"]).expect_err("unknown");
        assert_eq!(unknown.to_string(), "setting up CDI devices: unresolvable CDI devices vendor.com/thing=c");
        assert!(unknown.hints().iter().any(|hint| hint.contains("broken.json")), "{:?}", unknown.hints());
        let hooked = edits(&["vendor.com/hooked=h"]).expect("known").hooks;
        assert!(
            hooked.create_container().iter().flatten().any(|hook| hook.path() == std::path::Path::new("/usr/bin/x"))
        );
        put(low.join("same.json"), ONE);
        let twice = Registry::of(vec![low, high]).edits(&[Name::parse("vendor.com/thing=a").expect("a name")]);
        assert!(twice.expect_err("twice").to_string().contains("described twice"));
        std::fs::remove_dir_all(&root).expect("removes");
    }
}
