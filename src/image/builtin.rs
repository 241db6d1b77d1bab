//! The image `builtin:hello`, carried inside the executable: it needs no network, no registry and no helper. A real
//! image of one layer, whose program is compiled by build.rs from `sys/freestanding/hello.rs`.

use serde_json::json;

use super::digest::Digest;
use crate::error::{Context, Result};

/// How the image is called; no registry has such names.
pub(crate) const NAME: &str = "builtin:hello";

static PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hello"));

/// Everything of an image as bytes.
#[derive(Debug, Clone)]
pub(crate) struct Builtin {
    pub layer: Vec<u8>,
    pub config: Vec<u8>,
    pub manifest: Vec<u8>,
}

/// Makes `builtin:hello`: always the same bytes of the same executable.
pub(crate) fn hello() -> Result<Builtin> {
    let layer = layer().context(|| format!("cannot make {NAME}"))?;
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "created": "2025-01-01T00:00:00Z",
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Cmd": ["/hello"],
            "Env": ["PATH=/"],
            "Labels": { "org.opencontainers.image.title": "hello", "org.opencontainers.image.licenses": "Apache-2.0" },
        },
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer)] },
        "history": [{ "created": "2025-01-01T00:00:00Z", "created_by": "rpod" }],
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    Ok(Builtin { layer, config, manifest: manifest.to_string().into_bytes() })
}

fn layer() -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind, mode, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(1_735_689_600);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, content)
    };
    // Where a container needs something to be mounted or written.
    for (name, mode) in [("dev/", 0o755), ("etc/", 0o755), ("proc/", 0o555), ("sys/", 0o555), ("tmp/", 0o1777)] {
        add(name, tar::EntryType::Directory, mode, b"")?;
    }
    add("hello", tar::EntryType::Regular, 0o755, PROGRAM)?;
    tar.into_inner()
}

fn descriptor(media_type: &str, content: &[u8]) -> serde_json::Value {
    json!({ "mediaType": media_type, "size": content.len(), "digest": Digest::of(content) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_small_and_always_the_same() {
        let (one, two) = (hello().expect("makes"), hello().expect("makes"));
        assert_eq!(Digest::of(&one.manifest), Digest::of(&two.manifest));
        assert!(one.layer.len() < 16 * 1024);
    }
}
