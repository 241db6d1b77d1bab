//! storage.conf (containers-storage.conf(5)): of its options only `additionalimagestores` means anything to rpod.
//!
//! Read from `$CONTAINERS_STORAGE_CONF`, else the first that is there of the user's, the system's and the distribution's.

use std::path::PathBuf;

use serde::Deserialize;

use super::registries::user_dir;

const ENV_FILE: &str = "CONTAINERS_STORAGE_CONF";
const SYSTEM_FILES: [&str; 2] = ["/etc/containers/storage.conf", "/usr/share/containers/storage.conf"];
const OPTION: &str = "additionalimagestores";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    storage: Storage,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Storage {
    options: Options,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Options {
    additionalimagestores: Vec<PathBuf>,
}

/// The directories that it names. It is Podman's file: what is wrong with it is for Podman to say.
pub(crate) fn additional_image_stores() -> Vec<PathBuf> {
    let user = || user_dir().map(|dir| dir.join("storage.conf"));
    let text = match std::env::var_os(ENV_FILE).filter(|path| !path.is_empty()) {
        Some(path) => std::fs::read_to_string(path).ok(),
        None => user()
            .into_iter()
            .chain(SYSTEM_FILES.map(PathBuf::from))
            .find_map(|path| std::fs::read_to_string(path).ok()),
    };
    text.map(|text| parse(&text)).unwrap_or_default()
}

fn parse(text: &str) -> Vec<PathBuf> {
    // On the path of a start: most files name none.
    let names_some = |line: &str| line.trim_start().starts_with(OPTION);
    if !text.lines().any(names_some) {
        return Vec::new();
    }
    toml::from_str::<File>(text).map(|file| file.storage.options.additionalimagestores).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_of_a_file() {
        let file =
            "[storage]\ndriver = \"overlay\"\n[storage.options]\nadditionalimagestores = [\n  \"/a\",\n \"/b\",]\n";
        assert_eq!(parse(file), [PathBuf::from("/a"), PathBuf::from("/b")]);
        for none in ["", "# additionalimagestores = [\"/a\"]", "[storage]\n", "additionalimagestores = [1", "not toml"]
        {
            assert!(parse(none).is_empty(), "{none}");
        }
    }
}
