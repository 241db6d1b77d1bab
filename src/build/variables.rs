//! ARG and ENV: which value a name has at a place of the Dockerfile.

use std::collections::BTreeMap;

use super::dockerfile::expand::{self, Lookup};
use super::dockerfile::{Instruction, Kind, Problem};
use crate::image::platform::Platform;

/// Usable in RUN without an ARG when `--build-arg` gives them, and no part of history or cache keys.
pub(crate) const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Arguments that mean something to the builder itself, without an ARG: the name of RUN steps' host, what the names of cache
/// directories begin with, whether a git context keeps its `.git`, how the file is checked (`# check=`), and the time of
/// everything that is made.
pub(crate) const HOSTNAME: &str = "BUILDKIT_SANDBOX_HOSTNAME";
pub(crate) const CACHE_NAMESPACE: &str = "BUILDKIT_CACHE_MOUNT_NS";
pub(crate) const KEEP_GIT_DIR: &str = "BUILDKIT_CONTEXT_KEEP_GIT_DIR";
pub(crate) const CHECK: &str = "BUILDKIT_DOCKERFILE_CHECK";
const EPOCH: &str = "SOURCE_DATE_EPOCH";
pub(crate) const OF_THE_BUILDER: [&str; 5] = [HOSTNAME, CACHE_NAMESPACE, KEEP_GIT_DIR, CHECK, EPOCH];

/// Bytes of all variables: what the kernel hands to a program at most, whatever its stack's limit is (execve(2)).
const MOST: usize = 6 << 20;
const TOO_MANY: &str = "the variables together are larger than 6 MiB: no program could be given them";

/// Whether such an argument is set to true (Go's strconv.ParseBool).
pub(crate) fn is_true(value: Option<&String>) -> bool {
    value.is_some_and(|value| matches!(value.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True"))
}

/// What holds for the whole file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Globals {
    /// ARGs before the first FROM, with their values.
    declared: BTreeMap<String, Option<String>>,
    /// `--build-arg`.
    pub given: BTreeMap<String, String>,
    platform: BTreeMap<&'static str, String>,
}

impl Globals {
    pub(crate) fn new(given: &BTreeMap<String, String>, target: &Platform, stage: Option<&str>) -> Self {
        let host = Platform::host();
        let mut platform = BTreeMap::new();
        for (names, of) in [
            (["TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT"], target),
            (["BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT"], &host),
        ] {
            let values =
                [of.to_string(), of.os.clone(), of.architecture.clone(), of.variant.clone().unwrap_or_default()];
            platform.extend(names.into_iter().zip(values));
        }
        platform.insert("TARGETSTAGE", stage.unwrap_or("default").to_owned());
        Self { declared: BTreeMap::new(), given: given.clone(), platform }
    }

    /// Takes in the ARGs before the first FROM.
    pub(crate) fn declare(&mut self, instruction: &Instruction, escape: char) -> Result<(), Problem> {
        let Kind::Arg(arguments) = &instruction.kind else { return Ok(()) };
        for (name, default) in arguments {
            let value = match (self.given.get(name), default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => {
                    let value = expand::word(default, escape, &|name| self.value(name));
                    Some(value.map_err(|what| Problem::new(what, instruction.span))?)
                }
                (None, None) => self.platform.get(name.as_str()).cloned(),
            };
            self.declared.insert(name.clone(), value);
        }
        let length: usize = self.declared.values().flatten().map(String::len).sum();
        if length > MOST {
            return Err(Problem::new(TOO_MANY, instruction.span));
        }
        Ok(())
    }

    /// For FROM, and what a stage inherits when it names an ARG.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        match self.declared.get(name) {
            Some(value) => value.clone(),
            None => self.platform.get(name).cloned(),
        }
    }

    pub(crate) fn is_declared(&self, name: &str) -> bool {
        self.declared.contains_key(name) || self.platform.contains_key(name)
    }
}

/// The ARGs of one stage so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arguments(Vec<(String, Option<String>)>);

impl Arguments {
    /// One name of an ARG instruction. `value` is its default, expanded.
    pub(crate) fn declare(&mut self, name: &str, value: Option<String>, globals: &Globals) {
        let value = globals.given.get(name).cloned().or(value).or_else(|| globals.value(name));
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value));
    }

    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.clone())
    }

    /// # Errors
    /// When no program could be given all of them and `env`.
    pub(crate) fn check(&self, env: &[String]) -> Result<(), String> {
        let own = self.0.iter().filter_map(|(_, value)| value.as_ref()).map(String::len).sum::<usize>();
        if own + env.iter().map(String::len).sum::<usize>() > MOST { Err(TOO_MANY.to_owned()) } else { Ok(()) }
    }

    /// Those that a RUN step sees, except where ENV says something else.
    pub(crate) fn of_run<'a>(&'a self, env: &'a [String]) -> impl Iterator<Item = (&'a str, &'a str)> {
        let set = |name: &str| env.iter().any(|variable| variable.split('=').next() == Some(name));
        let valued = self.0.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)));
        valued.filter(move |(name, _)| !set(name))
    }
}

/// ENV wins over ARG.
pub(crate) fn lookup<'a>(env: &'a [String], arguments: &'a Arguments) -> Box<Lookup<'a>> {
    Box::new(move |name| {
        let of_env = env.iter().find_map(|variable| match variable.split_once('=') {
            Some((known, value)) if known == name => Some(value.to_owned()),
            _ => None,
        });
        of_env.or_else(|| arguments.get(name))
    })
}
