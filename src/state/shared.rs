//! Whether a directory may be shared by several hosts, as far as its file system tells.

use std::path::Path;

/// f_type of network and cluster file systems (statfs(2), linux/magic.h and the file systems' own headers). FUSE is among
/// them: sshfs and others come by it.
const KINDS: [u64; 16] = [
    0x6969,      // NFS
    0xfe53_4d42, // SMB 2
    0xff53_4d42, // CIFS
    0x517b,      // SMB
    0x6573_5546, // FUSE
    0x0bd0_0bd0, // Lustre
    0x4750_4653, // GPFS
    0x00c3_6400, // Ceph
    0x1983_0326, // BeeGFS
    0x5346_414f, // AFS
    0x6b41_4653, // kAFS
    0x0102_1997, // 9P
    0x7461_636f, // OCFS2
    0x0116_1970, // GFS2
    0xaad7_aaea, // PanFS
    0x7375_7245, // Coda
];

pub(crate) fn may_be(dir: &Path) -> bool {
    rustix::fs::statfs(dir).is_ok_and(|found| {
        // 32 bits of it count; some are negative as the kernel's long.
        let kind = u64::from(u32::from_ne_bytes((found.f_type as u32).to_ne_bytes()));
        KINDS.contains(&kind)
    })
}
