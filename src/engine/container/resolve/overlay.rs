//! Overlays inside a container, in the words of the OCI Spec: `-v …:O` and `--mount type=image`.

use std::path::{Path, PathBuf};

use crate::engine::container::options::mounts::Keep;
use crate::error::{Error, Result};
use crate::spec::settings::{Mount, SUBPATH};
use crate::storage::RootfsPlan;

/// An image that is mounted, made of its layers.
#[derive(Debug)]
pub(crate) struct ImageMount {
    pub destination: String,
    pub rootfs: RootfsPlan,
}

/// Beside the root file system at `root`: where overlays have their own directories, which each start empties.
pub(crate) fn place(root: &Path) -> PathBuf {
    root.with_file_name("overlays")
}

/// Those of one overlay.
pub(super) fn directories(root: &Path, number: usize) -> Keep {
    let own = place(root).join(number.to_string());
    Keep { upper: own.join("upper"), work: own.join("work") }
}

/// `lower` is top first.
pub(super) fn mount(
    destination: &str,
    lower: &[PathBuf],
    keep: &Keep,
    access: &str,
    subpath: Option<&str>,
) -> Result<Mount> {
    let lower = lower
        .iter()
        .map(|path| Ok(text(path)?.replace('\\', "\\\\").replace(':', "\\:")))
        .collect::<Result<Vec<_>>>()?;
    let mut options = vec![
        format!("lowerdir={}", lower.join(":")),
        format!("upperdir={}", text(&keep.upper)?),
        format!("workdir={}", text(&keep.work)?),
        "userxattr".to_owned(),
        access.to_owned(),
    ];
    options.extend(subpath.map(|path| format!("{SUBPATH}{path}")));
    Ok(Mount { destination: destination.to_owned(), kind: "overlay".to_owned(), source: "overlay".into(), options })
}

/// An image's files. Where overlays are not possible they have been copied for this container.
pub(super) fn of_image(rootfs: &RootfsPlan, destination: &str, access: &str, subpath: Option<&str>) -> Result<Mount> {
    match rootfs {
        RootfsPlan::Overlay { lower, upper, work } => {
            mount(destination, lower, &Keep { upper: upper.clone(), work: work.clone() }, access, subpath)
        }
        RootfsPlan::Directory { path } => {
            let mut options: Vec<String> = ["bind", "private", "nodev", access].map(str::to_owned).into();
            options.extend(subpath.map(|path| format!("{SUBPATH}{path}")));
            Ok(Mount { destination: destination.to_owned(), kind: "bind".to_owned(), source: path.clone(), options })
        }
        RootfsPlan::FuseOverlayfs { .. } => Err(Error::new("--mount type=image is not possible with fuse-overlayfs")
            .hint("use --storage-driver overlay or copy")),
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| Error::new(format!("{} is not UTF-8: no overlay is possible there", path.display())))
}
