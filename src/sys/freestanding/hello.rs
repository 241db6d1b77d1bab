//! The program of the image `builtin:hello`: greets, and shows what the container it runs in looks like from inside.
//!
//! Freestanding (see build.rs): no std, no libc.
#![no_std]
#![no_main]
#![no_builtins]

use core::arch::{asm, global_asm};

#[cfg(target_arch = "x86_64")]
mod number {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const GETPID: usize = 39;
    pub const UNAME: usize = 63;
    pub const EXIT_GROUP: usize = 231;
    pub const OPENAT: usize = 257;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub const OPENAT: usize = 56;
    pub const READ: usize = 63;
    pub const WRITE: usize = 64;
    pub const EXIT_GROUP: usize = 94;
    pub const UNAME: usize = 160;
    pub const GETPID: usize = 172;
}

#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call {main}", "ud2", main = sym main);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, xzr", "mov x30, xzr", "bl {main}", "brk #1", main = sym main);

#[cfg(target_arch = "x86_64")]
fn syscall(number: usize, args: [usize; 4]) -> isize {
    let result: isize;
    // SAFETY: the callers pass pointers with the length that the call expects.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

#[cfg(target_arch = "aarch64")]
fn syscall(number: usize, args: [usize; 4]) -> isize {
    let result: isize;
    // SAFETY: the callers pass pointers with the length that the call expects.
    unsafe {
        asm!("svc #0", in("x8") number, inlateout("x0") args[0] => result, in("x1") args[1], in("x2") args[2],
            in("x3") args[3], options(nostack));
    }
    result
}

/// What the compiler calls to clear an array. `no_builtins` keeps it from turning this loop into a call of itself.
#[unsafe(no_mangle)]
extern "C" fn memset(start: *mut u8, value: i32, len: usize) -> *mut u8 {
    for offset in 0..len {
        // SAFETY: the caller owns `len` bytes from `start` on.
        unsafe { start.add(offset).write(value as u8) };
    }
    start
}

/// Text collected for one write, so that lines of several containers do not mix.
struct Text {
    bytes: [u8; 2048],
    len: usize,
}

impl Text {
    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
    }

    fn text(&mut self, text: &[u8]) {
        for byte in text {
            self.push(*byte);
        }
    }

    fn number(&mut self, number: usize) {
        if number >= 10 {
            self.number(number / 10);
        }
        self.push(b'0' + (number % 10) as u8);
    }

    /// What `path` holds, the columns of each line apart by one space and further lines below the first.
    fn file(&mut self, path: &[u8], indent: &[u8]) {
        const AT_FDCWD: usize = -100isize as usize;
        let fd = syscall(number::OPENAT, [AT_FDCWD, path.as_ptr() as usize, 0, 0]);
        let mut buffer = [0u8; 512];
        let length = syscall(number::READ, [fd as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0]);
        if fd < 0 || length <= 0 {
            self.text(b"unknown (no /proc here)\n");
            return;
        }
        let (mut gap, mut start, mut first) = (false, true, true);
        for byte in buffer.iter().take(length as usize) {
            match *byte {
                b' ' => gap = true,
                b'\n' => {
                    (start, first, gap) = (true, false, {
                        self.push(b'\n');
                        false
                    })
                }
                digit => {
                    if start && !first {
                        self.text(indent);
                    } else if gap && !start {
                        self.push(b' ');
                    }
                    (start, gap) = (false, false);
                    self.push(digit);
                }
            }
        }
    }

    /// struct new_utsname: fields of 65 bytes, the second is the node name.
    fn host_name(&mut self) {
        let mut names = [0u8; 65 * 6];
        syscall(number::UNAME, [names.as_mut_ptr() as usize, 0, 0, 0]);
        for byte in names.iter().skip(65).take(65).take_while(|byte| **byte != 0) {
            self.push(*byte);
        }
    }
}

extern "C" fn main() -> ! {
    let mut out = Text { bytes: [0; 2048], len: 0 };
    out.text(
        b"Hello from rpod!\n\n\
        This program runs in a container of its own: no root, no daemon.\n\n\
        \x20 process id  ",
    );
    out.number(syscall(number::GETPID, [0; 4]) as usize);
    out.text(b"\n  host name   ");
    out.host_name();
    out.text(b"\n  user ids    ");
    out.file(b"/proc/self/uid_map\0", b"              ");
    out.text(
        b"              (first id inside, the same outside, how many)\n\n\
        Next:  rpod run -it docker.io/library/debian bash\n",
    );
    let mut done = 0;
    let code = loop {
        if done == out.len {
            break 0;
        }
        match syscall(number::WRITE, [1, out.bytes.as_ptr() as usize + done, out.len - done, 0]) {
            written if written > 0 => done += written as usize,
            _ => break 1,
        }
    };
    loop {
        syscall(number::EXIT_GROUP, [code, 0, 0, 0]);
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        syscall(number::EXIT_GROUP, [2, 0, 0, 0]);
    }
}
