//! Hooks of the OCI runtime Spec, as CDI files bring them: where each runs, what it reads, and what its failure does.

use serde_json::Value;

use crate::support::{Outcome, Sandbox, Trial, User, for_each_user, rpod, trial};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("hooks::all_stages", all_stages);
    trials.push(trial("hooks::failures", User::Sub, failures));
    trials.push(trial("hooks::of_an_initialized_container", User::Sub, of_an_initialized_container));
    trials.push(trial("hooks::need_the_users_id", User::Sub, |t| {
        let image = t.busybox()?;
        describe(t, "createContainer", "exit 0")?;
        let device = "--device=test.org/hook=createContainer";
        rpod!(t, "run", "--rm", "--network=none", "--userns=nomap", device, image, "true")
            .run()
            .fails(125, &["--userns"]);
        Ok(())
    }));
    trials
}

/// Keeps what it is told, and which namespaces it is in, in the file `$1.json` beside it.
const KEEP: &str = "cat >\"$2/$1.json\"; readlink /proc/self/ns/mnt >\"$2/$1.mnt\"";

/// A CDI device named like the hook's kind, with one hook that runs `script`: `$1` is the kind, `$2` a directory.
fn describe(t: &Sandbox, kind: &str, script: &str) -> Outcome {
    let dir = t.home().join(".config/cdi");
    let work = t.mkdir("home/hooks")?;
    let hook = work.join(format!("{kind}.sh"));
    t.script(&format!("cat >{0}; chmod 755 {0}", hook.display())).stdin(format!("#!/bin/sh\n{script}\n")).run().ok();
    let (path, first) = match kind {
        "startContainer" => ("/bin/sh", format!("\"sh\", \"-c\", {script:?}, \"hook\"")),
        _ => (hook.to_str().unwrap_or_default(), "\"hook\"".to_owned()),
    };
    let text = format!(
        "{{\"cdiVersion\": \"0.6.0\", \"kind\": \"test.org/hook\", \"devices\": [{{\"name\": \"{kind}\", \"containerEdits\": \
         {{\"hooks\": [{{\"hookName\": \"{kind}\", \"path\": {path:?}, \"args\": [{first}, \"{kind}\", {work:?}], \
         \"timeout\": 20}}]}}}}]}}",
    );
    t.script(&format!("mkdir -p {0}; cat >{0}/{kind}.json", dir.display())).stdin(text).run().ok();
    Ok(())
}

fn told(t: &Sandbox, kind: &str) -> Value {
    let path = t.home().join(format!("hooks/{kind}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// What NVIDIA's hooks do: find the root by the state's bundle, make links in it, run a program in it.
const CHANGE_ROOT: &str = "\
set -e; cat >\"$2/$1.json\"; readlink /proc/self/ns/mnt >\"$2/$1.mnt\"
bundle=$(sed 's/.*\"bundle\":\"\\([^\"]*\\)\".*/\\1/' \"$2/$1.json\")
root=$(sed 's/.*\"root\":{\"path\":\"\\([^\"]*\\)\".*/\\1/' \"$bundle/config.json\")
mkdir -p \"$root/usr/lib\"; ln -s libthing.so.1 \"$root/usr/lib/libthing.so\"
chroot \"$root\" /bin/sh -c 'ls -l /usr/lib/libthing.so >/etc/thing.cache; id -u >>/etc/thing.cache'";

fn all_stages(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let kinds = ["createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    for kind in kinds {
        let script = match kind {
            "createContainer" => CHANGE_ROOT,
            "startContainer" => "cat >/tmp/state; id -u >>/tmp/state",
            _ => KEEP,
        };
        describe(t, kind, script)?;
    }
    let devices = kinds.map(|kind| format!("--device=test.org/hook={kind}"));
    let shown = "cat /etc/thing.cache /tmp/state; until [ -e /go ]; do sleep 0.02; done";
    let mut words = vec!["run", "-d", "--name=h", "--network=none", "--annotation=a=b"];
    words.extend(devices.iter().map(String::as_str));
    words.extend([image, "sh", "-c", shown]);
    let id = t.rpod(words).run().ok().to_owned();
    let host = std::fs::read_link("/proc/self/ns/mnt")?.to_string_lossy().into_owned();
    let pid: i64 = rpod!(t, "inspect", "-f", "{{.State.Pid}}", "h").run().ok().parse()?;
    let place = |kind: &str| std::fs::read_to_string(t.home().join(format!("hooks/{kind}.mnt"))).unwrap_or_default();
    for (kind, status, inside) in
        [("createRuntime", "creating", false), ("createContainer", "creating", true), ("poststart", "running", false)]
    {
        let state = told(t, kind);
        assert_eq!((&state["id"], &state["status"]), (&id.clone().into(), &status.into()), "{kind}: {state}");
        assert_eq!(state["annotations"]["a"], "b", "{kind}: {state}");
        assert_eq!(state["pid"], if inside { 1 } else { pid }, "{kind}: {state}");
        assert_eq!(place(kind).trim() == host, !inside, "{kind}");
    }
    rpod!(t, "exec", "h", "touch", "/go").run().ok();
    rpod!(t, "wait", "h").run().lines_are(&["0"]);
    let logs = rpod!(t, "logs", "h").run().ok().to_owned();
    let lines: Vec<&str> = logs.lines().collect();
    assert!(lines[0].ends_with("/usr/lib/libthing.so -> libthing.so.1") && lines[1] == "0", "{logs}");
    assert!(lines[2].contains("\"status\":\"created\"") && lines[2].contains("\"pid\":1"), "{logs}");
    let state = told(t, "poststop");
    assert_eq!((&state["status"], &state["pid"]), (&"stopped".into(), &Value::Null), "{state}");
    // Started again it is made again; what the hook finds changed already is its own affair.
    rpod!(t, "start", "h").run().fails(125, &["the createContainer hook", "exit code 1", "libthing.so"]);
    Ok(())
}

fn failures(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let run = |kind: &str| {
        let device = format!("--device=test.org/hook={kind}");
        rpod!(t, "run", "--rm", "--network=none", device, image, "echo", "ran").run()
    };
    for kind in ["createRuntime", "createContainer", "startContainer"] {
        describe(t, kind, "echo first >&2; echo no such driver >&2; exit 3")?;
        let out = run(kind);
        out.fails(126, &[&format!("the {kind} hook "), "failed: exit code 3", "no such driver"]);
        assert_eq!(out.stdout, "", "{out}");
    }
    for kind in ["poststart", "poststop"] {
        describe(t, kind, "exit 3")?;
        let out = run(kind);
        assert_eq!((out.code, out.stdout.trim()), (Some(0), "ran"), "{out}");
        assert!(out.stderr.contains(&format!("the {kind} hook")), "{out}");
    }
    // One that does not end is ended.
    describe(t, "createContainer", "exec sleep 100")?;
    t.script("sed -i 's/\"timeout\": 20/\"timeout\": 1/' ~/.config/cdi/createContainer.json").run().ok();
    run("createContainer").fails(126, &["it did not end within 1 s"]);
    assert_eq!(rpod!(t, "ps", "-aq").run().ok(), "");
    Ok(())
}

fn of_an_initialized_container(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    describe(t, "createRuntime", KEEP)?;
    describe(t, "poststart", KEEP)?;
    let devices = ["--device=test.org/hook=createRuntime", "--device=test.org/hook=poststart"];
    rpod!(t, "create", "--name=i", "--network=none", devices[0], devices[1], image, "sleep", "100").run().ok();
    rpod!(t, "init", "i").run().ok();
    assert_eq!(told(t, "createRuntime")["status"], "creating");
    assert!(!t.home().join("hooks/poststart.json").exists(), "before the start");
    rpod!(t, "start", "i").run().ok();
    assert_eq!(told(t, "poststart")["status"], "running");
    rpod!(t, "rm", "-f", "-t", "0", "i").run().ok();
    Ok(())
}
