//! The harness itself: what every other trial relies on.

use std::time::Duration;

use crate::support::{ClientHost, Registry, Trial, User, for_each_user, trial, until};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("harness::runs_as_the_user", |t| {
        let out = t.script("id -u; stat -c %u \"$HOME\" \"$XDG_RUNTIME_DIR\"; command -v rpod").run();
        let uid = t.uid().to_string();
        out.lines_are(&[&uid, &uid, &uid, t.binary().to_str().unwrap()]);
        Ok(())
    });
    trials.push(trial("harness::terminal", User::Sub, |t| {
        let mut pty = t.script("stty size; read x; echo got-$x; exit 3").pty(33, 91);
        pty.expect("33 91");
        pty.send("key\n");
        pty.expect("got-key");
        assert_eq!(pty.finish(), 3);
        Ok(())
    }));
    trials.push(trial("harness::finds_strays", User::Sub, |t| {
        t.script("sleep 600 >/dev/null 2>&1 &").run().ok();
        let strays = until("the stray", Duration::from_secs(5), || {
            Some(t.processes_named("sleep")).filter(|found| !found.is_empty())
        });
        assert_eq!(strays.len(), 1, "{strays:?}");
        t.script(&format!("kill {}", strays[0].pid)).run().ok();
        Ok(())
    }));
    trials.push(trial("harness::client_host", User::Root, |_| {
        let client = ClientHost::new()?;
        client.program("ip", ["-o", "address"]).run().prints(&client.address());
        Ok(())
    }));
    trials.push(trial("harness::registries", User::Sub, |t| {
        let plain = Registry::plain()?;
        t.program("curl", ["-s", &format!("http://{}/v2/_catalog", plain.host())]).run().prints("busybox");
        let tls = Registry::tls_with_password()?;
        let url = format!("https://{}/v2/", tls.host());
        let ca = tls.ca().to_str().unwrap();
        t.program("curl", ["-s", "--cacert", ca, "-o", "/dev/null", "-w", "%{http_code}", &url]).run().prints("401");
        Ok(())
    }));
    trials
}
