//! From a name as typed to the places to ask: short names, aliases, mirrors and rewritten locations of registries.conf.

use crate::config::registries::Registries;
use crate::error::{Context, Error, Result};
use crate::image::reference::{Reference, is_short};

/// Where an image can be fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The reference to ask that registry for.
    pub reference: Reference,
    /// Plain HTTP and unverified certificates are allowed.
    pub insecure: bool,
    pub is_mirror: bool,
}

/// The full names that `name`, as typed, may mean, in the order to try.
pub(crate) fn candidates(config: &Registries, name: &str) -> Result<Vec<Reference>> {
    if !is_short(name) {
        return Ok(vec![Reference::parse(name)?]);
    }
    let plain = Reference::with_default_host(name, "localhost")?;
    if let Some(full) = config.aliases.get(plain.path()) {
        let suffix = match (plain.tag(), plain.digest()) {
            (_, Some(digest)) => format!("@{digest}"),
            (Some(tag), None) => format!(":{tag}"),
            (None, None) => String::new(),
        };
        return Ok(vec![Reference::parse(&format!("{full}{suffix}"))?]);
    }
    let hosts = config.searched(name)?;
    if config.enforces_short_names && config.search.len() > 1 {
        // Podman asks at a terminal; a name that is typed in full needs no question.
        return Err(Error::new(format!("{name} may be of {}: short-name-mode is enforcing", config.search.join(", ")))
            .hint(format!(
                "write the registry too, such as {}/{name}, or add an alias to registries.conf",
                config.search[0]
            )));
    }
    hosts.iter().map(|host| Reference::with_default_host(name, host)).collect()
}

/// Where to fetch `reference` from: mirrors first, then the registry itself.
pub(crate) fn sources(config: &Registries, reference: &Reference) -> Result<Vec<Source>> {
    let full = reference.to_string();
    let Some((rule, matched)) = config
        .rules
        .iter()
        .filter_map(|rule| Some((rule, matches(&rule.prefix, &full)?)))
        .max_by_key(|(rule, _)| (rule.prefix.len(), !rule.prefix.starts_with('*')))
    else {
        return Ok(vec![Source { reference: reference.clone(), insecure: false, is_mirror: false }]);
    };
    if rule.blocked {
        return Err(Error::new(format!("the registry of {full} is blocked by registries.conf")));
    }
    let rewrite = |location: &str| -> Result<Reference> {
        if location.is_empty() {
            return Ok(reference.clone());
        }
        let rewritten = format!("{location}{}", &full[matched..]);
        Reference::parse(&rewritten).context(|| format!("registries.conf turns {full} into a bad name"))
    };
    let mut sources = Vec::new();
    for mirror in &rule.mirror {
        let wanted = match (mirror.pull_from_mirror.as_str(), rule.mirror_by_digest_only) {
            ("digest-only", _) | ("", true) => reference.digest().is_some(),
            ("tag-only", _) => reference.digest().is_none(),
            // Other words are refused when the file is read.
            _ => true,
        };
        if wanted {
            let reference = rewrite(&mirror.location)?;
            sources.push(Source { reference, insecure: mirror.insecure, is_mirror: true });
        }
    }
    sources.push(Source { reference: rewrite(&rule.location)?, insecure: rule.insecure, is_mirror: false });
    Ok(sources)
}

/// Where to push `reference`: the registry itself, never a mirror.
pub(crate) fn push_target(config: &Registries, reference: &Reference) -> Result<Source> {
    let registry = sources(config, reference)?.pop();
    registry.ok_or_else(|| Error::new(format!("there is nowhere to push {reference} to")))
}

/// How many bytes of `name` the prefix covers; a prefix ends at a component's end.
fn matches(prefix: &str, name: &str) -> Option<usize> {
    if let Some(domain) = prefix.strip_prefix('*') {
        let host_end = name.find(['/', ':'])?;
        // `*.example.com` covers the host without its port.
        return name[..host_end].ends_with(domain).then_some(host_end);
    }
    let rest = name.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with(['/', ':', '@'])).then_some(prefix.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONF: &str = r#"
        unqualified-search-registries = ["reg.example", "docker.io"]
        [[registry]]
        location = "plain.example:5000"
        insecure = true
        [[registry]]
        prefix = "docker.io"
        location = "docker.io"
        [[registry.mirror]]
        location = "mirror.example/hub"
        [[registry.mirror]]
        location = "pinned.example"
        pull-from-mirror = "digest-only"
        [[registry]]
        prefix = "docker.io/library/secret"
        blocked = true
        [[registry]]
        prefix = "*.corp.example"
        location = "cache.example:5000/corp"
        [aliases]
        "alpine" = "quay.io/mirror/alpine"
        "fedora" = ""
    "#;

    fn config() -> Registries {
        let mut config = Registries::default();
        config.add(CONF).expect("config");
        config
    }

    fn sources(name: &str) -> Vec<(String, bool)> {
        let sources = super::sources(&config(), &Reference::parse(name).expect("name")).expect("sources");
        sources.into_iter().map(|s| (s.reference.to_string(), s.insecure)).collect()
    }

    #[test]
    fn rewrites_by_the_longest_prefix() {
        assert_eq!(sources("plain.example:5000/a"), [("plain.example:5000/a:latest".to_owned(), true)]);
        assert_eq!(
            sources("alpine:3"),
            [
                ("mirror.example/hub/library/alpine:3".to_owned(), false),
                ("docker.io/library/alpine:3".to_owned(), false)
            ]
        );
        assert_eq!(sources(&format!("alpine@sha256:{}", "0".repeat(64))).len(), 3);
        assert_eq!(sources("a.corp.example/x/y:1"), [("cache.example:5000/corp/x/y:1".to_owned(), false)]);
        assert_eq!(sources("plain.example:50001/a"), [("plain.example:50001/a:latest".to_owned(), false)]);
        assert!(super::sources(&config(), &Reference::parse("secret:1").expect("name")).is_err());
        assert!(super::sources(&config(), &Reference::parse("secrets:1").expect("name")).is_ok());
    }

    #[test]
    fn short_names() {
        let names = |name: &str| -> Vec<String> {
            super::candidates(&config(), name).expect("candidates").iter().map(ToString::to_string).collect()
        };
        assert_eq!(names("alpine:3"), ["quay.io/mirror/alpine:3"]);
        assert_eq!(names("a/b"), ["reg.example/a/b:latest", "docker.io/a/b:latest"]);
        assert_eq!(names("quay.io/a"), ["quay.io/a:latest"]);
        let mut enforcing = config();
        enforcing.add("short-name-mode = \"enforcing\"").expect("config");
        assert!(super::candidates(&enforcing, "a/b").is_err());
        assert!(super::candidates(&enforcing, "alpine").is_ok() && super::candidates(&enforcing, "quay.io/a").is_ok());
        let defaults = super::candidates(&Registries::default(), "x").expect("candidates");
        assert_eq!(defaults[0].to_string(), "docker.io/library/x:latest");
    }
}
