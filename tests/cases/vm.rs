//! What needs a machine with cgroup v2 and systemd: a guest, where RPOD_VM names a program that boots one. It is called
//! `RPOD_VM -r -s DIR SCRIPT`, shows DIR at /host, runs SCRIPT as root, and prints what that prints; with `-n CABLE,1|2,ADDRESS`
//! two of them are joined, and `-e NAME=VALUE` is in SCRIPT's environment.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::{Need, Outcome, Sandbox, Stop, Trial, User, busybox_archive, need, serial_trial};

pub fn trials() -> Vec<Trial> {
    vec![
        serial_trial("vm::limits", User::Sub, |t| {
            let guest = Guest::prepare(t)?;
            check(guest.boot("limits.sh", &[])?)
        }),
        serial_trial("vm::overlay", User::Sub, |t| {
            let guest = Guest::prepare(t)?;
            let cable = t.dir().join("cable");
            let boot = |me: u8| {
                let nic = format!("{},{me},198.18.0.{me}/24", cable.display());
                guest.boot("overlay.sh", &["-n", &nic, "-e", &format!("ME={me}")])
            };
            // The one that is asked, then the one that asks: its lines are the cases.
            let asked = boot(2)?;
            check(boot(1)?)?;
            asked.wait_with_output()?;
            Ok(())
        }),
    ]
}

/// What guests find at /host.
struct Guest {
    share: PathBuf,
}

impl Guest {
    fn prepare(t: &Sandbox) -> Result<Self, Stop> {
        need([Need::Vm])?;
        let share = t.mkdir("share")?;
        std::fs::copy(t.binary(), share.join("rpod"))?;
        std::fs::copy(busybox_archive()?, share.join("busybox.tar"))?;
        Ok(Self { share })
    }

    /// Boots one that runs a script of tests/vm.
    fn boot(&self, script: &str, options: &[&str]) -> std::io::Result<Child> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm").join(script);
        let program = std::env::var_os("RPOD_VM").unwrap_or_default();
        let mut command = Command::new(program);
        command.arg("-r").arg("-s").arg(&self.share).args(options).arg(script);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    }
}

/// Each line of a guest's script is a case.
fn check(guest: Child) -> Outcome {
    let output = guest.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let passed = text.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(output.status.success() && passed > 0, "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
