//! `rpod login` and `logout`, token services, and credential helpers that behave as badly as they can.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::{
    FakeRegistry, IDENTITY, Image, Outcome, PASSWORD, Registry, Response, Sandbox, Server, Stop, TokenServer, Trial,
    USERNAME, User, for_each_user, rpod, trial,
};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("login::in_and_out", in_and_out);
    trials.extend(vec![
        trial("login::other_files", User::Sub, other_files),
        trial("login::tokens", User::Sub, tokens),
        trial("login::token_services_that_lie", User::Sub, token_services_that_lie),
        trial("login::helpers", User::Sub, helpers),
        trial("login::helpers_of_registries_conf", User::Sub, helpers_of_registries_conf),
        trial("login::helpers_that_misbehave", User::Sub, helpers_that_misbehave),
        trial("login::on_a_terminal", User::Sub, on_a_terminal),
        trial("login::with_a_secret", User::Sub, |t| {
            let registry = Registry::empty_with_password()?;
            rpod!(t, "secret", "create", USERNAME, "-").stdin(PASSWORD).run().ok();
            let login = ["login", "--tls-verify=false", "--secret", USERNAME, &registry.host()];
            t.rpod(login).run().lines_are(&["Login Succeeded!"]);
            rpod!(t, "login", "--secret", "nosuch", "x.example").run().fails(125, &["no such secret"]);
            Ok(())
        }),
        trial("login::refuses", User::Sub, |t| {
            for (words, wanted) in [
                (&["login", "a b"][..], "not the name of a registry"),
                (&["login", "reg.example/x:tag"], "not the name of a registry"),
                (&["login", "127.0.0.1:1"], "--username"),
                (&["login", "-u", "x", "127.0.0.1:1"], "--password-stdin"),
                (&["login", "-u", "a:b", "-p", "c", "127.0.0.1:1"], "colon"),
                (&["login", "-u", "a", "-p", "c", "127.0.0.1:1"], "refused"),
                (&["login", "--get-login", "127.0.0.1:1"], "not logged into 127.0.0.1:1"),
                (&["logout", "127.0.0.1:1"], "not logged into 127.0.0.1:1"),
                (&["logout", "--all", "x.example"], "no arguments"),
            ] {
                t.rpod(words).run().fails(125, &[wanted]);
            }
            Ok(())
        }),
    ]);
    trials
}

fn auth_file(t: &Sandbox) -> Result<Value, Stop> {
    let path = t.dir().join("run/containers/auth.json");
    assert_eq!(std::fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

fn in_and_out(t: &Sandbox) -> Outcome {
    let registry = Registry::empty_with_password()?;
    let host = registry.host();
    let login = |password: &str| {
        rpod!(t, "login", "--tls-verify=false", "-u", USERNAME, "--password-stdin", &host)
            .stdin(format!("{password}\n"))
            .run()
    };
    let out = login("wrong");
    out.fails(125, &["logging into"]);
    assert!(!out.stderr.contains("wrong"), "{out}");
    assert!(!t.dir().join("run/containers/auth.json").exists());
    login(PASSWORD).lines_are(&["Login Succeeded!"]);
    let keys: Vec<String> = auth_file(t)?["auths"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, std::slice::from_ref(&host));
    rpod!(t, "login", "--get-login", &host).run().lines_are(&[USERNAME]);
    let again = rpod!(t, "login", "--tls-verify=false", &host).run();
    assert!(again.ok().ends_with(&format!("Already logged in to {host}")), "{again}");
    // And now everything works without credentials on the command line.
    let image = t.busybox()?;
    let name = format!("{host}/team/app");
    rpod!(t, "push", "-q", "--tls-verify=false", image, &name).run().ok();
    rpod!(t, "pull", "-q", "--tls-verify=false", &name).run().ok();
    rpod!(t, "logout", &host).run().lines_are(&[&format!("Removed login credentials for {host}")]);
    rpod!(t, "pull", "-q", "--tls-verify=false", &name).run().fails(125, &["password"]);
    rpod!(t, "logout", &host).run().fails(125, &["not logged into"]);
    // A password on the command line, a part of the registry, all at once.
    let part = format!("{host}/team");
    rpod!(t, "login", "--tls-verify=false", "-u", USERNAME, "-p", PASSWORD, &part).run().ok();
    rpod!(t, "pull", "-q", "--tls-verify=false", &name).run().ok();
    rpod!(t, "logout", "--all").run().ok();
    assert_eq!(auth_file(t)?["auths"], json!({}));
    Ok(())
}

fn other_files(t: &Sandbox) -> Outcome {
    let registry = Registry::plain_with_password()?;
    let host = registry.host();
    let name = format!("{host}/library/busybox");
    let login = |flags: &[&str]| {
        let words = ["login", "--tls-verify=false", "-u", USERNAME, "-p", PASSWORD];
        t.rpod(words.iter().chain(flags).copied().chain([host.as_str()])).run()
    };
    // What others have written into the file stays.
    let file = t.write("home/auth.json", r#"{"auths":{"other.example":{"auth":"dTpw"}},"extra":{"a":[1]}}"#)?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644))?;
    login(&["--authfile", "auth.json", "-v"]).prints("Used: auth.json");
    let content: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    assert_eq!((&content["extra"]["a"][0], content["auths"].as_object().unwrap().len()), (&json!(1), 2));
    assert_eq!(std::fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
    rpod!(t, "pull", "-q", "--tls-verify=false", &name).run().code(125);
    rpod!(t, "pull", "-q", "--tls-verify=false", "--authfile", &file, &name).run().ok();
    rpod!(t, "pull", "-q", "--tls-verify=false", &name).env("REGISTRY_AUTH_FILE", &file).run().ok();
    rpod!(t, "logout", "--authfile", "auth.json", &host).run().ok();
    // Docker's file, read by default.
    login(&["--compat-auth-file", ".docker/config.json"]).ok();
    rpod!(t, "pull", "-q", "--tls-verify=false", &name).run().ok();
    rpod!(t, "logout", &host).run().fails(125, &["not logged into", "another file"]);
    rpod!(t, "logout", "--compat-auth-file", ".docker/config.json", &host).run().ok();
    // A link stays one, a broken file is told and kept.
    std::os::unix::fs::symlink("real.json", t.home().join("link.json"))?;
    t.write("home/real.json", "{}")?;
    login(&["--authfile", "link.json"]).ok();
    assert!(t.home().join("link.json").is_symlink());
    t.write("home/broken.json", "{\"auths\": \"c2VjcmV0\"")?;
    let out = login(&["--authfile", "broken.json"]);
    out.fails(125, &["not an auth file"]);
    assert!(!out.stderr.contains("c2VjcmV0"), "{out}");
    assert!(std::fs::read_to_string(t.home().join("broken.json"))?.contains("auths"));
    Ok(())
}

/// docker-registry checks every token that our service signs.
fn tokens(t: &Sandbox) -> Outcome {
    let world = TokenServer::start()?;
    let host = world.registry.host();
    let image = t.busybox()?;
    let push = |name: &str| rpod!(t, "push", "-q", "--tls-verify=false", image, format!("{host}/{name}")).run();
    push("public/app").code(125);
    let wrong = rpod!(t, "login", "--tls-verify=false", "-u", USERNAME, "-p", "wrong", &host).run();
    wrong.fails(125, &["logging into"]);
    rpod!(t, "login", "--tls-verify=false", "-u", USERNAME, "-p", PASSWORD, &host).run().ok();
    push("public/app").ok();
    push("private/app").ok();
    // The second was mounted: one token for both repositories.
    assert!(world.registry.requests().iter().any(|r| r.contains("mount=") && r.ends_with(" 201")));
    rpod!(t, "rmi", "-af").run().ok();
    rpod!(t, "pull", "-q", "--tls-verify=false", format!("{host}/private/app")).run().ok();
    rpod!(t, "logout", &host).run().ok();
    rpod!(t, "pull", "-q", "--tls-verify=false", format!("{host}/public/app")).run().ok();
    rpod!(t, "pull", "-q", "--tls-verify=false", format!("{host}/private/app")).run().code(125);
    // An identity token is exchanged (OAuth2) and never sent to the registry.
    let identity = json!({"auths": {host.as_str(): {"auth": "", "identitytoken": IDENTITY}}}).to_string();
    t.write("home/.docker/config.json", identity)?;
    rpod!(t, "pull", "-q", "--tls-verify=false", format!("{host}/private/app")).run().ok();
    assert!(world.tokens.requests().iter().any(|request| request.method == "POST"));
    Ok(())
}

fn token_services_that_lie(t: &Sandbox) -> Outcome {
    let image = Image::busybox()?;
    let thief = Server::start(|_| Response::new(200).body(r#"{"token":"x"}"#));
    let with_challenge = |challenge: String| {
        FakeRegistry::of("x/y", &image).serve(move |request, answer, _| match request.header("authorization") {
            None => Response::new(401).header("WWW-Authenticate", challenge.clone()),
            Some(_) => answer,
        })
    };
    let pull = |server: &Server| {
        rpod!(t, "pull", "-q", "--tls-verify=false", "--creds=u:secret", "--retry=0", format!("{}/x/y", server.host()))
            .run()
    };
    // A service elsewhere gets the password: that is what the protocol says. It may not send it on.
    let redirecting = Server::start({
        let target = format!("http://localhost:{}/t", thief.port());
        move |_| Response::new(307).header("Location", target.clone())
    });
    pull(&with_challenge(format!("Bearer realm=\"http://{}/t\",service=s", redirecting.host()))).ok();
    assert!(thief.requests().iter().all(|request| request.header("authorization").is_none()));
    for (what, answer) in [
        ("not json", Response::new(200).body("<html>")),
        ("empty", Response::new(200).body(r#"{"token":""}"#)),
        ("a header", Response::new(200).body("{\"token\":\"a\\r\\nX: y\"}")),
        ("long", Response::new(200).body(vec![b'x'; 2 << 20])),
        ("refuses", Response::new(403).body("no")),
        ("file", Response::new(302).header("Location", "file:///etc/passwd")),
    ] {
        let service = Server::start(move |_| answer.clone());
        let out = pull(&with_challenge(format!("Bearer realm=\"http://{}/t\"", service.host())));
        out.code(125);
        assert!(!out.stderr.contains("secret") && !out.stderr.contains("root:"), "{what}: {out}");
    }
    for challenge in ["Bearer realm=\"file:///etc/passwd\"", "Bearer", "Bearer realm=\"", "Negotiate", "\u{1}"] {
        pull(&with_challenge(challenge.to_owned())).code(125);
    }
    Ok(())
}

/// A credential helper that keeps what it is given in a file.
const HELPER: &str = r#"#!/bin/sh
kept=$HOME/kept
case $1 in
get) read -r server; [ -e "$kept" ] && grep -q "$server" "$kept" && cat "$kept" || { echo "credentials not found in native keychain"; exit 1; } ;;
store) cat >"$kept" ;;
erase) rm -f "$kept" ;;
list) echo '{}' ;;
esac
"#;

fn helper(t: &Sandbox, name: &str, script: &str) -> Outcome {
    let path = t.write(&format!("home/bin/docker-credential-{name}"), script)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn helpers(t: &Sandbox) -> Outcome {
    let registry = Registry::plain_with_password()?;
    let host = registry.host();
    let name = format!("{host}/library/busybox");
    helper(t, "box", HELPER)?;
    for config in [json!({"credsStore": "box"}), json!({"credHelpers": {host.as_str(): "box"}})] {
        let file = t.write("home/auth.json", config.to_string())?;
        rpod!(t, "login", "--tls-verify=false", "--authfile", &file, "-v", "-u", USERNAME, "-p", PASSWORD, &host)
            .run()
            .prints("Used: docker-credential-box");
        assert!(!std::fs::read_to_string(&file)?.contains("auths"), "the secret is in the file as well");
        assert!(std::fs::read_to_string(t.home().join("kept"))?.contains(PASSWORD));
        rpod!(t, "login", "--get-login", "--authfile", &file, &host).run().lines_are(&[USERNAME]);
        rpod!(t, "pull", "-q", "--tls-verify=false", "--authfile", &file, &name).run().ok();
        rpod!(t, "logout", "--authfile", &file, &host).run().ok();
        assert!(!t.home().join("kept").exists());
        rpod!(t, "pull", "-q", "--tls-verify=false", "--authfile", &file, &name).run().code(125);
        rpod!(t, "logout", "--authfile", &file, &host).run().fails(125, &["not logged into"]);
    }
    Ok(())
}

/// `credential-helpers`: asked in their order, the auth files only where they are named.
fn helpers_of_registries_conf(t: &Sandbox) -> Outcome {
    let registry = Registry::plain_with_password()?;
    let host = registry.host();
    let name = format!("{host}/library/busybox");
    let answer = json!({"ServerURL": host, "Username": USERNAME, "Secret": PASSWORD});
    helper(t, "good", &format!("#!/bin/sh\necho \"$1 $(cat)\" >>$HOME/asked\necho '{answer}'\n"))?;
    helper(t, "broken", "#!/bin/sh\necho locked\nexit 1\n")?;
    helper(t, "box", HELPER)?;
    let conf = |helpers: &[&str]| {
        t.write("home/.config/containers/registries.conf", format!("credential-helpers = {helpers:?}\n")).map(drop)
    };
    let pull = || rpod!(t, "pull", "-q", "--tls-verify=false", &name).run();
    for helpers in [&["good"][..], &["containers-auth.json", "good"], &["broken", "good"]] {
        conf(helpers)?;
        pull().ok();
        assert!(std::fs::read_to_string(t.home().join("asked"))?.contains(&format!("get {host}")), "{helpers:?}");
        std::fs::remove_file(t.home().join("asked"))?;
    }
    conf(&["broken"])?;
    pull().fails(125, &["docker-credential-broken", "locked"]);
    conf(&["nosuch"])?;
    pull().fails(125, &["docker-credential-nosuch"]);
    // login and logout have the first of them keep it.
    conf(&["box", "containers-auth.json"])?;
    rpod!(t, "login", "--tls-verify=false", "-v", "-u", USERNAME, "-p", PASSWORD, &host)
        .run()
        .prints("Used: docker-credential-box");
    assert!(std::fs::read_to_string(t.home().join("kept"))?.contains(PASSWORD));
    pull().ok();
    rpod!(t, "logout", &host).run().ok();
    assert!(!t.home().join("kept").exists());
    pull().code(125);
    // Files that are not named are not asked.
    conf(&[])?;
    rpod!(t, "login", "--tls-verify=false", "-u", USERNAME, "-p", PASSWORD, &host).run().ok();
    pull().ok();
    conf(&["box"])?;
    pull().code(125);
    Ok(())
}

fn helpers_that_misbehave(t: &Sandbox) -> Outcome {
    let registry = Registry::plain_with_password()?;
    let name = format!("{}/library/busybox", registry.host());
    for (number, (script, wanted)) in [
        ("echo '{\"Secret\": \"s3cret'", "does not answer with credentials"),
        ("printf '\\033[31mlocked'; exit 1", "fails"),
        ("yes s3cret", "too long"),
        ("exec sleep 100", "does not answer"),
        ("exec >&-; exec sleep 100", "does not end"),
        ("kill -9 $$", ""),
        ("exit 0", "does not answer with credentials"),
    ]
    .into_iter()
    .enumerate()
    {
        let helper_name = format!("bad{number}");
        helper(t, &helper_name, &format!("#!/bin/sh\n{script}\n"))?;
        let file = t.write("home/auth.json", json!({"credsStore": helper_name}).to_string())?;
        let out = rpod!(t, "pull", "-q", "--tls-verify=false", "--authfile", &file, &name)
            .env("RPOD_REGISTRY_TIMEOUT", "1")
            .run();
        out.fails(125, &[wanted]);
        assert!(!out.stderr.contains("s3cret") && !out.stderr.contains('\u{1b}'), "{out}");
    }
    for bad in ["../../bin/sh", "nosuch"] {
        let file = t.write("home/auth.json", json!({"credsStore": bad}).to_string())?;
        rpod!(t, "pull", "-q", "--tls-verify=false", "--authfile", &file, &name)
            .run()
            .fails(125, &["credential helper"]);
    }
    Ok(())
}

fn on_a_terminal(t: &Sandbox) -> Outcome {
    let registry = Registry::plain_with_password()?;
    let mut pty = rpod!(t, "login", "--tls-verify=false", registry.host()).pty(24, 80);
    pty.expect("Username: ");
    pty.send(format!("{USERNAME}\r"));
    pty.expect("Password: ");
    pty.send(format!("{PASSWORD}\r"));
    pty.expect("Login Succeeded!");
    let text = pty.text();
    assert_eq!(pty.finish(), 0);
    assert!(!text.contains(PASSWORD), "the password is shown: {text}");
    Ok(())
}
