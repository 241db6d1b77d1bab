//! Devices of the host: by path, whole directories, and by name (CDI).

use crate::support::{Outcome, Sandbox, Trial, for_each_user, rpod};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("devices::by_name", by_name);
    trials.extend(for_each_user("devices::by_path", |t| {
        let image = t.busybox()?;
        let show = "stat -c %t:%T /dev/mine; head -c 3 /dev/mine | wc -c";
        rpod!(t, "run", "--rm", "--network=none", "--device=/dev/zero:/dev/mine:r", image, "sh", "-c", show)
            .run()
            .lines_are(&["1:5", "3"]);
        let dir = t.mkdir("devices")?;
        let device = format!("--device={}", dir.display());
        rpod!(t, "run", "--rm", "--network=none", device, image, "true").run().fails(125, &["no devices found in"]);
        for (device, words) in [
            ("/dev/nosuch", "stat /dev/nosuch: no such file or directory"),
            ("/dev/zero:/dev/mine:q", "invalid device mode: q"),
            ("relative", "invalid device specification: relative"),
        ] {
            rpod!(t, "run", "--rm", "--network=none", "--device", device, image, "true").run().fails(125, &[words]);
        }
        Ok(())
    }));
    trials
}

const FILE: &str = "\
cdiVersion: 0.6.0
kind: vendor.com/thing
containerEdits:
  env: [THING=all]
devices:
- name: one
  containerEdits:
    deviceNodes:
    - path: /dev/thing1
      hostPath: /dev/zero
    mounts:
    - hostPath: /etc/hostname
      containerPath: /usr/lib/thing
      options: [ro]
- name: two
  containerEdits:
    deviceNodes:
    - {path: /dev/thing2, hostPath: /dev/full}
- name: hookless
  containerEdits:
    hooks:
    - {hookName: createContainer, path: /usr/bin/nosuch-hook, args: [x]}
- name: unknown
  containerEdits:
    hooks:
    - {hookName: whenever, path: /bin/true}
- name: broken
  containerEdits:
    mounts:
    - {hostPath: /nosuch/library, containerPath: /usr/lib/thing}
";

fn by_name(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let dir = t.home().join(".config/cdi");
    let text = format!("mkdir -p {0} && cat >{0}/thing.yaml", dir.display());
    t.script(&text).stdin(FILE).run().ok();
    let run = |device: &str, script: &str| {
        rpod!(t, "run", "--rm", "--network=none", "--device", device, image, "sh", "-c", script).run()
    };
    let script = "echo $THING; stat -c %t:%T /dev/thing1; test -s /usr/lib/thing && echo mounted; ls /dev | grep -c thing; \
                  echo 2>/dev/null >/usr/lib/thing || echo read-only";
    run("vendor.com/thing=one", script).lines_are(&["all", "1:5", "mounted", "1", "read-only"]);
    run("vendor.com/thing=two", "stat -c %t:%T /dev/thing2").lines_are(&["1:7"]);
    for (device, words) in [
        ("vendor.com/thing=three", "unresolvable CDI devices vendor.com/thing=three"),
        ("vendor.com/other=one", "unresolvable CDI devices vendor.com/other=one"),
        (
            "vendor.com/thing=unknown",
            "the CDI device vendor.com/thing=unknown has an unknown kind of hook \"whenever\"",
        ),
        ("vendor.com/thing=broken", "cannot bind /nosuch/library for a CDI device"),
    ] {
        run(device, "true").fails(125, &[words]);
    }
    let missing = "the createContainer hook /usr/bin/nosuch-hook failed: No such file or directory";
    run("vendor.com/thing=hookless", "true").fails(126, &[missing]);
    rpod!(t, "run", "--rm", "--network=none", "--gpus=all", image, "true")
        .run()
        .fails(125, &["unresolvable CDI devices nvidia.com/gpu=all", "nvidia-ctk cdi generate"]);
    Ok(())
}
