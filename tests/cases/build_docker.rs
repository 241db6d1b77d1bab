//! build: what users of `docker build` and `docker buildx build` write, flag by flag of their reference.

use base64::Engine as _;
use serde_json::Value;

use super::build::context;
use crate::support::{Need, Outcome, Output, Response, Sandbox, Server, Trial, User, need, rpod, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("build_docker::call", User::NoSub, call),
        trial("build_docker::checks_that_fail", User::NoSub, checks),
        trial("build_docker::progress_for_programs", User::Sub, rawjson),
        trial("build_docker::outputs", User::Sub, outputs),
        trial("build_docker::output_over_another", User::NoSub, output_over_another),
        trial("build_docker::stages_without_cache", User::Sub, no_cache_filter),
        trial("build_docker::linked_layers", User::Sub, linked),
        trial("build_docker::arguments_of_the_builder", User::Sub, arguments),
        trial("build_docker::commits_are_checked", User::Sub, checksum),
        trial("build_docker::directories_of_volumes", User::Sub, volumes),
        trial("build_docker::flags", User::Sub, flags),
        trial("build_docker::flags_that_steps_see", User::Sub, seen),
        trial("build_docker::owners_without_a_range", User::NoSub, owners_without_a_range),
        trial("build_docker::mounts_of_directories", User::Sub, mounts),
        trial("build_docker::refused_at_the_start", User::Sub, refused),
    ]
}

const STAGES: &str = "# VERSION sets what is built
ARG VERSION=1
ARG UNUSED=x
# base has what both need
FROM busybox AS base
ARG VERSION
RUN --mount=type=secret,id=key,required --mount=type=ssh true

# this is not about other
FROM base AS other
FROM base
# WHO is greeted
ARG WHO
RUN echo $WHO
";

fn call(t: &Sandbox) -> Outcome {
    let dir = context(t, "ctx", STAGES)?;
    rpod!(t, "build", "--call", "targets", &dir).run().lines_are(&[
        "TARGET      DESCRIPTION",
        "base        has what both need",
        "other       ",
        "(default)   ",
    ]);
    rpod!(t, "build", "-q", "--call=outline", "--build-arg", "WHO=me", &dir).run().lines_are(&[
        "BUILD ARG   VALUE       DESCRIPTION",
        "VERSION     1           sets what is built",
        "WHO         me          is greeted",
        "",
        "SECRET      REQUIRED",
        "key         true",
        "",
        "SSH         REQUIRED",
        "default     ",
    ]);
    let out = rpod!(t, "build", "--call=outline", "--target", "base", &dir).run();
    out.prints("TARGET:       base\nDESCRIPTION:  has what both need\n");
    assert!(!out.stdout.contains("WHO"), "{}", out.stdout);
    rpod!(t, "build", "--call=check", &dir).run().code(1).prints("Dockerfile:10: UnusedStage: ");
    rpod!(t, "build", "--call=sing", &dir).run().fails(125, &["--call sing is not known"]);
    rpod!(t, "build", "--call=outline", "--target", "nosuch", &dir).run().fails(125, &["could not be found"]);
    assert_eq!(rpod!(t, "images", "-q").run().ok(), "", "nothing is built, no base image is brought");
    Ok(())
}

/// `# check=error=true`, and the argument that stands for it.
fn checks(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let text = "FROM busybox\nCMD echo\n";
    for (directive, code) in [
        ("", 0),
        ("# check=error=true\n", 125),
        ("# check=skip=JSONArgsRecommended;error=true\n", 0),
        ("# check=skip=all\n", 0),
    ] {
        let dir = t.dir().join("ctx");
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join("Dockerfile"), format!("{directive}{text}"))?;
        let out = rpod!(t, "build", &dir).run();
        out.code(code);
        if code != 0 {
            out.says("Dockerfile:3: JSONArgsRecommended").says("   3 | >>> CMD echo");
        } else if directive.is_empty() {
            // At the end of a build, on standard error.
            out.says("\n 1 warning found (use --debug to expand):\n - JSONArgsRecommended: ").says("(line 2)\n");
            let out = rpod!(t, "--debug", "build", &dir).run();
            out.says("\n 1 warning found:\n").says("   2 | >>> CMD echo");
            let out = rpod!(t, "build", "-q", &dir).run();
            out.ok();
            assert_eq!(out.stderr, "");
        } else {
            assert_eq!(out.stderr, "");
        }
        let findings = if directive.contains("skip") { 0 } else { 1 };
        rpod!(t, "build", "--check", &dir).run().code(findings);
        let argument = "BUILDKIT_DOCKERFILE_CHECK=error=true";
        rpod!(t, "build", "--build-arg", argument, &dir).run().code(125);
        let out = rpod!(t, "build", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all", &dir).run();
        out.ok();
        assert_eq!(out.stderr, "");
    }
    Ok(())
}

/// Every line of standard error that is JSON, the parts called `name`.
fn parts(out: &Output, name: &str) -> Vec<Value> {
    let lines = out.stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter_map(|line| line[name].as_array().cloned()).flatten().collect()
}

fn rawjson(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let text = "FROM busybox AS a\nRUN echo out; echo err >&2; printf '\\033[1m'\nFROM a\nRUN echo two; exit 3\n";
    let dir = context(t, "ctx", text)?;
    let out = rpod!(t, "build", "--progress=rawjson", "--target", "a", &dir).run();
    assert_eq!(out.ok().lines().count(), 1, "the id alone is on standard output");
    for line in out.stderr.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    }
    let vertexes = parts(&out, "vertexes");
    let run: Vec<&Value> =
        vertexes.iter().filter(|vertex| vertex["name"].as_str().unwrap().starts_with("[a 2/2] RUN")).collect();
    assert_eq!(run.len(), 2, "begun and completed: {vertexes:#?}");
    assert!(run[0]["completed"].is_null() && run[0]["started"].is_string() && run[1]["completed"].is_string());
    assert!(run[0]["digest"].as_str().unwrap().starts_with("sha256:") && run[0]["digest"] == run[1]["digest"]);
    let from = vertexes.iter().find(|vertex| vertex["name"] == "[a 1/2] FROM busybox AS a").unwrap();
    assert_eq!(run[0]["inputs"][0], from["digest"]);
    let decoded = |stream: u64| {
        let logs =
            parts(&out, "logs").into_iter().filter(|log| log["stream"] == stream && log["vertex"] == run[0]["digest"]);
        let decode =
            |log: Value| base64::engine::general_purpose::STANDARD.decode(log["data"].as_str().unwrap()).unwrap();
        String::from_utf8(logs.flat_map(decode).collect()).unwrap()
    };
    assert_eq!((decoded(1).as_str(), decoded(2).as_str()), ("out\n\x1b[1m", "err\n"));

    // Cached, then failing; the environment says the same as the flag.
    let out = rpod!(t, "build", &dir).env("BUILDKIT_PROGRESS", "rawjson").run();
    out.code(3);
    let vertexes = parts(&out, "vertexes");
    let ended = |begin: &str| {
        let named =
            |vertex: &&Value| vertex["name"].as_str().unwrap().starts_with(begin) && vertex["completed"].is_string();
        vertexes.iter().find(named).cloned().unwrap_or_else(|| panic!("{begin}: {vertexes:#?}"))
    };
    assert_eq!(ended("[a 2/2] RUN")["cached"], true);
    assert!(ended("[stage-1 2/2] RUN")["error"].as_str().unwrap().contains("exit status 3"));
    Ok(())
}

/// What an earlier result left under the same names is replaced, and no link of it is followed (Podman and BuildKit).
fn output_over_another(t: &Sandbox) -> Outcome {
    let dir = context(t, "ctx", "")?;
    std::fs::write(dir.join("f"), "new\n")?;
    t.script("cd ../ctx; mkdir -p d/sub; cp f d/sub/f; ln d/sub/f d/g; ln -s sub d/l; chmod 555 d d/sub").run().ok();
    let to = t.mkdir("out")?;
    for (before, source) in [
        ("mkdir -p a/sub; echo old >a/sub/f; chmod 555 a/sub a", "f"),
        ("ln -s ../outside a", "f"),
        ("ln -s ../outside/kept a", "f"),
        ("mkfifo a", "f"),
        ("echo old >a", "d"),
        ("ln -s ../outside a", "d"),
        ("ln -s ../outside/kept a", "d"),
        ("ln -s nowhere a", "d"),
        ("mkfifo a", "d"),
        ("mkdir a; ln -s ../../outside a/sub; ln -s ../../outside/kept a/g; mkdir a/l", "d"),
        ("mkdir -p a/sub; mkdir a/sub/f; echo old >a/sub/f/x; ln -s /etc/passwd a/l; mkdir a/g", "d"),
        ("true", "d"),
    ] {
        t.script(&format!(
            "cd ../out; chmod -R u+rwx .; rm -rf a ../outside; mkdir ../outside; echo mine >../outside/kept; echo own >own
             {before}"
        ))
        .run()
        .ok();
        std::fs::write(dir.join("Dockerfile"), format!("FROM scratch\nCOPY {source} /a\n"))?;
        // The second time over what the first one made.
        for _ in 0..2 {
            rpod!(t, "build", "-q", "-o", &to, &dir).run().ok();
            let listed =
                t.script("cd ../out; find . | sort; cat own ../outside/*; find ../outside -name '[!k]*' | wc -l");
            let found = listed.run();
            if source == "f" {
                found.lines_are(&[".", "./a", "./own", "own", "mine", "1"]);
                assert_eq!(std::fs::read_to_string(to.join("a"))?, "new\n", "{before}");
            } else {
                let files = [".", "./a", "./a/g", "./a/l", "./a/sub", "./a/sub/f", "./own", "own", "mine", "1"];
                found.lines_are(&files);
                t.script("cd ../out/a; stat -c %a . sub; cat g sub/f; readlink l")
                    .run()
                    .lines_are(&["755", "555", "new", "new", "sub"]);
            }
        }
    }
    Ok(())
}

fn outputs(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let dir =
        context(t, "ctx", "FROM busybox AS build\nRUN echo noise; echo 1 >/a\nFROM scratch\nCOPY --from=build /a /\n")?;
    // A tar or archive on standard output is nothing else, whatever steps print.
    for (output, tagged) in [
        ("-", false),
        ("type=tar,dest=-", false),
        ("type=oci,dest=-,name=named:1", true),
        ("type=docker,dest=-,name=named:2", true),
    ] {
        let out = rpod!(t, "build", "--no-cache", "-o", output, &dir).run();
        assert_eq!(out.code, Some(0), "{output}: {}", out.stderr);
        let listed = t.program("tar", ["-t"]).stdin(out.stdout_bytes.clone()).run();
        match tagged {
            // The layer is the one of the other stage's RUN: where the runtime mounted something, nothing is left.
            false => drop(listed.lines_are(&["a"])),
            true => drop(rpod!(t, "load").stdin(out.stdout_bytes.clone()).run().prints("localhost/named:")),
        }
    }
    let layout = t.dir().join("layout");
    rpod!(t, "build", "-q", "-o", format!("type=oci,dest={},tar=false,name=laid", layout.display()), &dir).run().ok();
    assert!(layout.join("index.json").is_file());
    rpod!(t, "build", "-q", "-o", "type=image,name=docker.io/library/other,push=false", &dir).run().ok();
    rpod!(t, "image", "exists", "docker.io/library/other").run().ok();
    rpod!(t, "build", "-o", "type=image,color=red", &dir).run().fails(125, &["\"color=red\" is not known"]);
    // Each platform has a directory.
    let scratch = context(t, "scratch", "FROM scratch\nARG TARGETARCH\nCOPY <<EOF /arch\n$TARGETARCH\nEOF\n")?;
    let files = t.mkdir("files")?;
    rpod!(t, "build", "-q", "--platform", "linux/amd64,linux/arm/v7", "-o", &files, &scratch).run().ok();
    let read = |path: &str| std::fs::read_to_string(files.join(path));
    assert_eq!((read("linux_amd64/arch")?, read("linux_arm_v7/arch")?), ("amd64\n".to_owned(), "arm\n".to_owned()));
    rpod!(t, "build", "--platform", "linux/amd64,linux/arm64", "-t", "x", "-o", "-", &scratch)
        .run()
        .fails(125, &["one platform at a time"]);
    // What was built, for programs.
    let metadata = files.join("metadata");
    rpod!(t, "build", "-q", "--platform=local", "--metadata-file", &metadata, &dir).run().ok();
    let metadata: Value = serde_json::from_str(&std::fs::read_to_string(metadata)?)?;
    assert_eq!(metadata["containerimage.descriptor"]["digest"], metadata["containerimage.digest"]);
    assert_eq!(metadata["containerimage.descriptor"]["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    Ok(())
}

fn cached(out: &str) -> Vec<bool> {
    let ends = out.lines().filter(|line| line.contains("--> ") && !line.contains("Using cache"));
    ends.map(|line| line.ends_with(" CACHED")).collect()
}

fn no_cache_filter(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let text = "FROM busybox AS one\nRUN true\nFROM one AS two\nRUN date\nFROM two\nRUN echo\n";
    let dir = context(t, "ctx", text)?;
    rpod!(t, "build", "-q", &dir).run().ok();
    let out = rpod!(t, "build", "--jobs=1", "--no-cache-filter", "TWO", &dir).run();
    assert_eq!(cached(out.ok())[..3], [true, false, true], "{}", out.stdout);
    rpod!(t, "build", "--no-cache-filter", "one,nosuch", &dir).run().fails(125, &["no stage is called \"nosuch\""]);
    Ok(())
}

/// `COPY --link` makes a layer that another base leaves as it is.
fn linked(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let text = "FROM busybox\nARG N\nRUN echo $N >/n; mkdir -p /own /plain; chmod 1777 /tmp; chown 5 /own\n";
    let dir = context(t, "ctx", "")?;
    std::fs::write(dir.join("own"), "own\n")?;
    let build = |copies: &str, n: &str| {
        std::fs::write(dir.join("Dockerfile"), format!("{text}{copies}")).unwrap();
        let out = rpod!(t, "build", "-t", "app", "--build-arg", format!("N={n}"), &dir).run();
        cached(out.ok())[2..7].to_vec()
    };
    let copies = "COPY --link own /new/place/\nCOPY --link --chown=7:8 own /plain/x\nCOPY --link own /tmp/x\nCOPY --link own /own/x\nCOPY own /y\n";
    assert_eq!(build(copies, "1"), [false; 5]);
    assert_eq!(build(copies, "1"), [true; 5]);
    assert_eq!(
        build(copies, "2"),
        [true, true, false, false, false],
        "those in directories of their own kind are not linked"
    );
    let show = ["stat", "-c", "%a %u %g", "/tmp", "/own", "/new/place/own", "/plain/x", "/own/x"];
    let words = ["run", "--rm", "--network", "none", "app"].iter().chain(&show).map(|word| (*word).to_owned());
    t.rpod(words).run().lines_are(&["1777 0 0", "755 5 0", "644 0 0", "644 7 8", "644 0 0"]);
    // Its own key goes with the cache that others use.
    let cache = t.dir().join("cache");
    rpod!(t, "build", "-q", "--cache-to", format!("type=local,dest={}", cache.display()), "--build-arg", "N=2", &dir)
        .run()
        .ok();
    rpod!(t, "rmi", "-fa").run().ok();
    rpod!(t, "builder", "prune", "-fa").run().ok();
    t.busybox()?;
    let from = format!("type=local,src={}", cache.display());
    let out = rpod!(t, "build", "--cache-from", from, "--build-arg", "N=3", &dir).run();
    assert_eq!(cached(out.ok())[2..4], [true, true], "{}", out.stdout);
    Ok(())
}

/// Those that BuildKit takes without an ARG.
fn arguments(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let text = "FROM busybox\nARG N\nRUN --mount=type=cache,target=/c echo $N >>/c/log; hostname; cat /c/log\n";
    let dir = context(t, "ctx", text)?;
    let build = |n: &str, namespace: &str| {
        let options = [
            format!("N={n}"),
            "BUILDKIT_SANDBOX_HOSTNAME=here".to_owned(),
            format!("BUILDKIT_CACHE_MOUNT_NS={namespace}"),
        ];
        let words = options.iter().flat_map(|option| ["--build-arg".to_owned(), option.clone()]);
        let out = t.rpod(["build".to_owned()].into_iter().chain(words).chain([dir.display().to_string()])).run();
        assert!(out.stderr.is_empty(), "they are consumed: {}", out.stderr);
        let said = out.ok().lines().filter(|line| line.len() < 6).map(str::to_owned);
        said.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(build("1", "a"), "here 1");
    assert_eq!(build("2", "a"), "here 1 2");
    assert_eq!(build("3", "b"), "here 3");
    let out = rpod!(t, "build", "--build-arg", "BUILDKIT_INLINE_CACHE=1", &dir).run();
    assert!(out.stderr.contains("[BUILDKIT_INLINE_CACHE]"), "what is not carried out is told: {}", out.stderr);
    Ok(())
}

/// `ADD --checksum` of a git source is the beginning of a commit's name; the context keeps its `.git` when it is asked to.
fn checksum(t: &Sandbox) -> Outcome {
    need([Need::Git])?;
    t.busybox()?;
    let script = "
        export HOME=$PWD GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@a
        mkdir src && cd src && git init -q -b main . && printf 'FROM busybox\\nCOPY . /c\\nRUN ls -A /c\\n' >Dockerfile && git add . && git commit -qm 1
        cd .. && git clone -q --bare src repo.git && cd repo.git && git update-server-info && git rev-parse main";
    let commit = t.script(script).run().ok().lines().last().unwrap_or_default().to_owned();
    let root = [t.home(), t.dir().to_path_buf()].into_iter().find(|dir| dir.join("repo.git").is_dir()).unwrap();
    let server = Server::start(move |request| match std::fs::read(root.join(request.path().trim_start_matches('/'))) {
        Ok(bytes) => Response::new(200).body(bytes),
        Err(_) => Response::new(404),
    });
    let url = format!("http://{}/repo.git", server.host());
    let dir = context(t, "ctx", &format!("FROM busybox\nARG SUM\nADD --checksum=$SUM {url}#main /one/\n"))?;
    for (sum, code) in [(&commit[..], 0), (&commit[..7], 0), ("0123456", 125)] {
        let out = rpod!(t, "build", "--build-arg", format!("SUM={sum}"), &dir).run();
        out.code(code);
        assert_eq!(out.stderr.contains(&format!("the commit is {commit}, not 0123456")), code != 0, "{}", out.stderr);
    }
    let listed = |options: &[&str]| {
        let words = ["build", "--no-cache"].iter().chain(options).map(|word| (*word).to_owned());
        let out = t.rpod(words.chain([url.clone()])).run();
        out.ok().lines().any(|line| line == ".git")
    };
    assert!(!listed(&[]));
    assert!(listed(&["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1"]));
    Ok(())
}

/// RUN may write to a VOLUME that the image has no directory for, and what it writes stays.
fn volumes(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let dir = context(
        t,
        "ctx",
        "FROM busybox\nVOLUME /data /deep/er\nRUN echo x >/data/f\nRUN cat /data/f; stat -c '%a %u' /data /deep/er\n",
    )?;
    rpod!(t, "build", &dir).run().prints("x\n755 0\n755 0\n");
    Ok(())
}

fn flags(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let text = "FROM busybox\nRUN --mount=type=secret,target=/root/key cat /root/key\nRUN cat /etc/hosts\n";
    let dir = context(t, "ctx", text)?;
    let key = t.write("key", "hidden\n")?;
    let out = rpod!(
        t,
        "buildx",
        "build",
        "--builder",
        "default",
        "--allow",
        "network.host,security.insecure",
        "--provenance=false",
        "--sbom=false",
        "--attest",
        "type=provenance,disabled=true",
        "--add-host",
        "four=8.8.8.8",
        "--add-host",
        "six=[2001:4860:4860::8888]",
        "--load",
        "--secret",
        format!("id=key,src={}", key.display()),
        "--annotation",
        "manifest:a=b",
        "--annotation",
        "c:d=e",
        "-t",
        "app",
        &dir
    )
    .run();
    out.prints("hidden\n").prints("8.8.8.8\tfour").prints("2001:4860:4860::8888\tsix");
    let inspected = rpod!(t, "image", "inspect", "app").run().json();
    assert_eq!((&inspected[0]["Annotations"]["a"], &inspected[0]["Annotations"]["c:d"]), (&"b".into(), &"e".into()));
    let words = ["build", "-q", "--platform", "linux/amd64,linux/arm64", "--annotation", "index:x=y", "-t", "list"];
    let scratch = context(t, "scratch", "FROM scratch\nCOPY Dockerfile /\n")?;
    t.rpod(words.iter().map(|word| (*word).to_owned()).chain([scratch.display().to_string()])).run().ok();
    let out = rpod!(
        t,
        "build",
        "--platform",
        "linux/amd64,linux/arm64",
        "-t",
        "list:2",
        "--source-date-epoch",
        "1",
        &scratch
    )
    .run();
    out.prints("Successfully tagged localhost/list:2\n");
    assert_eq!(out.stderr, "", "SOURCE_DATE_EPOCH is consumed by the builder");
    assert_eq!(rpod!(t, "manifest", "inspect", "list").run().json()["annotations"]["x"], "y");
    rpod!(t, "build", "--annotation", "index:x=y", &scratch).run().fails(125, &["there is none"]);
    rpod!(t, "build", "--annotation", "index-descriptor:x=y", &scratch).run().fails(125, &["cannot be annotated"]);
    for flag in ["--provenance=mode=max", "--sbom=true", "--attest=type=sbom", "--allow=everything"] {
        rpod!(t, "build", flag, &dir).run().fails(125, &[flag.split('=').next().unwrap_or_default()]);
    }
    Ok(())
}

/// What a step can see of the flags is part of what it is known by.
fn seen(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let dir = context(t, "ctx", "FROM busybox\nRUN grep -c ' a$' /etc/hosts; true\n")?;
    let hit = |flags: &[&str]| {
        let words = ["build"].iter().chain(flags).map(|word| (*word).to_owned());
        cached(t.rpod(words.chain([dir.display().to_string()])).run().ok())[0]
    };
    for (flags, wanted) in [
        (&["--network", "none"][..], false),
        (&["--network", "none"], true),
        (&["--network", "host"], false),
        (&["--network", "none", "--add-host", "a:1.2.3.4"], false),
        (&["--network", "none", "--add-host", "a:1.2.3.5"], false),
        (&["--network", "none", "--add-host", "a:1.2.3.4"], true),
    ] {
        assert_eq!(hit(flags), wanted, "{flags:?}");
    }
    Ok(())
}

/// Without a range of ids files can belong to root only: what asks for another owner says so.
fn owners_without_a_range(t: &Sandbox) -> Outcome {
    t.busybox()?;
    for text in [
        "COPY --chown=1000 own /x",
        "USER 1000\nWORKDIR /made",
        "RUN --mount=type=cache,target=/c,uid=1000 true",
        "RUN --mount=type=secret,id=own,uid=1000 true",
    ] {
        let dir = t.dir().join("ctx");
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join("own"), "own\n")?;
        std::fs::write(dir.join("Dockerfile"), format!("FROM busybox\n{text}\n"))?;
        let secret = format!("id=own,src={}", dir.join("own").display());
        let out = rpod!(t, "build", "--network", "none", "--secret", &secret, &dir).run();
        out.fails(125, &["the owner 1000:", "is not in this user's id map", "/etc/subuid"]);
    }
    Ok(())
}

/// Before anything is done, and whatever is in the cache.
fn refused(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let dir = context(t, "ctx", "FROM busybox\nRUN echo begun\n")?;
    rpod!(t, "build", "-q", &dir).run().ok();
    for (flags, says) in [
        (["--network", "mine"], "RUN steps cannot join networks"),
        (["--network", "bridge"], "RUN steps cannot join networks"),
        (["-v", "kept:/src"], "\"kept\" is no path of the host"),
        (["--authfile", "/nonexistent"], "credential file is not accessible: /nonexistent"),
        (["--platform", "foo"], "invalid platform \"foo\""),
        (["--platform", "linux/foo/bar/baz"], "invalid platform"),
        (["--device", "nosuch.com/gpu=all"], "nosuch.com/gpu=all"),
    ] {
        let out = rpod!(t, "build", flags[0], flags[1], &dir).run();
        out.fails(125, &[says]);
    }
    // The program was never run: no exit code of a program.
    let dir = context(t, "user", "FROM busybox\nUSER nosuch\nRUN true\n")?;
    rpod!(t, "build", &dir).run().fails(125, &["building at STEP \"RUN true\"", "nosuch"]);
    // A name that several images' ids begin with is a name.
    for name in ["0", "1", "2", "3"] {
        let dir = context(t, &format!("image-{name}"), &format!("FROM scratch\nLABEL n={name}\n"))?;
        rpod!(t, "build", "-q", &dir).run().ok();
    }
    for digit in ["a", "b", "c", "d", "e", "f"] {
        let dir = context(t, &format!("from-{digit}"), &format!("FROM {digit}\nRUN true\n"))?;
        let out = rpod!(t, "build", "--pull=never", &dir).run();
        assert!(!out.stderr.contains("beginning of several"), "{}", out.stderr);
    }
    Ok(())
}

/// A mounted directory has its own mode and owner however it is shown, and a cache that begins with an image's files
/// begins with all of them.
fn mounts(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let dockerfile = format!(
        "FROM {image} AS s\nRUN mkdir -m 750 /keep && echo k >/keep/k && chown 1000:7 /keep\nRUN touch -d @5000 /keep/j\n\
         FROM {image}\nUSER 1000\n\
         RUN --mount=from=s,source=/keep,target=/m cat /m/k; stat -c '%a %u:%g' /m >/tmp/modes\n\
         RUN --mount=from=s,target=/m ls /m/bin >/dev/null && stat -c %a /m >>/tmp/modes\n\
         RUN --mount=target=/m,rw cat /m/Dockerfile >/m/new && stat -c %a /m >>/tmp/modes\n"
    );
    let dir = context(t, "ctx", &dockerfile)?;
    t.program("chmod", ["777", dir.to_str().unwrap()]).run();
    t.program_as_root("chmod", ["777", dir.to_str().unwrap()]).run();
    rpod!(t, "build", "-q", "-t", "mounted", &dir).run().ok();
    rpod!(t, "run", "--rm", "mounted", "cat", "/tmp/modes").run().lines_are(&["750 1000:7", "755", "777"]);

    let many = format!("FROM {image}\nRUN mkdir /many && cd /many && for i in $(seq 3000); do echo $i >$i; done\n");
    rpod!(t, "build", "-q", "-t", "many", &context(t, "many", &many)?).run().ok();
    let seed = format!(
        "FROM {image}\nRUN --mount=type=cache,id=seed,from=many,source=/many,target=/c test $(ls /c | wc -l) = 3000\n"
    );
    let dir = context(t, "seed", &seed)?;
    let build = || rpod!(t, "build", "--no-cache", "-q", &dir);
    // Three at once; then one after a build that was killed in the middle of it, whenever that was.
    let all: Vec<_> = (0..3).map(|_| build().spawn()).collect();
    all.into_iter().for_each(|one| drop(one.wait().ok().to_owned()));
    for pause in [20, 60, 120] {
        rpod!(t, "builder", "prune", "-af").run().ok();
        let running = build().spawn();
        std::thread::sleep(std::time::Duration::from_millis(pause));
        t.program_as_root("kill", ["-9", &running.pid().to_string()]).run();
        drop(running.wait());
        build().run().ok();
    }
    Ok(())
}
