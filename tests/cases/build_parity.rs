//! The corpus of `tests/build` on rpod and on a real Podman: exit codes, configs, and every file that a build leaves.
//!
//! Needs `RPOD_TEST_PEER`: a command that runs `bash -c SCRIPT` where Podman is (its words are split at blanks), such as
//! `ssh peer bash`. Contexts go there through standard input and results come back through standard
//! output, as tar archives, so that no file need be seen by both sides. Cases whose results differ say why
//! (`differs:`, and `tests/build/README.md`); one that says so and does not differ is wrong as well.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::build::TOPICS;
use crate::support::corpus::{self, Case};
use crate::support::{BUSYBOX, Outcome, Sandbox, Stop, Trial, User, busybox_archive, rpod, serial_trial, skip};

pub fn trials() -> Vec<Trial> {
    vec![serial_trial("build_parity::podman", User::Sub, parity)]
}

/// Members of the config that are compared; the others are not a Dockerfile's.
const MEMBERS: [&str; 12] = [
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "Shell",
    "Healthcheck",
    "OnBuild",
];

/// What Buildah leaves of the places where it mounts files in RUN steps; BuildKit and rpod remove theirs.
const STUBS: [&str; 4] = [
    "f 0700 0:0 /etc/hostname \"\"",
    "f 0700 0:0 /etc/hosts \"\"",
    "f 0700 0:0 /etc/resolv.conf \"\"",
    "d 0755 0:0 /run",
];

/// What one side made of a case.
#[derive(Debug, Default)]
struct Made {
    code: i32,
    log: String,
    files: Vec<String>,
    config: BTreeMap<&'static str, Value>,
}

fn parity(t: &Sandbox) -> Outcome {
    let Ok(peer) = std::env::var("RPOD_TEST_PEER") else {
        return skip("RPOD_TEST_PEER names no place where a Podman is");
    };
    t.busybox()?;
    let dir = t.mkdir("cases")?;
    let cases: Vec<Case> = TOPICS.iter().flat_map(|topic| corpus::read(topic)).collect();
    for case in &cases {
        case.write(&t.mkdir(&format!("cases/{}", case.name))?)?;
    }
    std::fs::copy(busybox_archive()?, dir.join("busybox.tar"))?;
    std::fs::write(dir.join("all.sh"), script(&cases))?;
    let theirs = t.mkdir("theirs")?;
    there(&peer, &dir, &theirs)?;
    let ours = t.mkdir("ours")?;
    here(t, &cases, &dir, &ours)?;
    let mut wrong = Vec::new();
    for case in &cases {
        let differences = difference(&made(case, &ours)?, &made(case, &theirs)?);
        match (&case.differs, differences.is_empty()) {
            (None, false) => wrong.push(format!("{}:\n{differences}", case.name)),
            (Some(_), true) => wrong.push(format!("{}: it does not differ", case.name)),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n\n"));
    Ok(())
}

/// Builds everything there; each case leaves NAME.tar, NAME.json, NAME.code and NAME.log.
fn script(cases: &[Case]) -> String {
    let mut script = String::from(
        "set +e; mkdir out; podman rmi -fa >/dev/null 2>&1; podman load -q -i busybox.tar >/dev/null\n\
         one() { name=$1; shift; podman build --no-cache -q -t case-$name --format docker \"$@\" $name >out/$name.log 2>&1\n\
         code=$?; echo $code >out/$name.code; [ $code = 0 ] || return\n\
         buildah inspect --type image case-$name >out/$name.json; id=$(podman create case-$name x) && podman export -o out/$name.tar $id\n\
         podman rm $id; podman rmi -f case-$name; } >/dev/null 2>&1\n",
    );
    script.push_str(&format!("mkdir base; echo FROM {BUSYBOX} >base/Dockerfile; one base\n"));
    for case in cases {
        let args: String = case.args.iter().map(|arg| format!(" '{arg}'")).collect();
        script.push_str(&format!("one {}{args}\n", case.name));
    }
    script
}

fn there(peer: &str, from: &Path, to: &Path) -> Outcome {
    let mut archive = tar::Builder::new(Vec::new());
    archive.follow_symlinks(false);
    archive.append_dir_all(".", from)?;
    let input = archive.into_inner()?;
    let mut words = peer.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("bash"));
    let script = "cd \"$(mktemp -d)\" && tar -xp && bash all.sh >&2; tar -c -C out .; rm -rf \"$PWD\"";
    command.args(words).args(["-c", script]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output()?;
    let _ = writer.join();
    tar::Archive::new(&output.stdout[..]).unpack(to)?;
    Ok(())
}

fn here(t: &Sandbox, cases: &[Case], from: &Path, to: &Path) -> Outcome {
    let base = t.mkdir("cases/base")?;
    std::fs::write(base.join("Dockerfile"), format!("FROM {BUSYBOX}\n"))?;
    let names = cases.iter().map(|case| (case.name.as_str(), &case.args[..])).chain([("base", &[][..])]);
    for (name, args) in names {
        let mut words: Vec<String> = ["build", "-q", "-t"].map(str::to_owned).to_vec();
        words.push(format!("case-{name}"));
        words.push("-o".to_owned());
        words.push(format!("type=tar,dest={}", to.join(format!("{name}.tar")).display()));
        words.extend(args.iter().cloned());
        words.push(from.join(name).display().to_string());
        let out = t.rpod(words).run();
        std::fs::write(to.join(format!("{name}.code")), out.code.unwrap_or(-1).to_string())?;
        std::fs::write(to.join(format!("{name}.log")), &out.stderr)?;
        if out.code == Some(0) {
            let inspected = rpod!(t, "image", "inspect", format!("localhost/case-{name}")).run();
            std::fs::write(to.join(format!("{name}.json")), inspected.ok())?;
        }
    }
    Ok(())
}

fn made(case: &Case, dir: &Path) -> Result<Made, Stop> {
    let read = |ending: &str| {
        let path = dir.join(format!("{}.{ending}", case.name));
        std::fs::read_to_string(&path).map_err(|e| std::io::Error::other(format!("{}: {e}", path.display())))
    };
    let mut made = Made { code: read("code")?.trim().parse()?, log: read("log")?, ..Made::default() };
    if made.code == 0 {
        let base = if case.from_scratch { BTreeMap::new() } else { corpus::listing(&dir.join("base.tar"))? };
        made.files = corpus::difference(&base, &corpus::listing(&dir.join(format!("{}.tar", case.name)))?);
        let inspected: Value = serde_json::from_str(&read("json")?)?;
        let config = if inspected.is_array() { &inspected[0]["Config"] } else { &inspected["Docker"]["config"] };
        // What is empty may be absent or present.
        let empty = |value: &Value| match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        made.config = MEMBERS.into_iter().map(|name| (name, config[name].clone())).filter(|(_, v)| !empty(v)).collect();
        // Buildah's own label.
        if let Some(Value::Object(labels)) = made.config.get_mut("Labels") {
            labels.remove("io.buildah.version");
            if labels.is_empty() {
                made.config.remove("Labels");
            }
        }
    }
    Ok(made)
}

/// A line per difference.
fn difference(ours: &Made, theirs: &Made) -> String {
    if ours.code != theirs.code {
        return format!(
            "  exit code {} here, {} there\n  here: {}\n  there: {}",
            ours.code,
            theirs.code,
            ours.log.trim(),
            theirs.log.trim()
        );
    }
    let mut lines = Vec::new();
    lines.extend(ours.files.iter().filter(|line| !theirs.files.contains(line)).map(|line| format!("  here:  {line}")));
    let there = theirs.files.iter().filter(|line| !ours.files.contains(line) && !STUBS.contains(&line.as_str()));
    lines.extend(there.map(|line| format!("  there: {line}")));
    for name in MEMBERS {
        let (own, peer) = (ours.config.get(name), theirs.config.get(name));
        if own != peer {
            let shown = |value: Option<&Value>| value.map_or_else(|| "-".to_owned(), Value::to_string);
            lines.push(format!("  {name}: {} here, {} there", shown(own), shown(peer)));
        }
    }
    lines.join("\n")
}
