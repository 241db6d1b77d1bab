//! The compiler against an interpreter of classic BPF, and against libseccomp.

use std::collections::HashSet;
use std::io::Write;
use std::process::{Command, Stdio};

use libc::sock_filter;
use oci_spec::runtime::{Arch, LinuxSeccomp};

use super::arch::{self, AUDIT_AARCH64, AUDIT_ARM, AUDIT_X86, AUDIT_X86_64, Native, X32_BIT};
use super::compile::compile_for;
use super::profile::{Host, default_profile, resolve};
use crate::spec::capabilities::{self, CapSet};

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const EPERM: u32 = libc::SECCOMP_RET_ERRNO | 1;
const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | 38;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;

/// Runs `program` as the kernel would; panics where the kernel's checker would refuse it.
fn run(program: &[sock_filter], audit: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = Vec::new();
    data.extend(number.to_le_bytes());
    data.extend(audit.to_le_bytes());
    data.extend(0u64.to_le_bytes());
    arguments.iter().for_each(|a| data.extend(a.to_le_bytes()));
    let mut accumulator = 0u32;
    let mut at = 0;
    loop {
        let i = program[at];
        at += 1;
        let branch = |holds: bool| at + usize::from(if holds { i.jt } else { i.jf });
        match i.code {
            0x20 => {
                assert!(i.k % 4 == 0 && i.k < 64, "load at {}", i.k);
                let offset = i.k as usize;
                accumulator = u32::from_le_bytes(data[offset..offset + 4].try_into().expect("four bytes"));
            }
            0x00 => accumulator = i.k,
            0x05 => at += i.k as usize,
            0x06 => return i.k,
            0x15 => at = branch(accumulator == i.k),
            0x25 => at = branch(accumulator > i.k),
            0x35 => at = branch(accumulator >= i.k),
            0x54 => accumulator &= i.k,
            code => panic!("instruction {code:#x}"),
        }
    }
}

fn host(native: Native) -> Host {
    Host { native, kernel: (6, 1) }
}

fn compiled(text: &str) -> Vec<sock_filter> {
    let filter = resolve(text, CapSet::EMPTY, host(Native::X86_64)).expect("a profile");
    compile_for(&filter, Native::X86_64).expect("a program")
}

fn one_rule(condition: &str) -> Vec<sock_filter> {
    compiled(&format!(
        r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
            {{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{condition}]}}]}}"#
    ))
}

#[test]
fn conditions_compare_all_64_bits() {
    const BIG: u64 = 5 << 32 | 7;
    let values = [0, 6, 7, 8, 4 << 32 | 9, BIG - 1, BIG, BIG + 1, 5 << 32, 6 << 32, u64::MAX];
    type Holds = fn(u64) -> bool;
    let operators: [(&str, Holds); 6] = [
        ("EQ", |a| a == BIG),
        ("NE", |a| a != BIG),
        ("LT", |a| a < BIG),
        ("LE", |a| a <= BIG),
        ("GT", |a| a > BIG),
        ("GE", |a| a >= BIG),
    ];
    for (name, holds) in operators {
        for index in [0, 5] {
            let program = one_rule(&format!(r#"{{"index":{index},"value":{BIG},"op":"SCMP_CMP_{name}"}}"#));
            for value in values {
                let mut arguments = [0; 6];
                arguments[index] = value;
                let expected = if holds(value) { ALLOW } else { EPERM };
                assert_eq!(run(&program, AUDIT_X86_64, 41, arguments), expected, "{name} {value:#x}");
            }
        }
    }
    let masked = one_rule(r#"{"index":0,"value":1099511627791,"valueTwo":1099511627781,"op":"SCMP_CMP_MASKED_EQ"}"#);
    for (value, expected) in [(0x100_0000_0005, ALLOW), (0x1100_0000_0015, ALLOW), (5, EPERM), (0x100_0000_0004, EPERM)]
    {
        assert_eq!(run(&masked, AUDIT_X86_64, 41, [value, 0, 0, 0, 0, 0]), expected, "{value:#x}");
    }
}

#[test]
fn several_conditions_and_several_rules() {
    let both = one_rule(r#"{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":2,"value":9,"op":"SCMP_CMP_NE"}"#);
    for (arguments, expected) in [([1, 0, 8, 0, 0, 0], ALLOW), ([1, 0, 9, 0, 0, 0], EPERM), ([2, 0, 8, 0, 0, 0], EPERM)]
    {
        assert_eq!(run(&both, AUDIT_X86_64, 41, arguments), expected, "{arguments:?}");
    }
    let either = one_rule(r#"{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":0,"value":3,"op":"SCMP_CMP_EQ"}"#);
    for (value, expected) in [(1, ALLOW), (2, EPERM), (3, ALLOW)] {
        assert_eq!(run(&either, AUDIT_X86_64, 41, [value, 0, 0, 0, 0, 0]), expected, "{value}");
    }
    // The stricter of two rules that hold, in either order; a rule without conditions before those with.
    let strict = compiled(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
            {"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]},
            {"names":["socket"],"action":"SCMP_ACT_KILL_PROCESS","args":[{"index":1,"value":1,"op":"SCMP_CMP_EQ"}]},
            {"names":["socket"],"action":"SCMP_ACT_LOG","args":[{"index":2,"value":1,"op":"SCMP_CMP_EQ"}]},
            {"names":["read"],"action":"SCMP_ACT_TRAP","args":[{"index":2,"value":1,"op":"SCMP_CMP_EQ"}]},
            {"names":["read"],"action":"SCMP_ACT_ALLOW"},
            {"names":["read"],"action":"SCMP_ACT_TRAP"}]}"#,
    );
    for (arguments, expected) in [
        ([1, 1, 1, 0, 0, 0], KILL),
        ([1, 0, 1, 0, 0, 0], libc::SECCOMP_RET_LOG),
        ([1, 0, 0, 0, 0, 0], ALLOW),
        ([0; 6], EPERM),
    ] {
        assert_eq!(run(&strict, AUDIT_X86_64, 41, arguments), expected, "{arguments:?}");
    }
    assert_eq!(run(&strict, AUDIT_X86_64, 0, [0, 0, 1, 0, 0, 0]), ALLOW);
}

#[test]
fn only_the_named_architectures_pass() {
    let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],"syscalls":[]}"#;
    let program = compiled(text);
    assert_eq!(run(&program, AUDIT_X86_64, 1, [0; 6]), ALLOW);
    assert_eq!(run(&program, AUDIT_X86_64, X32_BIT | 1, [0; 6]), KILL);
    assert_eq!(run(&program, AUDIT_X86_64, u32::MAX, [0; 6]), ALLOW);
    assert_eq!(run(&program, AUDIT_X86, 1, [0; 6]), KILL);
    assert_eq!(run(&program, AUDIT_AARCH64, 1, [0; 6]), KILL);
    let filter = resolve(&text.replace("X86_64", "S390X"), CapSet::EMPTY, host(Native::X86_64)).expect("a profile");
    assert!(compile_for(&filter, Native::X86_64).is_err());
}

#[test]
fn multiplexed_calls_follow_their_names() {
    let program = compiled(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],"syscalls":[
            {"names":["bind","shmget"],"action":"SCMP_ACT_ERRNO"}]}"#,
    );
    for (number, selector, expected) in [
        (361, 0, EPERM),
        (102, 2, EPERM),
        (102, 1, ALLOW),
        (395, 0, EPERM),
        (117, 23, EPERM),
        (117, 1 << 16 | 23, EPERM),
    ] {
        assert_eq!(run(&program, AUDIT_X86, number, [selector, 0, 0, 0, 0, 0]), expected, "{number} {selector}");
    }
    assert_eq!(run(&program, AUDIT_X86_64, 102, [2, 0, 0, 0, 0, 0]), ALLOW, "getuid");
}

#[test]
fn profile_conditions() {
    let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
        {"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}},
        {"names":["write"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"6.2"}},
        {"names":["open"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["arm64"]}},
        {"name":"close","action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_SYS_ADMIN"]}},
        {"names":["stat"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}}]}"#;
    let program = compiled(text);
    for (number, expected) in [(0, ALLOW), (1, EPERM), (2, EPERM), (3, ALLOW), (4, EPERM)] {
        assert_eq!(run(&program, AUDIT_X86_64, number, [0; 6]), expected, "{number}");
    }
    for (bad, message) in [
        (r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#, "SCMP_ACT_NOTIFY"),
        (r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":5000}"#, "5000"),
        (r#"{"defaultAction":"SCMP_ACT_FOO"}"#, "decoding seccomp profile failed"),
        ("{", "decoding seccomp profile failed"),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
                {"names":["read"],"action":"SCMP_ACT_LOG","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]}"#,
            "argument 6",
        ),
    ] {
        let result = resolve(bad, CapSet::EMPTY, host(Native::X86_64)).and_then(|f| compile_for(&f, Native::X86_64));
        assert!(result.is_err_and(|e| e.to_string().contains(message)), "{bad}");
    }
}

#[test]
fn default_profile_of_both_machines() {
    for native in [Native::X86_64, Native::Aarch64] {
        let filter = default_profile(capabilities::DEFAULT, host(native)).expect("a profile");
        let program = compile_for(&filter, native).expect("a program");
        let [(_, main), (_, compat)] = native.family();
        let number = |wanted: &str, arch| {
            let mut found = None;
            arch::for_each_call(arch, |name, number| found = if name == wanted { Some(number) } else { found });
            found.expect(wanted)
        };
        let main_arch = native.family()[0].0;
        for (name, expected) in
            [("execve", ALLOW), ("chroot", ALLOW), ("bpf", EPERM), ("ptrace", ALLOW), ("kexec_load", EPERM)]
        {
            assert_eq!(run(&program, main, number(name, main_arch), [0; 6]), expected, "{native:?} {name}");
        }
        assert_eq!(run(&program, compat, 999, [0; 6]), ENOSYS);
        assert_eq!(run(&program, main, number("socket", main_arch), [16, 0, 9, 0, 0, 0]), libc::SECCOMP_RET_ERRNO | 22);
        assert_eq!(run(&program, main, number("socket", main_arch), [16, 0, 8, 0, 0, 0]), ALLOW);
        assert!(program.len() < 1500, "{} instructions", program.len());
    }
}

/// What libseccomp makes of `filter`, and the names it does not know; `None` where python3 or libseccomp is missing.
fn reference(filter: &LinuxSeccomp) -> Option<(Vec<sock_filter>, HashSet<String>)> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/seccomp/reference.py");
    let mut child = Command::new("python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let input = serde_json::to_vec(filter).expect("JSON");
    child.stdin.take().expect("a pipe").write_all(&input).ok()?;
    let output = child.wait_with_output().ok()?;
    if !output.status.success() {
        return None;
    }
    let program = output.stdout.chunks_exact(8).map(|i| sock_filter {
        code: u16::from_le_bytes([i[0], i[1]]),
        jt: i[2],
        jf: i[3],
        k: u32::from_le_bytes([i[4], i[5], i[6], i[7]]),
    });
    let unknown = String::from_utf8_lossy(&output.stderr).lines().map(ToOwned::to_owned).collect();
    Some((program.collect(), unknown))
}

#[test]
fn default_profile_equals_libseccomp() {
    let all = CapSet::all(40);
    let admin = capabilities::Changes::parse(&["SYS_ADMIN".into(), "SYS_PTRACE".into()], &[]).expect("names");
    for native in [Native::X86_64, Native::Aarch64] {
        for caps in [capabilities::DEFAULT, CapSet::EMPTY, all, admin.resolve(true, false, all).bounding] {
            let filter = default_profile(caps, host(native)).expect("a profile");
            let Some((expected, unknown)) = reference(&filter) else {
                eprintln!("skipped: python3 or libseccomp is missing");
                return;
            };
            let program = compile_for(&filter, native).expect("a program");
            compare(native, &program, &expected, &unknown);
        }
    }
}

fn compare(native: Native, ours: &[sock_filter], theirs: &[sock_filter], unknown: &HashSet<String>) {
    let arguments = [
        [0; 6],
        [16, 0, 9, 0, 0, 0],
        [16, 0, 8, 0, 0, 0],
        [16, 0, 9 | 1 << 32, 0, 0, 0],
        [8, 0, 0, 0, 0, 0],
        [0x20008, 0, 0, 0, 0, 0],
        [0xffff_ffff, 0, 0, 0, 0, 0],
        [u64::MAX; 6],
    ];
    let mut archs = vec![(native.family()[0].0, native.family()[0].1), (native.family()[1].0, native.family()[1].1)];
    if native == Native::X86_64 {
        archs.push((Arch::ScmpArchX32, AUDIT_X86_64));
    }
    for (arch, audit) in archs {
        let mut names = std::collections::HashMap::new();
        arch::for_each_call(arch, |name, number| {
            names.insert(number, name);
        });
        let base = if arch == Arch::ScmpArchX32 { X32_BIT } else { 0 };
        let private = 0xf_0000..0xf_0010;
        for number in (base..base + 1024).chain(private).chain([u32::MAX]) {
            let name = names.get(&number).copied().unwrap_or("-");
            // Libseccomp's versions differ on which calls x32 has not.
            if unknown.contains(name) || arch == Arch::ScmpArchX32 && name == "-" {
                continue;
            }
            for mut arguments in arguments {
                if [Arch::ScmpArchX86, Arch::ScmpArchArm].contains(&arch) {
                    // The kernel widens the registers of 32-bit programs with zeroes.
                    arguments.iter_mut().for_each(|a| *a &= 0xffff_ffff);
                }
                let (a, b) = (run(ours, audit, number, arguments), run(theirs, audit, number, arguments));
                assert_eq!(a, b, "{arch:?} {name} {number} {arguments:?}: {a:#x}, libseccomp {b:#x}");
            }
        }
    }
    for audit in [0, AUDIT_X86_64, AUDIT_X86, AUDIT_AARCH64, AUDIT_ARM, 0xffff_ffff] {
        let (a, b) = (run(ours, audit, 600, [0; 6]), run(theirs, audit, 600, [0; 6]));
        // An architecture that is not named: libseccomp ends the thread, rpod the process.
        assert!(a == b || (a, b) == (KILL, libc::SECCOMP_RET_KILL_THREAD), "{audit:#x}: {a:#x}, libseccomp {b:#x}");
    }
}
