//! policy.json (containers-policy.json(5)): which images may be brought in at all, and whose signatures they need.
//!
//! Read from `--signature-policy`, else `~/.config/containers/policy.json`, else `/etc/containers/policy.json`. Without any
//! of them every image is accepted, as Docker does it. What is not understood whole is refused whole: a member too many or
//! twice may be the rule that was meant. What is known but cannot be checked here refuses the images of its scope.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::registries::user_dir;
use super::strict_json;
use crate::error::{Context, Error, Result};
use crate::image::reference::Reference;

const SYSTEM_FILE: &str = "/etc/containers/policy.json";
const GPG_KEYS: &str = "GPGKeys";
/// Kinds of keys that policies may name and nobody implements.
const OTHER_KEY_TYPES: [&str; 3] = ["signedByGPGKeys", "X509Certificates", "signedByX509CAs"];

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    pub default: Vec<Requirement>,
    /// Transport → scope → what images there must fulfil.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub transports: BTreeMap<String, BTreeMap<String, Vec<Requirement>>>,
    #[serde(skip)]
    path: Option<PathBuf>,
}

/// One condition; of a list all must hold.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "type", deny_unknown_fields)]
pub(crate) enum Requirement {
    #[serde(rename = "insecureAcceptAnything")]
    AcceptAnything {},
    #[serde(rename = "reject")]
    Reject {},
    #[serde(rename = "signedBy")]
    SignedBy(Keys),
    #[serde(rename = "sigstoreSigned")]
    SigstoreSigned(Keys),
    #[serde(rename = "signedBaseLayer", rename_all = "camelCase")]
    SignedBaseLayer { base_layer_identity: Identity },
}

/// The keys of which one must have signed, and for what name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Keys {
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub key_type: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub key_path: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub key_paths: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub key_data: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub key_datas: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub signed_identity: Option<Identity>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub fulcio: Option<Fulcio>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub pki: Option<Pki>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub rekor_public_key_path: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub rekor_public_key_paths: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub rekor_public_key_data: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub rekor_public_key_datas: Option<Vec<String>>,
}

/// Who issues the certificates of keyless signatures, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Fulcio {
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    ca_path: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    ca_data: Option<String>,
    oidc_issuer: String,
    subject_email: String,
}

/// The authorities of signatures with certificates of one's own, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Pki {
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    ca_roots_path: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    ca_roots_data: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    ca_intermediates_path: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    ca_intermediates_data: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    subject_email: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    subject_hostname: Option<String>,
}

/// Which names a signature may be for (`signedIdentity`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "type", rename_all_fields = "camelCase", deny_unknown_fields)]
pub(crate) enum Identity {
    #[serde(rename = "matchExact")]
    Exact {},
    #[serde(rename = "matchRepoDigestOrExact")]
    RepoDigestOrExact {},
    #[serde(rename = "matchRepository")]
    Repository {},
    #[serde(rename = "exactReference")]
    ThisReference { docker_reference: String },
    #[serde(rename = "exactRepository")]
    ThisRepository { docker_repository: String },
    #[serde(rename = "remapIdentity")]
    Remapped { prefix: String, signed_prefix: String },
}

impl Default for Identity {
    fn default() -> Self {
        Self::RepoDigestOrExact {}
    }
}

/// A member that is given is not null.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl Policy {
    /// The policy of this user; `None` when there is none.
    pub(crate) fn load(explicit: Option<&Path>) -> Result<Option<Self>> {
        let candidates = match explicit {
            Some(path) => vec![path.to_path_buf()],
            None => Self::files(),
        };
        for path in candidates {
            let text = match std::fs::read_to_string(&path) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound && explicit.is_none() => continue,
                text => text.context(|| format!("cannot read {}", path.display()))?,
            };
            let policy = Self::parse(&text).context(|| format!("cannot use {}", path.display()))?;
            return Ok(Some(Self { path: Some(path), ..policy }));
        }
        Ok(None)
    }

    /// The user's own file first.
    pub(crate) fn files() -> Vec<PathBuf> {
        user_dir().map(|dir| dir.join("policy.json")).into_iter().chain([PathBuf::from(SYSTEM_FILE)]).collect()
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let what = || "it is not a signature policy that rpod understands";
        let value = strict_json::parse(text).context(what)?;
        has_objects(&value).context(what)?;
        let policy: Self = serde_json::from_value(value).context(what)?;
        for (transport, scopes) in &policy.transports {
            scopes.keys().try_for_each(|scope| check_scope(transport, scope))?;
        }
        let lists = policy.transports.values().flat_map(BTreeMap::values).chain([&policy.default]);
        for list in lists {
            if list.is_empty() {
                return Err(
                    Error::new("a list of requirements is empty").hint("write insecureAcceptAnything or reject")
                );
            }
            list.iter().try_for_each(check)?;
        }
        Ok(policy)
    }

    /// Where it was read from, for messages.
    pub(crate) fn place(&self) -> String {
        self.path.as_ref().map_or_else(|| "the signature policy".to_owned(), |path| path.display().to_string())
    }

    /// What an image of a registry must fulfil: the closest scope counts.
    pub(crate) fn for_reference(&self, reference: &Reference) -> &[Requirement] {
        let full = match reference.digest() {
            Some(digest) => reference.pinned(&digest),
            None => reference.store_name(),
        };
        let repository = reference.repository();
        let host = reference.host();
        let parents = std::iter::successors(Some(repository.as_str()), |key| key.rsplit_once('/').map(|(up, _)| up));
        let domains = std::iter::successors(Some(host), |name| name.split_once('.').map(|(_, up)| up)).skip(1);
        let scopes = std::iter::once(full.clone())
            .chain(parents.map(str::to_owned))
            .chain(domains.map(|domain| format!("*.{domain}")));
        self.find("docker", scopes)
    }

    /// What an image in a file or a directory must fulfil. `path` is absolute.
    pub(crate) fn for_path(&self, transport: &str, path: &Path, name: Option<&str>) -> &[Requirement] {
        let own = path.display().to_string();
        let named = name.map(|name| format!("{own}:{name}"));
        let parents = path.ancestors().map(|path| path.display().to_string());
        self.find(transport, named.into_iter().chain(parents))
    }

    fn find(&self, transport: &str, scopes: impl Iterator<Item = String>) -> &[Requirement] {
        let Some(rules) = self.transports.get(transport) else { return &self.default };
        let mut scopes = scopes.chain([String::new()]);
        scopes.find_map(|scope| rules.get(&scope)).map_or(&self.default, |list| list)
    }
}

/// serde takes a list of values for a structure; nobody writes a policy so.
fn has_objects(value: &Value) -> Result<()> {
    let bad = || Err(Error::new("a list is where an object is expected"));
    match value {
        Value::Array(list) => list.iter().try_for_each(|item| if item.is_array() { bad() } else { has_objects(item) }),
        Value::Object(members) => members.iter().try_for_each(|(name, member)| match member {
            Value::Array(_) if name == "signedIdentity" => bad(),
            member => has_objects(member),
        }),
        _ => Ok(()),
    }
}

/// A scope that no image could have is a mistake in the rule that matters most.
fn check_scope(transport: &str, scope: &str) -> Result<()> {
    let is_possible = match transport {
        _ if scope.is_empty() => true,
        "docker-archive" | "tarball" => false,
        "dir" | "oci" | "oci-archive" => {
            scope.strip_prefix('/').is_some_and(|path| !path.split('/').any(|part| ["", ".", ".."].contains(&part)))
        }
        _ => true,
    };
    match is_possible {
        true => Ok(()),
        false => Err(Error::new(format!("{transport} has no scope {scope:?}"))),
    }
}

fn check(requirement: &Requirement) -> Result<()> {
    let keys = match requirement {
        Requirement::AcceptAnything {} | Requirement::Reject {} => return Ok(()),
        Requirement::SignedBaseLayer { base_layer_identity } => return check_identity(base_layer_identity),
        Requirement::SignedBy(keys) => {
            if !keys.key_type.as_deref().is_some_and(|kind| kind == GPG_KEYS || OTHER_KEY_TYPES.contains(&kind)) {
                return Err(Error::new("keyType of signedBy must be GPGKeys"));
            }
            if keys.key_datas.is_some() {
                return Err(Error::new("signedBy has no keyDatas"));
            }
            if keys.fulcio.is_some() || keys.pki.is_some() || keys.rekor() > 0 {
                return Err(Error::new("signedBy has no fulcio, pki and rekorPublicKey"));
            }
            keys
        }
        Requirement::SigstoreSigned(keys) => {
            if keys.key_type.is_some() {
                return Err(Error::new("sigstoreSigned has no keyType"));
            }
            keys
        }
    };
    if keys.rekor() > 1 {
        return Err(Error::new("only one of the members rekorPublicKey… may be given"));
    }
    let given = [keys.key_path.is_some(), keys.key_paths.is_some(), keys.key_data.is_some(), keys.key_datas.is_some()];
    match (&keys.fulcio, &keys.pki) {
        (None, None) => {}
        (Some(fulcio), None) if !given.contains(&true) => {
            fulcio.check(keys.rekor())?;
            return keys.signed_identity.as_ref().map_or(Ok(()), check_identity);
        }
        (None, Some(pki)) if !given.contains(&true) => {
            pki.check(keys.rekor())?;
            return keys.signed_identity.as_ref().map_or(Ok(()), check_identity);
        }
        _ => return Err(Error::new("exactly one of keys, fulcio and pki is needed")),
    }
    if given.iter().filter(|given| **given).count() != 1 || keys.paths().chain(keys.data()).count() == 0 {
        return Err(Error::new("exactly one of keyPath, keyPaths, keyData and keyDatas is needed"));
    }
    if keys.paths().any(|path| path.is_empty()) {
        return Err(Error::new("the path of a key is empty"));
    }
    keys.data().try_for_each(|text| decoded(text).map(drop))?;
    keys.signed_identity.as_ref().map_or(Ok(()), check_identity)
}

fn check_identity(identity: &Identity) -> Result<()> {
    match identity {
        Identity::Remapped { prefix, signed_prefix } if prefix.is_empty() || signed_prefix.is_empty() => {
            Err(Error::new("remapIdentity needs prefix and signedPrefix"))
        }
        Identity::ThisReference { docker_reference: name } => {
            let last = name.rsplit('/').next().unwrap_or(name);
            match last.contains([':', '@']) {
                true => Reference::parse(name).map(drop),
                false => Err(Error::new(format!("dockerReference {name:?} has neither a tag nor a digest"))),
            }
        }
        Identity::ThisRepository { docker_repository: name } => Reference::parse(name).map(drop),
        _ => Ok(()),
    }
}

impl Fulcio {
    fn check(&self, rekor: usize) -> Result<()> {
        let is_whole = self.ca_path.is_some() != self.ca_data.is_some();
        match is_whole && rekor == 1 && !self.oidc_issuer.is_empty() && !self.subject_email.is_empty() {
            true => Ok(()),
            false => Err(Error::new(
                "fulcio needs one of caPath and caData, oidcIssuer and subjectEmail, and a rekorPublicKey beside it",
            )),
        }
    }
}

impl Pki {
    fn check(&self, rekor: usize) -> Result<()> {
        let has_roots = self.ca_roots_path.is_some() != self.ca_roots_data.is_some();
        let has_others = self.ca_intermediates_path.is_some() && self.ca_intermediates_data.is_some();
        let has_subject = self.subject_email.is_some() || self.subject_hostname.is_some();
        match has_roots && !has_others && has_subject && rekor == 0 {
            true => Ok(()),
            false => Err(Error::new(
                "pki needs one of caRootsPath and caRootsData, and subjectEmail or subjectHostname, and no rekorPublicKey",
            )),
        }
    }
}

impl Requirement {
    /// What of it rpod cannot check, so that no image fulfils it.
    pub(crate) fn unchecked(&self) -> Option<&str> {
        match self {
            Self::AcceptAnything {} | Self::Reject {} => None,
            Self::SignedBaseLayer { .. } => Some("signedBaseLayer"),
            Self::SignedBy(keys) => keys.key_type.as_deref().filter(|kind| *kind != GPG_KEYS),
            Self::SigstoreSigned(Keys { fulcio: Some(_), .. }) => Some("fulcio"),
            Self::SigstoreSigned(Keys { pki: Some(_), .. }) => Some("pki"),
            Self::SigstoreSigned(keys) => (keys.rekor() > 0).then_some("rekorPublicKey"),
        }
    }
}

impl Keys {
    /// How many of the members are given that say what the transparency log signs with.
    fn rekor(&self) -> usize {
        let given = [
            self.rekor_public_key_path.is_some(),
            self.rekor_public_key_paths.is_some(),
            self.rekor_public_key_data.is_some(),
            self.rekor_public_key_datas.is_some(),
        ];
        given.iter().filter(|given| **given).count()
    }

    /// The content of every key file.
    pub(crate) fn read(&self) -> Result<Vec<Vec<u8>>> {
        let files = self.paths().map(|path| std::fs::read(path).context(|| format!("cannot read the key {path}")));
        files.chain(self.data().map(decoded)).collect()
    }

    /// The files of keys.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.key_path.iter().chain(self.key_paths.iter().flatten()).map(String::as_str)
    }

    fn data(&self) -> impl Iterator<Item = &str> {
        self.key_data.iter().chain(self.key_datas.iter().flatten()).map(String::as_str)
    }
}

fn decoded(text: &str) -> Result<Vec<u8>> {
    let decoded = base64::engine::general_purpose::STANDARD.decode(text.trim());
    decoded.map_err(|_| Error::new("keyData is not base64"))
}

impl Identity {
    /// Whether a signature for `signed` stands for `wanted`.
    pub(crate) fn allows(&self, wanted: &Reference, signed: &str) -> bool {
        match self {
            Self::Exact {} => wanted.digest().is_none() && same(wanted, signed),
            Self::RepoDigestOrExact {} if wanted.digest().is_some() => same_repository(&wanted.repository(), signed),
            Self::RepoDigestOrExact {} => same(wanted, signed),
            Self::Repository {} => same_repository(&wanted.repository(), signed),
            Self::ThisReference { docker_reference } => {
                Reference::parse(docker_reference).is_ok_and(|exact| same(&exact, signed))
            }
            Self::ThisRepository { docker_repository } => {
                Reference::parse(docker_repository).is_ok_and(|exact| same_repository(&exact.repository(), signed))
            }
            Self::Remapped { prefix, signed_prefix } => {
                let full = wanted.to_string();
                let rest =
                    full.strip_prefix(prefix.as_str()).filter(|r| r.is_empty() || r.starts_with(['/', ':', '@']));
                let renamed = match rest {
                    Some(rest) => Reference::parse(&format!("{signed_prefix}{rest}")),
                    None => Ok(wanted.clone()),
                };
                renamed.is_ok_and(|renamed| Self::RepoDigestOrExact {}.allows(&renamed, signed))
            }
        }
    }
}

/// A signature without a tag is for no tag at all: cosign's are, and want matchRepository.
fn same(wanted: &Reference, signed: &str) -> bool {
    let last = signed.rsplit('/').next().unwrap_or(signed);
    last.contains([':', '@']) && Reference::parse(signed).is_ok_and(|signed| signed == *wanted)
}

fn same_repository(wanted: &str, signed: &str) -> bool {
    Reference::parse(signed).is_ok_and(|signed| signed.repository() == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"{
        "default": [{"type": "reject"}],
        "transports": {
            "docker": {
                "": [{"type": "insecureAcceptAnything"}],
                "docker.io/library": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}],
                "docker.io/library/free:1": [{"type": "insecureAcceptAnything"}],
                "*.corp.example": [{"type": "reject"}],
                "reg.example:5000": [{"type": "sigstoreSigned", "keyData": "aGk=", "signedIdentity": {"type": "matchRepository"}}]
            },
            "oci": { "/trusted": [{"type": "insecureAcceptAnything"}] }
        }
    }"#;

    #[test]
    fn the_closest_scope_counts() {
        let policy = Policy::parse(POLICY).expect("policy");
        let kind = |name: &str| match policy.for_reference(&Reference::parse(name).expect("name")) {
            [Requirement::AcceptAnything {}] => "accept",
            [Requirement::Reject {}] => "reject",
            [Requirement::SignedBy(_)] => "signed",
            [Requirement::SigstoreSigned(_)] => "sigstore",
            _ => "?",
        };
        for (name, wanted) in [
            ("alpine", "signed"),
            ("free:1", "accept"),
            ("free:2", "signed"),
            ("user/alpine", "accept"),
            ("a.corp.example/x", "reject"),
            ("a.b.corp.example/x", "reject"),
            ("corp.example/x", "accept"),
            ("reg.example:5000/a/b", "sigstore"),
        ] {
            assert_eq!(kind(name), wanted, "{name}");
        }
        let accepts = |path: &str| policy.for_path("oci", Path::new(path), None) == [Requirement::AcceptAnything {}];
        assert!(accepts("/trusted/a/b") && accepts("/trusted") && !accepts("/trustedx") && !accepts("/"));
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        for bad in [
            "",
            "{}",
            r#"{"default": []}"#,
            r#"{"default": [{"type": "x"}]}"#,
            r#"{"default": [{"type": "reject"}], "more": 1}"#,
            r#"{"default": [{"type": "reject", "more": 1}]}"#,
            r#"{"default": [["reject"]]}"#,
            r#"[[{"type": "reject"}], {}]"#,
            r#"{"default": [{"type": "reject"}], "transports": {"docker": {}, "docker": {}}}"#,
            r#"{"default": [{"type": "reject"}], "transports": {"oci": {"relative": [{"type": "reject"}]}}}"#,
            r#"{"default": [{"type": "reject"}], "transports": {"dir": {"/a/../b": [{"type": "reject"}]}}}"#,
            r#"{"default": [{"type": "reject"}], "transports": {"docker-archive": {"/a": [{"type": "reject"}]}}}"#,
            r#"{"default": [{"type": "signedBy", "keyType": "GPGKeys", "keyDatas": ["eA=="]}]}"#,
            r#"{"default": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": ""}]}"#,
            r#"{"default": [{"type": "signedBy", "keyType": "GPGKeys", "keyData": "!"}]}"#,
            r#"{"default": [{"type": "sigstoreSigned", "keyPath": "/k", "keyPaths": []}]}"#,
            r#"{"default": [{"type": "sigstoreSigned", "keyPath": "/k", "signedIdentity": null}]}"#,
            r#"{"default": [{"type": "sigstoreSigned", "keyPath": "/k", "signedIdentity": ["matchExact"]}]}"#,
            r#"{"default": [{"type": "sigstoreSigned", "keyPath": "/k", "signedIdentity": {"type": "matchExact", "x": 1}}]}"#,
            r#"{"default": [{"type": "signedBy", "keyPath": "/k"}]}"#,
            r#"{"default": [{"type": "sigstoreSigned"}]}"#,
            r#"{"default": [{"type": "sigstoreSigned", "keyPath": "/k", "keyData": "x"}]}"#,
            r#"{"default": [{"type": "sigstoreSigned", "fulcio": {}}]}"#,
            r#"{"default": [{"type": "sigstoreSigned", "keyPath": "/k", "rekorPublicKeyPath": "/r", "rekorPublicKeyData": "x"}]}"#,
            r#"{"default": [{"type": "sigstoreSigned", "fulcio": {"caPath": "/c", "oidcIssuer": "i", "subjectEmail": "e"}}]}"#,
            r#"{"default": [{"type": "sigstoreSigned", "fulcio": {"caPath": "/c", "oidcIssuer": "i", "subjectEmail": "e", "x": 1}, "rekorPublicKeyPath": "/r"}]}"#,
            r#"{"default": [{"type": "sigstoreSigned", "keyPath": "/k", "fulcio": {"caPath": "/c", "oidcIssuer": "i", "subjectEmail": "e"}, "rekorPublicKeyPath": "/r"}]}"#,
            r#"{"default": [{"type": "sigstoreSigned", "pki": {"caRootsPath": "/c"}}]}"#,
            r#"{"default": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k", "rekorPublicKeyPath": "/r"}]}"#,
            r#"{"default": [{"type": "signedBy", "keyType": "x", "keyPath": "/k"}]}"#,
            r#"{"default": [{"type": "signedBaseLayer", "baseLayerIdentity": {}}]}"#,
        ] {
            assert!(Policy::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn identities() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let exact = |reference: &str| Identity::ThisReference { docker_reference: reference.to_owned() };
        let remap = Identity::Remapped { prefix: "mirror.example".to_owned(), signed_prefix: "docker.io".to_owned() };
        for (identity, wanted, signed, allowed) in [
            (Identity::Exact {}, "a.b/c:1", "a.b/c:1", true),
            (Identity::Exact {}, "a.b/c:1", "a.b/c", false),
            (Identity::Exact {}, "a.b/c", "a.b/c", false),
            (Identity::RepoDigestOrExact {}, "a.b/c:1", "a.b/c:2", false),
            (Identity::RepoDigestOrExact {}, &format!("a.b/c@{digest}"), "a.b/c:2", true),
            (Identity::Repository {}, "a.b/c:1", "a.b/c", true),
            (Identity::Repository {}, "a.b/c:1", "a.b/d", false),
            (exact("a.b/x:1"), "other/y", "a.b/x:1", true),
            (remap.clone(), "mirror.example/library/alpine:1", "docker.io/library/alpine:1", true),
            (remap, "mirror.example2/library/alpine:1", "docker.io/library/alpine:1", false),
        ] {
            assert_eq!(identity.allows(&Reference::parse(wanted).expect("name"), signed), allowed, "{wanted} {signed}");
        }
    }
}
