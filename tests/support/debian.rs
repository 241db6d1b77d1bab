//! A real Debian with nginx, some 170 MB, made once by mmdebstrap.

use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use super::cache::cached;
use super::docker_registry::run;
use super::image::{Compression, Image};
use super::need::find_program;
use super::trial::{Stop, skip};

/// Its name after `load`.
pub const DEBIAN: &str = "docker.io/library/nginx:latest";

/// The docker-archive.
pub(super) fn archive() -> Result<PathBuf, Stop> {
    cached("debian-nginx-1.tar", |path| Ok(std::fs::write(path, image()?.docker_archive(&[DEBIAN]))?))
}

/// Whether it cannot be made here.
pub fn debian_is_missing() -> Result<bool, Stop> {
    match root_tar() {
        Ok(_) => Ok(false),
        Err(Stop::Skip(_)) => Ok(true),
        Err(fail) => Err(fail),
    }
}

pub(super) fn image() -> Result<Image, Stop> {
    let root = std::fs::read(root_tar()?)?;
    let image = Image::scratch()
        .layer(root, Compression::Gzip)
        .config("Cmd", json!(["nginx", "-g", "daemon off;"]))
        .config("Env", json!(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]))
        .config("ExposedPorts", json!({"80/tcp": {}}))
        .config("StopSignal", json!("SIGQUIT"));
    Ok(image)
}

/// The root file system. Its log goes to the container's stdout and stderr, as in Docker's nginx image.
fn root_tar() -> Result<PathBuf, Stop> {
    let Some(mmdebstrap) = find_program("mmdebstrap") else {
        return skip("mmdebstrap is not installed");
    };
    cached("debian-root-1.tar", |path| {
        // The temporary name must end in .tar for mmdebstrap to write one.
        let tar = path.with_extension("making.tar");
        let made = run(Command::new(mmdebstrap)
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .args(["--quiet", "--variant=minbase", "--include=nginx-light,procps,iproute2,curl,python3"])
            .arg("--customize-hook=ln -sf /dev/stdout \"$1/var/log/nginx/access.log\"")
            .arg("--customize-hook=ln -sf /dev/stderr \"$1/var/log/nginx/error.log\"")
            .arg("--customize-hook=rm -rf \"$1\"/var/lib/apt/lists/* \"$1\"/var/cache/apt/*")
            .args(["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/locale/*"])
            .args(["bookworm", tar.to_str().unwrap()]));
        match made {
            Ok(_) => Ok(std::fs::rename(tar, path)?),
            Err(Stop::Fail(why)) => skip(format!("Debian's archive cannot be reached: {why}")),
            Err(skip) => Err(skip),
        }
    })
}
