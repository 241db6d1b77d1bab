//! Architectures that can occur on one kernel, and the numbers of their system calls.

use std::collections::HashMap;

use oci_spec::runtime::Arch;

/// A native architecture and what else its kernel executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Native {
    X86_64,
    Aarch64,
}

/// AUDIT_ARCH_* of linux/audit.h.
pub(super) const AUDIT_X86_64: u32 = 0xc000_003e;
pub(super) const AUDIT_X86: u32 = 0x4000_0003;
pub(super) const AUDIT_AARCH64: u32 = 0xc000_00b7;
pub(super) const AUDIT_ARM: u32 = 0x4000_0028;

/// Set in the numbers of x32, which shares AUDIT_ARCH_X86_64.
pub(super) const X32_BIT: u32 = 0x4000_0000;

impl Native {
    /// What this program was compiled for.
    pub(crate) const HERE: Self = if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 };

    pub(super) fn arch(self) -> Arch {
        match self {
            Self::X86_64 => Arch::ScmpArchX86_64,
            Self::Aarch64 => Arch::ScmpArchAarch64,
        }
    }

    /// The name that profiles use in their conditions.
    pub(super) fn go_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// Architectures the filter can see on this one's kernel, with their value of `seccomp_data.arch`. x32 is
    /// handled with x86-64.
    pub(super) fn family(self) -> [(Arch, u32); 2] {
        match self {
            Self::X86_64 => [(Arch::ScmpArchX86_64, AUDIT_X86_64), (Arch::ScmpArchX86, AUDIT_X86)],
            Self::Aarch64 => [(Arch::ScmpArchAarch64, AUDIT_AARCH64), (Arch::ScmpArchArm, AUDIT_ARM)],
        }
    }
}

/// Calls `each` with every (name, number) of an architecture.
pub(super) fn for_each_call(arch: Arch, mut each: impl FnMut(&'static str, u32)) {
    match arch {
        Arch::ScmpArchX86_64 => syscalls::x86_64::Sysno::iter().for_each(|s| each(s.name(), s.id() as u32)),
        Arch::ScmpArchX32 => {
            syscalls::x86_64::Sysno::iter().for_each(|s| {
                if let Some(number) = x32_number(s.name(), s.id() as u32) {
                    each(s.name(), number);
                }
            });
        }
        Arch::ScmpArchX86 => syscalls::x86::Sysno::iter().for_each(|s| each(s.name(), s.id() as u32)),
        // 403 to 423 are for 32-bit machines only; the table lists them all the same.
        Arch::ScmpArchAarch64 => {
            syscalls::aarch64::Sysno::iter().filter(|s| !(403..=423).contains(&s.id())).for_each(|s| {
                // The table has the kernel's internal name of this one; profiles have the header's.
                let name = if s.name() == "fstatat" { "newfstatat" } else { s.name() };
                each(name, s.id() as u32);
            })
        }
        Arch::ScmpArchArm => {
            syscalls::arm::Sysno::iter().for_each(|s| each(s.name(), s.id() as u32));
            ARM_PRIVATE.iter().for_each(|(name, number)| each(name, *number));
        }
        _ => {}
    }
}

/// arch/arm/include/uapi/asm/unistd.h, `__ARM_NR_BASE`.
const ARM_PRIVATE: [(&str, u32); 6] = [
    ("breakpoint", 0xf_0001),
    ("cacheflush", 0xf_0002),
    ("usr26", 0xf_0003),
    ("usr32", 0xf_0004),
    ("set_tls", 0xf_0005),
    ("get_tls", 0xf_0006),
];

/// Calls whose structures differ from x86-64's have numbers of their own from 512 on
/// (arch/x86/entry/syscalls/syscall_64.tbl, ABI x32).
const X32_OWN: [&str; 36] = [
    "rt_sigaction",
    "rt_sigreturn",
    "ioctl",
    "readv",
    "writev",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "execve",
    "ptrace",
    "rt_sigpending",
    "rt_sigtimedwait",
    "rt_sigqueueinfo",
    "sigaltstack",
    "timer_create",
    "mq_notify",
    "kexec_load",
    "waitid",
    "set_robust_list",
    "get_robust_list",
    "vmsplice",
    "move_pages",
    "preadv",
    "pwritev",
    "rt_tgsigqueueinfo",
    "recvmmsg",
    "sendmmsg",
    "process_vm_readv",
    "process_vm_writev",
    "setsockopt",
    "getsockopt",
    "io_setup",
    "io_submit",
    "execveat",
    "preadv2",
    "pwritev2",
];

/// Calls of x86-64 that x32 has not (ABI 64).
const X32_MISSING: [&str; 14] = [
    "uselib",
    "_sysctl",
    "create_module",
    "get_kernel_syms",
    "query_module",
    "nfsservctl",
    "set_thread_area",
    "get_thread_area",
    "epoll_ctl_old",
    "epoll_wait_old",
    "vserver",
    "map_shadow_stack",
    "uretprobe",
    "uprobe",
];

fn x32_number(name: &str, x86_64: u32) -> Option<u32> {
    if X32_MISSING.contains(&name) {
        return None;
    }
    let number = X32_OWN.iter().position(|own| *own == name).map_or(x86_64, |index| 512 + index as u32);
    Some(number | X32_BIT)
}

/// socketcall(2) and ipc(2): one call of 32-bit x86 for many, told apart by the first argument.
pub(super) struct Multiplexed {
    pub call: u32,
    pub selector: u32,
}

/// Through which call of `arch` the call `name` can also be reached.
pub(super) fn multiplexed(arch: Arch) -> HashMap<&'static str, Multiplexed> {
    const SOCKETCALL: u32 = 102;
    const IPC: u32 = 117;
    const SOCKET: [&str; 20] = [
        "socket",
        "bind",
        "connect",
        "listen",
        "accept",
        "getsockname",
        "getpeername",
        "socketpair",
        "send",
        "recv",
        "sendto",
        "recvfrom",
        "shutdown",
        "setsockopt",
        "getsockopt",
        "sendmsg",
        "recvmsg",
        "accept4",
        "recvmmsg",
        "sendmmsg",
    ];
    const SYSV: [(&str, u32); 12] = [
        ("semop", 1),
        ("semget", 2),
        ("semctl", 3),
        ("semtimedop", 4),
        ("msgsnd", 11),
        ("msgrcv", 12),
        ("msgget", 13),
        ("msgctl", 14),
        ("shmat", 21),
        ("shmdt", 22),
        ("shmget", 23),
        ("shmctl", 24),
    ];
    if arch != Arch::ScmpArchX86 {
        return HashMap::new();
    }
    let sockets = SOCKET.iter().zip(1..).map(|(name, selector)| (*name, Multiplexed { call: SOCKETCALL, selector }));
    let sysv = SYSV.iter().map(|(name, selector)| (*name, Multiplexed { call: IPC, selector: *selector }));
    sockets.chain(sysv).collect()
}
