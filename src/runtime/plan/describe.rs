//! Operations in words, for error messages.

use super::{Op, Plan, Root};

impl Plan {
    /// "cannot …" for the operation with this number.
    pub(in crate::runtime) fn describe(&self, step: usize) -> String {
        match self.ops.get(step) {
            Some(op) => self.describe_op(op),
            None => "cannot set up the container's process".to_owned(),
        }
    }

    fn describe_op(&self, op: &Op) -> String {
        let text = |s: &std::ffi::CStr| s.to_string_lossy().into_owned();
        match op {
            Op::Network => "cannot configure the container's network device".to_owned(),
            Op::CgroupNamespace => "cannot make a cgroup namespace".to_owned(),
            Op::Names { .. } => "cannot set the container's host name".to_owned(),
            Op::DetachFromHost => "cannot keep the container's mounts apart from the host's".to_owned(),
            Op::Cover { place, .. } => format!("cannot cover {} for another runtime", text(place)),
            Op::OomScore(score) => format!("cannot set the OOM score to {}", text(score)),
            Op::Filesystem { slot, kind, .. } => match self.place_of(*slot) {
                Some(place) => format!("cannot mount {} on {place}", text(kind)),
                None => format!("cannot mount {}", text(kind)),
            },
            Op::Copy { slot, source, .. } => match self.place_of(*slot) {
                Some(place) => format!("cannot bind {} to {place}", text(source)),
                None => format!("cannot bind {}", text(source)),
            },
            Op::CopyBelow { part, copy, .. } => match **copy {
                Op::Copy { slot, .. } => {
                    format!("cannot bind the subpath {} to {}", text(part), self.place_of(slot).unwrap_or_default())
                }
                _ => format!("cannot bind the subpath {}", text(part)),
            },
            Op::Overlay { slot, part, .. } => {
                let place = self.place_of(*slot).unwrap_or_default();
                match part {
                    Some(part) => format!("cannot mount {} of an overlay on {place}", text(part)),
                    None => format!("cannot mount an overlay on {place}"),
                }
            }
            Op::LinkAt { place, .. } => format!("cannot make the link {}", text(place)),
            Op::Open { path, .. } => format!("cannot open {}", text(path)),
            Op::Root(Root::Overlay { .. } | Root::Opened { .. }) => "cannot mount the container's overlay".to_owned(),
            Op::Root(_) => "cannot mount the container's root".to_owned(),
            Op::Attach { place, only_directory: true, .. } => {
                format!("cannot mount on {} (which must be a directory, not a link)", text(place))
            }
            Op::Attach { place, .. } => format!("cannot mount on {}", text(place)),
            Op::CopyUp { place, .. } => format!("cannot make a tmpfs like the image's {}", text(place)),
            Op::Identity => "cannot become root of the user namespace".to_owned(),
            Op::Device { path, .. } => format!("cannot make the device /dev/{}", text(path)),
            Op::Link { name, .. } => format!("cannot make the link /dev/{}", text(name)),
            Op::Mask(path) => format!("cannot mask {}", text(path)),
            Op::ReadOnly(path) => format!("cannot make {} read-only", text(path)),
            Op::Sysctl { path, .. } => format!("cannot set the sysctl {}", text(path)),
            Op::Protect { .. } => "cannot make /dev read-only".to_owned(),
            Op::RootReadOnly => "cannot make the root read-only".to_owned(),
            Op::Hooked => "cannot wait for the container's hooks".to_owned(),
            Op::Hook(_) => "cannot run a hook".to_owned(),
            Op::Pivot => "cannot change to the container's root".to_owned(),
            Op::Streams { .. } => "cannot set up the standard streams".to_owned(),
            Op::Limit(limit) => {
                format!("cannot set resource limit {} to {}:{}", limit.resource, limit.soft, limit.hard)
            }
            Op::Directory { path, .. } => format!("cannot enter the working directory {}", text(path)),
            Op::Credentials => "cannot take on the container's user and capabilities".to_owned(),
            Op::Ready => "cannot say that the container is made".to_owned(),
            Op::Wait => "cannot wait for the start".to_owned(),
            Op::Execute => "cannot start the program".to_owned(),
        }
    }

    fn place_of(&self, slot: usize) -> Option<String> {
        self.ops.iter().find_map(|op| match op {
            Op::Attach { slot: attached, place, .. } if *attached == slot => Some(place.to_string_lossy().into_owned()),
            Op::Device { slot: attached, path, .. } if *attached == slot => {
                Some(format!("/dev/{}", path.to_string_lossy()))
            }
            _ => None,
        })
    }
}
