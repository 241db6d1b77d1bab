//! The commands of `tests/parity/commands.txt` on rpod and on a real Podman, outputs compared.
//!
//! The image comes through standard input, so that the other side need not see a file of ours.

use serde_json::Value;

use crate::support::{BUSYBOX, Outcome, Peer, Sandbox, Trial, User, busybox_archive, serial_trial};

const COMMANDS: &str = include_str!("../parity/commands.txt");
/// Stands between the outputs of two commands.
const MARK: &str = "\u{1}";

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![serial_trial("parity::podman", User::Sub, parity)];
    trials.push(serial_trial("parity::wrong_arguments", User::Sub, wrong_arguments));
    trials.push(Trial::test("parity::outputs_are_normalised", || {
        for (text, wanted) in [
            ("0123456789ab up", "<id> up"),
            (
                "Error: no container 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                "Error: no container <id>",
            ),
            ("Up 3 seconds", "Up <ago>"),
            ("Exited (3) Less than a second ago", "Exited (3) <ago> ago"),
            ("see podman run --help", "see <tool> run --help"),
            ("see rpod run --help", "see <tool> run --help"),
        ] {
            assert_eq!(normalised(text), wanted, "{text}");
        }
        Ok(())
    }));
    trials
}

/// A line of the file that is to be compared.
struct Line<'a> {
    how: char,
    command: &'a str,
}

fn lines() -> Vec<Line<'static>> {
    let lines = COMMANDS.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| Line { how: line.chars().next().unwrap(), command: line.get(2..).unwrap_or_default() }).collect()
}

/// What runs all lines in one shell and marks where each one's output ends: its exit code follows the mark.
fn script(tool: &str, load: &str) -> String {
    let mut script = format!(
        "cd \"$(mktemp -d)\"; P={tool}; I={BUSYBOX}; $P rm -fa -t 0 >/dev/null 2>&1; $P rmi -fa >/dev/null 2>&1; {load} >/dev/null || exit 99\n"
    );
    for line in lines() {
        let mark = if line.how == '!' { String::new() } else { format!("; printf '{MARK}%s{MARK}' $?") };
        let quiet = if line.how == '!' { ">/dev/null" } else { "2>&1" };
        script.push_str(&format!("{{ {}\n}} </dev/null {quiet}{mark}\n", line.command));
    }
    script.push_str("rm -rf \"$PWD\"; $P rm -fa -t 0 >/dev/null 2>&1; exit 0\n");
    script
}

fn parity(t: &Sandbox) -> Outcome {
    let peer = Peer::find(["podman"])?;
    let archive = std::fs::read(busybox_archive()?)?;
    let limit = std::time::Duration::from_secs(300);
    let ours = t
        .script(&format!("set +eu +o pipefail\n{}", script("rpod", "rpod load -q")))
        .stdin(archive.clone())
        .limit(limit)
        .run();
    let theirs = peer.run(t, &script("podman", "podman load -q"), &archive)?;
    let mut wrong = Vec::new();
    let (ours, theirs) = (answers(&ours.stdout), answers(&theirs));
    let compared: Vec<Line<'_>> = lines().into_iter().filter(|line| line.how != '!').collect();
    assert_eq!((ours.len(), theirs.len()), (compared.len(), compared.len()), "a command ended the shell");
    for (line, (own, peer)) in compared.iter().zip(ours.iter().zip(&theirs)) {
        if let Some(difference) = difference(line.how, own, peer) {
            wrong.push(format!("{} {}\n{difference}", line.how, line.command));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), compared.len(), wrong.join("\n"));
    Ok(())
}

/// Output and exit code of each command.
fn answers(stdout: &str) -> Vec<(String, String)> {
    let parts: Vec<&str> = stdout.split(MARK).collect();
    parts.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect()
}

fn difference(how: char, own: &(String, String), peer: &(String, String)) -> Option<String> {
    if own.1 != peer.1 {
        return Some(format!(
            "  exit code {} here, {} there\n  here:  {}\n  there: {}",
            own.1,
            peer.1,
            own.0.trim(),
            peer.0.trim()
        ));
    }
    match how {
        '=' => {
            let (own, peer) = (normalised(&own.0), normalised(&peer.0));
            (own != peer).then(|| format!("  here:  {own}\n  there: {peer}"))
        }
        'k' => {
            let parse =
                |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|e| panic!("not JSON: {e}: {text}"));
            let mut wrong = Vec::new();
            keys("", &parse(&own.0), &parse(&peer.0), &mut wrong);
            (!wrong.is_empty()).then(|| format!("  {}", wrong.join("\n  ")))
        }
        _ => None,
    }
}

/// Objects whose keys are data.
const MAPS: [&str; 10] = [
    "/Labels",
    "/Annotations",
    "/Ports",
    "/PortBindings",
    "/Tmpfs",
    "/ExposedPorts",
    "/Data",
    "/Health",
    "/Namespaces",
    "/Networks",
];

/// Keys that Podman has and rpod has not, and why.
const ABSENT: [(&str, &str); 23] = [
    ("/host/networkBackendInfo/package", "rpod does it itself"),
    ("/host/networkBackendInfo/dns/package", "the same"),
    ("/GraphDriver/Data/MergedDir", "nothing is mounted in the host's namespace"),
    ("/GraphDriver/Data/WorkDir", "an image is not mounted"),
    ("/host/buildahVersion", "there is no Buildah in it"),
    ("/host/conmon", "there is no conmon"),
    ("/host/databaseBackend", "there is no database"),
    ("/host/freeLocks", "locks are not numbered"),
    ("/host/ociRuntime/package", "rpod asks no package manager who installed a program"),
    ("/host/pasta/package", "the same"),
    ("/host/pasta/version", "rpod runs no program to ask for its version"),
    ("/host/slirp4netns/package", "as with pasta"),
    ("/host/slirp4netns/version", "as with pasta"),
    ("/host/cpuUtilization", "a mean since the machine was started says nothing about it now"),
    ("/host/security/seccompProfilePath", "the profile is in the program"),
    ("/store/graphStatus", "facts about the kernel's overlay that decide nothing here"),
    ("/Spec/Driver/Options/path", "where a secret is kept is nobody's business"),
    ("/BuildOrigin", "it is built by whoever has it"),
    ("/Built", "a build can be repeated bit by bit: it has no time"),
    ("/BuiltTime", "the same"),
    ("/GoVersion", "it is not written in Go"),
    ("/NeedsChown", "owners are given when the volume is made"),
    ("/LockNumber", "locks are not numbered"),
];

fn keys(place: &str, own: &Value, peer: &Value, wrong: &mut Vec<String>) {
    match (own, peer) {
        (Value::Null, _) | (_, Value::Null) => {}
        (Value::Object(_), Value::Object(_)) if MAPS.iter().any(|map| place.ends_with(map)) => {}
        (Value::Object(own), Value::Object(peer)) => {
            for (key, value) in peer {
                match own.get(key) {
                    Some(here) => keys(&format!("{place}/{key}"), here, value, wrong),
                    None if ABSENT.iter().any(|(absent, _)| format!("{place}/{key}").ends_with(absent)) => {}
                    None => wrong.push(format!("{place}/{key} is missing here")),
                }
            }
        }
        (Value::Array(own), Value::Array(peer)) => {
            if let (Some(own), Some(peer)) = (own.first(), peer.first()) {
                keys(&format!("{place}[]"), own, peer, wrong);
            }
        }
        (own, peer) if std::mem::discriminant(own) == std::mem::discriminant(peer) => {}
        (own, peer) => wrong.push(format!("{place} is {own} here, {peer} there")),
    }
}

/// Ids, times and the tool's name replaced; what Podman's helpers say on their own account, and our hints, left out.
fn normalised(text: &str) -> String {
    let noise = ["time=\"", "hint: ", "See 'podman", "Warning: "];
    let lines = text.lines().filter(|line| !noise.iter().any(|noise| line.starts_with(noise)));
    let mut out = String::new();
    for line in lines {
        let mut words: Vec<String> = Vec::new();
        for word in line.split(' ') {
            let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
            let hex = bare.len() >= 12 && bare.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            words.push(if hex {
                word.replace(bare, "<id>")
            } else {
                word.replace("podman", "<tool>").replace("rpod", "<tool>")
            });
        }
        let mut line = words.join(" ");
        for words in ["Less than a second", "About a minute"] {
            line = line.replace(words, "<ago>");
        }
        out.push_str(&ago(&line));
        out.push('\n');
    }
    out.trim_end().to_owned()
}

/// "3 seconds", "2 minutes" → "<ago>".
fn ago(line: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    let mut at = 0;
    while at + 1 < words.len() {
        let number = !words[at].is_empty() && words[at].bytes().all(|b| b.is_ascii_digit());
        if number && ["second", "seconds", "minute", "minutes"].contains(&words[at + 1]) {
            words.splice(at..at + 2, ["<ago>"]);
        }
        at += 1;
    }
    words.join(" ")
}

/// Verbs with the arguments that nobody means: missing, unknown, too many, impossible. Not those that then wait, or would
/// remove everything.
const VERBS: &str = "attach, commit, cp, diff, exec, export, init, inspect, kill, logs, pause, port, rename, restart, rm, \
    start, stop, top, unpause, update, wait, container clone, container exists, container inspect, container rename, \
    volume exists, volume export, volume inspect, volume rm, secret create, secret exists, secret inspect, secret rm, \
    healthcheck run, image exists, image inspect, rmi, tag, untag, history, save, push, run, create, network inspect, \
    network rm, network connect, network disconnect, network exists";

/// What is typed behind each verb.
const ARGUMENTS: [&str; 6] = ["", "--nosuch", "nosuch", "''", "a/b", "$'a\\002b'"];

/// Where the two differ, and why.
const DIFFERENT: [(&str, &str); 12] = [
    ("image inspect ''", "said there of the name's form"),
    ("image inspect $'a\\002b'", "the same"),
    ("network inspect ''", "there an empty name stands for all networks"),
    ("network exists ''", "the same"),
    ("network rm ''", "the same"),
    ("diff ''", "said of a layer there"),
    ("run nosuch", "what a short name means is the registries' configuration"),
    ("create nosuch", "the same"),
    ("run a/b", "the same"),
    ("create a/b", "the same"),
    ("push nosuch", "the same"),
    ("push a/b", "the same"),
];

/// The exit codes, and the kind of error where it has a name, of every verb with wrong arguments.
fn wrong_arguments(t: &Sandbox) -> Outcome {
    let peer = Peer::find(["podman"])?;
    let lines: Vec<String> = VERBS
        .split(',')
        .flat_map(|verb| ARGUMENTS.map(|arguments| format!("{} {arguments}", verb.trim())))
        .filter(|line| !DIFFERENT.iter().any(|(different, _)| line == different))
        .collect();
    let script = |tool: &str| {
        let run = |line: &String| {
            format!("out=$(timeout 30 {tool} {line} 2>&1 </dev/null); printf '%s{MARK}%s{MARK}' \"$out\" $?\n")
        };
        // An empty name would stand for one that is left.
        format!("{tool} secret rm -a >/dev/null 2>&1\n{}", lines.iter().map(run).collect::<String>())
    };
    let limit = std::time::Duration::from_secs(300);
    let ours = t.script(&format!("set +eu +o pipefail\n{}", script("rpod"))).limit(limit).run();
    let (ours, theirs) = (answers(&ours.stdout), answers(&peer.run(t, &script("podman"), b"")?));
    assert_eq!((ours.len(), theirs.len()), (lines.len(), lines.len()), "a command ended the shell");
    let mut wrong = Vec::new();
    for (line, (own, peer)) in lines.iter().zip(ours.iter().zip(&theirs)) {
        if own.1 != peer.1 || kind(&own.0) != kind(&peer.0) {
            wrong.push(format!("{line}\n  here:  {} {}\n  there: {} {}", own.1, own.0.trim(), peer.1, peer.0.trim()));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), lines.len(), wrong.join("\n"));
    Ok(())
}

/// What sort of thing an error says, as far as both put it in words.
fn kind(text: &str) -> &'static str {
    let kinds = [
        ("unknown flag", "unknown flag"),
        ("cannot be empty", "empty name"),
        ("no such container", "no such thing"),
        ("no such volume", "no such thing"),
        ("no such secret", "no such thing"),
        ("no such object", "no such thing"),
        ("image not known", "no such thing"),
        ("network not found", "no such thing"),
        ("layer not known", "no such thing"),
    ];
    kinds.iter().find(|(words, _)| text.contains(words)).map_or("", |(_, kind)| kind)
}
