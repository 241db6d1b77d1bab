//! The command line's frame: help, versions, wrong words, both spellings.

use crate::support::{Need, Trial, User, need, rpod, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("cli::version", User::Sub, |t| {
            rpod!(t, "--version").run().prints(&format!("rpod version {}", env!("CARGO_PKG_VERSION")));
            rpod!(t, "version").run().prints(env!("CARGO_PKG_VERSION"));
            let json = rpod!(t, "version", "--format", "json").run().json();
            assert_eq!(json["Client"]["Version"], env!("CARGO_PKG_VERSION"), "{json}");
            for side in ["Client", "Server"] {
                let format = format!("{{{{.{side}.Version}}}}");
                rpod!(t, "version", "--format", format).run().lines_are(&[env!("CARGO_PKG_VERSION")]);
            }
            Ok(())
        }),
        trial("cli::info", User::Sub, |t| {
            let info = rpod!(t, "info", "--format", "json").run().json();
            assert_eq!(info["host"]["security"]["rootless"], true, "{info}");
            for field in ["graphDriverName", "graphRoot", "runRoot"] {
                assert!(info["store"][field].is_string(), "no store.{field} in {info}");
            }
            assert!(info["host"]["idMappings"]["uidmap"].is_array(), "{info}");
            rpod!(t, "info", "--format", "{{.Store.GraphDriverName}}").run().ok();
            rpod!(t, "info").run().prints("graphDriverName");
            Ok(())
        }),
        trial("cli::help", User::Sub, |t| {
            rpod!(t, "--help").run().prints("run").prints("pull");
            let help = rpod!(t, "run", "--help").run();
            for flag in [
                "--interactive",
                "--tty",
                "--detach",
                "--rm",
                "--name",
                "--env",
                "--env-file",
                "--volume",
                "--mount",
                "--publish",
                "--publish-all",
                "--workdir",
                "--user",
                "--group-add",
                "--entrypoint",
                "--hostname",
                "--network",
                "--dns",
                "--dns-search",
                "--dns-option",
                "--add-host",
                "--read-only",
                "--tmpfs",
                "--shm-size",
                "--cap-add",
                "--cap-drop",
                "--security-opt",
                "--privileged",
                "--init",
                "--ulimit",
                "--sysctl",
                "--device",
                "--label",
                "--annotation",
                "--pull",
                "--platform",
                "--cidfile",
                "--stop-signal",
                "--stop-timeout",
                "--log-driver",
                "--log-opt",
                "--rootfs",
                "--memory",
                "--cpus",
                "--pids-limit",
            ] {
                help.prints(flag);
            }
            Ok(())
        }),
        trial("cli::wrong_words", User::Sub, |t| {
            rpod!(t, "bogus").run().fails(125, &["bogus"]);
            rpod!(t, "ps", "--bogus").run().fails(125, &["--bogus"]);
            rpod!(t, "inspect").run().code(125);
            // Without any word: help, and an error for scripts, as Podman.
            let out = t.rpod(Vec::<String>::new()).run();
            assert!(out.code != Some(0) && out.stdout.len() + out.stderr.len() > 100, "{out}");
            Ok(())
        }),
        trial("cli::both_spellings", User::Sub, |t| {
            let image = t.busybox()?;
            rpod!(t, "container", "run", "--rm", image, "echo", "hi").run().lines_are(&["hi"]);
            rpod!(t, "container", "ls", "-aq").run().lines_are(&[]);
            rpod!(t, "image", "ls", "-q").run().ok();
            rpod!(t, "image", "inspect", image).run().ok();
            Ok(())
        }),
        trial("cli::start_latency", User::Sub, |t| {
            // The parser of one verb, no image, no container: far from anything a person notices even in a debug build.
            let begin = std::time::Instant::now();
            for _ in 0..10 {
                rpod!(t, "--version").run().ok();
            }
            let mean = begin.elapsed() / 10;
            assert!(mean.as_millis() < 100, "rpod --version takes {mean:?}");
            Ok(())
        }),
        trial("cli::broken_pipe_is_quiet", User::Sub, |t| {
            t.script("rpod run --help | head -1; echo ${PIPESTATUS[0]} >&2").run().says("0");
            Ok(())
        }),
        trial("cli::no_home", User::Sub, |t| {
            // HOME is missing: the password database says where it is; RPOD_ROOT and friends say otherwise.
            let dir = t.mkdir("home/elsewhere")?;
            rpod!(t, "images", "-q")
                .env_remove("HOME")
                .env("RPOD_ROOT", dir.join("data"))
                .env("RPOD_STATE", dir.join("state"))
                .env("RPOD_RUNTIME", dir.join("run"))
                .run()
                .ok();
            assert!(!t.home().join(".local").exists());
            Ok(())
        }),
        trial("cli::no_helper_installed", User::NoSub, |t| {
            // README command one on a bare machine: no newuidmap, slirp4netns, pasta or shell on PATH.
            let out = rpod!(t, "run", "--rm", "builtin:hello").env("PATH", "/nonexistent").run();
            out.ok();
            Ok(())
        }),
        trial("cli::no_system_call_wasted", User::Sub, |t| {
            need([Need::Strace])?;
            let trace = t.dir().join("home/trace");
            let file = trace.to_str().unwrap();
            rpod!(t, "--version")
                .under(["strace", "-f", "-o", file, "-e", "trace=clone,clone3,fork,vfork,execve"])
                .run()
                .ok();
            let text = std::fs::read_to_string(&trace)?;
            assert!(!text.contains("clone"), "a thread or process for --version:\n{text}");
            Ok(())
        }),
    ]
}
