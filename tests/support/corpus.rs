//! Builds as data: `tests/build/*.txt`.
//!
//! ```text
//! ### name                     a case
//! args: --build-arg A=1        more arguments of build
//! differs: why                 Podman's result is another one, and why that is
//! file: path [mode]            of the context; its lines follow, each after "| "
//! link: path target
//! dockerfile:                  lines after "| "
//! expect:                      what there is beside the base image (lines after "| "):
//!                                type mode owner path [content], or "- path" for what is gone
//! config: {"Cmd":["x"]}        members of the image's config
//! base: scratch                the listing is the whole image's
//! fails: code text             instead: exit code, and what standard error says
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::image::sha256;
use super::trial::Stop;

/// Content that is longer is shown as its length.
const SHOWN: usize = 120;

#[derive(Debug, Clone, Default)]
pub struct Case {
    pub name: String,
    pub args: Vec<String>,
    pub differs: Option<String>,
    /// Nothing of busybox is in it.
    pub from_scratch: bool,
    files: Vec<(String, u32, String)>,
    links: Vec<(String, String)>,
    pub dockerfile: String,
    pub expect: Vec<String>,
    pub config: Option<Value>,
    pub fails: Option<(i32, String)>,
}

/// The cases of one file.
pub fn read(name: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/build").join(format!("{name}.txt"));
    parse(&std::fs::read_to_string(&path).unwrap())
}

fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut section = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("### ") {
            cases.push(Case { name: name.to_owned(), ..Case::default() });
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        if let Some(content) = line.strip_prefix("| ").or_else(|| (line == "|").then_some("")) {
            match section.as_str() {
                "dockerfile" => case.dockerfile = format!("{}{content}\n", case.dockerfile),
                "expect" => case.expect.push(content.to_owned()),
                _ => {
                    let file = case.files.last_mut().unwrap();
                    file.2 = format!("{}{content}\n", file.2);
                }
            }
            continue;
        }
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        section = key.to_owned();
        let mut words = value.split_whitespace();
        match key {
            "args" => case.args = words.map(str::to_owned).collect(),
            "base" => case.from_scratch = value == "scratch",
            "differs" => case.differs = Some(value.to_owned()),
            "file" => {
                let (path, mode) = (words.next().unwrap().to_owned(), words.next().unwrap_or("644"));
                case.files.push((path, u32::from_str_radix(mode, 8).unwrap(), String::new()));
            }
            "link" => case.links.push((words.next().unwrap().to_owned(), words.next().unwrap().to_owned())),
            "config" => case.config = Some(serde_json::from_str(value).unwrap()),
            "fails" => {
                let (code, says) = value.split_once(' ').unwrap_or((value, ""));
                case.fails = Some((code.parse().unwrap(), says.to_owned()));
            }
            _ => {}
        }
    }
    cases
}

impl Case {
    /// Writes context and Dockerfile into a new directory.
    pub fn write(&self, dir: &Path) -> Result<(), Stop> {
        std::fs::create_dir_all(dir)?;
        for (path, _, content) in &self.files {
            let path = dir.join(path);
            std::fs::create_dir_all(path.parent().unwrap())?;
            std::fs::write(&path, content)?;
        }
        for (path, target) in &self.links {
            let path = dir.join(path);
            std::fs::create_dir_all(path.parent().unwrap())?;
            symlink(target, &path)?;
        }
        std::fs::write(dir.join("Dockerfile"), &self.dockerfile)?;
        let owner = std::fs::metadata(dir)?;
        for entry in walk(dir) {
            std::os::unix::fs::lchown(&entry, Some(owner.uid()), Some(owner.gid()))?;
            if entry.is_dir() && !entry.is_symlink() {
                std::fs::set_permissions(&entry, std::fs::Permissions::from_mode(0o755))?;
            }
        }
        for (path, mode, _) in &self.files {
            std::fs::set_permissions(dir.join(path), std::fs::Permissions::from_mode(*mode))?;
        }
        Ok(())
    }
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(walk(&path));
        }
        found.push(path);
    }
    found
}

/// What a tar holds, by path; times are no part of it.
pub fn listing(tar: &Path) -> Result<BTreeMap<String, String>, Stop> {
    let mut found = BTreeMap::new();
    let file = std::fs::File::open(tar).map_err(|e| std::io::Error::other(format!("{}: {e}", tar.display())))?;
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().trim_start_matches("./").trim_end_matches('/').to_owned();
        let header = entry.header().clone();
        let owner = format!("{}:{}", header.uid()?, header.gid()?);
        let mode = header.mode()? & 0o7777;
        let link = entry.link_name()?.map(|link| link.to_string_lossy().into_owned()).unwrap_or_default();
        let mut attributes = Vec::new();
        for extension in entry.pax_extensions()?.into_iter().flatten() {
            let extension = extension?;
            if let Some(name) = extension.key()?.strip_prefix("SCHILY.xattr.") {
                attributes.push(format!("{name}={}", extension.value_bytes().escape_ascii()));
            }
        }
        attributes.sort();
        let mut line = match header.entry_type() {
            tar::EntryType::Directory => format!("d {mode:04o} {owner} /{path}"),
            tar::EntryType::Symlink => format!("l {owner} /{path} -> {link}"),
            tar::EntryType::Link => format!("h /{path} = /{}", link.trim_start_matches("./").trim_start_matches('/')),
            tar::EntryType::Fifo => format!("p {mode:04o} {owner} /{path}"),
            _ => format!("f {mode:04o} {owner} /{path}"),
        };
        if header.entry_type() == tar::EntryType::Regular {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            match std::str::from_utf8(&content).ok().filter(|text| text.len() <= SHOWN) {
                Some(text) => write!(line, " {text:?}")?,
                None => write!(line, " {} bytes {}", content.len(), &sha256(&content)[..19])?,
            }
        }
        attributes.iter().try_for_each(|attribute| write!(line, " {attribute}"))?;
        found.insert(format!("/{path}"), line);
    }
    Ok(found)
}

/// What is in `new` and not, or otherwise, in `old`.
pub fn difference(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<String> {
    let changed = new.iter().filter(|(path, line)| *path != "/" && old.get(*path) != Some(line));
    let gone = old.keys().filter(|path| !new.contains_key(*path)).map(|path| format!("- {path}"));
    changed.map(|(_, line)| line.clone()).chain(gone).collect()
}
