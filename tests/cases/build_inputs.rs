//! build: where Dockerfiles, contexts and sources come from.

use std::path::{Path, PathBuf};

use super::build::context;
use crate::support::{Need, Outcome, Response, Sandbox, Server, Tarball, Trial, User, gzip, need, rpod, sha256, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("build_inputs::dockerfiles", User::Sub, dockerfiles),
        trial("build_inputs::ignore_files", User::Sub, ignore_files),
        trial("build_inputs::standard_input", User::NoSub, standard_input),
        trial("build_inputs::urls", User::Sub, urls),
        trial("build_inputs::archives", User::Sub, archives),
        trial("build_inputs::deep_trees", User::Sub, deep_trees),
        trial("build_inputs::git", User::Sub, git),
        trial("build_inputs::named_contexts", User::Sub, named_contexts),
        trial("build_inputs::ssh_agent", User::Sub, ssh_agent),
        trial("build_inputs::onbuild_of_an_image", User::Sub, onbuild),
        trial("build_inputs::platforms_of_one_name", User::Sub, platforms),
        trial("build_inputs::missing_by_name", User::Sub, missing_by_name),
        trial("build_inputs::mounts_of_odd_files", User::Sub, mounts_of_odd_files),
    ]
}

/// What `cat` says in the image that was built last.
fn cat(t: &Sandbox, paths: &[&str], lines: &[&str]) {
    let words = ["run", "--rm", "--network", "none", "app", "cat"].iter().chain(paths).map(|word| (*word).to_owned());
    t.rpod(words).run().lines_are(lines);
}

fn build(t: &Sandbox, dockerfile: &str, args: &[&str], dir: &Path) -> Outcome {
    std::fs::write(dir.join("Dockerfile"), dockerfile)?;
    let mut words: Vec<String> = ["build", "-q", "-t", "app"].map(str::to_owned).to_vec();
    words.extend(args.iter().map(|arg| (*arg).to_owned()));
    words.push(dir.display().to_string());
    t.rpod(words).run().ok();
    Ok(())
}

fn dockerfiles(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let dir = context(t, "ctx", "FROM busybox\nRUN echo Dockerfile >/ok\n")?;
    rpod!(t, "build", "-q", "-t", "app", &dir).run().ok();
    cat(t, &["/ok"], &["Dockerfile"]);
    std::fs::write(dir.join("Containerfile"), "FROM busybox\nRUN echo Containerfile >/ok\n")?;
    rpod!(t, "build", "-q", "-t", "app", &dir).run().ok();
    cat(t, &["/ok"], &["Containerfile"]);
    // Relative to here first, then to the context; a directory is looked into.
    std::fs::create_dir(dir.join("sub"))?;
    std::fs::write(dir.join("sub/Dockerfile"), "FROM busybox\nCOPY own /ok\n")?;
    std::fs::write(dir.join("own"), "own\n")?;
    for file in ["sub/Dockerfile", "sub"] {
        rpod!(t, "build", "-q", "-t", "app", "-f", file, &dir).run().ok();
        cat(t, &["/ok"], &["own"]);
    }
    // A comment in Latin-1 says nothing; a line in it would.
    let latin = dir.join("latin");
    std::fs::write(&latin, b"# caf\xe9\nFROM busybox AS context\nFROM context\nRUN echo latin >/ok\n")?;
    rpod!(t, "build", "-q", "-t", "app", "-f", &latin, &dir).run().ok();
    cat(t, &["/ok"], &["latin"]);
    std::fs::write(&latin, b"FROM busybox\nRUN echo caf\xe9\n")?;
    rpod!(t, "build", "-f", &latin, &dir).run().fails(125, &["latin:2", "not UTF-8"]);
    // Several files are one.
    let parts = ["FROM busybox\n", "RUN echo two >/ok\n"];
    for (name, text) in ["one", "two"].iter().zip(parts) {
        std::fs::write(dir.join(name), text)?;
    }
    rpod!(t, "build", "-q", "-t", "app", "-f", dir.join("one"), "-f", dir.join("two"), &dir).run().ok();
    cat(t, &["/ok"], &["two"]);
    // A file of standard input with a context.
    let text = "FROM busybox\nCOPY own /ok\n";
    rpod!(t, "build", "-q", "-t", "app", "-f", "-", &dir).stdin(text).run().ok();
    cat(t, &["/ok"], &["own"]);
    rpod!(t, "build", "-f", "-", "-").stdin(text).run().fails(125, &["cannot both come from standard input"]);
    Ok(())
}

fn ignore_files(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let dir = context(t, "ctx", "FROM busybox\nCOPY . /c/\nRUN ls /c >/ok\n")?;
    for name in ["a", "b", "c"] {
        std::fs::write(dir.join(name), name)?;
    }
    let listed = |args: &[&str], names: &[&str]| -> Outcome {
        build(t, "FROM busybox\nCOPY . /c/\nRUN ls /c >/ok\n", args, &dir)?;
        cat(t, &["/ok"], names);
        Ok(())
    };
    std::fs::write(dir.join(".dockerignore"), "a\n*ignore\nDockerfile\n")?;
    listed(&[], &["b", "c"])?;
    std::fs::write(dir.join("Dockerfile.dockerignore"), "b\n*ignore\nDockerfile\n")?;
    listed(&[], &["a", "c"])?;
    let other = t.write("other", "*\n!c\n")?;
    listed(&["--ignorefile", &other.display().to_string()], &["c"])
}

fn standard_input(t: &Sandbox) -> Outcome {
    t.busybox()?;
    rpod!(t, "build", "-q", "-t", "app", "-").stdin("FROM busybox\nRUN echo alone >/ok\n").run().ok();
    cat(t, &["/ok"], &["alone"]);
    let copies = "FROM busybox\nCOPY own /ok\n";
    rpod!(t, "build", "-").stdin(copies).run().fails(125, &["there is no build context"]);
    let tar = Tarball::new().file("Dockerfile", 0o644, copies).file("own", 0o644, "archived\n").finish();
    for input in [tar.clone(), gzip(&tar)] {
        rpod!(t, "build", "-q", "-t", "app", "-").stdin(input).run().ok();
        cat(t, &["/ok"], &["archived"]);
    }
    // Nothing of it is left, and an archive cannot lead out of its place.
    let hostile = Tarball::new()
        .file("Dockerfile", 0o644, copies)
        .symlink("out", "/tmp")
        .file("out/rpod-was-here", 0o644, "x")
        .file("../../rpod-was-here", 0o644, "x")
        .symlink("own", "/etc/passwd")
        .finish();
    rpod!(t, "build", "-").stdin(hostile).run().fails(125, &["\"own\" is not in the build context"]);
    assert!(!Path::new("/tmp/rpod-was-here").exists());
    rpod!(t, "build", "-").stdin("").run().fails(125, &["no"]);
    Ok(())
}

fn urls(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let content = "from a server\n";
    let tar = Tarball::new().file("Dockerfile", 0o644, "FROM busybox\nCOPY own /ok\n").file("own", 0o644, "remote\n");
    let tar = gzip(&tar.finish());
    let served = tar.clone();
    let server = Server::start(move |request| match request.path() {
        "/file" => Response::new(200)
            .header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
            .body(content.as_bytes().to_vec()),
        "/Dockerfile" => Response::new(200).body("FROM busybox\nRUN echo fetched >/ok\n"),
        "/context.tar.gz" => Response::new(200).body(served.clone()),
        _ => Response::new(404),
    });
    let dir = t.mkdir("ctx")?;
    let url = |path: &str| format!("http://{}{path}", server.host());
    let digest = sha256(content.as_bytes());
    let text = format!("FROM busybox\nADD --checksum={digest} {} /d/\nADD --chmod=644 {0} /named\n", url("/file"));
    build(t, &text.replace("{0}", &url("/file")), &[], &dir)?;
    let out = rpod!(t, "run", "--rm", "--network", "none", "app", "stat", "-c", "%a %u %Y", "/d/file", "/named").run();
    out.lines_are(&["600 0 1445412480", "644 0 1445412480"]);
    // The archive stays one, unless it is to be unpacked.
    let text = format!(
        "FROM busybox\nADD {0} /one/\nADD --unpack=true {0} /two/\nRUN ls /one /two >/ok\n",
        url("/context.tar.gz")
    );
    build(t, &text, &[], &dir)?;
    cat(t, &["/ok"], &["/one:", "context.tar.gz", "", "/two:", "Dockerfile", "own"]);
    let fails = |text: String, says: &str| -> Outcome {
        std::fs::write(dir.join("Dockerfile"), text)?;
        rpod!(t, "build", "--no-cache", &dir).run().fails(125, &[says]);
        Ok(())
    };
    let wrong = sha256(b"something else");
    fails(format!("FROM busybox\nADD --checksum={wrong} {} /d/\n", url("/file")), "digest mismatch")?;
    fails(format!("FROM busybox\nADD {} /d/\n", url("/missing")), "404")?;
    fails(format!("FROM busybox\nCOPY {} /d/\n", url("/file")), "source can't be a URL for COPY")?;
    fails(format!("FROM busybox\nADD --checksum={digest} Dockerfile /d/\n"), "checksum")?;
    rpod!(t, "build", "-q", "-t", "app", url("/context.tar.gz")).run().ok();
    cat(t, &["/ok"], &["remote"]);
    rpod!(t, "build", "-q", "-t", "app", url("/Dockerfile")).run().ok();
    cat(t, &["/ok"], &["fetched"]);
    rpod!(t, "build", "-q", "-t", "app", "-f", url("/Dockerfile"), &dir).run().ok();
    cat(t, &["/ok"], &["fetched"]);
    rpod!(t, "build", url("/missing")).run().fails(125, &["404"]);
    Ok(())
}

/// ADD unpacks what is an archive, whatever its name; COPY never does.
fn archives(t: &Sandbox) -> Outcome {
    need([Need::Xz, Need::Bzip2])?;
    t.busybox()?;
    let dir = t.mkdir("ctx")?;
    let tar = Tarball::new().dir("d/", 0o750).owned_file("d/a", 0o640, 7, 8, "A\n").symlink("l", "d/a").finish();
    std::fs::write(dir.join("plain"), &tar)?;
    std::fs::write(dir.join("gz"), gzip(&tar))?;
    std::fs::write(dir.join("zst"), zstd::encode_all(&tar[..], 1)?)?;
    for program in ["xz", "bzip2"] {
        let packed = t.program(program, ["-c"]).stdin(tar.clone()).run();
        std::fs::write(dir.join(program), &packed.stdout_bytes)?;
    }
    std::fs::write(dir.join("broken"), &gzip(&tar)[..40])?;
    for name in ["plain", "gz", "zst", "xz", "bzip2"] {
        let text =
            format!("FROM busybox\nADD {name} /x\nRUN stat -c '%a %u %g %n' /x/d /x/d/a >/ok && cat /x/l >>/ok\n");
        build(t, &text, &[], &dir)?;
        cat(t, &["/ok"], &["750 0 0 /x/d", "640 7 8 /x/d/a", "A"]);
    }
    // As base images are written: what only root can make is left out, with a word.
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let root = Tarball::new()
        .dir("dev/", 0o755)
        .char_device("dev/console", 0o600, 5, 1)
        .pax(&[("SCHILY.xattr.security.capability", &capability), ("SCHILY.xattr.user.overlay.opaque", b"y")])
        .owned_file("ping", 0o755, 0, 0, "program");
    std::fs::write(dir.join("root.tar"), root.finish())?;
    std::fs::write(dir.join("Dockerfile"), "FROM scratch AS a\nADD root.tar /\nFROM scratch\nCOPY --from=a / /\n")?;
    let built = rpod!(t, "build", "-t", "root", &dir).run();
    built.ok();
    assert!(
        built.stderr.contains("1 device nodes of the image were left out: only root can make them"),
        "{}",
        built.stderr
    );
    rpod!(t, "create", "--name", "root", "root", "x").run().ok();
    let files = rpod!(t, "export", "root").run();
    let listed =
        t.program("tar", ["--xattrs", "--xattrs-include=*", "-tvvf", "-"]).stdin(files.stdout_bytes.clone()).run();
    listed.prints("security.capability").prints("dev/");
    assert!(!listed.stdout.contains("console") && !listed.stdout.contains("opaque"), "{}", listed.stdout);
    let text = "FROM busybox\nCOPY gz /x\nADD --unpack=false gz /y\nADD broken /z\nRUN test -f /x -a -f /y -a -f /z\n";
    build(t, text, &[], &dir)
}

/// Deeper than a walk that keeps everything on a thread's usual stack bears.
fn deep_trees(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let deep = "i=0; while [ $i -lt 900 ]; do mkdir x; cd x; i=$((i+1)); done; echo bottom >f";
    let dir = context(t, "ctx", &format!("FROM busybox AS a\nRUN {deep}\nFROM busybox\nCOPY --from=a /x /y\n"))?;
    rpod!(t, "build", "-q", "--network", "none", "-t", "app", &dir).run().ok();
    rpod!(t, "run", "--name", "c", "--network", "none", "app", "sh", "-c", deep).run().ok();
    rpod!(t, "commit", "-q", "c", "both").run().ok();
    let tar = t.home().join("both.tar");
    rpod!(t, "save", "-q", "-o", &tar, "both").run().ok();
    rpod!(t, "--root", t.home().join("other"), "load", "-q", "-i", &tar).run().ok();
    let found = "cd /x; while [ -d x ]; do cd x; done; cat f; cd /y; while [ -d x ]; do cd x; done; cat f";
    rpod!(t, "--root", t.home().join("other"), "run", "--rm", "--network", "none", "both", "sh", "-c", found)
        .run()
        .lines_are(&["bottom", "bottom"]);
    Ok(())
}

fn git(t: &Sandbox) -> Outcome {
    need([Need::Git])?;
    t.busybox()?;
    let script = "
        export HOME=$PWD GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@a
        mkdir src && cd src && git init -q -b main .
        printf 'FROM busybox\\nCOPY own /ok\\n' >Dockerfile; echo first >own; git add .; git commit -qm 1; git tag v1
        mkdir sub; cp Dockerfile sub; echo below >sub/own; ln -s /etc out; echo second >own; git add .; git commit -qm 2
        git checkout -q -b side; echo side >own; git commit -qam 3; git checkout -q main
        cd .. && git clone -q --bare src repo.git && cd repo.git && git update-server-info && git rev-parse v1";
    let commit = t.script(script).run().ok().lines().last().unwrap_or_default().to_owned();
    let root = t.home();
    let root =
        [root.clone(), t.dir().to_path_buf()].into_iter().find(|dir| dir.join("repo.git").is_dir()).unwrap_or(root);
    let server = Server::start(move |request| match std::fs::read(root.join(request.path().trim_start_matches('/'))) {
        Ok(bytes) => Response::new(200).body(bytes),
        Err(_) => Response::new(404),
    });
    let url = format!("http://{}/repo.git", server.host());
    for (fragment, wanted) in [
        ("", "second"),
        ("#v1", "first"),
        ("#side", "side"),
        ("?tag=v1", "first"),
        ("?branch=side&submodules=false", "side"),
        ("?ref=main&subdir=sub", "below"),
        (&format!("#{commit}"), "first"),
        ("#main:sub", "below"),
        ("#:sub", "below"),
    ] {
        rpod!(t, "build", "-q", "-t", "app", format!("{url}{fragment}")).run().ok();
        cat(t, &["/ok"], &[wanted]);
    }
    rpod!(t, "build", format!("{url}#nosuch")).run().fails(125, &["cannot fetch"]);
    rpod!(t, "build", format!("{url}#main:nosuch")).run().fails(125, &["has no directory"]);
    rpod!(t, "build", format!("{url}#main:out")).run().fails(125, &["has no directory"]);
    let dir = t.mkdir("ctx")?;
    let text = format!(
        "FROM busybox\nADD {url}#side /one/\nADD --keep-git-dir=true {url} /two/\nADD {url}#main:sub /three\nRUN cat /one/own /two/own /three/own >/ok && test -d /two/.git -a ! -e /one/.git\n"
    );
    build(t, &text, &[], &dir)?;
    cat(t, &["/ok"], &["side", "second", "below"]);
    Ok(())
}

fn named_contexts(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let other = t.mkdir("other")?;
    std::fs::write(other.join("own"), "other\n")?;
    std::fs::write(other.join("hidden"), "hidden\n")?;
    std::fs::write(other.join(".dockerignore"), "hidden\n")?;
    let dir = t.mkdir("ctx")?;
    std::fs::write(dir.join("own"), "context\n")?;
    let named = |value: &str| format!("other={value}");
    let text = "FROM busybox\nCOPY --from=other own /a\nCOPY own /b\nRUN --mount=from=other,target=/m cat /m/own >/c\n";
    build(t, text, &["--build-context", &named(&other.display().to_string())], &dir)?;
    cat(t, &["/a", "/b", "/c"], &["other", "context", "other"]);
    // Unchanged, then changed.
    let args = ["build", "-t", "app", "--build-context"].map(str::to_owned);
    let again =
        || t.rpod(args.iter().cloned().chain([named(&other.display().to_string()), dir.display().to_string()])).run();
    let hits = |out: &str| out.lines().filter(|line| line.ends_with(" CACHED")).count();
    assert_eq!(hits(again().ok()), 3);
    std::fs::write(other.join("own"), "changed\n")?;
    assert_eq!(hits(again().ok()), 0);
    cat(t, &["/a", "/b", "/c"], &["changed", "context", "changed"]);
    let text = "FROM busybox\nCOPY --from=other hidden /a\n";
    std::fs::write(dir.join("Dockerfile"), text)?;
    again().fails(125, &["\"hidden\" is not in the build context"]);
    // An image, as base and as source; a layout on disk; an archive of a server.
    build(t, "FROM busybox\nRUN echo image >/own\n", &[], &dir)?;
    rpod!(t, "tag", "app", "source").run().ok();
    let layout = t.dir().join("layout");
    rpod!(t, "save", "--format", "oci-dir", "-o", &layout, "source").run().ok();
    let tar = gzip(&Tarball::new().file("own", 0o644, "archive\n").finish());
    let server = Server::start(move |_| Response::new(200).body(tar.clone()));
    for (value, wanted) in [
        ("docker-image://source".to_owned(), "image"),
        (format!("oci-layout://{}", layout.display()), "image"),
        (format!("http://{}/x.tar.gz", server.host()), "archive"),
    ] {
        build(t, "FROM busybox\nCOPY --from=other /own /a\n", &["--build-context", &named(&value)], &dir)?;
        cat(t, &["/a"], &[wanted]);
    }
    build(t, "FROM other\nRUN cp /own /a\n", &["--build-context", "other=docker-image://source"], &dir)?;
    cat(t, &["/a"], &["image"]);
    for (value, says) in [("ftp://x", "ftp:// is not known"), ("/nonexistent", "cannot find")] {
        std::fs::write(dir.join("Dockerfile"), "FROM busybox\nCOPY --from=other /own /a\n")?;
        rpod!(t, "build", "--build-context", named(value), &dir).run().fails(125, &[says]);
    }
    Ok(())
}

fn ssh_agent(t: &Sandbox) -> Outcome {
    need([Need::SshAgent])?;
    t.busybox()?;
    let text = "FROM busybox\nRUN --mount=type=ssh test -S \"$SSH_AUTH_SOCK\" && echo \"$SSH_AUTH_SOCK\" >/ok\n\
                RUN --mount=type=ssh,id=other,target=/agent test -S /agent\nRUN test -z \"$SSH_AUTH_SOCK\" && test ! -e /agent\n\
                RUN --mount=type=ssh,id=absent test -z \"$SSH_AUTH_SOCK\"\n";
    let dir = context(t, "ctx", text)?;
    let socket: PathBuf = t.dir().join("tmp/agent");
    let agent = t.program("ssh-agent", ["-D", "-a", socket.to_str().unwrap_or_default()]).spawn();
    crate::support::wait_until("the agent listens", || socket.exists());
    let other = format!("other={}", socket.display());
    let build = rpod!(t, "build", "-q", "-t", "app", "--ssh", "default", "--ssh", &other, &dir);
    build.env("SSH_AUTH_SOCK", &socket).run().ok();
    cat(t, &["/ok"], &["/run/buildkit/ssh_agent.0"]);
    rpod!(t, "build", "--ssh", "default", &dir).run().fails(125, &["SSH_AUTH_SOCK is not set"]);
    rpod!(t, "build", "--ssh", "default=/etc/passwd", &dir).run().fails(125, &["is no agent's socket"]);
    std::fs::write(dir.join("Dockerfile"), "FROM busybox\nRUN --mount=type=ssh,required true\n")?;
    rpod!(t, "build", &dir).run().fails(125, &["no SSH key"]);
    agent.signal(rustix::process::Signal::TERM);
    agent.wait();
    Ok(())
}

fn onbuild(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let dir = t.mkdir("ctx")?;
    std::fs::write(dir.join("own"), "mine\n")?;
    build(t, "FROM busybox\nONBUILD COPY own /from-trigger\nONBUILD ENV TRIGGERED=1\n", &["--format", "docker"], &dir)?;
    rpod!(t, "tag", "app", "parent").run().ok();
    build(t, "FROM parent\nRUN echo $TRIGGERED >>/from-trigger\n", &[], &dir)?;
    cat(t, &["/from-trigger"], &["mine", "1"]);
    let inspected = rpod!(t, "image", "inspect", "app").run().json();
    assert!(
        inspected[0]["Config"]["OnBuild"].as_array().is_none_or(Vec::is_empty),
        "triggers are for the next image only"
    );
    Ok(())
}

/// One name for two platforms in one file: each stage has its own.
fn platforms(t: &Sandbox) -> Outcome {
    need([Need::DockerRegistry])?;
    let registry = crate::support::Registry::plain()?;
    let mut manifests = Vec::new();
    for (architecture, text) in [("amd64", "one"), ("riscv64", "two")] {
        let tar = Tarball::new().file("own", 0o644, text).finish();
        let mut image = crate::support::Image::scratch().layer(tar, crate::support::Compression::Gzip);
        image.architecture = architecture;
        image.push(registry, "many", architecture, crate::support::Manifest::Oci)?;
        let (manifest, _) = image.manifest(crate::support::Manifest::Oci);
        manifests.push((architecture, manifest));
    }
    let entries: Vec<_> = manifests
        .iter()
        .map(|(architecture, manifest)| {
            let platform = serde_json::json!({"os": "linux", "architecture": architecture});
            ("application/vnd.oci.image.manifest.v1+json", &manifest[..], platform)
        })
        .collect();
    let index = crate::support::index_of(&entries);
    registry.put_manifest("many", "latest", "application/vnd.oci.image.index.v1+json", &index)?;
    let name = format!("{}/many", registry.host());
    let text = format!(
        "FROM --platform=linux/amd64 {name} AS a\nFROM --platform=linux/riscv64 {name} AS b\nFROM scratch\nCOPY --from=a own /a\nCOPY --from=b own /b\n"
    );
    let dir = context(t, "ctx", &text)?;
    let out = t.mkdir("out")?;
    rpod!(t, "build", "--tls-verify=false", "-q", "-o", &out, &dir).run().ok();
    let read = |name| std::fs::read_to_string(out.join(name));
    assert_eq!((read("a")?, read("b")?), ("one".to_owned(), "two".to_owned()));
    Ok(())
}

/// A message says where something was looked for.
fn missing_by_name(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let dir = t.mkdir("ctx")?;
    let other = t.mkdir("other")?;
    std::os::unix::fs::symlink("loop", dir.join("loop"))?;
    for (step, says) in [
        ("COPY nope /x", "\"nope\" is not in the build context:"),
        ("COPY nope* /x", "nothing in the build context matches nope*:"),
        ("COPY loop /x", "cannot read loop in the build context:"),
        ("COPY --from=n /nope /x", "\"/nope\" is not in the build context n:"),
        ("COPY --from=s /nope /x", "\"/nope\" is not in the stage s:"),
        ("COPY --from=0 /nope* /x", "nothing in the stage 0 matches /nope*:"),
        ("COPY --from=s /loop/a /x", "cannot read loop/a in the stage s:"),
        ("COPY --from=busybox /nope /x", "\"/nope\" is not in the image busybox:"),
        ("RUN --mount=source=/nope,target=/m true", "\"/nope\" is not in the build context:"),
        ("RUN --mount=from=n,source=nope,target=/m true", "\"/nope\" is not in the build context n:"),
        ("RUN --mount=from=s,source=/nope,target=/m true", "cannot mount \"/nope\" of the stage s:"),
        ("RUN --mount=from=s,source=/loop,target=/m true", "cannot read loop in the stage s:"),
        ("RUN --mount=from=busybox,source=/nope,target=/m true", "cannot mount \"/nope\" of the image busybox:"),
        ("RUN --mount=type=cache,from=s,source=/nope,target=/m true", "\"/nope\" is not in the stage s:"),
    ] {
        let text = format!("FROM busybox AS s\nRUN ln -s loop /loop\nFROM busybox\n{step}\n");
        std::fs::write(dir.join("Dockerfile"), text)?;
        let named = format!("n={}", other.display());
        rpod!(t, "build", "--build-context", named, &dir).run().fails(125, &[says]);
    }
    Ok(())
}

/// Pipes can be mounted as they are, but not written to behind what they are of; a file in a directory that only its owner
/// may enter is one nevertheless.
fn mounts_of_odd_files(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let dir = t.mkdir("ctx")?;
    t.script("mkfifo ../ctx/pipe").run().ok();
    let build = |step: &str| {
        let text = format!(
            "FROM busybox AS s\nRUN mkfifo /pipe; mkdir /p; echo kept >/p/f; chown 5 /p; chmod 700 /p\nFROM busybox\n{step}\n"
        );
        std::fs::write(dir.join("Dockerfile"), text).map(|()| rpod!(t, "build", "--no-cache", &dir).run())
    };
    for from in ["from=s,", ""] {
        build(&format!("RUN --mount={from}source=pipe,target=/m test -p /m"))?.ok();
        build(&format!("RUN --mount={from}source=pipe,target=/m,rw true"))?
            .fails(125, &["cannot mount \"pipe\"", "it is neither a file nor a directory"]);
    }
    for access in ["ro", "rw"] {
        build(&format!("RUN --mount=from=s,source=/p/f,target=/m,{access} cat /m"))?.prints("kept");
        build(&format!("RUN --mount=from=s,source=/p,target=/m,{access} cat /m/f"))?.prints("kept");
    }
    Ok(())
}
