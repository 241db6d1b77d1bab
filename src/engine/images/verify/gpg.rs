//! Signatures made with gpg ("simple signing"): signed messages in files beside the registry, found through registries.d,
//! checked by gpgv (package gpgv) against the keys of the policy and nothing else.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine;

use super::check_name;
use crate::config::policy::Keys;
use crate::config::registries_d;
use crate::error::{Context, Error, Result};
use crate::image::digest::Digest;
use crate::image::reference::Reference;
use crate::image::signature::{ATOMIC, MAX_PAYLOAD, Payload};
use crate::registry::Registry;

/// More signatures of one image are not looked at.
const MOST_SIGNATURES: usize = 64;

/// The signed messages for any of `manifests`, wherever registries.d says they are.
pub(super) async fn signatures(
    reference: &Reference,
    registry: &Registry,
    manifests: &[Digest],
) -> Result<Vec<Vec<u8>>> {
    let base = registries_d::lookaside(reference, false)?;
    let mut found = Vec::new();
    for digest in manifests {
        for number in 1..=MOST_SIGNATURES {
            let url = format!("{base}/{}@sha256={}/signature-{number}", reference.path(), digest.hex());
            let signature = match url.strip_prefix("file://") {
                Some(path) => read(Path::new(path))?,
                None => registry.elsewhere(&url, MAX_PAYLOAD).await?,
            };
            match signature {
                Some(signature) => found.push(signature),
                None => break,
            }
        }
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::wrap(format!("cannot read the signature {}", path.display()), e)),
    }
}

pub(super) fn check(signature: &[u8], keys: &Keys, reference: &Reference, manifests: &[Digest]) -> Result<()> {
    let keyring = keys.read()?.iter().map(|key| binary(key)).collect::<Result<Vec<_>>>()?.concat();
    let payload = verified(signature, &keyring)?;
    let payload = Payload::parse(&payload, ATOMIC, manifests)?;
    check_name(keys, reference, &payload.critical.identity.docker_reference)
}

/// Keys as gpgv reads them: without ASCII armour (RFC 9580, section 6.2), of which a file may have several blocks.
fn binary(key: &[u8]) -> Result<Vec<u8>> {
    const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
    // Every packet begins with this bit, no text does.
    if key.first().is_some_and(|first| first & 0x80 != 0) {
        return Ok(key.to_vec());
    }
    let bad = || Error::new("a key of the signature policy is damaged");
    let text = String::from_utf8_lossy(key);
    let mut keyring = Vec::new();
    for block in text.split(BEGIN).skip(1) {
        let (body, _) = block.split_once("-----END").ok_or_else(bad)?;
        // A checksum begins with "=", and no base64 has the colon of a header.
        let lines = body.lines().map(str::trim).filter(|line| !line.contains(':') && !line.starts_with('='));
        let decoded = base64::engine::general_purpose::STANDARD.decode(lines.collect::<String>());
        keyring.extend(decoded.map_err(|_| bad())?);
    }
    match keyring.is_empty() {
        true => Err(Error::new("a key of the signature policy has no public key in it")),
        false => Ok(keyring),
    }
}

/// What the message says when one of the keys has signed it.
fn verified(signature: &[u8], keyring: &[u8]) -> Result<Vec<u8>> {
    let dir = Scratch::new()?;
    let (ring, message, payload) = (dir.0.join("keyring.gpg"), dir.0.join("message"), dir.0.join("payload"));
    let what = || "cannot check a signature";
    std::fs::write(&ring, keyring).context(what)?;
    std::fs::write(&message, signature).context(what)?;
    let output = Command::new("gpgv")
        .arg("--homedir")
        .arg(&dir.0)
        .args(["--status-fd", "1", "--keyring"])
        .arg(&ring)
        .arg("--output")
        .arg(&payload)
        .arg(&message)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(|e| Error::wrap("cannot run gpgv to check a signature", e).hint("install the package gpgv"))?;
    let status = String::from_utf8_lossy(&output.stdout);
    let count = |word: &str| status.lines().filter(|line| line.split(' ').nth(1) == Some(word)).count();
    // gpgv is content with these, and says VALIDSIG as well: the signature is right, its maker is not.
    for (word, why) in [
        ("REVKEYSIG", "the key that made the signature has been revoked"),
        ("EXPKEYSIG", "the key that made the signature has expired"),
        ("EXPSIG", "the signature has expired"),
    ] {
        if count(word) > 0 {
            return Err(Error::new(why));
        }
    }
    // One signature, over the whole of one message (CVE-2019-13050's kind: several are not one).
    let one = count("GOODSIG") == 1 && count("VALIDSIG") == 1 && count("NEWSIG") <= 1 && count("PLAINTEXT") <= 1;
    if !output.status.success() || !one || count("BADSIG") + count("ERRSIG") > 0 {
        return Err(Error::new("the signature was not made with the key that is needed"));
    }
    std::fs::read(&payload).context(what)
}

/// A private directory that goes away.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let name = format!("rpod-gpgv-{}-{}", std::process::id(), crate::state::id::random()?);
        let dir = std::env::temp_dir().join(name);
        std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
            .create(&dir)
            .context(|| format!("cannot create {}", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is in the directory for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Signs a manifest with gpg, and keeps the signature in `dir`, or where registries.d wants new ones; where that is.
pub(crate) fn sign(
    reference: &Reference,
    manifest: Digest,
    key: &str,
    dir: Option<&Path>,
) -> Result<std::path::PathBuf> {
    let base = dir.map_or_else(|| place(reference), |dir| Ok(dir.to_path_buf()))?;
    let payload = Payload::atomic(reference.to_string(), manifest, jiff::Timestamp::now().as_second());
    let payload = serde_json::to_vec(&payload).context(|| "cannot encode the signature")?;
    let signature = run_gpg(key, &payload)?;
    let dir = base.join(format!("{}@sha256={}", reference.path(), manifest.hex()));
    std::fs::create_dir_all(&dir).context(|| format!("cannot create {}", dir.display()))?;
    for number in 1..=MOST_SIGNATURES {
        let path = dir.join(format!("signature-{number}"));
        let mut file = match std::fs::File::create_new(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => continue,
            file => file.context(|| format!("cannot create {}", path.display()))?,
        };
        file.write_all(&signature).context(|| format!("cannot write {}", path.display()))?;
        return Ok(path);
    }
    Err(Error::new(format!("{} is full of signatures", dir.display())))
}

/// Where new signatures go.
fn place(reference: &Reference) -> Result<std::path::PathBuf> {
    let url = registries_d::lookaside(reference, true)?;
    let path = url.strip_prefix("file://").map(std::path::PathBuf::from);
    path.ok_or_else(|| {
        Error::new(format!("signatures cannot be written to {url}"))
            .hint("set lookaside-staging in registries.d to a file: URL, or use --directory")
    })
}

/// Whether there is a secret key of that name and a place for the signature: what can be known before there is anything to sign.
pub(crate) fn can_sign(reference: &Reference, key: &str) -> Result<()> {
    place(reference)?;
    let known = Command::new("gpg")
        .args(["--batch", "--quiet", "--list-secret-keys", "--", key])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|e| Error::wrap("cannot run gpg to sign", e).hint("install the package gpg"))?;
    match known.success() {
        true => Ok(()),
        false => Err(Error::new(format!("gpg cannot sign: it has no secret key {key}"))),
    }
}

fn run_gpg(key: &str, payload: &[u8]) -> Result<Vec<u8>> {
    let mut gpg = Command::new("gpg")
        .args(["--batch", "--yes", "--quiet", "--sign", "--local-user", key, "--output", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| Error::wrap("cannot run gpg to sign", e).hint("install the package gpg"))?;
    if let Some(mut stdin) = gpg.stdin.take() {
        // gpg says why it does not read.
        let _ = stdin.write_all(payload);
    }
    let output = gpg.wait_with_output().context(|| "cannot wait for gpg")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::new(format!("gpg cannot sign: {}", said.trim())));
    }
    Ok(output.stdout)
}
