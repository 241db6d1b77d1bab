//! The last program of ours in a container: it turns into the container's own program.
//!
//! rpod executes this file from a sealed memfd before the container's program is looked up, so that /proc/self/exe
//! never names rpod's own executable while a path of the image is resolved (CVE-2019-5736). With `--init` it stays as
//! process 1: passes signals on, reaps orphans, and ends with the program's exit code.
//!
//! Arguments: `FD CANDIDATES INIT`, then the candidates (paths to try in order, as execvp(3) does), then the program's
//! own argument list. FD is a socket on which a failure is reported; executing the program closes it.
//!
//! Freestanding (see build.rs): no std, no libc.
#![no_std]
#![no_main]
#![no_builtins]

use core::arch::{asm, global_asm};

#[cfg(target_arch = "x86_64")]
mod number {
    pub const WRITE: usize = 1;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const IOCTL: usize = 16;
    pub const GETPID: usize = 39;
    pub const CLONE: usize = 56;
    pub const EXECVE: usize = 59;
    pub const WAIT4: usize = 61;
    pub const KILL: usize = 62;
    pub const FCNTL: usize = 72;
    pub const SETPGID: usize = 109;
    pub const RT_SIGTIMEDWAIT: usize = 128;
    pub const PRCTL: usize = 157;
    pub const EXIT_GROUP: usize = 231;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub const FCNTL: usize = 25;
    pub const IOCTL: usize = 29;
    pub const WRITE: usize = 64;
    pub const EXIT_GROUP: usize = 94;
    pub const KILL: usize = 129;
    pub const RT_SIGPROCMASK: usize = 135;
    pub const RT_SIGTIMEDWAIT: usize = 137;
    pub const SETPGID: usize = 154;
    pub const PRCTL: usize = 167;
    pub const GETPID: usize = 172;
    pub const CLONE: usize = 220;
    pub const EXECVE: usize = 221;
    pub const WAIT4: usize = 260;
}

/// The same number everywhere (Linux 5.9).
const CLOSE_RANGE: usize = 436;
const ENOENT: isize = -2;
const EINTR: isize = -4;
const EACCES: isize = -13;
const ENOTDIR: isize = -20;
const SIGCHLD: usize = 17;
const F_SETFD: usize = 2;
const FD_CLOEXEC: usize = 1;
const PR_SET_NAME: usize = 15;
const SIG_SETMASK: usize = 2;
const TIOCSPGRP: usize = 0x5410;
const WNOHANG: usize = 1;
/// `protocol::FAILED` and `protocol::STEP_EXECUTE`.
const FAILED: u32 = 3;
const STEP_EXECUTE: u32 = u32::MAX;

// The stack starts with the argument count.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {main}", "ud2", main = sym main);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, xzr", "mov x30, xzr", "mov x0, sp", "bl {main}", "brk #1", main = sym main);

#[cfg(target_arch = "x86_64")]
fn syscall(number: usize, args: [usize; 4]) -> isize {
    let result: isize;
    // SAFETY: the callers pass pointers that the call may use.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") 0, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

#[cfg(target_arch = "aarch64")]
fn syscall(number: usize, args: [usize; 4]) -> isize {
    let result: isize;
    // SAFETY: the callers pass pointers that the call may use.
    unsafe {
        asm!("svc #0", in("x8") number, inlateout("x0") args[0] => result, in("x1") args[1], in("x2") args[2],
            in("x3") args[3], in("x4") 0, options(nostack));
    }
    result
}

type Arguments = *const *const u8;

extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: the kernel puts the argument count, the arguments, a null, the environment and a null there (execve(2)),
    // and rpod wrote the arguments.
    unsafe {
        let count = *stack;
        let arguments = stack.add(1) as Arguments;
        let environment = arguments.add(count + 1);
        let mut header = *arguments;
        let (fd, candidates, init) = (parse(&mut header), parse(&mut header), parse(&mut header));
        let program = Program { fd, paths: arguments.add(1), candidates, environment };
        syscall(number::FCNTL, [fd, F_SETFD, FD_CLOEXEC, 0]);
        if init == 0 { program.execute() } else { reap(&program) }
    }
}

/// A decimal number; leaves `text` behind the blank that follows it.
///
/// # Safety
/// `text` is a C string.
unsafe fn parse(text: &mut *const u8) -> usize {
    let mut value = 0;
    loop {
        // SAFETY: not beyond the terminator.
        let byte = unsafe { **text };
        if byte == 0 {
            return value;
        }
        // SAFETY: the terminator comes later.
        *text = unsafe { text.add(1) };
        match byte {
            b'0'..=b'9' => value = value * 10 + usize::from(byte - b'0'),
            _ => return value,
        }
    }
}

struct Program {
    fd: usize,
    paths: Arguments,
    candidates: usize,
    environment: Arguments,
}

impl Program {
    /// execvp(3): the first candidate that can be executed; permission denied outweighs not found.
    fn execute(&self) -> ! {
        let mut error = ENOENT;
        for index in 0..self.candidates {
            // SAFETY: there are that many candidates, and the program's arguments follow them.
            let result = unsafe {
                let path = *self.paths.add(index);
                let arguments = self.paths.add(self.candidates);
                syscall(number::EXECVE, [path as usize, arguments as usize, self.environment as usize, 0])
            };
            match result {
                ENOENT | ENOTDIR => {}
                EACCES => error = EACCES,
                other => {
                    error = other;
                    break;
                }
            }
        }
        let report = [FAILED, STEP_EXECUTE, -error as u32];
        syscall(number::WRITE, [self.fd, report.as_ptr() as usize, size_of_val(&report), 0]);
        exit(if error == ENOENT { 127 } else { 126 })
    }
}

/// Process 1 of `--init`.
fn reap(program: &Program) -> ! {
    // Signals to process 1 without a handler are dropped by the kernel unless they are blocked.
    let all = u64::MAX;
    let none = 0u64;
    let set_mask = |mask: &u64| syscall(number::RT_SIGPROCMASK, [SIG_SETMASK, mask as *const u64 as usize, 0, 8]);
    set_mask(&all);
    let child = syscall(number::CLONE, [SIGCHLD, 0, 0, 0]);
    if child == 0 {
        // A group of its own in the terminal's foreground, or each Ctrl-C would come twice. Without a terminal this does nothing.
        let pid = syscall(number::GETPID, [0; 4]) as u32;
        syscall(number::SETPGID, [0; 4]);
        syscall(number::IOCTL, [0, TIOCSPGRP, &raw const pid as usize, 0]);
        set_mask(&none);
        program.execute();
    }
    syscall(number::PRCTL, [PR_SET_NAME, c"rpod-init".as_ptr() as usize, 0, 0]);
    syscall(CLOSE_RANGE, [0, u32::MAX as usize, 0, 0]);
    if child < 0 {
        exit(126);
    }
    loop {
        let signal = syscall(number::RT_SIGTIMEDWAIT, [&raw const all as usize, 0, 0, 8]);
        match signal {
            EINTR => {}
            signal if signal == SIGCHLD as isize => collect(child),
            signal if signal > 0 => {
                syscall(number::KILL, [child as usize, signal as usize, 0, 0]);
            }
            _ => exit(126),
        }
    }
}

/// Reaps whatever has ended; ends itself when that was the program.
fn collect(child: isize) {
    loop {
        let mut status = 0u32;
        let pid = syscall(number::WAIT4, [usize::MAX, &raw mut status as usize, WNOHANG, 0]);
        if pid <= 0 {
            return;
        }
        if pid == child {
            let signal = status & 0x7f;
            exit(if signal == 0 { (status >> 8 & 0xff) as usize } else { 128 + signal as usize });
        }
    }
}

fn exit(code: usize) -> ! {
    loop {
        syscall(number::EXIT_GROUP, [code, 0, 0, 0]);
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(126)
}
