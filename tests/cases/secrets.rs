//! `--secret`: what a container gets of a secret, as a file and as a variable, and where it may not be found.

use crate::support::{Outcome, Sandbox, Trial, User, for_each_user, rpod, trial};

const TEXT: &str = "nobody-may-find-this-51c9";

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("secrets::in_a_container", in_a_container);
    trials.push(trial("secrets::owners", User::Sub, owners));
    trials
}

fn in_a_container(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "secret", "create", "key", "-").stdin(TEXT).run().ok();
    let run = |options: &[&str], script: &str| {
        let words = ["run", "--rm", "--network=none"].into_iter().chain(options.iter().copied());
        t.rpod(words.chain([image, "sh", "-c", script])).run()
    };
    run(&["--secret=key"], "cat /run/secrets/key; stat -c ' %a' /run/secrets/key").lines_are(&[&format!("{TEXT} 444")]);
    run(&["--secret=source=key,target=/etc/deep/er,mode=0400"], "stat -c %a /etc/deep/er").lines_are(&["400"]);
    run(&["--secret=key,target=other"], "echo x >/run/secrets/other; cat /run/secrets/other").prints(TEXT);
    run(&["--secret=key,type=env,target=KEY", "-e=KEY=wrong"], "echo $KEY").lines_are(&[TEXT]);
    run(&["--secret=key,type=env", "--secret=key"], "echo $key; cat /run/secrets/key").prints(TEXT);

    // A variable is read at every start and stands nowhere; a file is the container's own copy.
    let options = ["--secret=key,type=env,target=KEY", "--secret=key"];
    let script = "echo $KEY; cat /run/secrets/key";
    let words =
        ["create", "--name=kept", "--network=none"].into_iter().chain(options).chain([image, "sh", "-c", script]);
    t.rpod(words).run().ok();
    assert!(!rpod!(t, "inspect", "kept").run().ok().contains(TEXT));
    rpod!(t, "secret", "create", "--replace", "key", "-").stdin("changed").run().ok();
    rpod!(t, "start", "-a", "kept").run().lines_are(&["changed", TEXT]);
    rpod!(t, "commit", "-q", "kept", "image").run().ok();
    assert!(!rpod!(t, "image", "inspect", "image").run().ok().contains("changed"));
    rpod!(t, "secret", "rm", "key").run().ok();
    rpod!(t, "start", "-a", "kept").run().fails(125, &["no such secret"]);
    rpod!(t, "rm", "kept").run().ok();
    let left = t.script(&format!("grep -rl {TEXT} ~ || true")).run().ok().to_owned();
    assert_eq!(left, "", "the secret is left in files");

    for (option, words) in [
        ("nosuch", "no such secret"),
        ("key,type=volume", "type volume is invalid"),
        ("key,type=env,uid=1", "cannot be set with secret type env"),
        ("key,target=../x", "unable to parse secret option"),
        ("", "unable to parse secret option"),
    ] {
        rpod!(t, "run", "--rm", "--network=none", format!("--secret={option}"), image, "true")
            .run()
            .fails(125, &[words]);
    }
    Ok(())
}

fn owners(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "secret", "create", "key", "-").stdin(TEXT).run().ok();
    let secret = "--secret=key,uid=1000,gid=50,mode=0440";
    for namespace in ["--userns=", "--userns=keep-id"] {
        let script = "stat -c '%u %g %a' /run/secrets/key";
        let out = rpod!(t, "run", "--rm", "--network=none", namespace, secret, image, "sh", "-c", script).run();
        out.lines_are(&["1000 50 440"]);
    }
    Ok(())
}
