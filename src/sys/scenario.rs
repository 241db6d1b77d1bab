//! Tests that fork: libtest runs tests on threads, and a process with threads must not fork a container.
//!
//! A scenario is a function that runs in a fresh, single-threaded process: the test executable starts itself again,
//! as the wanted user, and a constructor runs the scenario before `main` and libtest come up.

use std::ffi::{CStr, c_char, c_int};
use std::process::{Command, Output};

const VARIABLE: &str = "RPOD_TEST_SCENARIO";

/// The users that everything must work for: root, with subordinate ids, without.
pub(crate) const USERS: [u32; 3] = [0, 2101, 2102];

#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn(c_int, *const *const c_char, *const *const c_char) = before_main;

extern "C" fn before_main(_: c_int, _: *const *const c_char, environment: *const *const c_char) {
    // SAFETY: the C runtime passes constructors a null-terminated array of C strings (glibc and musl's static start code).
    let name = unsafe { find(environment) };
    if let Some(name) = name {
        // As Rust's own start code does before main: a broken pipe is an error, not the end.
        // SAFETY: no handler is installed, and no other thread is there yet.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        let code = u8::from(std::panic::catch_unwind(|| dispatch(&name)).is_err());
        super::process::exit_now(code);
    }
}

fn dispatch(name: &str) {
    if let Some(name) = name.strip_prefix("storage:") {
        return crate::storage::scenarios::run(name);
    }
    let mut all = crate::runtime::scenarios::all().chain(crate::network::scenarios::all());
    match all.find(|(known, _)| *known == name) {
        Some((_, scenario)) => scenario(),
        None => panic!("no scenario {name}"),
    }
}

/// # Safety
/// `environment` is a null-terminated array of C strings.
unsafe fn find(mut environment: *const *const c_char) -> Option<String> {
    loop {
        // SAFETY: by the caller's promise; the loop ends at the null.
        let entry = unsafe { *environment };
        if entry.is_null() {
            return None;
        }
        // SAFETY: entries before the null are C strings.
        let entry = unsafe { CStr::from_ptr(entry) }.to_str().unwrap_or_default();
        if let Some(name) = entry.strip_prefix(VARIABLE).and_then(|rest| rest.strip_prefix('=')) {
            return Some(name.to_owned());
        }
        // SAFETY: not the last entry.
        environment = unsafe { environment.add(1) };
    }
}

/// Runs the scenario `name` as user `uid`; `None` where this process may not become that user. `prepare` is a shell
/// command run by root in a mount namespace of its own before.
pub(crate) fn start(name: &str, uid: u32, prepare: Option<&str>) -> Option<Output> {
    let own = rustix::process::getuid().as_raw();
    let mut command = vec![std::env::current_exe().ok()?.to_str()?.to_owned()];
    if uid != own {
        if own != 0 || !std::fs::read_to_string("/etc/passwd").ok()?.contains(&format!(":x:{uid}:{uid}:")) {
            return None;
        }
        let (reuid, regid) = (format!("--reuid={uid}"), format!("--regid={uid}"));
        command.splice(0..0, ["setpriv".to_owned(), reuid, regid, "--init-groups".to_owned()]);
    }
    if let Some(prepare) = prepare {
        let script = format!("{prepare}; exec \"$@\"");
        command.splice(0..0, ["unshare", "-m", "sh", "-c", &script, "sh"].map(str::to_owned));
    }
    let (program, arguments) = command.split_first()?;
    Command::new(program).args(arguments).env(VARIABLE, name).env("RUST_BACKTRACE", "0").output().ok()
}

/// [`start`] as every user; fails the test with the scenario's own words.
pub(crate) fn check(name: &str) {
    for uid in USERS {
        expect_success(name, uid, start(name, uid, None));
    }
}

/// [`check`] where root has changed the mounts.
pub(crate) fn check_wrapped(name: &str, prepare: &str) {
    if rustix::process::getuid().is_root() {
        for uid in USERS {
            expect_success(name, uid, start(name, uid, Some(prepare)));
        }
    }
}

fn expect_success(name: &str, uid: u32, output: Option<Output>) {
    if let Some(output) = output {
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} as uid {uid}: {}\n{text}", output.status);
    }
}
