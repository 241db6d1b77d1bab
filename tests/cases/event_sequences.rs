//! `events`: the sequence that each command leaves, here and on a real Podman.

use crate::support::{BUSYBOX, Outcome, Peer, Sandbox, Trial, User, busybox_archive, serial_trial, trial};

/// A line on rpod and on Podman; after `=>` what both note: type, status, name, exit code.
///
/// Left out, because the two differ in it: `stop` (Podman notes it only when its own cleanup process is slow), `cleanup`
/// of a container that is removed or started at once (here the monitor cleans up before anybody else comes), `pull` of
/// an image that is there already, `mount` (how Podman looks into a container), and the names of archives.
const LINES: &str = "\
$P run --rm --name c $I true => container create c; container init c; container start c; container attach c; container died c 0; container remove c 0
$P run --name c $I sh -c 'exit 3' => container create c; container init c; container start c; container attach c; container died c 3; container cleanup c
$P rm c => container remove c 3
$P create --name c $I sleep 100 => container create c
$P start c => container init c; container start c
$P exec c sh -c 'exit 4' => container exec c; container exec_died c 4
$P exec c nosuch =>
$P kill -s HUP c => container kill c
$P pause c => container pause c
$P unpause c => container unpause c
$P rename c d => container rename d
$P restart -t 0 d => container restart d; container died d 137; container init d; container start d
$P commit -q d newimg => container commit d
$P stop -t 0 d => container died d 137; container cleanup d
$P restart d => container restart d; container init d; container start d
$P kill d; sleep 0.3 => container kill d; container died d 137; container cleanup d
$P init d => container init d
$P start d => container start d
$P rm -f -t 0 d => container died d 137; container remove d 137
$P create --name c $I true => container create c
$P start -a c => container init c; container start c; container attach c; container died c 0; container cleanup c
$P rm c => container remove c 0
$P create --name c $I true => container create c
$P rm c => container remove c
$P run --rm --name c $I nosuch => container create c; container remove c
$P run -d --name c --restart on-failure:1 $I sh -c 'exit 5'; $P wait c; sleep 1 => container create c; container init c; container start c; container died c 5; container restart c; container init c; container start c; container died c 5; container cleanup c
$P rm c => container remove c 5
$P run -d --rm --name c $I sleep 100 => container create c; container init c; container start c
$P stop -t 0 c; sleep 0.3 => container died c 137; container remove c 137
$P run -d --name c --health-cmd true --health-interval 0 -v v1:/v $I sleep 100 => volume create v1; container create c; container init c; container start c
$P healthcheck run c => container health_status c
$P run -d --name c --replace $I sleep 100 => container died c 137; container remove c 137; container create c; container init c; container start c
$P rm -f -t 0 c => container died c 137; container remove c 137
$P volume rm v1 => volume remove v1
$P create --name u $I true => container create u
$P update --restart on-failure u => container update u
$P rm u => container remove u
$P network create n1 => network create n1
$P run -d --name c --network n1 $I sleep 100 => container create c; container init c; container start c
$P network disconnect n1 c => network disconnect c n1
$P network connect n1 c => network connect c n1
$P rm -f -t 0 c => container died c 137; container remove c 137
$P network rm n1 => network remove n1
$P tag $I t:1 => image tag t:1
$P rmi t:1 => image untag localhost/t:1; image remove localhost/t:1
";

pub fn trials() -> Vec<Trial> {
    vec![
        trial("event_sequences::here", User::Sub, |t| {
            let archive = std::fs::read(busybox_archive()?)?;
            let script = format!("set +eu +o pipefail\n{}", script("rpod", "rpod load -q"));
            let out = t.script(&script).stdin(archive).limit(std::time::Duration::from_secs(120)).run();
            compare(&out.stdout);
            Ok(())
        }),
        serial_trial("event_sequences::podman", User::Sub, podman),
    ]
}

/// That what is said above of Podman is so.
fn podman(t: &Sandbox) -> Outcome {
    let peer = Peer::find(["podman"])?;
    compare(&peer.run(t, &script("podman", "podman load -q"), &std::fs::read(busybox_archive()?)?)?);
    Ok(())
}

/// Marks what belongs to a line.
const MARK: char = '\u{1}';

fn lines() -> impl Iterator<Item = (&'static str, &'static str)> {
    LINES.lines().filter_map(|line| line.split_once("=>")).map(|(command, noted)| (command.trim(), noted.trim()))
}

fn script(tool: &str, load: &str) -> String {
    let format = "{{.Type}} {{.Status}} {{.Name}} {{.ContainerExitCode}} {{.Network}}";
    let mut script = format!(
        "P={tool}; I={BUSYBOX}; $P rm -fa -t 0 >/dev/null 2>&1; $P volume rm -f v1 >/dev/null 2>&1; {load} >/dev/null || exit 99\n"
    );
    for (command, _) in lines() {
        script.push_str(&format!(
            "since=$(date +%s.%N); sleep 0.02; {{ {command}; }} </dev/null >/dev/null 2>&1; sleep 0.2\n\
             printf '{MARK}'; $P events --stream=false --since $since --format '{format}'\n"
        ));
    }
    script.push_str("$P rm -fa -t 0 >/dev/null 2>&1; exit 0\n");
    script
}

fn compare(output: &str) {
    let answers: Vec<String> = output.split(MARK).skip(1).map(shown).collect();
    assert_eq!(answers.len(), lines().count(), "a command ended the shell: {output}");
    let wrong: Vec<String> = lines()
        .zip(answers)
        .filter(|((_, noted), answer)| *noted != answer)
        .map(|((command, noted), answer)| format!("{command}\n  expected: {noted}\n  noted:    {answer}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What one command left, as in the table.
fn shown(text: &str) -> String {
    let mut events: Vec<String> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty() && *word != "<nil>").collect();
        let left_out = [["container", "stop"], ["image", "pull"], ["container", "mount"], ["container", "unmount"]];
        let kind = words.get(..2).unwrap_or_default();
        // An image below that has no name.
        if !left_out.iter().any(|pair| pair == kind) && words != ["image", "remove"] {
            events.push(words.join(" "));
        }
    }
    let cleaned = |event: &String| event.starts_with("container cleanup");
    let goes_on = |event: &String| event.starts_with("container remove") || event.starts_with("container init");
    let redundant = |at: usize| cleaned(&events[at]) && events.get(at + 1).is_some_and(goes_on);
    let kept: Vec<&str> = (0..events.len()).filter(|at| !redundant(*at)).map(|at| events[at].as_str()).collect();
    kept.join("; ")
}
