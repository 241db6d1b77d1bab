//! Limits: rlimits, the OOM score, and cgroups where a v2 tree is delegated, a warning elsewhere.

use crate::support::{Need, Outcome, Sandbox, Trial, User, need, rpod, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("limits::ulimit", User::Sub, |t| {
            let image = t.busybox()?;
            let show = "ulimit -Sn; ulimit -Hn; ulimit -Sc";
            let out = rpod!(
                t,
                "run",
                "--rm",
                "--network=none",
                "--ulimit",
                "nofile=100:200",
                "--ulimit=core=0",
                image,
                "sh",
                "-c",
                show
            )
            .run();
            out.lines_are(&["100", "200", "0"]);
            rpod!(
                t,
                "run",
                "--rm",
                "--network=none",
                "--ulimit",
                "nofile=64",
                image,
                "sh",
                "-c",
                "ulimit -Sn; ulimit -Hn"
            )
            .run()
            .lines_are(&["64", "64"]);
            // More than the caller has cannot be given.
            rpod!(t, "run", "--rm", "--network=none", "--ulimit", "nofile=999999999:999999999", image, "true")
                .run()
                .code(125);
            rpod!(t, "run", "--rm", "--network=none", "--ulimit", "nofile=20:10", image, "true")
                .run()
                .fails(125, &["nofile"]);
            Ok(())
        }),
        trial("limits::oom_score", User::Sub, |t| {
            let image = t.busybox()?;
            let out = rpod!(
                t,
                "run",
                "--rm",
                "--network=none",
                "--oom-score-adj",
                "300",
                image,
                "cat",
                "/proc/self/oom_score_adj"
            )
            .run();
            out.lines_are(&["300"]);
            Ok(())
        }),
        trial("limits::without_cgroups_a_warning", User::Sub, without_cgroups),
        trial("limits::with_cgroups", User::Sub, |t| {
            need([Need::DelegatedCgroup])?;
            let image = t.busybox()?;
            let show = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max /sys/fs/cgroup/pids.max";
            let out =
                rpod!(t, "run", "--rm", "--memory=64m", "--cpus=0.5", "--pids-limit=33", image, "sh", "-c", show).run();
            out.lines_are(&["67108864", "50000 100000", "33"]);
            let eat = "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo survived";
            rpod!(t, "run", "--name", "oom", "--memory=32m", image, "sh", "-c", eat).run().code(137);
            rpod!(t, "inspect", "--format", "{{.State.OOMKilled}}", "oom").run().lines_are(&["true"]);
            Ok(())
        }),
        trial("limits::bad_values", User::Sub, |t| {
            let image = t.busybox()?;
            for option in ["--memory=lots", "--memory=-1", "--cpus=many", "--cpus=-1", "--pids-limit=x"] {
                rpod!(t, "run", "--rm", "--network=none", option, image, "true").run().code(125);
            }
            Ok(())
        }),
    ]
}

fn without_cgroups(t: &Sandbox) -> Outcome {
    if need([Need::DelegatedCgroup]).is_ok() {
        return crate::support::skip("a cgroup v2 tree is delegated here");
    }
    let image = t.busybox()?;
    for (option, names) in [("--memory=64m", "memory"), ("--cpus=1", "cpu"), ("--pids-limit=100", "pids")] {
        let out = rpod!(t, "run", "--rm", "--network=none", option, image, "true").run();
        out.ok();
        out.says("warning").says(names).says("cgroup");
    }
    // Nothing asked for, nothing said.
    let quiet = rpod!(t, "run", "--rm", "--network=none", image, "true").run();
    assert!(!quiet.stderr.contains("cgroup"), "{quiet}");
    Ok(())
}
