//! The files of containers: diff, commit, export, mount.

use crate::support::{Compression, Image, Outcome, Sandbox, Tarball, Trial, User, for_each_user, rpod, trial};

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("files::diff", User::Sub, diff),
        trial("files::commit_settings", User::Sub, commit_settings),
        trial("files::commit_refuses", User::Sub, commit_refuses),
        trial("files::mount", User::Sub, mount),
    ];
    trials.extend(for_each_user("files::commit", commit));
    trials.extend(for_each_user("files::export", export));
    trials
}

const CHANGE: &str =
    "mkdir -p /a/b; echo x >/a/b/c; rm -r /data/old; mkdir /data/old; echo n >/data/old/n; rm /etc/gone";

fn image(t: &Sandbox) -> Result<&'static str, crate::support::Stop> {
    let layer = Tarball::new()
        .dir("data", 0o755)
        .dir("data/old", 0o755)
        .file("data/old/file", 0o644, b"old")
        .file("etc/gone", 0o644, b"gone")
        .file("etc/kept", 0o644, b"kept");
    let image = Image::busybox()?.layer(layer.finish(), Compression::None);
    let archive = t.write("home/files.tar", image.docker_archive(&["localhost/files"]))?;
    rpod!(t, "load", "-q", "-i", &archive).run().ok();
    Ok("localhost/files")
}

fn diff(t: &Sandbox) -> Outcome {
    let image = image(t)?;
    rpod!(t, "run", "--name", "d", "--network", "none", image, "sh", "-c", CHANGE).run().ok();
    let expected = ["A /a", "A /a/b", "A /a/b/c", "C /data", "D /data/old", "A /data/old/n", "C /etc", "D /etc/gone"];
    rpod!(t, "diff", "d").run().lines_are(&expected);
    rpod!(t, "container", "diff", "d").run().lines_are(&expected);
    rpod!(t, "diff", "-l").run().lines_are(&expected);
    let json = rpod!(t, "diff", "--format", "json", "d").run().json();
    assert_eq!(json["added"], serde_json::json!(["/a", "/a/b", "/a/b/c", "/data/old/n"]));
    assert_eq!(json["changed"], serde_json::json!(["/data", "/etc"]));
    assert_eq!(json["deleted"], serde_json::json!(["/data/old", "/etc/gone"]));
    // An image against what is below its last layer, and against another.
    rpod!(t, "diff", image).run().prints("A /data/old/file");
    rpod!(t, "commit", "-q", "d", "two").run().ok();
    rpod!(t, "image", "diff", "two", image).run().prints("D /etc/gone");
    rpod!(t, "diff", "two", "d").run().lines_are(&[]);
    rpod!(t, "create", "--name", "fresh", image).run().ok();
    rpod!(t, "diff", "fresh").run().lines_are(&[]);
    rpod!(t, "diff", "nosuch").run().fails(125, &["nosuch", "not found"]);
    rpod!(t, "image", "diff", "nosuch").run().fails(125, &["nosuch"]);
    rpod!(t, "diff").run().fails(125, &["name must be provided"]);
    Ok(())
}

fn commit(t: &Sandbox) -> Outcome {
    let image = image(t)?;
    rpod!(t, "run", "--name", "c", "--network", "none", image, "sh", "-c", CHANGE).run().ok();
    let id = rpod!(t, "commit", "-m", "a message", "-a", "me", "c", "made").run().ok().trim().to_owned();
    assert_eq!(id.len(), 64, "{id}");
    let look = "cat /a/b/c /data/old/n /etc/kept; ls /data/old; test ! -e /etc/gone && test ! -e /data/old/file";
    rpod!(t, "run", "--rm", "--network", "none", "made", "sh", "-c", look).run().lines_are(&["x", "n", "keptn"]);
    let history = rpod!(t, "history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}", "made").run();
    assert!(history.ok().starts_with(&format!("sh -c {CHANGE}|a message")), "{}", history.ok());
    rpod!(t, "image", "inspect", "--format", "{{.Author}}", "made").run().lines_are(&["me"]);
    // The same files again give the same layer.
    let layers = "{{json .RootFS.Layers}}";
    rpod!(t, "commit", "-q", "c", "again").run().ok();
    let first = rpod!(t, "image", "inspect", "--format", layers, "made").run().ok().to_owned();
    assert_eq!(rpod!(t, "image", "inspect", "--format", layers, "again").run().ok(), first);
    // One layer with everything.
    rpod!(t, "commit", "-q", "--squash", "c", "squashed").run().ok();
    let one = rpod!(t, "image", "inspect", "--format", "{{len .RootFS.Layers}}", "squashed").run();
    one.lines_are(&["1"]);
    rpod!(t, "run", "--rm", "--network", "none", "squashed", "sh", "-c", look).run().lines_are(&["x", "n", "keptn"]);
    // The image outlives its container, and leaves as it came.
    rpod!(t, "rm", "c").run().ok();
    rpod!(t, "save", "-o", "made.tar", "made").run().ok();
    rpod!(t, "rmi", "-f", "made", "again", "squashed").run().ok();
    rpod!(t, "load", "-q", "-i", "made.tar").run().ok();
    assert_eq!(rpod!(t, "image", "inspect", "--format", layers, "made").run().ok(), first);
    rpod!(t, "run", "--rm", "--network", "none", "made", "sh", "-c", look).run().lines_are(&["x", "n", "keptn"]);
    Ok(())
}

fn commit_settings(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let create = rpod!(
        t, "create", "--name", "c", "-e", "A=1", "-w", "/tmp", "-l", "x=y", "--expose", "99/udp", "-v", "/vol", image,
        "sleep", "7"
    );
    create.run().ok();
    rpod!(t, "commit", "-q", "--iidfile", "iid", "c", "plain").run().ok();
    let config = |name: &str| rpod!(t, "image", "inspect", "--format", "{{json .Config}}", name).run().json();
    let plain = config("plain");
    assert_eq!(plain["Cmd"], serde_json::json!(["sleep", "7"]));
    assert_eq!((&plain["WorkingDir"], &plain["Labels"]["x"]), (&"/tmp".into(), &"y".into()));
    assert!(plain["ExposedPorts"]["99/udp"].is_object() && plain["Volumes"].is_null(), "{plain}");
    let env: Vec<&str> = plain["Env"].as_array().unwrap().iter().filter_map(|v| v.as_str()).collect();
    assert!(env.contains(&"A=1") && !env.iter().any(|v| v.starts_with("HOSTNAME=")), "{env:?}");
    let id = rpod!(t, "image", "inspect", "--format", "{{.Id}}", "plain").run().ok().trim().to_owned();
    assert_eq!(std::fs::read_to_string(t.home().join("iid"))?, id.trim_start_matches("sha256:"));
    let changes = [
        "CMD [\"a\", \"b\"]",
        "ENTRYPOINT [\"/e\"]",
        "ENV B=2",
        "EXPOSE 80",
        "LABEL l=m",
        "ONBUILD RUN x",
        "STOPSIGNAL SIGINT",
        "USER 5:6",
        "VOLUME /v",
        "WORKDIR /w",
        "HEALTHCHECK --interval=5s --retries=2 CMD true",
        "SHELL [\"/bin/ash\", \"-c\"]",
    ];
    let mut args = vec!["commit", "-q", "--format", "docker", "--include-volumes"];
    changes.iter().for_each(|change| args.extend(["--change", change]));
    args.extend(["c", "changed"]);
    t.rpod(args).run().ok();
    let changed = config("changed");
    let expected = serde_json::json!({
        "Cmd": ["a", "b"], "Entrypoint": ["/e"], "OnBuild": ["RUN x"], "StopSignal": "SIGINT", "User": "5:6",
        "WorkingDir": "/w", "Volumes": {"/v": {}, "/vol": {}}, "Shell": ["/bin/ash", "-c"],
        "ExposedPorts": {"80/tcp": {}, "99/udp": {}}, "Labels": {"l": "m", "x": "y"},
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000_u64, "Retries": 2},
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&changed[key], value, "{key} of {changed}");
    }
    // What Docker adds to the config survives the next commit.
    rpod!(t, "create", "--name", "again", "changed").run().ok();
    rpod!(t, "commit", "-q", "again", "third").run().ok();
    let third = config("third");
    for key in ["Healthcheck", "Shell", "OnBuild", "StopSignal", "Entrypoint", "Cmd"] {
        assert_eq!(third[key], changed[key], "{key}");
    }
    Ok(())
}

fn commit_refuses(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "run", "--name", "c", "--network", "none", image, "touch", "/x").run().ok();
    rpod!(t, "commit", "nosuch").run().fails(125, &["no such container"]);
    rpod!(t, "commit", "--change", "FOO x", "c").run().fails(125, &["FOO"]);
    rpod!(t, "commit", "--change", "HEALTHCHECK --often CMD x", "c").run().fails(125, &["--often"]);
    rpod!(t, "commit", "c", "UPPER").run().fails(125, &["UPPER"]);
    rpod!(t, "commit", "c", "a@sha256:00").run().fails(125, &[]);
    rpod!(t, "commit", "--format", "other", "c").run().fails(125, &["other"]);
    // A file that would mean "removed" in a layer.
    rpod!(t, "run", "--name", "w", "--network", "none", image, "touch", "/.wh.etc").run().ok();
    rpod!(t, "commit", "w").run().fails(125, &["/.wh.etc", "cannot be part of a layer"]);
    // It is a file like any other wherever no layer is made.
    rpod!(t, "diff", "w").run().lines_are(&["A /.wh.etc"]);
    t.script("rpod export w | tar -t | grep '^[.]wh'").run().lines_are(&[".wh.etc"]);
    rpod!(t, "run", "--name", "wd", "--network", "none", image, "mkdir", "/.wh.etc").run().ok();
    rpod!(t, "commit", "wd").run().fails(125, &["/.wh.etc", "cannot be part of a layer"]);
    rpod!(t, "diff", "wd").run().lines_are(&["A /.wh.etc"]);
    rpod!(t, "run", "--name", "o", "--network", "none", image, "sh", "-c", "mkdir /d; touch /d/.wh..wh..opq")
        .run()
        .ok();
    rpod!(t, "commit", "o").run().fails(125, &["/d/.wh..wh..opq", "cannot be part of a layer"]);
    let names = rpod!(t, "images", "--format", "{{.Repository}}").run().ok().lines().count();
    assert_eq!(names, 1, "nothing is left of what was refused");
    Ok(())
}

fn export(t: &Sandbox) -> Outcome {
    let image = image(t)?;
    rpod!(t, "run", "--name", "e", "--network", "none", "-v", "/vol", image, "sh", "-c", CHANGE).run().ok();
    rpod!(t, "export", "-o", "e.tar", "e").run().ok();
    let listed = t.program("tar", ["-tf", "e.tar"]).run();
    for name in ["a/b/c", "data/old/n", "etc/kept", "bin/busybox"] {
        assert!(listed.ok().lines().any(|line| line == name), "{name} in {}", listed.ok());
    }
    for name in ["etc/gone", "data/old/file", "data/old/.wh..wh..opq", "etc/.wh.gone"] {
        assert!(!listed.ok().lines().any(|line| line == name), "{name}");
    }
    // By standard output, and back as an image.
    t.script("rpod export e >second.tar; cmp e.tar second.tar; rpod import -q e.tar back >/dev/null").run().ok();
    rpod!(t, "run", "--rm", "--network", "none", "back", "cat", "/a/b/c").run().lines_are(&["x"]);
    rpod!(t, "export", "nosuch").run().fails(125, &["no such container"]);
    let mut terminal = rpod!(t, "export", "e").pty(24, 80);
    terminal.expect("refusing to export to terminal");
    assert_eq!(terminal.finish(), 125);
    Ok(())
}

fn mount(t: &Sandbox) -> Outcome {
    let image = image(t)?;
    rpod!(t, "run", "--name", "m", "--network", "none", image, "sh", "-c", CHANGE).run().ok();
    rpod!(t, "mount", "m").run().fails(125, &["rpod unshare"]);
    let script = "path=$(rpod mount m); cat $path/a/b/c $path/etc/kept; test ! -e $path/etc/gone; rpod mount | grep -c $path; \
                  echo from outside >$path/written; rpod unmount m; test ! -e $path/etc; rpod mount";
    rpod!(t, "unshare", "bash", "-euc", script).run().lines_are(&["x", "kept1", "m"]);
    rpod!(t, "export", "-o", "m.tar", "m").run().ok();
    t.program("tar", ["-xOf", "m.tar", "written"]).run().lines_are(&["from outside"]);
    rpod!(t, "run", "-d", "--name", "r", "--network", "none", image, "sleep", "100").run().ok();
    rpod!(t, "unshare", "rpod", "mount", "r").run().fails(125, &["it runs"]);
    rpod!(t, "rm", "-f", "-t", "0", "r").run().ok();
    Ok(())
}
