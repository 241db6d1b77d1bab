//! build: what others change meanwhile, what must not be found afterwards, and what a killed build leaves.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::Signal;

use super::bridges::kill;
use super::build::context;
use crate::support::{Need, Outcome, Response, Sandbox, Server, Tarball, Trial, User, need, rpod, trial, wait_until};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("build_security::changing_context", User::Sub, changing),
        trial("build_security::secrets_are_nowhere", User::Sub, secrets),
        trial("build_security::killed", User::Sub, killed),
        trial("build_security::interrupted", User::NoSub, interrupted),
        trial("build_security::interrupted_downloads", User::NoSub, interrupted_downloads),
        trial("build_security::foreign_contexts", User::Sub, foreign_contexts),
        trial("build_security::foreign_dockerfiles", User::Sub, foreign_dockerfiles),
        trial("build_security::locks_in_any_order", User::Sub, locks_in_any_order),
        trial("build_security::owners_that_nobody_can_be", User::Sub, impossible_owners),
        trial("build_security::submodules_of_others", User::Sub, submodules_of_others),
        trial("build_security::growing_variables", User::NoSub, growing_variables),
        trial("build_security::passwords_in_urls", User::Sub, passwords_in_urls),
        trial("build_security::cached_steps_are_told_apart", User::Sub, cached_steps),
    ]
}

/// Swaps two paths as fast as it can until dropped.
struct Swapper {
    end: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Swapper {
    fn start(one: PathBuf, two: PathBuf) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            let swap = || renameat_with(CWD, &one, CWD, &two, RenameFlags::EXCHANGE).unwrap();
            for pause in [200, 3000, 900, 8000, 100].into_iter().cycle() {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                swap();
                std::thread::sleep(Duration::from_micros(pause));
            }
            if two.is_dir() && !two.is_symlink() {
                swap();
            }
        });
        Self { end, thread: Some(thread) }
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// CVE-2024-23651, CVE-2024-1753 and their kind: a directory of the context is a link out of it every other moment.
fn changing(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let outside = t.mkdir("outside")?;
    std::fs::write(outside.join("file"), "not yours\n")?;
    let dir = context(t, "ctx", "")?;
    std::fs::create_dir(dir.join("d"))?;
    std::fs::write(dir.join("d/file"), "yours\n")?;
    symlink(&outside, dir.join("link"))?;
    for text in [
        "RUN --mount=source=d,target=/m cat /m/file",
        "RUN --mount=source=d,target=/m,rw cat /m/file",
        "RUN --mount=source=d/file,target=/m cat /m",
        "RUN --mount=source=d/file,target=/m,rw cat /m",
        "COPY d /m\nRUN cat /m/file",
        "COPY d/file /m\nRUN cat /m",
        "ADD d/file /m\nRUN cat /m",
    ] {
        std::fs::write(dir.join("Dockerfile"), format!("FROM busybox\n{text}\n"))?;
        let swapper = Swapper::start(dir.join("d"), dir.join("link"));
        // Whoever looks a path up without care is fooled every other time: five builds in a row would not be spared.
        let fooled = (0..2000).filter(|_| {
            std::thread::sleep(Duration::from_micros(50));
            std::fs::read_to_string(dir.join("d/file")).is_ok_and(|text| text == "not yours\n")
        });
        assert!(fooled.count() > 200, "the directory is not a link often enough to prove anything");
        for _ in 0..5 {
            let out = rpod!(t, "build", "--no-cache", &dir).run();
            assert!(!out.stdout.contains("not yours") && !out.stderr.contains("not yours"), "{text}: {out:?}");
        }
        drop(swapper);
        rpod!(t, "build", "--no-cache", &dir).run().prints("yours");
    }
    Ok(())
}

/// Whatever becomes of it, a secret is in no file that is left.
fn secrets(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let secret = "nobody-may-find-this-91c4";
    let file = t.write("key", secret)?;
    let logs = t.mkdir("logs")?;
    let option = format!("id=key,src={}", file.display());
    let mount = "--mount=type=secret,id=key";
    for (name, text, code) in [
        (
            "used",
            format!("FROM busybox\nRUN {mount} wc -c /run/secrets/key\nRUN {mount},env=KEY test -n \"$KEY\"\n"),
            0,
        ),
        ("failed", format!("FROM busybox\nRUN {mount} cat /run/secrets/key >/dev/null; exit 3\n"), 3),
        ("unused", "FROM busybox\nRUN true\n".to_owned(), 0),
    ] {
        let dir = context(t, name, &text)?;
        let log = logs.join(name);
        let out = rpod!(t, "build", "-t", name, "--secret", &option, "--logfile", &log, &dir).run();
        assert_eq!(out.code, Some(code), "{}", out.stderr);
        assert!(!out.stdout.contains(secret) && !out.stderr.contains(secret));
    }
    let history = rpod!(t, "history", "--no-trunc", "used").run();
    assert!(!history.ok().contains(secret));
    std::fs::remove_file(&file)?;
    nowhere(t, secret)
}

/// 4294967295 is what chown(2) takes for "as it is": such a file would stay root's.
fn impossible_owners(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let largest = u64::from(u32::MAX);
    let dir = context(t, "ctx", "")?;
    std::fs::write(dir.join("f"), "x")?;
    let owned = |name: &str, uid, gid| {
        std::fs::write(dir.join(name), Tarball::new().owned_file("f", 0o644, uid, gid, "x").finish())
    };
    owned("uid.tar", largest, 0)?;
    owned("gid.tar", 0, largest)?;
    owned("beyond.tar", 0, 1 << 40)?;
    let pax = Tarball::new().pax(&[("uid", b"4294967295")]).file("f", 0o644, "x").finish();
    std::fs::write(dir.join("pax.tar"), pax)?;
    let unmapped = "is not in this user's id map";
    for (step, says) in [
        ("COPY --chown=4294967295 f /x", unmapped),
        ("COPY --chown=0:4294967295 f /x", unmapped),
        ("COPY --chown=4294967296 f /x", "uids and gids must be in range 0-2147483647"),
        ("ADD --chown=4294967295:0 uid.tar /x/", unmapped),
        ("ADD uid.tar /x/", unmapped),
        ("ADD gid.tar /x/", unmapped),
        ("ADD pax.tar /x/", unmapped),
        ("ADD beyond.tar /x/", "the owner 1099511627776 is no id"),
        ("RUN --mount=type=cache,target=/c,uid=4294967295 true", unmapped),
        ("RUN --mount=type=secret,id=s,gid=4294967295 true", unmapped),
        ("USER 4294967295\nRUN true", "uids and gids must be in range 0-2147483647"),
    ] {
        std::fs::write(dir.join("Dockerfile"), format!("FROM busybox\n{step}\n"))?;
        let secret = format!("id=s,src={}", dir.join("f").display());
        let out = rpod!(t, "build", "--secret", secret, &dir).run();
        out.fails(125, &[says]);
        assert!(!out.stderr.contains("panicked"), "{step}: {out}");
    }
    // The same numbers elsewhere.
    rpod!(t, "secret", "create", "s", dir.join("f")).run().ok();
    for args in [&["--secret", "s,uid=4294967295"][..], &["--secret", "s,gid=4294967295"], &["-u", "0:4294967295"]] {
        let out = t.rpod(["run", "--rm"].iter().chain(args).chain(&["busybox", "cat", "/run/secrets/s"])).run();
        assert!(out.code != Some(0) && !out.stderr.contains("panicked"), "{args:?}: {out}");
    }
    rpod!(t, "volume", "create", "v").run().ok();
    for archive in ["uid.tar", "gid.tar", "pax.tar", "beyond.tar"] {
        let out = rpod!(t, "volume", "import", "v", dir.join(archive)).run();
        out.fails(125, &["cannot set the attributes of f"]);
    }
    Ok(())
}

/// A context's submodules are named by its author: those of its own host are fetched with what the user has for it, those of
/// other hosts without anything of his.
fn submodules_of_others(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let wanted = "Basic am9lOm5vYm9keS1tYXktZmluZC10aGlzLTdhM2U=";
    let secret = "nobody-may-find-this-7a3e";
    let serve = |root: PathBuf, asks: &'static str| {
        Server::start(move |request| {
            if !asks.is_empty() && request.path().contains(asks) && request.header("authorization") != Some(wanted) {
                return Response::new(401).header("WWW-Authenticate", "Basic realm=\"r\"");
            }
            match std::fs::read(root.join(&request.path()[1..])) {
                Ok(content) => Response::new(200).body(content),
                Err(_) => Response::new(404),
            }
        })
    };
    let own = serve(t.home(), ".git");
    // Another port is another service.
    let other = serve(t.home(), "private.git");
    t.script(&format!(
        "git config --global user.name n; git config --global user.email e; git config --global protocol.file.allow always
         export GIT_AUTHOR_DATE='2020-01-01 00:00 +0000' GIT_COMMITTER_DATE='2020-01-01 00:00 +0000'
         repo() {{ git init -q -b main $1; cd $1; echo $1 >f; git add .; git commit -qm m; cd ..; }}
         bare() {{ git clone -q --bare $1 $1.git; git -C $1.git update-server-info; }}
         add() {{ # SUBMODULE URL, in the directory
             git clone -q ../$1 $2; git config -f .gitmodules submodule.$2.path $2; git config -f .gitmodules submodule.$2.url $3
             git add .gitmodules $2 2>/dev/null; git commit -qm $2; }}
         for name in deepest public private; do repo $name; bare $name; done
         repo deep; cd deep; add deepest beside ../deepest.git; cd ..; bare deep
         for name in good bad mixed; do repo $name; cd $name; printf 'FROM busybox\nCOPY . /c\n' >Dockerfile; git add .
             add deep deep ../deep.git
             if [ $name != mixed ]; then add public public http://{other}/public.git; fi
             if [ $name = bad ]; then add private private http://{other}/private.git; fi
             cd ..; bare $name; done",
        other = other.host()
    ))
    .run()
    .ok();
    let files = ["c/f", "c/deep/f", "c/deep/beside/f", "c/public/f"];
    let built = |context: String| {
        rpod!(t, "build", "-q", "-t", "app", context).run().ok();
        let out =
            rpod!(t, "run", "--rm", "--network", "none", "app", "cat", files[0], files[1], files[2], files[3]).run();
        out.lines_are(&["good", "deep", "deepest", "public"]);
    };
    // From the URL.
    let with = |name: &str| format!("http://joe:{secret}@{}/{name}.git", own.host());
    built(with("good"));
    // From a helper, which would answer anybody.
    t.script(&format!(
        "git config --global credential.helper '!f() {{ echo username=joe; echo password={secret}; }}; f'"
    ))
    .run()
    .ok();
    built(format!("http://{}/good.git", own.host()));
    let hint = "a submodule on another host gets none of your passwords and keys";
    for context in [with("bad"), format!("http://{}/bad.git", own.host())] {
        rpod!(t, "build", &context).run().fails(125, &["cannot fetch", hint]);
    }
    let told: Vec<_> =
        other.requests().into_iter().filter(|request| request.header("authorization").is_some()).collect();
    assert!(!other.requests().is_empty() && told.is_empty(), "{told:?}");
    // Nothing of it is in the repository that stays.
    let dir = context(t, "ctx", &format!("FROM busybox\nADD --keep-git-dir {} /c\n", with("mixed")))?;
    rpod!(t, "build", "-q", "-t", "app", &dir).run().ok();
    let out = rpod!(t, "run", "--rm", "--network", "none", "app", "grep", "-r", secret, "/c").run();
    assert_eq!((out.code, &*out.stdout), (Some(1), ""), "{out}");
    Ok(())
}

/// Variables that hold each other several times soon hold more than there is memory.
fn growing_variables(t: &Sandbox) -> Outcome {
    let dir = t.mkdir("ctx")?;
    let times = |text: &str| text.repeat(10);
    let grow = |keyword: &str| -> String {
        (1..=12).map(|n| format!("{keyword} a{n}=\"{}\"\n", times(&format!("$a{}", n - 1)))).collect()
    };
    let long = format!("ENV a0=xxxxxxxxxx\n{}", grow("ENV"));
    let halves = format!("ENV h={}\n", "x".repeat(600_000));
    let many = |what: &str| -> String { (0..40).map(|n| format!("{what}{n}=$h\n")).collect() };
    for (text, says) in [
        (format!("FROM scratch\n{long}"), "longer than 1 MiB"),
        (format!("FROM scratch\nARG a0=xxxxxxxxxx\n{}", grow("ARG")), "longer than 1 MiB"),
        (format!("ARG a0=xxxxxxxxxx\n{}FROM scratch\n", grow("ARG")), "longer than 1 MiB"),
        (format!("FROM scratch\n{halves}ENV n={}\n", times("$h")), "longer than 1 MiB"),
        (format!("FROM scratch\n{halves}LABEL a=$h b=$h\n"), "longer than 1 MiB"),
        (format!("FROM scratch\n{halves}EXPOSE $h $h\n"), "containerPort"),
        (format!("FROM scratch\n{halves}COPY $h$h $h /x\n"), "longer than 1 MiB"),
        (format!("FROM scratch\n{halves}COPY $h $h /x/\n"), "longer than 1 MiB"),
        (format!("FROM scratch\n{halves}LABEL a=${{h//x/$h}}\n"), "longer than 1 MiB"),
        (format!("FROM scratch\n{halves}{}", many("ENV a")), "larger than 6 MiB"),
        (format!("FROM scratch\n{halves}{}", many("ARG a")), "larger than 6 MiB"),
        (format!("FROM scratch\n{halves}{}", many("LABEL a")), "config becomes larger than 16 MiB"),
    ] {
        std::fs::write(dir.join("Dockerfile"), text)?;
        let out = t.script("ulimit -v 4000000; rpod build -q ../ctx").run();
        assert_eq!(out.code, Some(125), "{says}: {}", out.stderr.get(..2000).unwrap_or(&out.stderr));
        assert!(out.stderr.contains(says) && out.stderr.contains("Dockerfile:"), "{says}: {:.3000}", out.stderr);
    }
    Ok(())
}

/// A password in the URL of something that is fetched is used, but neither shown nor kept.
fn passwords_in_urls(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let secret = "nobody-may-find-this-7a3e";
    t.script(
        "git init -q -b main repo; cd repo; echo F >file; printf 'FROM busybox\\nCOPY file /f\\n' >Dockerfile; git add .
         git -c user.name=n -c user.email=e commit -qm m; cd ..
         git clone -q --bare repo repo.git; git -C repo.git update-server-info",
    )
    .run()
    .ok();
    let root = t.home();
    // "joe:" and the secret.
    let wanted = "Basic am9lOm5vYm9keS1tYXktZmluZC10aGlzLTdhM2U=";
    let server = Server::start(move |request| {
        if request.header("authorization") != Some(wanted) {
            return Response::new(401).header("WWW-Authenticate", "Basic realm=\"r\"");
        }
        match request.path() {
            "/file" => Response::new(200).body("content\n"),
            "/Dockerfile" => Response::new(200).body("FROM busybox\nRUN true\n"),
            path if path.starts_with("/repo.git/") => match std::fs::read(root.join(&path[1..])) {
                Ok(content) => Response::new(200).body(content),
                Err(_) => Response::new(404),
            },
            _ => Response::new(404),
        }
    });
    let url = format!("http://joe:{secret}@{}", server.host());
    let dir = t.mkdir("ctx")?;
    let mut told = Vec::new();
    for (text, args, code) in [
        (format!("ADD {url}/file /f"), vec![], 0),
        (format!("ARG P\nADD http://joe:$P@{}/file /f2", server.host()), vec!["--build-arg", "P"], 0),
        (format!("ADD {url}/repo.git /g"), vec![], 0),
        (format!("ADD --keep-git-dir {url}/repo.git /g"), vec![], 0),
        (format!("ADD {url}/none.git /g"), vec![], 125),
        (format!("ADD {url}/none /g"), vec![], 125),
        (format!("COPY {url}/file /g"), vec![], 125),
        (format!("ADD http://joe:{secret}@127.0.0.1:1/none /g"), vec![], 125),
        (format!("ADD http://joe:a/{secret}@127.0.0.1/none /g"), vec![], 125),
        (format!("NONE {url}"), vec![], 125),
        ("COPY --from=n /f* /g".to_owned(), vec!["--build-context", "n=URL/repo.git"], 0),
        ("COPY --from=n /f* /g".to_owned(), vec!["--build-context", "n=URL/none.git"], 125),
        ("COPY --from=n /f* /g".to_owned(), vec!["--build-context", "n=URL/none.tar"], 125),
    ] {
        std::fs::write(dir.join("Dockerfile"), format!("FROM busybox\n{text}\n"))?;
        let args = args.iter().map(|arg| arg.replace("URL", &url));
        let (log, metadata) = (t.dir().join("log"), t.dir().join("metadata"));
        let places = ["--logfile".into(), log.into_os_string(), "--metadata-file".into(), metadata.into_os_string()];
        let all = ["build", "-t", "app"].map(Into::into).into_iter().chain(args.map(Into::into)).chain(places);
        let out = t.rpod(all.chain([dir.clone().into_os_string()])).env("P", secret).run();
        assert_eq!(out.code, Some(code), "{text}: {out}");
        told.extend([out.stdout, out.stderr]);
        if code == 0 {
            told.push(rpod!(t, "history", "--no-trunc", "app").run().ok().to_owned());
        }
    }
    assert!(told.iter().any(|text| text.contains("ADD http://xxxxx:xxxxx@")), "{told:?}");
    for (context, code) in [("repo.git", 0), ("Dockerfile", 0), ("none.git", 125), ("none", 125), ("file", 125)] {
        let out = rpod!(t, "build", format!("{url}/{context}")).run();
        assert_eq!(out.code, Some(code), "{context}: {out}");
        told.extend([out.stdout, out.stderr]);
        let out = rpod!(t, "build", "-f", format!("{url}/{context}"), &dir).run();
        told.extend([out.stdout, out.stderr]);
    }
    for text in told {
        assert!(!text.contains(secret), "{text}");
    }
    std::fs::remove_file(dir.join("Dockerfile"))?;
    nowhere(t, secret)
}

/// Looks through everything of the trial.
fn nowhere(t: &Sandbox, secret: &str) -> Outcome {
    let mut found = Vec::new();
    search(t.dir(), secret.as_bytes(), &mut Vec::new(), &mut found);
    assert!(found.is_empty(), "the secret is in {found:?}");
    Ok(())
}

fn search(dir: &Path, secret: &[u8], seen: &mut Vec<u64>, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            search(&path, secret, seen, found);
        } else if kind.is_file() {
            // Busybox is one file of many names.
            match entry.metadata() {
                Ok(meta) if meta.nlink() > 1 && seen.contains(&meta.ino()) => continue,
                Ok(meta) => seen.push(meta.ino()),
                Err(_) => continue,
            }
            let content = std::fs::read(&path).unwrap_or_default();
            if content.windows(secret.len()).any(|window| window == secret) {
                found.push(path);
            }
        }
    }
}

const SLOW: &str = "FROM busybox AS a\nRUN echo begun-a; touch /x; sleep 600\nFROM busybox AS b\n\
    RUN --mount=type=secret,id=key --mount=type=cache,target=/c echo begun-b; chown 5:5 /etc/passwd; sleep 600\n\
    FROM busybox\nCOPY --from=a /x /x\nCOPY --from=b /x /y\n";

/// Waits until both stages run their sleep.
fn begun(t: &Sandbox) {
    wait_until("both steps run", || t.processes().iter().filter(|p| p.command.contains("sleep 600")).count() >= 2);
}

/// `kill -9`: processes end at once, files go with the next build.
fn killed(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let secret = "nobody-may-find-this-5b20";
    let file = t.write("key", secret)?;
    let dir = context(t, "ctx", SLOW)?;
    let build =
        rpod!(t, "build", "--network", "none", "--secret", format!("id=key,src={}", file.display()), &dir).spawn();
    begun(t);
    build.signal(Signal::KILL);
    build.wait();
    std::fs::remove_file(&file)?;
    assert_eq!(t.leftovers(Duration::from_secs(20)).len(), 0, "{:?}", t.processes());
    let quick = context(t, "quick", "FROM busybox\nRUN --network=none true\n")?;
    rpod!(t, "build", "-q", &quick).run().ok();
    empty(t)?;
    nowhere(t, secret)
}

/// Ctrl-C: everything goes at once.
fn interrupted(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let dir =
        context(t, "ctx", &SLOW.replace("chown 5:5 /etc/passwd; ", "").replace("--mount=type=secret,id=key ", ""))?;
    let build = rpod!(t, "build", "--network", "none", &dir).spawn();
    begun(t);
    build.signal(Signal::INT);
    let out = build.wait();
    assert_eq!((out.code, out.signal), (Some(130), None), "{}", out.stderr);
    assert_eq!(t.leftovers(Duration::from_secs(20)).len(), 0, "{:?}", t.processes());
    empty(t)
}

/// What would come for ever, and a repository that never answers.
fn interrupted_downloads(t: &Sandbox) -> Outcome {
    need([Need::Git])?;
    t.busybox()?;
    let server = Server::start(|request| match request.path() {
        "/endless" => Response::new(200).body(vec![7; 1 << 16]).endless(),
        _ => Response::new(200).body("x").stall(Duration::from_secs(120)),
    });
    for name in ["endless", "silent.git"] {
        let text = format!("FROM busybox\nADD http://{}/{name} /d/\n", server.host());
        let dir = context(t, name, &text)?;
        for signal in [Signal::INT, Signal::KILL] {
            let before = server.requests().len();
            let build = rpod!(t, "build", "--network", "none", &dir).spawn();
            wait_until("the download has begun", || server.requests().len() > before);
            build.signal(signal);
            let out = build.wait();
            assert_ne!(out.code, Some(0));
            // git's own children end when their server says something, or with the group that an interrupted build ends.
            let stays = |command: &str| signal == Signal::KILL && command.contains("remote-http");
            wait_until("everything has ended", || t.processes().iter().all(|left| stays(&left.command)));
            t.processes().iter().for_each(|left| kill(left.pid));
        }
    }
    rpod!(t, "build", "-q", context(t, "quick", "FROM busybox\nRUN --network=none true\n")?).run().ok();
    empty(t)
}

/// No build has anything left of its own.
fn empty(t: &Sandbox) -> Outcome {
    let mut rooms = Vec::new();
    let hosts = t.home().join(".local/state/rpod/hosts");
    let hosts = std::fs::read_dir(hosts)?.flatten().map(|host| host.path().join("build"));
    for dir in hosts.chain([t.dir().join("run/rpod/build")]) {
        rooms.extend(std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()));
    }
    rooms.retain(|path| path.is_dir());
    assert!(rooms.is_empty(), "{rooms:?}");
    Ok(())
}

/// Files of instructions that lead out of a context which somebody else made, or that never end.
fn foreign_contexts(t: &Sandbox) -> Outcome {
    t.busybox()?;
    t.write("home/secret", "SUPERSECRET\n")?;
    for name in ["Dockerfile", ".dockerignore", "Dockerfile.dockerignore"] {
        let dir = context(t, &format!("of-{name}"), "FROM busybox\n")?;
        let _ = std::fs::remove_file(dir.join(name));
        symlink(t.home().join("secret"), dir.join(name))?;
        let pack = |more: &str| t.script(&format!("tar cf - -C {} . | rpod build {more} -", dir.display())).run();
        for out in [pack(""), pack("-f Dockerfile")] {
            assert!(!out.stderr.contains("SECRET") && !out.stdout.contains("SECRET"), "{name}: {out}");
            assert_eq!(out.code == Some(0), name != "Dockerfile", "{name}: {out}");
        }
        // Inside of it links are fine.
        std::fs::write(dir.join("real"), "FROM busybox\nLABEL a=b\n")?;
        std::fs::remove_file(dir.join(name))?;
        symlink("/real", dir.join(name))?;
        if name == "Dockerfile" {
            pack("-q").ok();
        }
        // A pipe.
        std::fs::remove_file(dir.join(name))?;
        t.program("mkfifo", [dir.join(name)]).run().ok();
        rpod!(t, "build", "-q", &dir).run().fails(125, &["it is no regular file"]);
        pack("-q").code(125);
    }
    // One of the shell's is read.
    t.script("rpod build -q -f <(echo FROM busybox) .").run().ok();
    Ok(())
}

/// What the user is known by to others is not for repositories that a Dockerfile names.
fn foreign_dockerfiles(t: &Sandbox) -> Outcome {
    t.busybox()?;
    t.script(
        "git init -q -b main repo; cd repo; echo private >file; printf 'FROM busybox\\nCOPY file /\\n' >Dockerfile; git add .
         git -c user.name=n -c user.email=e commit -qm m
         git config --global url.file://$HOME/repo.insteadOf http://private.invalid/repo.git",
    )
    .run()
    .ok();
    rpod!(t, "build", "-q", "http://private.invalid/repo.git").run().ok();
    for source in ["http://private.invalid/repo.git", "git@private.invalid:repo.git"] {
        let dir = context(t, "adds", &format!("FROM busybox\nADD {source} /x\n"))?;
        rpod!(t, "build", "-q", &dir).run().fails(125, &["cannot fetch", "none of your passwords and keys"]);
    }
    Ok(())
}

/// Steps whose lines in the history read the same.
fn cached_steps(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let pairs: [[(&str, &[&str]); 2]; 5] = [
        [(r#"RUN ["sh","-c","echo $0 >/o","p q"]"#, &[]), (r#"RUN ["sh","-c","echo $0 >/o","p","q"]"#, &[])],
        [("ENV A=\"1 B=2\"\nRUN echo \"$A,$B\" >/o", &[]), ("ENV A=1 B=2\nRUN echo \"$A,$B\" >/o", &[])],
        [
            ("SHELL [\"sh\",\"-c\",\"echo $0,$1 >/o\",\"a b\"]\nRUN pwd", &[]),
            ("SHELL [\"sh\",\"-c\",\"echo $0,$1 >/o\",\"a\",\"b\"]\nRUN pwd", &[]),
        ],
        [
            ("ARG A\nARG B\nRUN echo \"$A,$B\" >/o", &["--build-arg=A=x B=y", "--build-arg=B="]),
            ("ARG A\nARG B\nRUN echo \"$A,$B\" >/o", &["--build-arg=A=x", "--build-arg=B=y B="]),
        ],
        [
            ("RUN --mount=type=tmpfs,target=/a,size=1m df /a | tail -1 | cut -c20-40 >/o", &[]),
            ("RUN --mount=type=tmpfs,target=/a,size=2m df /a | tail -1 | cut -c20-40 >/o", &[]),
        ],
    ];
    for (number, pair) in pairs.iter().enumerate() {
        let made = pair.map(|(text, flags)| {
            let dir = context(t, &format!("pair-{number}"), &format!("FROM busybox\n{text}\n"));
            let dir = dir.unwrap_or_else(|_| panic!("no context"));
            let dir = dir.to_str().unwrap_or_default();
            t.rpod([&["build", "-q", "-t", "one"], flags, &[dir]].concat()).run().ok();
            rpod!(t, "run", "--rm", "--network=none", "one", "cat", "/o").run().ok().to_owned()
        });
        assert_ne!(made[0], made[1], "{pair:?}");
    }
    Ok(())
}

/// Two builds want the same two caches, and name them in another order; one wants one twice.
fn locks_in_any_order(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let mount = |id: &str, target: &str| format!("--mount=type=cache,id={id},sharing=locked,target=/{target}");
    let steps = |one: String, two: String| {
        let runs: String = (0..6).map(|n| format!("RUN {one} {two} echo {n} >>/{n}; sleep 0.05\n")).collect();
        format!("FROM busybox\n{runs}")
    };
    let first = context(t, "first", &steps(mount("one", "a"), mount("two", "b")))?;
    let second = context(t, "second", &steps(mount("two", "a"), mount("one", "b")))?;
    let twice = context(t, "twice", &steps(mount("one", "a"), mount("one", "b")))?;
    let all = [first, second, twice].map(|dir| rpod!(t, "build", "-q", dir).spawn());
    all.into_iter().for_each(|build| drop(build.finish().ok().to_owned()));
    Ok(())
}
