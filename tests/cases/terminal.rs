//! `-t`: a real terminal, typed at through a pseudo-terminal as a person does.

use rustix::process::Signal;

use crate::support::{Trial, User, for_each_user, rpod, trial, wait_until};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    trials.extend(for_each_user("terminal::shell", |t| {
        let image = t.busybox()?;
        let mut pty = rpod!(t, "run", "--rm", "-it", "-e", "PS1=prompt> ", image, "sh").pty(24, 80);
        pty.expect("prompt> ");
        assert!(pty.is_raw(), "the caller's terminal must be raw while the container's is used");
        pty.send("tty; echo $TERM; stty size\r");
        pty.expect("/dev/pts/0");
        pty.expect("xterm");
        pty.expect("24 80");
        // Line editing and signals are the container's terminal's business.
        // The shell's own line editing takes a ^C as text: it must be over, and the terminal the new job's, before the key
        // is struck.
        pty.send("sh -c 'echo slee\"\"ping; exec sleep 100'\r");
        pty.expect("sleeping");
        pty.send("\x03");
        pty.expect("prompt> ");
        pty.send("exit 42\r");
        assert_eq!(pty.finish(), 42);
        Ok(())
    }));
    trials.push(trial("terminal::mode_is_restored", User::Sub, |t| {
        let image = t.busybox()?;
        let script = format!("stty -a >before; rpod run --rm -it {image} true; stty -a >after; cmp before after && echo same-mode");
        let mut pty = t.script(&script).pty(24, 80);
        pty.expect("same-mode");
        assert_eq!(pty.finish(), 0);
        // Also when the program is killed or never started.
        let script = format!(
            "stty -a >before; rpod run --rm -it {image} sh -c 'kill -9 $$' || true; rpod run --rm -it {image} nosuch || true; stty -a >after; cmp before after && echo same-mode"
        );
        let mut pty = t.script(&script).pty(24, 80);
        pty.expect("same-mode");
        Ok(())
    }));
    trials.push(trial("terminal::window_size", User::Sub, |t| {
        let image = t.busybox()?;
        let mut pty = rpod!(
            t,
            "run",
            "--rm",
            "-it",
            image,
            "sh",
            "-c",
            "stty size; trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done"
        )
        .pty(31, 101);
        pty.expect("31 101");
        pty.expect("ready");
        pty.resize(44, 122);
        pty.signal(Signal::WINCH);
        pty.expect("44 122");
        assert_eq!(pty.finish(), 0);
        Ok(())
    }));
    trials.push(trial("terminal::detach_and_attach", User::Sub, |t| {
        let image = t.busybox()?;
        let mut pty = rpod!(t, "run", "-it", "--name", "d", "-e", "PS1=prompt> ", image, "sh").pty(24, 80);
        pty.expect("prompt> ");
        pty.send("\x10\x11");
        assert_eq!(pty.finish(), 0);
        assert_eq!(rpod!(t, "inspect", "--format", "{{.State.Running}}", "d").run().ok(), "true");
        let mut pty = rpod!(t, "attach", "d").pty(40, 90);
        pty.send("stty size\r");
        pty.expect("40 90");
        pty.send("\x10\x11");
        pty.finish();
        let mut pty = rpod!(t, "attach", "--detach-keys", "ctrl-a,b", "d").pty(24, 80);
        pty.send("echo again\r");
        pty.expect("again");
        pty.send("\x01b");
        pty.finish();
        rpod!(t, "rm", "-f", "-t", "0", "d").run().ok();
        Ok(())
    }));
    trials.push(trial("terminal::cli_is_killed", User::Sub, |t| {
        // The terminal of a killed client hangs up nothing.
        let image = t.busybox()?;
        let mut pty = rpod!(t, "run", "-it", "--name", "k", "-e", "PS1=prompt> ", image, "sh").pty(24, 80);
        pty.expect("prompt> ");
        pty.signal(Signal::KILL);
        pty.finish();
        assert_eq!(rpod!(t, "inspect", "--format", "{{.State.Running}}", "k").run().ok(), "true");
        let mut pty = rpod!(t, "attach", "k").pty(24, 80);
        pty.send("exit 6\r");
        assert_eq!(pty.finish(), 6);
        Ok(())
    }));
    trials.push(trial("terminal::exec", User::Sub, |t| {
        let image = t.busybox()?;
        rpod!(t, "run", "-d", "--name", "e", image, "sleep", "1000").run().ok();
        let mut pty = rpod!(t, "exec", "-it", "-e", "PS1=prompt> ", "e", "sh").pty(28, 77);
        pty.expect("prompt> ");
        pty.send("stty size; tty\r");
        pty.expect("28 77");
        pty.expect("/dev/pts/");
        pty.resize(29, 78);
        pty.signal(Signal::WINCH);
        pty.send("stty size\r");
        pty.expect("29 78");
        pty.send("exit 11\r");
        assert_eq!(pty.finish(), 11);
        Ok(())
    }));
    trials.push(trial("terminal::without_one", User::Sub, |t| {
        // -t without a terminal at the caller: the container still has one.
        let image = t.busybox()?;
        let out = rpod!(t, "run", "--rm", "-t", image, "sh", "-c", "test -t 1 && echo terminal").run();
        assert_eq!(out.ok().trim(), "terminal");
        let out = rpod!(t, "run", "--rm", image, "sh", "-c", "test -t 1 || echo none").run();
        assert_eq!(out.ok(), "none");
        Ok(())
    }));
    trials.push(trial("terminal::big_paste", User::Sub, |t| {
        let image = t.busybox()?;
        let mut pty =
            rpod!(t, "run", "--rm", "-it", image, "sh", "-c", "stty raw -echo; echo ready; head -c 200000 | sha256sum")
                .pty(24, 80);
        pty.expect("ready");
        let text: Vec<u8> = (0..200_000u32).map(|n| b'a' + (n % 26) as u8).collect();
        let sum = crate::support::sha256(&text);
        pty.send(&text);
        pty.expect(&sum["sha256:".len()..]);
        pty.finish();
        Ok(())
    }));
    trials.push(trial("terminal::ps_sees_it", User::Sub, |t| {
        let image = t.busybox()?;
        rpod!(t, "run", "-dit", "--name", "bg", image, "sh").run().ok();
        wait_until("it runs", || rpod!(t, "inspect", "--format", "{{.State.Running}}", "bg").run().stdout == "true\n");
        assert_eq!(
            rpod!(t, "inspect", "--format", "{{.Config.Tty}} {{.Config.OpenStdin}}", "bg").run().ok(),
            "true true"
        );
        Ok(())
    }));
    trials
}
