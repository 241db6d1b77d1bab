//! Signals: names and numbers, and signalfd(2).

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::last_errno;

/// Names without `SIG`, as `kill -l` prints them; the number is the kernel's on x86-64, aarch64 and most others.
const NAMES: [(&str, i32); 34] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("IOT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("POLL", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

/// The first real-time signal as everybody but the C library counts (signal(7): the library keeps two for itself).
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// The signal called `text`: a number, or a name in any case with or without `SIG`, or `RTMIN+n`, `RTMAX-n`.
pub(crate) fn parse(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=RTMAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    let number = match (name, name.strip_prefix("RTMIN+"), name.strip_prefix("RTMAX-")) {
        ("RTMIN", ..) => RTMIN,
        ("RTMAX", ..) => RTMAX,
        (_, Some(above), _) => RTMIN.checked_add(above.parse().ok().filter(|n| *n >= 0)?)?,
        (_, _, Some(below)) => RTMAX.checked_sub(below.parse().ok().filter(|n| *n >= 0)?)?,
        _ => return None,
    };
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

/// `SIGTERM` for 15; `SIGRTMIN+3` for 37.
pub(crate) fn name(number: i32) -> String {
    match NAMES.iter().find(|(_, known)| *known == number) {
        Some((name, _)) => format!("SIG{name}"),
        None if number == RTMIN => "SIGRTMIN".into(),
        None if (RTMIN..=RTMAX).contains(&number) => format!("SIGRTMIN+{}", number - RTMIN),
        None => number.to_string(),
    }
}

/// Signals that arrive as data: blocked for the process, read from a descriptor (signalfd(2)).
#[derive(Debug)]
pub(crate) struct SignalFd {
    fd: OwnedFd,
    previous: libc::sigset_t,
}

impl SignalFd {
    /// Blocks `signals` and makes a non-blocking, close-on-exec descriptor for them.
    pub(crate) fn new(signals: &[i32]) -> rustix::io::Result<Self> {
        // SAFETY: sigset_t is plain data that sigemptyset initialises; the calls get valid pointers to it.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in signals {
                libc::sigaddset(&raw mut set, *signal);
            }
            let mut previous: libc::sigset_t = std::mem::zeroed();
            if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, &raw mut previous) != 0 {
                return Err(last_errno());
            }
            let fd = libc::signalfd(-1, &raw const set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC);
            if fd < 0 {
                let error = last_errno();
                libc::sigprocmask(libc::SIG_SETMASK, &raw const previous, std::ptr::null_mut());
                return Err(error);
            }
            Ok(Self { fd: OwnedFd::from_raw_fd(fd), previous })
        }
    }

    /// The next pending signal's number, or `None`.
    pub(crate) fn next(&self) -> Option<i32> {
        let mut info = std::mem::MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the buffer is as large as what is read; it is used only when the kernel filled all of it.
        let info = unsafe {
            if libc::read(self.fd.as_raw_fd(), info.as_mut_ptr().cast(), size) != size.cast_signed() {
                return None;
            }
            info.assume_init()
        };
        i32::try_from(info.ssi_signo).ok()
    }
}

impl Drop for SignalFd {
    /// Restores the mask; signals that are still pending then act as usual.
    fn drop(&mut self) {
        // SAFETY: `previous` was filled by sigprocmask.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const self.previous, std::ptr::null_mut()) };
    }
}

impl std::os::fd::AsFd for SignalFd {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A file that would become larger than allowed (setrlimit(2), RLIMIT_FSIZE) makes its write fail with EFBIG; without this
/// SIGXFSZ ends the process.
pub(crate) fn ignore_file_size_limit() {
    // SAFETY: SIG_IGN is no handler that could run.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// pidfd_send_signal(2) by number, so that real-time signals can be sent as well.
pub(crate) fn send(pidfd: std::os::fd::BorrowedFd<'_>, signal: i32) -> rustix::io::Result<()> {
    // SAFETY: no pointer is passed but a null siginfo, which the call allows.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, std::ptr::null::<libc::siginfo_t>(), 0)
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// kill(2) with -1: every process of the caller's PID namespace but itself and the first one.
pub(crate) fn send_to_all(signal: i32) -> rustix::io::Result<()> {
    // SAFETY: kill touches no memory of this process.
    match unsafe { libc::kill(-1, signal) } {
        0 => Ok(()),
        _ => match last_errno() {
            // There is nobody.
            rustix::io::Errno::SRCH => Ok(()),
            errno => Err(errno),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, expected) in [
            ("TERM", Some(15)),
            ("sigterm", Some(15)),
            ("9", Some(9)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMAX-1", Some(63)),
            ("RTMIN", Some(34)),
            ("64", Some(64)),
            ("65", None),
            ("0", None),
            ("-1", None),
            ("FOO", None),
            ("RTMIN+31", None),
            ("RTMIN+-1", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(name(15), "SIGTERM");
        assert_eq!(name(37), "SIGRTMIN+3");
        assert_eq!(name(6), "SIGABRT");
    }
}
