//! build: the corpus in `tests/build`, the cache, and what cannot be data.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::support::corpus::{self, Case};
use crate::support::{BUSYBOX, Need, Outcome, Sandbox, Stop, Trial, User, for_each_user, need, rpod, trial};

/// Files of the corpus.
pub const TOPICS: [&str; 4] = ["language", "copy", "stages", "run"];

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("build::image", image);
    for topic in TOPICS {
        trials.push(trial(format!("build::corpus_{topic}"), User::Sub, move |t| cases(t, topic)));
    }
    for (driver, name) in [("fuse-overlayfs", "fuse"), ("copy", "copy")] {
        for topic in ["stages", "run"] {
            trials.push(trial(format!("build::driver_{name}_{topic}"), User::Sub, move |t| {
                if driver == "fuse-overlayfs" {
                    need([Need::FuseOverlayfs])?;
                }
                t.use_driver(driver);
                cases(t, topic)
            }));
        }
    }
    trials.extend([
        trial("build::cache", User::Sub, cache),
        trial("build::copy_from_is_known_by_content", User::Sub, copy_from),
        trial("build::secrets_leave_no_trace", User::Sub, secrets),
        trial("build::links_lead_nowhere", User::Sub, links),
        trial("build::cache_mounts", User::Sub, cache_mounts),
        trial("build::failure_shows_the_lines", User::Sub, failure),
        trial("build::squash_and_outputs", User::Sub, outputs),
        trial("build::reproducible", User::Sub, reproducible),
        trial("build::refused_flags", User::Sub, refused),
        trial("build::drivers", User::Sub, drivers),
    ]);
    trials
}

/// A directory with a Dockerfile.
pub fn context(t: &Sandbox, name: &str, dockerfile: &str) -> Result<PathBuf, Stop> {
    let dir = t.mkdir(name)?;
    std::fs::write(dir.join("Dockerfile"), dockerfile)?;
    Ok(dir)
}

fn image(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let text = "FROM busybox\nENV WHO=world\nRUN echo hello $WHO >/greeting\nCOPY own /own\nCMD [\"cat\", \"/greeting\", \"/own\"]\n";
    let dir = context(t, "ctx", text)?;
    std::fs::write(dir.join("own"), "mine\n")?;
    let built = rpod!(t, "build", "-t", "app", &dir).run();
    built.prints("STEP 3/5: RUN echo hello $WHO >/greeting").prints("Successfully tagged localhost/app:latest");
    rpod!(t, "run", "--rm", "--network", "none", "app").run().lines_are(&["hello world", "mine"]);
    let again = rpod!(t, "build", "-q", &dir).run().ok().trim().to_owned();
    assert_eq!(built.ok().lines().last(), Some(again.as_str()), "the same image when nothing changed");
    Ok(())
}

/// Exports what a case builds; its listing against the base image's.
fn cases(t: &Sandbox, topic: &str) -> Outcome {
    t.busybox()?;
    let base = t.mkdir("base")?;
    std::fs::write(base.join("Dockerfile"), format!("FROM {BUSYBOX}\n"))?;
    let tar = base.join("base.tar");
    rpod!(t, "build", "-o", format!("type=tar,dest={}", tar.display()), &base).run().ok();
    let old = corpus::listing(&tar)?;
    let mut wrong = Vec::new();
    for case in corpus::read(topic) {
        let dir = t.mkdir(&case.name)?;
        case.write(&dir)?;
        let tar = base.join(format!("{}.tar", case.name));
        let mut args = vec!["build".to_owned(), "-t".to_owned(), format!("case-{}", case.name), "-o".to_owned()];
        args.push(format!("type=tar,dest={}", tar.display()));
        args.extend(case.args.iter().cloned());
        args.push(dir.display().to_string());
        let out = t.rpod(args).run();
        match &case.fails {
            Some((code, says)) => {
                out.fails(*code, &[says]);
                continue;
            }
            None => out.ok(),
        };
        let nothing = Default::default();
        let base = if case.from_scratch { &nothing } else { &old };
        let found = corpus::difference(base, &corpus::listing(&tar)?);
        if found != case.expect {
            wrong.push(format!("{}:\nexpected\n{}\nfound\n{}", case.name, case.expect.join("\n"), found.join("\n")));
        }
        wrong.extend(config(t, &case)?);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    Ok(())
}

fn config(t: &Sandbox, case: &Case) -> Result<Vec<String>, Stop> {
    let Some(wanted) = &case.config else { return Ok(Vec::new()) };
    let inspected = rpod!(t, "image", "inspect", format!("localhost/case-{}", case.name)).run().json();
    let found = &inspected[0]["Config"];
    let differs = |(name, value): (&String, &serde_json::Value)| {
        (found[name] != *value).then(|| format!("{}: {name} is {} instead of {value}", case.name, found[name]))
    };
    Ok(wanted.as_object().unwrap().iter().filter_map(differs).collect())
}

fn cache(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let dir = context(
        t,
        "ctx",
        "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid >/stamp\nCOPY a /a\nRUN cat /a\nCOPY b /b\n",
    )?;
    std::fs::write(dir.join("a"), "1\n")?;
    std::fs::write(dir.join("b"), "1\n")?;
    let cached = |out: &str| out.lines().filter(|line| line.ends_with(" CACHED")).count();
    let build = |extra: &[&str]| {
        let mut args: Vec<String> = vec!["build".into()];
        args.extend(extra.iter().map(|arg| (*arg).to_owned()));
        args.push(dir.display().to_string());
        let out = t.rpod(args).run();
        (out.ok().lines().last().unwrap_or_default().to_owned(), cached(out.ok()))
    };
    let (first, hits) = build(&[]);
    assert_eq!(hits, 0);
    assert_eq!(build(&[]), (first.clone(), 4));
    // Only times changed: Git does that.
    std::fs::write(dir.join("a"), "1\n")?;
    assert_eq!(build(&[]), (first.clone(), 4));
    std::fs::write(dir.join("b"), "2\n")?;
    assert_eq!(build(&[]).1, 3);
    std::fs::write(dir.join("b"), "1\n")?;
    std::fs::set_permissions(dir.join("a"), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    assert_eq!(build(&[]).1, 1, "a mode counts");
    std::fs::set_permissions(dir.join("a"), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    let (fresh, hits) = build(&["--no-cache"]);
    assert!(hits == 0 && fresh != first);
    // What it replaced is in the cache now.
    assert_eq!(build(&[]), (fresh, 4));
    rpod!(t, "builder", "prune", "-f").run().ok();
    assert_eq!(build(&[]).1, 0);
    Ok(())
}

/// A stage that was built again and gave the same files changes nothing behind it; owners and modes are part of a file.
fn copy_from(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let text = "FROM busybox AS a\nARG N\nARG MODE=644\nARG OWNER=0\nRUN mkdir /d; echo $N >/noise; echo same >/d/out; chmod $MODE /d/out; chown $OWNER /d/out\n\
                FROM busybox\nCOPY --from=a /d /d\nCOPY --from=a --exclude=out /d /e\nRUN cat /proc/sys/kernel/random/uuid >/stamp\n";
    let dir = context(t, "ctx", text)?;
    let build = |args: &[&str]| {
        let args = args.iter().flat_map(|arg| ["--build-arg", *arg]).map(str::to_owned);
        let words = ["build", "-q"].map(str::to_owned).into_iter().chain(args).chain([dir.display().to_string()]);
        t.rpod(words).run().ok().trim().to_owned()
    };
    let first = build(&["N=1"]);
    assert_eq!(build(&["N=2"]), first, "what was copied is the same");
    let changed = build(&["N=2", "MODE=600"]);
    assert_ne!(changed, first);
    assert_ne!(build(&["N=2", "MODE=600", "OWNER=5"]), changed);
    assert_eq!(build(&["N=3"]), first);
    Ok(())
}

fn secrets(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let secret = "nobody-may-find-this-7f3a";
    let text = "FROM busybox\nRUN --mount=type=secret,id=key cat /run/secrets/key | wc -c >/length\n\
                RUN --mount=type=secret,id=key,env=KEY,target=/k,uid=1000,mode=0440 test -n \"$KEY\" && stat -c '%a %u' /k >/mode\n\
                RUN --mount=type=secret,id=other true\nRUN ls /run /k >/left 2>&1 || true\n";
    let dir = context(t, "ctx", text)?;
    let file = t.mkdir("keys")?.join("key");
    std::fs::write(&file, secret)?;
    let option = format!("id=key,src={}", file.display());
    rpod!(t, "build", "-t", "app", "--secret", &option, &dir).run().ok();
    rpod!(t, "run", "--rm", "--network", "none", "app", "cat", "/length", "/mode").run().lines_are(&["25", "440 1000"]);
    std::fs::remove_file(&file)?;
    for path in files(&t.home()) {
        let content = std::fs::read(&path).unwrap_or_default();
        let found = content.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{} holds the secret", path.display());
    }
    rpod!(t, "build", "--secret", "id=key,src=/nonexistent", &dir).run().fails(125, &["could not find secret file"]);
    let text = "FROM busybox\nRUN --mount=type=secret,id=key,required cat /run/secrets/key\n";
    let dir = context(t, "required", text)?;
    rpod!(t, "build", &dir).run().fails(125, &["secret key: not found"]);
    Ok(())
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() && !path.is_symlink() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

/// CVE-2024-1753, CVE-2024-9675, CVE-2024-9407 and their kind.
fn links(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let outside = t.mkdir("outside")?;
    std::fs::write(outside.join("private"), "not yours\n")?;
    let dir = context(t, "ctx", "")?;
    symlink(&outside, dir.join("absolute"))?;
    symlink("../outside", dir.join("relative"))?;
    symlink("/etc/passwd", dir.join("passwd"))?;
    std::fs::write(dir.join("own"), "own\n")?;
    let refused = |text: &str, says: &str| -> Outcome {
        std::fs::write(dir.join("Dockerfile"), format!("FROM busybox\n{text}\n"))?;
        rpod!(t, "build", "--no-cache", &dir).run().fails(125, &[says]);
        Ok(())
    };
    refused("COPY absolute/private /x", "is not in the build context")?;
    refused("COPY relative/private /x", "is not in the build context")?;
    refused("COPY ../outside/private /x", "is not in the build context")?;
    refused("ADD passwd /x", "is not in the build context")?;
    refused("RUN --mount=type=bind,source=absolute,target=/x ls /x", "is not in the build context")?;
    refused("RUN --mount=type=bind,source=relative/private,target=/x cat /x", "is not in the build context")?;
    refused("RUN --mount=type=bind,source=../../../../../../etc,target=/x ls /x", "is not in the build context")?;
    refused("RUN --mount=type=bind,target=/ ls", "nothing can be mounted on /")?;
    // A stage whose links lead out of it, for sources and destinations.
    let text = "FROM busybox AS evil\nRUN ln -s / /root-of && ln -s ../../../../../.. /up && mkdir /d && ln -s /etc /d/etc\n\
                FROM busybox\nRUN ln -s ../../../../../../../../tmp/rpod-escape /escape && ln -s /nowhere/deep /dangling\n\
                COPY own /escape/file\nCOPY own /dangling/file\nCOPY --from=evil /root-of/etc/passwd /p\nCOPY --from=evil /up/etc/group /g\n\
                RUN --mount=type=bind,from=evil,source=/up,target=/m test -f /m/bin/busybox && test ! -e /m/proc/1\n\
                RUN --mount=type=cache,id=../../../escape,target=/c touch /c/here\n\
                RUN cat /tmp/rpod-escape/file /nowhere/deep/file && test -f /p && test -f /g\n";
    std::fs::write(dir.join("Dockerfile"), text)?;
    rpod!(t, "build", &dir).run().ok();
    assert!(!Path::new("/tmp/rpod-escape").exists() && !t.data().join("escape").exists());
    Ok(())
}

fn cache_mounts(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let text = "FROM busybox\nARG N\nRUN --mount=type=cache,target=/c,sharing=locked echo $N >>/c/log; cp /c/log /seen\n\
                RUN --mount=type=tmpfs,target=/t,size=1m mount | grep ' /t ' >/dev/null && touch /t/x\n\
                RUN --mount=type=bind,target=/b,rw echo x >/b/new && test -f /b/Dockerfile\nRUN test ! -e /c && test ! -e /t && test ! -e /b\n";
    let dir = context(t, "ctx", text)?;
    for (number, lines) in [("1", vec!["1"]), ("2", vec!["1", "2"])] {
        rpod!(t, "build", "-t", "app", "--build-arg", format!("N={number}"), &dir).run().ok();
        rpod!(t, "run", "--rm", "--network", "none", "app", "cat", "/seen").run().lines_are(&lines);
    }
    assert!(!dir.join("new").exists(), "the context stays as it was");
    rpod!(t, "builder", "prune", "-f", "--all").run().ok();
    rpod!(t, "build", "-t", "app", "--build-arg", "N=3", &dir).run().ok();
    rpod!(t, "run", "--rm", "--network", "none", "app", "cat", "/seen").run().lines_are(&["3"]);
    Ok(())
}

fn failure(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let dir = context(t, "ctx", "FROM busybox\nRUN echo before; \\\n    exit 7\nRUN never\n")?;
    let out = rpod!(t, "build", &dir).run();
    out.fails(7, &["exit status 7", "Dockerfile:2", "   2 | >>> RUN echo before; \\", "   3 | >>>     exit 7"]);
    out.prints("before");
    let quiet = rpod!(t, "build", "-q", &dir).run();
    quiet.fails(7, &["before\n"]);
    assert_eq!(quiet.stdout, "");
    for (text, code, says) in [
        ("FROM busybox\nRUN [\"/nosuch\"]\n", 127, "/nosuch"),
        ("FROM busybox\nRUNN x\n", 125, "Dockerfile:2: unknown instruction: RUNN (did you mean RUN?)"),
        ("FROM busybox\nCOPY nosuch /x\n", 125, "\"nosuch\" is not in the build context"),
        ("FROM nosuch.invalid/x:y\n", 125, "image not known"),
        ("FROM busybox\nRUN --mount=type=foo x\n", 125, "unsupported mount type"),
    ] {
        let dir = context(t, "bad", text).or_else(|_| Ok::<_, Stop>(t.home().join("bad")))?;
        std::fs::write(dir.join("Dockerfile"), text)?;
        rpod!(t, "build", "--pull=never", &dir).run().fails(code, &[says]);
    }
    rpod!(t, "build", "-f", "/nonexistent", &dir).run().fails(125, &["does not exist, /nonexistent"]);
    Ok(())
}

fn outputs(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let dir = context(t, "ctx", "FROM busybox\nRUN echo 1 >/a\nRUN echo 2 >/b; rm /a\nRUN echo 3 >/c\n")?;
    let layers = |name: &str| {
        let inspected = rpod!(t, "image", "inspect", name).run().json();
        inspected[0]["RootFS"]["Layers"].as_array().map_or(0, Vec::len)
    };
    for (flag, count) in [("--layers", 4), ("--squash", 2), ("--squash-all", 1), ("--layers=false", 2)] {
        rpod!(t, "build", "-t", "app", flag, &dir).run().ok();
        assert_eq!(layers("app"), count, "{flag}");
        rpod!(t, "run", "--rm", "--network", "none", "app", "cat", "/b", "/c").run().lines_are(&["2", "3"]);
        rpod!(t, "run", "--rm", "--network", "none", "app", "test", "-e", "/a").run().code(1);
    }
    let out = t.mkdir("out")?;
    rpod!(t, "build", "-o", &out, &dir).run().ok();
    assert_eq!(std::fs::read_to_string(out.join("c"))?, "3\n");
    for kind in ["oci", "docker"] {
        let archive = out.join(kind);
        let option = format!("type={kind},dest={}", archive.display());
        rpod!(t, "build", "-t", "archived", "-o", option, &dir).run().ok();
        rpod!(t, "rmi", "archived").run().ok();
        rpod!(t, "load", "-i", &archive).run().prints("archived");
    }
    let (id, metadata) = (out.join("id"), out.join("metadata"));
    let built =
        rpod!(t, "build", "-q", "--iidfile", &id, "--metadata-file", &metadata, "-t", "x", "-t", "y:1", &dir).run();
    assert_eq!(std::fs::read_to_string(&id)?, format!("sha256:{}", built.ok().trim()));
    assert!(std::fs::read_to_string(&metadata)?.contains("\"image.name\": \"localhost/x:latest,localhost/y:1\""));
    Ok(())
}

fn reproducible(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let dir = context(t, "ctx", "FROM busybox\nRUN mkdir /d && echo 1 >/d/a\nCOPY . /c/\nWORKDIR /w\n")?;
    let build = || {
        let args = ["build", "-q", "--no-cache", "--source-date-epoch", "1700000000", "--rewrite-timestamp"];
        let out = t.rpod(args.iter().map(|arg| (*arg).to_owned()).chain([dir.display().to_string()])).run();
        out.ok().trim().to_owned()
    };
    let first = build();
    assert_eq!(build(), first);
    let inspected = rpod!(t, "image", "inspect", &first).run().json();
    assert_eq!(inspected[0]["Created"], "2023-11-14T22:13:20Z");
    Ok(())
}

fn refused(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let dir = context(t, "ctx", "FROM busybox\n")?;
    for flag in ["--sbom=x", "--userns-uid-map=0:0:1", "--isolation=chroot", "--squash=maybe", "--progress=loud"] {
        rpod!(t, "build", flag, &dir).run().fails(125, &[flag.split('=').next().unwrap_or_default()]);
    }
    rpod!(t, "build", "--timestamp", "1", "--source-date-epoch", "1", &dir).run().fails(125, &["together"]);
    let lint = context(t, "lint", "from busybox\nCMD echo\nCMD echo\n")?;
    rpod!(t, "build", "--check", &lint).run().code(1).prints("JSONArgsRecommended");
    rpod!(t, "build", "--check", &dir).run().code(0);
    Ok(())
}

fn drivers(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let text = "FROM busybox AS one\nRUN echo 1 >/a && rm /etc/group\nFROM busybox\nCOPY --from=one /a /d/\nCOPY . /c/\nRUN test ! -e /nosuch && rm /bin/yes\n";
    let dir = context(t, "ctx", text)?;
    let with = |driver: &str| {
        t.rpod(
            ["--storage-driver", driver, "build", "-t", "app", "--no-cache"]
                .map(str::to_owned)
                .into_iter()
                .chain([dir.display().to_string()]),
        )
        .run()
    };
    for driver in ["copy", "overlay"] {
        let out = with(driver);
        if driver == "overlay" && out.stderr.contains("does not work here") {
            continue;
        }
        out.ok();
        rpod!(
            t,
            "run",
            "--rm",
            "--network",
            "none",
            "app",
            "sh",
            "-c",
            "cat /d/a; ls /c; test -e /bin/yes || echo gone"
        )
        .run()
        .lines_are(&["1", "Dockerfile", "gone"]);
    }
    Ok(())
}
