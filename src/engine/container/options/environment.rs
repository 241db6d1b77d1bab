//! Environment variables: `-e`, `--env-file`, `--env-host`, the proxy variables.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Context, Error, Result};

/// Passed on unless `--http-proxy=false`.
const PROXY: [&str; 8] =
    ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY"];

/// Largest environment or label file. The kernel takes a few megabytes of environment at most.
const FILE_LIMIT: u64 = 4 << 20;

/// What the program's environment is made of, weakest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    /// Weaker than the image's variables.
    pub proxy: BTreeMap<String, String>,
    /// Names of image variables to leave out.
    pub unset: Vec<String>,
    pub unset_all: bool,
    /// Stronger than the image's variables: the host's, then files, then `-e`.
    pub set: BTreeMap<String, String>,
}

/// The variables of this process that are text.
pub(crate) fn host_variables() -> BTreeMap<String, String> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
}

impl Environment {
    /// Takes the proxy variables from `host`.
    pub(crate) fn pass_proxy(&mut self, host: &BTreeMap<String, String>) {
        let wanted = PROXY.iter().filter_map(|name| Some(((*name).to_owned(), host.get(*name)?.clone())));
        self.proxy.extend(wanted);
    }

    /// One `-e` value.
    pub(crate) fn add(&mut self, text: &str, host: &BTreeMap<String, String>) -> Result<()> {
        add(&mut self.set, text, host)
    }

    /// The lines of an `--env-file`.
    pub(crate) fn add_file(&mut self, path: &Path, host: &BTreeMap<String, String>) -> Result<()> {
        let set = &mut self.set;
        for_each_line(path, |line| add(set, line, host))
    }
}

/// `NAME=VALUE`; `NAME` and `PREFIX*` take the host's values, or nothing where the host has none.
fn add(set: &mut BTreeMap<String, String>, text: &str, host: &BTreeMap<String, String>) -> Result<()> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    let name = name.trim_start();
    if name.is_empty() && value.is_some() || text.contains('\0') {
        return Err(Error::new(format!("invalid variable: {text:?}")));
    }
    match (value, name.strip_suffix('*')) {
        (Some(value), _) => {
            set.insert(name.to_owned(), value.to_owned());
        }
        (None, Some(prefix)) => {
            set.extend(host.iter().filter(|(k, _)| k.starts_with(prefix)).map(|(k, v)| (k.clone(), v.clone())));
        }
        (None, None) => set.extend(host.get(name).map(|value| (name.to_owned(), value.clone()))),
    }
    Ok(())
}

/// Calls `each` with the lines of `path` that are neither empty nor comments, without leading blanks.
pub(super) fn for_each_line(path: &Path, mut each: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let what = || format!("parsing file {:?}", path.display().to_string());
    let file = std::fs::File::open(path).context(|| format!("open {}", path.display())).context(what)?;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::io::Read::take(file, FILE_LIMIT + 1), &mut text).context(what)?;
    if text.len() as u64 > FILE_LIMIT {
        return Err(Error::new(format!("{}: the file is larger than {} MiB", what(), FILE_LIMIT >> 20)));
    }
    // Windows editors leave these behind.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let lines = text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines {
        each(line).context(what)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_imports() {
        let host: BTreeMap<String, String> =
            [("A", "1"), ("AB", "2"), ("B", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        for (texts, expected) in [
            (vec!["X=1", "X=2"], "X=2"),
            (vec!["X=", "Y=a=b"], "X= Y=a=b"),
            (vec!["A", "B", "MISSING"], "A=1 B="),
            (vec!["A*"], "A=1 AB=2"),
            (vec![" X= 1 "], "X= 1 "),
            (vec!["A B=c", "X =1", "", "N B"], "A B=c X =1"),
        ] {
            let mut environment = Environment::default();
            texts.iter().for_each(|text| environment.add(text, &host).expect(text));
            let shown: Vec<String> = environment.set.iter().map(|(k, v)| format!("{k}={v}")).collect();
            assert_eq!(shown.join(" "), expected);
        }
        for text in ["=x", " =x", "a=\0"] {
            let error = Environment::default().add(text, &host).expect_err(text);
            assert_eq!(error.to_string(), format!("invalid variable: {text:?}"));
        }
    }
}
