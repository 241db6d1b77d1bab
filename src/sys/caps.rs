//! capabilities(7): the five sets of a thread, as bit masks.

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// The highest capability that Linux knows today is CAP_CHECKPOINT_RESTORE (40); newer ones are found by asking.
const LAST: u32 = 63;

/// Drops every capability outside `keep` from the bounding set. Needs CAP_SETPCAP.
pub(crate) fn limit_bounding(keep: u64) -> Result<(), Errno> {
    for capability in 0..=LAST {
        if keep & (1 << capability) == 0 {
            match super::prctl::call(libc::PR_CAPBSET_DROP, u64::from(capability)) {
                Ok(_) => {}
                // The first number that the kernel does not know.
                Err(Errno::INVAL) => break,
                Err(e) => return Err(e),
            }
        }
    }
    Ok(())
}

/// capset(2).
pub(crate) fn set(effective: u64, permitted: u64, inheritable: u64) -> Result<(), Errno> {
    let bits = CapabilitySet::from_bits_retain;
    let sets =
        CapabilitySets { effective: bits(effective), permitted: bits(permitted), inheritable: bits(inheritable) };
    set_capabilities(None, sets)
}

/// Makes `set` the ambient set; each must be permitted and inheritable.
pub(crate) fn set_ambient(set: u64) -> Result<(), Errno> {
    super::prctl::call2(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0)?;
    for capability in 0..=LAST {
        if set & (1 << capability) != 0 {
            super::prctl::call2(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as u64, u64::from(capability))?;
        }
    }
    Ok(())
}

/// Every capability that this kernel knows.
pub(crate) fn all_known() -> u64 {
    let known = (0..=LAST).take_while(|c| super::prctl::call(libc::PR_CAPBSET_READ, u64::from(*c)).is_ok());
    known.fold(0, |mask, capability| mask | 1 << capability)
}
