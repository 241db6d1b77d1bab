//! What needs a machine with cgroup v2 and systemd: a guest, where RPOD_VM names a program that boots one. It is called
//! `RPOD_VM -r -s DIR SCRIPT`, shows DIR at /host, runs SCRIPT as root, and prints what that prints.

use crate::support::{Need, Sandbox, Trial, User, busybox_archive, need, serial_trial};

pub fn trials() -> Vec<Trial> {
    vec![serial_trial("vm::limits", User::Sub, |t| guest(t, "limits.sh"))]
}

/// Runs a script of tests/vm; each of its lines is a case.
fn guest(t: &Sandbox, script: &str) -> crate::support::Outcome {
    need([Need::Vm])?;
    let share = t.mkdir("share")?;
    std::fs::copy(t.binary(), share.join("rpod"))?;
    std::fs::copy(busybox_archive()?, share.join("busybox.tar"))?;
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm").join(script);
    let program = std::env::var_os("RPOD_VM").unwrap_or_default();
    let output = std::process::Command::new(program).arg("-r").arg("-s").arg(&share).arg(script).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let passed = text.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(output.status.success() && passed > 0, "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
