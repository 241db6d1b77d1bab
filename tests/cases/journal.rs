//! `--log-driver journald`, with a real systemd-journald in a mount namespace of its own.

use crate::support::{Outcome, Output, Sandbox, Trial, User, is_root, rpod, skip, trial};

const JOURNALD: &str = "/lib/systemd/systemd-journald";

pub fn trials() -> Vec<Trial> {
    vec![trial("journal::lines_come_back", User::Sub, lines_come_back), trial("journal::refused", User::Sub, refused)]
}

/// Runs `script` as the user where a journald listens.
fn with_journald(t: &Sandbox, script: &str) -> Result<Output, crate::support::Stop> {
    if !is_root() {
        return skip("only root can start a journald").map(|()| unreachable!());
    }
    if !std::path::Path::new(JOURNALD).exists() {
        return skip("there is no systemd-journald (Debian package systemd)").map(|()| unreachable!());
    }
    let script = t.write("script", script)?;
    let root = format!(
        "set -e; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/log; mkdir -p /run/systemd/journal /var/log/journal
        touch /run/systemd/journal/flushed
        {JOURNALD} </dev/null >/dev/null 2>&1 & journald=$!; trap 'kill -9 $journald' EXIT
        until [ -S /run/systemd/journal/socket ]; do sleep 0.02; done
        {} bash -euo pipefail {}",
        t.become_user(),
        script.display()
    );
    Ok(t.program_as_root("unshare", ["--mount", "bash", "-c", &root]).run())
}

fn lines_come_back(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let out = with_journald(
        t,
        r#"
        R='run --log-driver journald'
        rpod $R --name a --label l=1 --log-opt labels=l --log-opt tag='{{.Name}}:{{.ImageName}}' busybox sh -c 'echo one; sleep 0.1; echo two >&2; sleep 0.1; printf "thr\377ee\n"' >/dev/null
        echo "== logs"; rpod logs a
        echo "== tail"; rpod logs --tail 2 a
        echo "== details"; rpod logs --details --tail 1 a
        echo "== stderr"; rpod logs a 2>&1 >/dev/null
        echo "== until"; rpod logs --until 1h a
        echo "== names"; rpod logs -n a | sed -n 1p
        rpod $R -d --name f --restart on-failure:1 busybox sh -c 'for i in 1 2 3; do echo $i; sleep 0.1; done; exit 1' >/dev/null
        echo "== follow"; rpod logs -f f | tr '\n' ' '; echo
        echo "== again"; rpod logs --tail 4 f | tr '\n' ' '; echo
        rpod $R -d --name s busybox sleep 1000 >/dev/null
        echo "== follow none"; rpod logs -f s & sleep 0.3; rpod stop -t 0 s >/dev/null; wait
        echo "== inspect"; rpod inspect --format '{{.HostConfig.LogConfig.Type}}:{{.HostConfig.LogConfig.Path}}:{{.HostConfig.LogConfig.Tag}}' a
        echo "== fields"
        journalctl -q -o json CONTAINER_NAME=a MESSAGE=two | tr ',' '\n' | grep -oE '"(CONTAINER_[A-Z_]*|PRIORITY|SYSLOG_IDENTIFIER|L)":"[^"]*"' | sed -E 's/[0-9a-f]{64}/ID/; s/[0-9a-f]{12}/SHORT/' | sort
        echo "== many"; rpod $R --name m busybox seq 1 5000 >/dev/null; rpod logs m | tail -1; rpod logs m | wc -l
        rpod rm -af -t 0 >/dev/null
        "#,
    )?;
    let image = "docker.io/library/busybox:latest";
    let tag = format!("a:{image}");
    let escaped = tag.replace(':', "%3A").replace('/', "%2F");
    let expected = [
        "== logs",
        "one",
        "thr\u{fffd}ee",
        "== tail",
        "thr\u{fffd}ee",
        "== details",
        &format!("l=1,tag={escaped} thr\u{fffd}ee"),
        "== stderr",
        "two",
        "== until",
        "== names",
        "a one",
        "== follow",
        "1 2 3 1 2 3 ",
        "== again",
        "3 1 2 3 ",
        "== follow none",
        "== inspect",
        &format!("journald::{tag}"),
        "== fields",
        "\"CONTAINER_ID\":\"SHORT\"",
        "\"CONTAINER_ID_FULL\":\"ID\"",
        "\"CONTAINER_NAME\":\"a\"",
        &format!("\"CONTAINER_TAG\":\"{tag}\""),
        "\"L\":\"1\"",
        "\"PRIORITY\":\"3\"",
        &format!("\"SYSLOG_IDENTIFIER\":\"{tag}\""),
        "== many",
        "5000",
        "5000",
    ];
    out.code(0);
    assert_eq!(out.stdout.lines().collect::<Vec<_>>(), expected, "{out}");
    Ok(())
}

fn refused(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    for (driver, option, why) in [
        ("journald", "max-size=1m", "need the log driver k8s-file or json-file"),
        ("none", "path=/tmp/x", "need the log driver k8s-file or json-file"),
        ("passthrough", "max-file=3", "need the log driver k8s-file or json-file"),
        ("json-file", "tag={{.Nonsense}}", "invalid log-opt tag"),
        ("k8s-file", "tag={{.Name", "invalid log-opt tag"),
        ("syslog", "tag=x", "invalid log driver \"syslog\""),
    ] {
        let out = rpod!(t, "run", "--log-driver", driver, "--log-opt", option, image, "true").run();
        out.fails(125, &[why]);
    }
    if !std::path::Path::new("/run/systemd/journal/socket").exists() {
        let out = rpod!(t, "run", "--rm", "--log-driver", "journald", image, "true").run();
        out.fails(125, &["cannot reach journald at /run/systemd/journal/socket", "choose another --log-driver"]);
    }
    rpod!(t, "create", "--name", "p", "--log-opt", "path=/nosuch/log", image, "true").run().ok();
    rpod!(t, "start", "p").run().fails(125, &["cannot open the log /nosuch/log"]);
    rpod!(t, "create", "--name", "n", "--log-driver", "none", image, "true").run().ok();
    rpod!(t, "logs", "n").run().fails(125, &["using the 'none' log driver"]);
    Ok(())
}
