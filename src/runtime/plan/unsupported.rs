//! Wishes of a Spec that this runtime cannot fulfil: refused, never passed over.

use oci_spec::runtime::{Linux, Process};

use crate::error::{Error, Result};

/// # Errors
/// When the Spec asks for something that would not happen.
pub(super) fn check(process: &Process, linux: &Linux) -> Result<()> {
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let wishes = [
        ("AppArmor profiles", given(process.apparmor_profile())),
        ("SELinux labels", given(process.selinux_label()) || given(linux.mount_label())),
        ("I/O priorities", process.io_priority().is_some()),
        ("scheduler settings", process.scheduler().is_some() || process.exec_cpu_affinity().is_some()),
        ("network devices of the host", linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty())),
        ("Intel RDT", linux.intel_rdt().is_some()),
        ("memory policies", linux.memory_policy().is_some()),
        ("personalities", linux.personality().is_some()),
        ("time offsets", linux.time_offsets().as_ref().is_some_and(|offsets| !offsets.is_empty())),
    ];
    match wishes.iter().find(|(_, wished)| *wished) {
        Some((what, _)) => {
            Err(Error::new(format!("the built-in runtime does not support {what}")).hint("use --runtime crun"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::Spec;

    use super::*;

    #[test]
    fn what_cannot_be_done_is_refused() {
        let refused = |change: fn(&mut serde_json::Value)| {
            let mut spec = serde_json::json!({
                "ociVersion": "1.1.0", "linux": {},
                "process": { "cwd": "/", "args": ["x"], "user": { "uid": 0, "gid": 0 } }
            });
            change(&mut spec);
            let spec: Spec = serde_json::from_value(spec).expect("a Spec");
            let (process, linux) = (spec.process().clone().expect("a process"), spec.linux().clone().expect("linux"));
            check(&process, &linux).err().map(|e| e.to_string()).unwrap_or_default()
        };
        assert_eq!(refused(|_| {}), "");
        assert!(refused(|s| s["process"]["apparmorProfile"] = "x".into()).contains("AppArmor"));
        assert!(refused(|s| s["linux"]["mountLabel"] = "x".into()).contains("SELinux"));
        assert!(
            refused(|s| s["linux"]["personality"] = serde_json::json!({ "domain": "LINUX32" })).contains("personal")
        );
    }
}
