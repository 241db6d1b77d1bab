//! `--volumes-from`.

use serde_json::json;

use crate::support::{Image, Outcome, Sandbox, Trial, User, for_each_user, rpod, trial};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("volumes_from::shares", shares);
    trials.push(trial("volumes_from::options", User::Sub, options));
    trials.push(trial("volumes_from::removal", User::Sub, removal));
    trials
}

fn shares(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let dir = t.mkdir("home/dir")?;
    let bind = format!("{}:/bind", dir.display());
    rpod!(
        t,
        "run",
        "-d",
        "--name",
        "a",
        "--network",
        "none",
        "-v",
        bind,
        "-v",
        "named:/named",
        "-v",
        "/own",
        image,
        "sh",
        "-c",
        "echo a >/own/a; echo a >/named/a; echo a >/bind/a; exec sleep 1000"
    )
    .run()
    .ok();
    let read = "until [ -e /bind/a ]; do sleep 0.01; done; cat /own/a /named/a /bind/a; echo b >/own/b";
    rpod!(t, "run", "--rm", "--network", "none", "--volumes-from", "a", image, "sh", "-c", read)
        .run()
        .lines_are(&["a", "a", "a"]);
    rpod!(t, "exec", "a", "cat", "/own/b").run().lines_are(&["b"]);
    // What is asked for goes first; of several containers the last one counts.
    rpod!(t, "create", "--name", "b", "--tmpfs", "/bind", "-v", "other:/named", image, "true").run().ok();
    let script = "ls /named; ls /bind; ls /own | head -1";
    rpod!(
        t,
        "run",
        "--rm",
        "--network",
        "none",
        "--volumes-from",
        "a",
        "--volumes-from",
        "b",
        image,
        "sh",
        "-c",
        script
    )
    .run()
    .lines_are(&["a", "a"]);
    rpod!(t, "run", "--rm", "--network", "none", "--volumes-from", "a", "--tmpfs", "/own", image, "ls", "/own")
        .run()
        .lines_are(&[]);
    // What a container has for itself is not shared, and it is said.
    rpod!(t, "run", "--rm", "--network", "none", "--volumes-from", "b", image, "true")
        .run()
        .says("Unable to match volume /bind from container");
    Ok(())
}

fn options(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "create", "--name", "a", "-v", "w:/w", "-v", "r:/r:ro,noexec", image, "true").run().ok();
    let binds = |options: &str| {
        rpod!(t, "create", "--name", "c", "--volumes-from", options, image, "true").run().ok();
        let shown = rpod!(t, "inspect", "-f", "{{json .HostConfig.Binds}} {{json .HostConfig.VolumesFrom}}", "c").run();
        rpod!(t, "rm", "c").run().ok();
        shown.ok().trim().to_owned()
    };
    let w = "w:/w:rw,rprivate,nosuid,nodev,rbind";
    assert_eq!(binds("a"), format!(r#"["{w}","r:/r:ro,noexec,rprivate,nosuid,nodev,rbind"] ["a"]"#));
    let ro = "ro,rprivate,nosuid,nodev,rbind";
    assert_eq!(binds("a:ro"), format!(r#"["w:/w:{ro}","r:/r:{ro}"] ["a:ro"]"#));
    let rw = "rw,z,rprivate,nosuid,nodev,rbind";
    assert_eq!(binds("a:rw,z"), format!(r#"["w:/w:{rw}","r:/r:{rw}"] ["a:rw,z"]"#));
    rpod!(t, "run", "--rm", "--network", "none", "--volumes-from", "a:ro", image, "touch", "/w/x").run().code(1);
    for (value, says) in [
        ("none", "looking up container \"none\" for volumes-from: no container with name or ID \"none\" found"),
        ("", "name or ID cannot be empty"),
        ("a:x", "invalid option \"x\" specified - volumes from another container can only use z,ro,rw options"),
        ("a:", "invalid option \"\""),
        ("a:ro,rw", "cannot set ro or rw options more than once"),
        ("a:z,z", "cannot set :z more than once in mount options"),
    ] {
        rpod!(t, "run", "--rm", "--volumes-from", value, image, "true").run().fails(125, &[says]);
    }
    Ok(())
}

/// A volume without a name goes with the last container that has it.
fn removal(t: &Sandbox) -> Outcome {
    let image = Image::busybox()?.config("Volumes", json!({"/imgvol": {}}));
    let archive = t.write("home/v.tar", image.docker_archive(&["localhost/volume"]))?;
    rpod!(t, "load", "-i", &archive).run().ok();
    let count = || rpod!(t, "volume", "ls", "-q").run().ok().lines().count();
    let write = "echo x >/imgvol/x; echo x >/own/x";
    rpod!(t, "run", "--name", "a", "--network", "none", "-v", "/own", "localhost/volume", "sh", "-c", write).run().ok();
    assert_eq!(count(), 2);
    rpod!(
        t,
        "create",
        "--name",
        "b",
        "--network",
        "none",
        "--volumes-from",
        "a",
        "localhost/volume",
        "cat",
        "/imgvol/x",
        "/own/x"
    )
    .run()
    .ok();
    rpod!(t, "run", "--rm", "--network", "none", "--volumes-from", "a", "localhost/volume", "true").run().ok();
    assert_eq!(count(), 2, "no volume of its own for what is borrowed, and --rm takes none away that others have");
    rpod!(t, "rm", "-v", "a").run().ok();
    assert_eq!(count(), 2);
    rpod!(t, "start", "-a", "b").run().lines_are(&["x", "x"]);
    rpod!(t, "rm", "-v", "b").run().ok();
    assert_eq!(count(), 0);
    Ok(())
}
