//! volume and secret: their verbs.

use std::os::unix::fs::MetadataExt;

use serde_json::json;

use crate::support::{Outcome, Sandbox, Trial, User, for_each_user, rpod, trial};

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("volumes::prune", User::Sub, prune),
        trial("volumes::filters", User::Sub, filters),
        trial("volumes::owners", User::Sub, owners),
        trial("volumes::options", User::Sub, options),
        trial("secrets::verbs", User::Sub, secrets),
    ];
    trials.extend(for_each_user("volumes::verbs", verbs));
    trials
}

fn verbs(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "volume", "ls").run().lines_are(&["DRIVER      VOLUME NAME"]);
    rpod!(t, "volume", "create", "--label", "a=b", "-l", "c", "one").run().lines_are(&["one"]);
    rpod!(t, "volume", "create", "one").run().fails(125, &["volume with name one already exists"]);
    rpod!(t, "volume", "create", "--ignore", "one").run().lines_are(&["one"]);
    let made_up = rpod!(t, "volume", "create").run().ok().trim().to_owned();
    assert_eq!(made_up.len(), 64);
    for bad in ["../x", "a/b", "."] {
        rpod!(t, "volume", "create", bad).run().code(125);
    }
    rpod!(t, "volume", "create", "--driver", "nfs", "x").run().fails(125, &["nfs"]);
    rpod!(t, "volume", "create", "--opt", "type=ext4", "x").run().fails(125, &["ext4", "without root"]);
    rpod!(t, "volume", "create", "--opt", "colour=red", "x").run().fails(125, &["colour"]);
    rpod!(t, "volume", "exists", "one").run().code(0);
    rpod!(t, "volume", "exists", "none").run().code(1);
    let listed = rpod!(t, "volume", "ls", "-q").run();
    assert!(listed.ok().lines().any(|line| line == made_up) && listed.ok().lines().count() == 2);
    let inspected = rpod!(t, "volume", "inspect", "one").run().json();
    assert_eq!(inspected[0]["Labels"], json!({"a": "b", "c": ""}));
    assert_eq!((&inspected[0]["Driver"], &inspected[0]["Scope"]), (&json!("local"), &json!("local")));
    let mountpoint = inspected[0]["Mountpoint"].as_str().unwrap().to_owned();
    rpod!(t, "volume", "inspect", "-f", "{{.Mountpoint}}", "one").run().lines_are(&[&mountpoint]);
    rpod!(t, "volume", "inspect", "one", "none").run().fails(125, &["no such volume"]);
    rpod!(
        t,
        "run",
        "--rm",
        "--network",
        "none",
        "-v",
        "one:/v",
        image,
        "sh",
        "-c",
        "echo x >/v/f; chmod 640 /v/f; ln -s f /v/l"
    )
    .run()
    .ok();
    // A volume that is a tmpfs of each container, and one that is a directory of the host.
    rpod!(t, "volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=1m", "mem")
        .run()
        .ok();
    let sized = "df -k /m | tail -1 | awk '{print $2}'; echo x >/m/f; ls /m";
    for _ in 0..2 {
        rpod!(t, "run", "--rm", "--network", "none", "-v", "mem:/m", image, "sh", "-c", sized)
            .run()
            .lines_are(&["1024", "f"]);
    }
    t.script("mkdir host; rpod volume create --opt type=none --opt o=bind,ro --opt device=$PWD/host bound").run().ok();
    rpod!(t, "run", "--rm", "--network", "none", "-v", "bound:/b", image, "touch", "/b/x").run().code(1);
    rpod!(t, "volume", "create", "--opt", "o=size=1m", "x").run().fails(125, &["quotas need root"]);
    rpod!(t, "volume", "rm", "mem", "bound").run().ok();
    // Out, and into another one.
    rpod!(t, "volume", "export", "-o", "one.tar", "one").run().ok();
    t.script("rpod volume export one | cmp - one.tar; tar -tf one.tar | sort").run().lines_are(&["f", "l"]);
    rpod!(t, "volume", "create", "two").run().ok();
    rpod!(t, "volume", "import", "two", "one.tar").run().ok();
    t.script("rpod volume import two - <one.tar").run().ok();
    rpod!(t, "run", "--rm", "--network", "none", "-v", "two:/v", image, "stat", "-c", "%a %u %N", "/v/f", "/v/l")
        .run()
        .lines_are(&["640 0 /v/f", "777 0 '/v/l' -> 'f'"]);
    rpod!(t, "volume", "import", "none", "one.tar").run().fails(125, &["no such volume"]);
    rpod!(t, "volume", "mount", "one").run().fails(125, &["rpod unshare"]);
    rpod!(t, "unshare", "rpod", "volume", "mount", "one").run().lines_are(&[&mountpoint]);
    // In use.
    rpod!(t, "create", "--name", "user", "-v", "one:/v", image, "true").run().ok();
    rpod!(t, "volume", "rm", "one").run().fails(2, &["volume one is being used by the following container(s)"]);
    rpod!(t, "volume", "rm", "none").run().fails(1, &["no such volume"]);
    rpod!(t, "volume", "rm", "-f", "none").run().lines_are(&[]);
    rpod!(t, "volume", "rm", "--force", "one").run().lines_are(&["one"]);
    rpod!(t, "container", "exists", "user").run().code(1);
    rpod!(t, "volume", "rm", "--all").run().ok();
    rpod!(t, "volume", "ls", "-q").run().lines_are(&[]);
    assert!(!std::path::Path::new(&mountpoint).exists());
    Ok(())
}

/// A volume that somebody gave a name to is removed only by that name or by --all.
fn prune(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "volume", "create", "named").run().ok();
    rpod!(
        t,
        "run",
        "--name",
        "c",
        "--network",
        "none",
        "-v",
        "used:/u",
        "-v",
        "/anonymous",
        image,
        "sh",
        "-c",
        "dd if=/dev/zero of=/anonymous/f bs=1k count=300"
    )
    .run()
    .ok();
    let list = || rpod!(t, "volume", "ls", "-q").run().ok().lines().count();
    assert_eq!(list(), 3);
    rpod!(t, "volume", "prune", "-f").run().lines_are(&[]);
    rpod!(t, "rm", "c").run().ok();
    // Asked, and not sure.
    rpod!(t, "volume", "prune").stdin("n\n").run().prints("WARNING!");
    assert_eq!(list(), 3);
    let out = rpod!(t, "volume", "prune", "-f").run();
    out.prints("Total reclaimed space: 307.2kB");
    assert_eq!(list(), 2);
    rpod!(t, "system", "prune", "-a", "-f", "--volumes").run().ok();
    rpod!(t, "volume", "ls", "-q").run().lines_are(&["named", "used"]);
    rpod!(t, "volume", "prune", "--all", "-f", "--filter", "label=none").run().lines_are(&[]);
    rpod!(t, "volume", "prune", "--all", "-f").run().prints("named\nused");
    assert_eq!(list(), 0);
    Ok(())
}

fn filters(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "volume", "create", "--label", "a=1", "alpha").run().ok();
    rpod!(t, "volume", "create", "--label", "a=2", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "beta").run().ok();
    rpod!(t, "create", "-v", "alpha:/v", image, "true").run().ok();
    for (filter, names) in [
        ("name=alp", vec!["alpha"]),
        ("name=^(alpha|gamma)$", vec!["alpha"]),
        ("name=^.{4}$", vec!["beta"]),
        ("label=a", vec!["alpha", "beta"]),
        ("label=a=2", vec!["beta"]),
        ("label!=a=2", vec!["alpha"]),
        ("dangling=true", vec!["beta"]),
        ("dangling=false", vec!["alpha"]),
        ("opt=type=tmpfs", vec!["beta"]),
        ("driver=local", vec!["alpha", "beta"]),
        ("driver=nfs", vec![]),
        ("anonymous=true", vec![]),
        ("since=alpha", vec!["beta"]),
    ] {
        rpod!(t, "volume", "ls", "-q", "--filter", filter).run().lines_are(&names);
    }
    rpod!(t, "volume", "ls", "--filter", "colour=red").run().fails(125, &["colour"]);
    rpod!(t, "volume", "ls", "--format", "{{.Name}} {{.Labels}}").run().lines_are(&["alpha map[a:1]", "beta map[a:2]"]);
    rpod!(t, "volume", "ls", "--filter", "name=(").run().fails(125, &["cannot understand the pattern"]);
    let json = rpod!(t, "volume", "ls", "--format", "json").run().json();
    assert_eq!(json[1]["Options"]["type"], "tmpfs");
    Ok(())
}

/// `o=uid=…,gid=…`: whose the volume is, also when an image fills it.
fn owners(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "volume", "create", "-o", "o=uid=1000,gid=50", "own").run().ok();
    let shown = "{{.UID}} {{.GID}} {{.Options}}";
    rpod!(t, "volume", "inspect", "-f", shown, "own")
        .run()
        .lines_are(&["1000 50 map[GID:50 UID:1000 o:uid=1000,gid=50]"]);
    let owner = |volume: &str, place: &str| {
        let mount = format!("{volume}:{place}");
        rpod!(t, "run", "--rm", "--network=none", "-v", mount, image, "stat", "-c", "%u:%g", place)
            .run()
            .ok()
            .to_owned()
    };
    assert_eq!(owner("own", "/nothing/there"), "1000:50");
    rpod!(t, "volume", "create", "-o", "o=uid=7", "filled").run().ok();
    assert_eq!((owner("filled", "/etc"), owner("filled", "/etc")), ("7:0".to_owned(), "7:0".to_owned()));
    let passwd = rpod!(t, "run", "--rm", "--network=none", "-v", "filled:/v", image, "ls", "/v/passwd").run();
    passwd.lines_are(&["/v/passwd"]);
    rpod!(t, "volume", "create", "-o", "o=uid=4000000000", "far").run().fails(125, &["/etc/subuid"]);
    rpod!(t, "volume", "ls", "-q").run().lines_are(&["filled", "own"]);
    Ok(())
}

fn options(t: &Sandbox) -> Outcome {
    for (options, says) in [
        (&["type=bind", "device=/nosuch", "o=bind"][..], "No such file or directory"),
        (&["type=bind"], "needs the option device"),
        (&["device=/tmp"], "needs type=bind"),
        (&["o=size=2m"], "quotas need root"),
        (&["o=uid=many"], "cannot convert uid"),
        (&["o=nodev"], "needs type=tmpfs"),
        (&["type=ext4", "device=/dev/null"], "cannot be mounted without root"),
        (&["colour=red"], "invalid option"),
    ] {
        let words = options.iter().flat_map(|option| ["-o", option]);
        t.rpod(["volume", "create"].into_iter().chain(words).chain(["v"])).run().fails(125, &[says]);
    }
    rpod!(t, "volume", "ls", "-q").run().lines_are(&[]);
    Ok(())
}

fn secrets(t: &Sandbox) -> Outcome {
    t.write("home/file", "from a file")?;
    let id = rpod!(t, "secret", "create", "--label", "a=b", "one", "file").run().ok().trim().to_owned();
    assert_eq!(id.len(), 25);
    rpod!(t, "secret", "create", "two", "-").stdin("from stdin").run().ok();
    rpod!(t, "secret", "create", "--env", "three", "MY_SECRET").env("MY_SECRET", "from env").run().ok();
    rpod!(t, "secret", "create", "--env", "four", "NOT_SET").run().fails(125, &["NOT_SET is not set"]);
    rpod!(t, "secret", "create", "five", "nosuch").run().fails(125, &["nosuch"]);
    rpod!(t, "secret", "create", "empty", "-").stdin("").run().fails(125, &["larger than 0"]);
    rpod!(t, "secret", "create", "a/b", "file").run().fails(125, &["invalid secret name"]);
    rpod!(t, "secret", "create", "--driver", "pass", "x", "file").run().fails(125, &["pass"]);
    rpod!(t, "secret", "create", "one", "file").run().fails(125, &["secret name in use"]);
    rpod!(t, "secret", "create", "--ignore", "one", "-").stdin("other").run().lines_are(&[&id]);
    let shown = |name: &str| {
        rpod!(t, "secret", "inspect", "--showsecret", "-f", "{{.SecretData}}", name).run().ok().trim().to_owned()
    };
    assert_eq!(
        (shown("one"), shown("two"), shown("three")),
        ("from a file".into(), "from stdin".into(), "from env".into())
    );
    rpod!(t, "secret", "create", "--replace", "one", "-").stdin("new").run().ok();
    assert_eq!(shown("one"), "new");
    let times = rpod!(t, "secret", "inspect", "-f", "{{.CreatedAt}}|{{.UpdatedAt}}", "one").run().ok().to_owned();
    assert!(times.split_once('|').is_some_and(|(created, updated)| created < updated), "{times}");
    // Never unasked, and nobody else's to read.
    for out in [
        rpod!(t, "secret", "inspect", "two").run(),
        rpod!(t, "secret", "ls").run(),
        rpod!(t, "secret", "inspect", "--pretty", "two").run(),
    ] {
        assert!(!out.ok().contains("from stdin"), "{}", out.ok());
    }
    let file = t.data().join("secrets/two/data").metadata()?;
    assert_eq!(file.mode() & 0o7777, 0o600);
    let inspected = rpod!(t, "secret", "inspect", "two").run().json();
    assert_eq!(
        (&inspected[0]["Spec"]["Name"], &inspected[0]["Spec"]["Driver"]["Name"]),
        (&json!("two"), &json!("file"))
    );
    rpod!(t, "secret", "ls", "--format", "{{.Name}}").run().lines_are(&["one", "three", "two"]);
    rpod!(t, "secret", "ls", "--format", "{{.Name}}", "--filter", "name=^t.o$").run().lines_are(&["two"]);
    rpod!(t, "secret", "exists", "two").run().code(0);
    rpod!(t, "secret", "exists", "none").run().code(1);
    rpod!(t, "secret", "rm", "none").run().fails(125, &["no such secret"]);
    rpod!(t, "secret", "rm", "--ignore", "none").run().lines_are(&[]);
    rpod!(t, "secret", "rm", "two").run().ok();
    rpod!(t, "secret", "rm", "--all").run().ok();
    rpod!(t, "secret", "ls", "-q").run().lines_are(&[]);
    Ok(())
}
