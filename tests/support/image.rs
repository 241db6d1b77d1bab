//! Images made in memory: blobs, archives of both kinds, pushes to a registry.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::cache::cached;
use super::docker_registry::Registry;
use super::need::find_program;
use super::tarball::Tarball;
use super::trial::{Stop, skip};

/// The name under which [`busybox_archive`] holds its image.
pub const BUSYBOX: &str = "docker.io/library/busybox:latest";

/// `sha256:…` of the bytes.
pub fn sha256(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

/// Which manifest a push makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manifest {
    Oci,
    DockerSchema2,
}

impl Manifest {
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.manifest.v1+json",
            Self::DockerSchema2 => "application/vnd.docker.distribution.manifest.v2+json",
        }
    }

    fn config_type(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.config.v1+json",
            Self::DockerSchema2 => "application/vnd.docker.container.image.v1+json",
        }
    }

    fn layer_type(self, compression: Compression) -> &'static str {
        match (self, compression) {
            (Self::Oci, Compression::None) => "application/vnd.oci.image.layer.v1.tar",
            (Self::Oci, Compression::Gzip) => "application/vnd.oci.image.layer.v1.tar+gzip",
            (Self::Oci, Compression::Zstd) => "application/vnd.oci.image.layer.v1.tar+zstd",
            (Self::DockerSchema2, Compression::None) => "application/vnd.docker.image.rootfs.diff.tar",
            (Self::DockerSchema2, Compression::Gzip) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            (Self::DockerSchema2, Compression::Zstd) => "application/vnd.docker.image.rootfs.diff.tar.zstd",
        }
    }
}

/// A layer: its tar, and how it is sent.
#[derive(Debug, Clone)]
pub struct Layer {
    pub tar: Vec<u8>,
    pub compression: Compression,
}

impl Layer {
    pub fn blob(&self) -> Vec<u8> {
        match self.compression {
            Compression::None => self.tar.clone(),
            Compression::Gzip => gzip(&self.tar),
            Compression::Zstd => zstd::encode_all(self.tar.as_slice(), 3).unwrap(),
        }
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An image in memory.
#[derive(Debug, Clone)]
pub struct Image {
    pub layers: Vec<Layer>,
    /// The `config` member of the image's configuration.
    pub config: Value,
    pub architecture: &'static str,
}

impl Image {
    /// No layers yet.
    pub fn scratch() -> Self {
        Self { layers: Vec::new(), config: json!({}), architecture: native_architecture() }
    }

    /// Busybox with all its applets, a few users and a shell as command.
    pub fn busybox() -> Result<Self, Stop> {
        let program = std::fs::read(busybox_program()?)?;
        let mut tar = Tarball::new();
        for dir in ["bin", "dev", "etc", "home", "home/alice", "proc", "root", "sys", "tmp", "usr", "var", "var/www"] {
            tar = tar.dir(&format!("{dir}/"), if dir == "tmp" { 0o1777 } else { 0o755 });
        }
        tar = tar.file("bin/busybox", 0o755, &program);
        for applet in APPLETS {
            tar = tar.hardlink(&format!("bin/{applet}"), "bin/busybox");
        }
        tar = tar
            .file("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000:Alice:/home/alice:/bin/sh\n")
            .file("etc/group", 0o644, "root:x:0:\nalice:x:1000:\naudio:x:29:alice\nvideo:x:44:\n")
            .owned_file("home/alice/note", 0o600, 1000, 1000, "hers\n")
            .file("var/www/index.html", 0o644, "hello from busybox\n");
        let mut image = Self::scratch().layer(tar.finish(), Compression::Gzip);
        image.config =
            json!({"Cmd": ["sh"], "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]});
        Ok(image)
    }

    #[must_use]
    pub fn layer(mut self, tar: Vec<u8>, compression: Compression) -> Self {
        self.layers.push(Layer { tar, compression });
        self
    }

    #[must_use]
    pub fn config(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    pub fn config_blob(&self) -> Vec<u8> {
        let diff_ids: Vec<String> = self.layers.iter().map(|layer| sha256(&layer.tar)).collect();
        let history: Vec<Value> =
            diff_ids.iter().map(|_| json!({"created": "2023-11-14T22:13:20Z", "created_by": "rpod tests"})).collect();
        let config = json!({
            "architecture": self.architecture,
            "os": "linux",
            "created": "2023-11-14T22:13:20Z",
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": history,
        });
        config.to_string().into_bytes()
    }

    /// The image's id: the digest of its configuration.
    pub fn id(&self) -> String {
        sha256(&self.config_blob())
    }

    /// The manifest with every blob it names.
    pub fn manifest(&self, kind: Manifest) -> (Vec<u8>, Vec<Vec<u8>>) {
        let config = self.config_blob();
        let mut blobs: Vec<Vec<u8>> = self.layers.iter().map(Layer::blob).collect();
        let layers: Vec<Value> = self
            .layers
            .iter()
            .zip(&blobs)
            .map(|(layer, blob)| {
                let media_type = kind.layer_type(layer.compression);
                json!({"mediaType": media_type, "digest": sha256(blob), "size": blob.len()})
            })
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": kind.media_type(),
            "config": {"mediaType": kind.config_type(), "digest": sha256(&config), "size": config.len()},
            "layers": layers,
        });
        blobs.push(config);
        (manifest.to_string().into_bytes(), blobs)
    }

    /// Puts it into a registry as `name:tag`; the manifest's digest.
    pub fn push(&self, registry: &Registry, name: &str, tag: &str, kind: Manifest) -> Result<String, Stop> {
        let (manifest, blobs) = self.manifest(kind);
        for blob in &blobs {
            registry.put_blob(name, blob)?;
        }
        registry.put_manifest(name, tag, kind.media_type(), &manifest)?;
        Ok(sha256(&manifest))
    }

    /// `docker save` makes such an archive.
    pub fn docker_archive(&self, names: &[&str]) -> Vec<u8> {
        let config = self.config_blob();
        let config_name = format!("{}.json", &self.id()[7..]);
        let mut tar = Tarball::new().file(&config_name, 0o644, &config);
        let mut layer_names = Vec::new();
        for layer in &self.layers {
            let name = format!("{}.tar", &sha256(&layer.tar)[7..]);
            tar = tar.file(&name, 0o644, &layer.tar);
            layer_names.push(name);
        }
        let manifest = json!([{"Config": config_name, "RepoTags": names, "Layers": layer_names}]);
        tar.file("manifest.json", 0o644, manifest.to_string()).finish()
    }

    /// An OCI layout in a tar, with this reference name.
    pub fn oci_archive(&self, name: Option<&str>) -> Vec<u8> {
        let (manifest, blobs) = self.manifest(Manifest::Oci);
        let mut descriptor = json!({
            "mediaType": Manifest::Oci.media_type(), "digest": sha256(&manifest), "size": manifest.len(),
        });
        if let Some(name) = name {
            descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        }
        let index = json!({"schemaVersion": 2, "manifests": [descriptor]});
        let mut tar = Tarball::new()
            .file("oci-layout", 0o644, r#"{"imageLayoutVersion":"1.0.0"}"#)
            .file("index.json", 0o644, index.to_string())
            .dir("blobs/", 0o755)
            .dir("blobs/sha256/", 0o755);
        for blob in blobs.iter().chain([&manifest]) {
            tar = tar.file(&format!("blobs/sha256/{}", &sha256(blob)[7..]), 0o644, blob);
        }
        tar.finish()
    }
}

/// As Go and OCI spell it.
pub fn native_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The applets that the image has as hard links.
const APPLETS: &[&str] = &[
    "[",
    "ash",
    "awk",
    "base64",
    "basename",
    "cat",
    "chgrp",
    "chmod",
    "chown",
    "cp",
    "cut",
    "date",
    "dd",
    "df",
    "dirname",
    "echo",
    "env",
    "expr",
    "false",
    "find",
    "free",
    "grep",
    "groups",
    "head",
    "hostname",
    "id",
    "ifconfig",
    "ip",
    "kill",
    "killall",
    "ln",
    "ls",
    "mkdir",
    "mkfifo",
    "mknod",
    "mktemp",
    "more",
    "mount",
    "mv",
    "nc",
    "netstat",
    "nslookup",
    "od",
    "pidof",
    "ping",
    "printf",
    "ps",
    "pwd",
    "readlink",
    "realpath",
    "rm",
    "rmdir",
    "route",
    "sed",
    "seq",
    "setsid",
    "sh",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "stty",
    "sync",
    "tail",
    "tar",
    "tee",
    "test",
    "timeout",
    "touch",
    "tr",
    "true",
    "tty",
    "ulimit",
    "umount",
    "uname",
    "uniq",
    "unshare",
    "uptime",
    "vi",
    "wc",
    "wget",
    "which",
    "whoami",
    "xargs",
    "yes",
];

fn busybox_program() -> Result<PathBuf, Stop> {
    // Debian's busybox-static and Alpine's busybox-static; the dynamic one would need its libraries.
    let found = ["busybox.static", "busybox"].into_iter().filter_map(find_program).find(|path| is_static(path));
    match found {
        Some(path) => Ok(path),
        None => skip("no static busybox is installed (package busybox-static)"),
    }
}

/// An ELF file that names no interpreter.
fn is_static(path: &Path) -> bool {
    const PT_INTERP: u32 = 3;
    let Ok(bytes) = std::fs::read(path) else { return false };
    let word = |at: usize| bytes.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]) as usize);
    let start = bytes.get(32..40).map_or(0, |b| u64::from_le_bytes(b.try_into().unwrap())) as usize;
    let (size, count) = (word(54), word(56));
    bytes.starts_with(b"\x7fELF")
        && (0..count).all(|i| bytes.get(start + i * size..start + i * size + 4) != Some(&PT_INTERP.to_le_bytes()[..]))
}

/// A docker-archive of busybox, made once.
pub fn busybox_archive() -> Result<PathBuf, Stop> {
    cached("busybox-2.tar", |path| Ok(std::fs::write(path, Image::busybox()?.docker_archive(&[BUSYBOX]))?))
}

/// `busybox:multi`: an index of three architectures; only the native one can run.
pub(super) fn push_multi(registry: &Registry, busybox: &Image) -> Result<(), Stop> {
    let mut manifests = Vec::new();
    for architecture in ["amd64", "arm64", "s390x"] {
        let mut image = busybox.clone();
        image.architecture = architecture;
        let tar = Tarball::new().file("arch", 0o644, format!("{architecture}\n")).finish();
        let image = image.layer(tar, Compression::Gzip);
        let (manifest, _) = image.manifest(Manifest::Oci);
        image.push(registry, "library/busybox", &format!("multi-{architecture}"), Manifest::Oci)?;
        let mut platform = json!({"os": "linux", "architecture": architecture});
        if architecture == "arm64" {
            platform["variant"] = json!("v8");
        }
        manifests.push(json!({
            "mediaType": Manifest::Oci.media_type(),
            "digest": sha256(&manifest),
            "size": manifest.len(),
            "platform": platform,
        }));
    }
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests});
    registry.put_manifest("library/busybox", "multi", media_type, index.to_string().as_bytes())
}
