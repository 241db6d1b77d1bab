//! Containers in which the caller's own id does not exist (`--userns nomap` and `auto`).
//!
//! As the container's root the process has no rights over the caller's directories: not even its capabilities count for
//! files whose owner has no id in the namespace. So everything that lies in them is opened or copied while the process is
//! still the caller, which is before it takes on any id of the container; file systems are made after that, by descriptor.

use super::{Op, Plan, Root};
use crate::error::{Error, Result};
use crate::userns::{IdMaps, IdRange};

/// Whether the caller has an id in the container.
pub(super) fn is_inside(maps: Option<&IdMaps>) -> bool {
    let has = |ranges: &[IdRange], id: u32| ranges.iter().any(|r| id >= r.host && id - r.host < r.size);
    maps.is_none_or(|maps| {
        has(&maps.uids, rustix::process::geteuid().as_raw()) && has(&maps.gids, rustix::process::getegid().as_raw())
    })
}

/// Puts what needs the caller's id first.
pub(super) fn rearrange(plan: &mut Plan) -> Result<()> {
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for op in std::mem::take(&mut plan.ops) {
        match op {
            Op::Root(Root::Overlay { lower, upper, work, volatile }) => {
                let mut open = |path| {
                    let slot = plan.slots;
                    plan.slots += 1;
                    first.push(Op::Open { slot, path });
                    slot
                };
                let lower = lower.into_iter().map(&mut open).collect();
                let (upper, work) = (open(upper), open(work));
                rest.push(Op::Root(Root::Opened { lower, upper, work, volatile }));
            }
            Op::Root(Root::Received { .. }) => {
                return Err(Error::new("fuse-overlayfs cannot serve a container in which this user has no id")
                    .hint("use --storage-driver overlay or copy, or another --userns"));
            }
            op @ (Op::Network
            | Op::DetachFromHost
            | Op::OomScore(_)
            | Op::Open { .. }
            | Op::Copy { .. }
            | Op::CopyBelow { .. }
            | Op::Root(_)) => first.push(op),
            op => rest.push(op),
        }
    }
    first.push(Op::Identity);
    first.append(&mut rest);
    plan.ops = first;
    Ok(())
}
