//! policy.json: images that are rejected, and signatures of cosign and gpg that decide.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{
    Image, Manifest, Need, Outcome, Registry, Response, Sandbox, Server, Stop, Trial, User, index_of, need, rpod,
    sha256, trial,
};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("trust::cosign", User::Sub, cosign),
        trial("trust::cosign_of_an_index", User::Sub, cosign_of_an_index),
        trial("trust::kinds_of_keys", User::NoSub, kinds_of_keys),
        trial("trust::gpg", User::Sub, gpg),
        trial("trust::rejects", User::Sub, rejects),
        trial("trust::places_of_archives", User::Sub, places_of_archives),
        trial("trust::what_cannot_be_checked", User::Sub, what_cannot_be_checked),
        trial("trust::show_and_set", User::Sub, show_and_set),
    ]
}

fn policy(t: &Sandbox, policy: &Value) -> Outcome {
    t.write("home/.config/containers/policy.json", policy.to_string()).map(drop)
}

fn pull(t: &Sandbox, name: &str) -> crate::support::Output {
    let out = rpod!(t, "pull", "-q", "--tls-verify=false", name).run();
    rpod!(t, "rmi", "-f", "--ignore", name).run();
    out
}

fn openssl(t: &Sandbox, args: &[&str]) {
    t.program("openssl", args.iter().copied()).run().ok();
}

/// A key pair as cosign makes it, NAME.key and NAME.pub.
fn key(t: &Sandbox, name: &str, kind: &[&str]) {
    let (secret, public) = (format!("{name}.key"), format!("{name}.pub"));
    let words: Vec<&str> = ["genpkey"].iter().chain(kind).chain(&["-out", secret.as_str()]).copied().collect();
    openssl(t, &words);
    openssl(t, &["pkey", "-in", &secret, "-pubout", "-out", &public]);
}

const P256: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];

/// Signs as `cosign sign --key NAME.key` does, and attaches the signature to the repository.
fn sign(t: &Sandbox, registry: &Registry, repository: &str, digest: &str, key: &str, named: &str) -> Outcome {
    let payload = json!({
        "critical": {
            "identity": {"docker-reference": named},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": null,
    })
    .to_string();
    t.write("home/payload", &payload)?;
    let secret = format!("{key}.key");
    match key.starts_with("ed") {
        true => openssl(t, &["pkeyutl", "-sign", "-rawin", "-inkey", &secret, "-in", "payload", "-out", "signature"]),
        false => openssl(t, &["dgst", "-sha256", "-sign", &secret, "-out", "signature", "payload"]),
    }
    let signature = STANDARD.encode(std::fs::read(t.home().join("signature"))?);
    let config =
        json!({"architecture": "", "os": "", "rootfs": {"type": "layers", "diff_ids": [sha256(payload.as_bytes())]}})
            .to_string();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": Manifest::Oci.media_type(),
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": config.len(), "digest": sha256(config.as_bytes())},
        "layers": [{
            "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
            "size": payload.len(),
            "digest": sha256(payload.as_bytes()),
            "annotations": {"dev.cosignproject.cosign/signature": signature},
        }],
    })
    .to_string();
    registry.put_blob(repository, config.as_bytes())?;
    registry.put_blob(repository, payload.as_bytes())?;
    let tag = format!("{}.sig", digest.replace(':', "-"));
    registry.put_manifest(repository, &tag, Manifest::Oci.media_type(), manifest.as_bytes())
}

fn signed_policy(host: &str, keys: Value, identity: Option<Value>) -> Value {
    let mut rule = json!({"type": "sigstoreSigned"});
    for (key, value) in keys.as_object().unwrap() {
        rule[key] = value.clone();
    }
    if let Some(identity) = identity {
        rule["signedIdentity"] = identity;
    }
    json!({"default": [{"type": "reject"}], "transports": {"docker": {host: [rule]}}})
}

fn pushed(registry: &Registry, repository: &str) -> Result<String, Stop> {
    Image::busybox()?.push(registry, repository, "1", Manifest::Oci)
}

fn cosign(t: &Sandbox) -> Outcome {
    need([Need::Openssl])?;
    let registry = Registry::empty()?;
    let host = registry.host();
    let digest = pushed(&registry, "x/y")?;
    let name = format!("{host}/x/y:1");
    let repository = format!("{host}/x/y");
    key(t, "good", P256);
    key(t, "bad", P256);
    let path = t.home().join("good.pub");
    let by_path = json!({"keyPath": path});
    let repository_only = Some(json!({"type": "matchRepository"}));
    policy(t, &signed_policy(&host, by_path.clone(), repository_only.clone()))?;
    pull(t, &name).fails(125, &["is rejected", "there is none", "policy.json"]);
    rpod!(t, "images", "-q").run().lines_are(&[]);
    sign(t, &registry, "x/y", &digest, "bad", &repository)?;
    pull(t, &name).fails(125, &["not made with the key"]);
    sign(t, &registry, "x/y", &sha256(b"other"), "good", &repository)?;
    pull(t, &name).fails(125, &["not made with the key"]);
    // The right key, for another image.
    let other = sha256(b"other");
    let hex = &digest[7..];
    sign(t, &registry, "x/y", &other, "good", &repository)?;
    let (_, _, body) = crate::support::request(
        &host,
        "GET",
        &format!("/v2/x/y/manifests/sha256-{}.sig", &other[7..]),
        &[("Accept", Manifest::Oci.media_type())],
        &[],
    )?;
    registry.put_manifest("x/y", &format!("sha256-{hex}.sig"), Manifest::Oci.media_type(), &body)?;
    pull(t, &name).fails(125, &["for another image"]);
    sign(t, &registry, "x/y", &digest, "good", &format!("{host}/x/z"))?;
    pull(t, &name).fails(125, &["for the name"]);
    sign(t, &registry, "x/y", &digest, "good", &repository)?;
    pull(t, &name).ok();
    // The same through the key's content, by one of two keys, under other rules for the name.
    let content = STANDARD.encode(std::fs::read(&path)?);
    policy(t, &signed_policy(&host, json!({"keyData": content}), repository_only.clone()))?;
    pull(t, &name).ok();
    let both = json!({"keyPaths": [t.home().join("bad.pub"), path]});
    policy(t, &signed_policy(&host, both, Some(json!({"type": "exactRepository", "dockerRepository": repository}))))?;
    pull(t, &name).ok();
    policy(t, &signed_policy(&host, by_path.clone(), None))?;
    pull(t, &name).fails(125, &["for the name"]);
    sign(t, &registry, "x/y", &digest, "good", &name)?;
    pull(t, &name).ok();
    // run brings in what pull would, and nothing else.
    policy(t, &signed_policy(&host, json!({"keyPath": t.home().join("bad.pub")}), repository_only))?;
    rpod!(t, "run", "--rm", "--network=none", "--tls-verify=false", &name, "true").run().fails(125, &["is rejected"]);
    for (bad, wanted) in [
        (json!({"keyPath": "/nosuch.pub"}), "/nosuch.pub"),
        (json!({"keyPath": "/etc/passwd"}), "not a public key"),
        (json!({"keyData": "!"}), "base64"),
    ] {
        policy(t, &signed_policy(&host, bad, None))?;
        pull(t, &name).fails(125, &[wanted]);
    }
    Ok(())
}

/// cosign signs what the tag means: the index. It covers the manifest that the index names.
fn cosign_of_an_index(t: &Sandbox) -> Outcome {
    need([Need::Openssl])?;
    let registry = Registry::empty()?;
    let image = Image::busybox()?;
    image.push(&registry, "x/y", "amd64", Manifest::Oci)?;
    let (manifest, _) = image.manifest(Manifest::Oci);
    let platform = json!({"os": "linux", "architecture": image.architecture});
    let index = index_of(&[(Manifest::Oci.media_type(), &manifest, platform)]);
    registry.put_manifest("x/y", "1", "application/vnd.oci.image.index.v1+json", &index)?;
    let host = registry.host();
    key(t, "good", P256);
    let keys = json!({"keyPath": t.home().join("good.pub")});
    policy(t, &signed_policy(&host, keys, Some(json!({"type": "matchRepository"}))))?;
    let name = format!("{host}/x/y:1");
    pull(t, &name).fails(125, &["is rejected"]);
    sign(t, &registry, "x/y", &sha256(&index), "good", &format!("{host}/x/y"))?;
    pull(t, &name).ok();
    Ok(())
}

fn kinds_of_keys(t: &Sandbox) -> Outcome {
    need([Need::Openssl])?;
    let registry = Registry::empty()?;
    let host = registry.host();
    for (name, kind) in [
        ("p384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"][..]),
        ("rsa", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
        ("ed25519", &["-algorithm", "ED25519"]),
    ] {
        let repository = format!("keys/{name}");
        let digest = pushed(&registry, &repository)?;
        key(t, name, kind);
        let keys = json!({"keyPath": t.home().join(format!("{name}.pub"))});
        policy(t, &signed_policy(&host, keys, Some(json!({"type": "matchRepository"}))))?;
        pull(t, &format!("{host}/{repository}:1")).fails(125, &["is rejected"]);
        sign(t, &registry, &repository, &digest, name, &format!("{host}/{repository}"))?;
        pull(t, &format!("{host}/{repository}:1")).ok();
    }
    key(t, "secp", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"]);
    policy(t, &signed_policy(&host, json!({"keyPath": t.home().join("secp.pub")}), None))?;
    pull(t, &format!("{host}/keys/rsa:1")).fails(125, &["a kind that rpod does not know"]);
    Ok(())
}

fn gpg(t: &Sandbox) -> Outcome {
    need([Need::Gpg])?;
    let registry = Registry::empty()?;
    let host = registry.host();
    pushed(&registry, "x/y")?;
    let name = format!("{host}/x/y:1");
    let image = t.busybox()?;
    // As short as the agent's socket needs it.
    let keys = t.mkdir("g")?;
    std::fs::set_permissions(&keys, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    let gpg = |args: &[&str]| {
        t.program("gpg", ["--batch", "--quiet"].iter().chain(args).copied()).env("GNUPGHOME", &keys).run()
    };
    for user in ["good@example.com", "bad@example.com"] {
        gpg(&["--passphrase", "", "--pinentry-mode", "loopback", "--quick-gen-key", user, "ed25519", "sign", "never"])
            .ok();
        gpg(&["--armor", "--output", t.home().join(user).to_str().unwrap(), "--export", user]).ok();
    }
    let signer = |who: &str, extra: &[&str]| {
        let words = ["image", "sign", "--tls-verify=false", "--sign-by", who];
        t.rpod(words.iter().chain(extra).copied().chain([name.as_str()])).env("GNUPGHOME", &keys).run()
    };
    let trusts = |who: &str| {
        let rule = json!([{"type": "signedBy", "keyType": "GPGKeys", "keyPath": t.home().join(who)}]);
        policy(t, &json!({"default": [{"type": "reject"}], "transports": {"docker": {host.as_str(): rule}}}))
    };
    trusts("good@example.com")?;
    pull(t, &name).fails(125, &["is rejected", "there is none"]);
    signer("bad@example.com", &[]).ok();
    pull(t, &name).fails(125, &["not made with the key"]);
    signer("good@example.com", &[]).ok();
    pull(t, &name).ok();
    // Every key of a file of several counts, with what is written around them; so do several files.
    let read = |who: &str| std::fs::read_to_string(t.home().join(who));
    let (good, bad) = (read("good@example.com")?, read("bad@example.com")?);
    t.write("home/both", format!("two keys: good's is the second\r\n{bad}\nand\n{}", good.replace('\n', "\r\n")))?;
    t.write("home/twice", format!("{bad}{bad}"))?;
    t.write("home/cut", format!("{bad}{}", &good[..good.len() / 2]))?;
    t.write("home/none", "no key at all\n")?;
    trusts("both")?;
    pull(t, &name).ok();
    for (file, why) in [("cut", "damaged"), ("none", "no public key")] {
        trusts(file)?;
        pull(t, &name).fails(125, &[why]);
    }
    let paths: Vec<_> = ["twice", "good@example.com"].iter().map(|who| t.home().join(who)).collect();
    let rule = json!([{"type": "signedBy", "keyType": "GPGKeys", "keyPaths": paths}]);
    policy(t, &json!({"default": [{"type": "reject"}], "transports": {"docker": {host.as_str(): rule}}}))?;
    pull(t, &name).ok();
    // A key that was revoked, or has expired, signs nothing any more; what is needed has to be as good as its key.
    let expired = ["--faked-system-time", "20240101T000000", "--passphrase", "", "--pinentry-mode", "loopback"];
    gpg(&[&expired[..], &["--quick-gen-key", "old@example.com", "ed25519", "sign", "30d"]].concat()).ok();
    gpg(&[
        "--passphrase",
        "",
        "--pinentry-mode",
        "loopback",
        "--quick-gen-key",
        "lost@example.com",
        "ed25519",
        "sign",
        "never",
    ])
    .ok();
    signer("lost@example.com", &[]).ok();
    let base = t.home().join(".local/share/containers/sigstore/x");
    let place = std::fs::read_dir(&base)?.flatten().next().unwrap().path();
    let payload = gpg(&["--decrypt", place.join("signature-2").to_str().unwrap()]).ok().to_owned();
    t.write("home/payload", &payload)?;
    let (payload, output) = (t.home().join("payload"), place.join("signature-4"));
    let args =
        ["--local-user", "old@example.com", "--output", output.to_str().unwrap(), "--sign", payload.to_str().unwrap()];
    gpg(&[&["--faked-system-time", "20240102T000000"], &args[..]].concat()).ok();
    let revocations = keys.join("openpgp-revocs.d");
    let script = format!(
        "f=$(gpg --batch --with-colons --list-keys lost@example.com | sed -n 's/^fpr:*\\([0-9A-F]*\\):/\\1/p' | head -1); \
         sed 's/^:---/---/' {}/$f.rev | gpg --batch --quiet --import",
        revocations.display()
    );
    t.script(&script).env("GNUPGHOME", &keys).run().ok();
    for (user, why) in [("old@example.com", "has expired"), ("lost@example.com", "has been revoked")] {
        gpg(&["--armor", "--output", t.home().join(user).to_str().unwrap(), "--export", user]).ok();
        trusts(user)?;
        pull(t, &name).fails(125, &[why]);
    }
    trusts("good@example.com")?;
    // The signature is for this tag.
    Image::busybox()?.push(&registry, "x/y", "2", Manifest::Oci)?;
    pull(t, &format!("{host}/x/y:2")).fails(125, &["for the name"]);
    // A push signs what it has pushed, for the name that it has there.
    let signed = format!("{host}/signed/s:1");
    let push = |key: &str, target: &str| {
        let words = ["push", "-q", "--tls-verify=false", "--sign-by", key, image, target];
        t.rpod(words).env("GNUPGHOME", &keys).run()
    };
    push("nobody@example.com", &signed).fails(125, &["gpg cannot sign"]);
    pull(t, &signed).code(125);
    push("good@example.com", "dir:o").fails(125, &["only what is pushed to a registry can be signed"]);
    push("good@example.com", &signed).ok();
    pull(t, &signed).ok();
    push("bad@example.com", &format!("{host}/signed/b:1")).ok();
    pull(t, &format!("{host}/signed/b:1")).fails(125, &["not made with the key"]);
    // From elsewhere, through registries.d; damaged ones count for nothing.
    let own = t.home().join(".local/share/containers/sigstore");
    std::fs::rename(&own, t.home().join("moved"))?;
    let files = t.home().join("moved");
    let server = Server::start(move |request| {
        let path = request.path().replace("%40", "@").replace("%3D", "=");
        match std::fs::read(files.join(path.trim_start_matches('/'))) {
            Ok(content) => Response::new(200).body(content),
            Err(_) => Response::new(404),
        }
    });
    pull(t, &name).fails(125, &["there is none"]);
    let config = format!("docker:\n  {host}:\n    lookaside: http://{}\n", server.host());
    t.write("home/.config/containers/registries.d/own.yaml", config)?;
    pull(t, &name).ok();
    signer("good@example.com", &[]).fails(125, &["cannot be written"]);
    let elsewhere = t.mkdir("home/signatures")?;
    signer("good@example.com", &["--directory", elsewhere.to_str().unwrap()]).ok();
    let config = format!("default-docker:\n  lookaside: file://{}\n", elsewhere.display());
    t.write("home/.config/containers/registries.d/own.yaml", config)?;
    pull(t, &name).ok();
    let file = std::fs::read_dir(elsewhere.join("x"))?.flatten().next().unwrap().path().join("signature-1");
    let mut content = std::fs::read(&file)?;
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(&file, content)?;
    pull(t, &name).fails(125, &["is rejected"]);
    signer("nobody@example.com", &[]).fails(125, &["gpg cannot sign"]);
    t.program("gpgconf", ["--kill", "all"]).env("GNUPGHOME", &keys).run().ok();
    Ok(())
}

fn rejects(t: &Sandbox) -> Outcome {
    let registry = Registry::plain()?;
    super::pull::configure(t, registry)?;
    let host = registry.host();
    let image = t.busybox()?;
    rpod!(t, "save", "-q", "-o", "a.tar", image).run().ok();
    rpod!(t, "push", "-q", image, "oci:o:x").run().ok();
    rpod!(t, "rmi", "-af").run().ok();
    t.write("home/fs.tar", &Image::busybox()?.layers[0].tar)?;
    t.write("home/context/Dockerfile", "FROM scratch\nADD fs.tar /\nRUN echo ran >/ran\n")?;
    t.write("home/context/fs.tar", &Image::busybox()?.layers[0].tar)?;
    policy(
        t,
        &json!({
            "default": [{"type": "reject"}],
            "transports": {
                "docker": {format!("{host}/library/busybox:oci"): [{"type": "insecureAcceptAnything"}]},
                "oci": {t.home().to_str().unwrap(): [{"type": "insecureAcceptAnything"}]},
            },
        }),
    )?;
    let digest = sha256(&Image::busybox()?.manifest(Manifest::Oci).0);
    for (words, accepted) in [
        (vec!["pull", "-q", "busybox"], false),
        (vec!["pull", "-q", &format!("{host}/library/busybox:docker")], false),
        (vec!["pull", "-q", &format!("{host}/library/busybox:oci")], true),
        (vec!["pull", "-q", &format!("{host}/library/busybox@{digest}")], false),
        (vec!["load", "-q", "-i", "a.tar"], false),
        (vec!["pull", "-q", "docker-archive:a.tar"], false),
        (vec!["pull", "-q", "oci:o:x"], true),
        (vec!["load", "-q", "-i", "o"], true),
        (vec!["run", "--rm", "builtin:hello"], true),
        // What is here may be worked with, as Podman allows it; a root file system is brought in.
        (vec!["import", "-q", "fs.tar", "localhost/fs"], false),
        (vec!["build", "-q", "-t", "built", "context"], true),
        (vec!["create", "--name=c", "built", "true"], true),
        (vec!["commit", "-q", "c", "committed"], true),
        (vec!["push", "-q", "committed", "dir:pushed"], true),
    ] {
        let out = t.rpod(&words).run();
        if accepted {
            out.ok();
        } else {
            out.fails(125, &["rejected by the signature policy", "policy.json"]);
        }
    }
    // Another policy for one command.
    let open = t.write("home/open.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#)?;
    let shut = t.write("home/shut.json", r#"{"default":[{"type":"reject"}]}"#)?;
    let by = |policy: &std::path::Path| format!("--signature-policy={}", policy.display());
    for words in [
        &["pull", "-q", "busybox"][..],
        &["pull", "-q", "oci:o:x"],
        &["load", "-q", "-i", "a.tar"],
        &["load", "-q", "-i", "o"],
        &["import", "-q", "fs.tar"],
    ] {
        let run = |policy: &std::path::Path| t.rpod(words.iter().copied().chain([by(policy).as_str()])).run();
        run(&open).ok();
        run(&shut).fails(125, &["rejected by the signature policy", "shut.json"]);
        run(std::path::Path::new("/nosuch.json")).fails(125, &["/nosuch.json"]);
    }
    // What is not understood whole lets nothing in, each refused by Podman too.
    let accept = r#"[{"type":"insecureAcceptAnything"}]"#;
    for bad in [
        "{".to_owned(),
        "{}".to_owned(),
        r#"{"default":[]}"#.to_owned(),
        r#"{"default":[{"type":"signedBaseLayer"}]}"#.to_owned(),
        format!(r#"{{"default":{accept},"default":{accept}}}"#),
        format!(r#"{{"default":{accept},"more":1}}"#),
        r#"{"default":[{"type":"insecureAcceptAnything","x":1}]}"#.to_owned(),
        r#"{"default":[["insecureAcceptAnything"]]}"#.to_owned(),
        format!(r#"[{accept},{{}}]"#),
        format!(r#"{{"default":{accept},"transports":{{"docker":{{}},"docker":{{}}}}}}"#),
        format!(r#"{{"default":{accept},"transports":{{"docker":{{"R":{accept},"R":{accept}}}}}}}"#),
        format!(r#"{{"default":{accept},"transports":{{"oci":{{"relative":{accept}}}}}}}"#),
        format!(r#"{{"default":{accept},"transports":{{"tarball":{{"/x":{accept}}}}}}}"#),
    ] {
        t.write("home/.config/containers/policy.json", &bad)?;
        let out = rpod!(t, "pull", "-q", "oci:o:x").run();
        assert!(out.code == Some(125) && out.stderr.contains("policy.json"), "{bad}: {out}");
    }
    t.write("home/.config/containers/policy.json", format!(r#"{{"default":{accept}}}"#))?;
    rpod!(t, "import", "-q", "fs.tar", "localhost/fs").run().ok();
    Ok(())
}

/// Scopes that are paths hold for `load` as for `pull`.
fn places_of_archives(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    t.write("home/shut/.keep", "")?;
    t.write("home/open/.keep", "")?;
    rpod!(t, "push", "-q", image, "oci-archive:shut/a.tar:localhost/a:1").run().ok();
    rpod!(t, "push", "-q", image, "oci-archive:open/a.tar:localhost/a:1").run().ok();
    rpod!(t, "push", "-q", image, "docker-archive:shut/d.tar:localhost/d:1").run().ok();
    std::os::unix::fs::symlink("../shut/a.tar", t.home().join("open/link.tar"))?;
    let accept = json!([{"type": "insecureAcceptAnything"}]);
    for scope in ["shut", "shut/a.tar"] {
        let place = t.home().join(scope);
        policy(
            t,
            &json!({
                "default": accept,
                "transports": {"oci-archive": {place.to_str().unwrap(): [{"type": "reject"}]}},
            }),
        )?;
        for (file, accepted) in
            [("shut/a.tar", false), ("open/link.tar", false), ("open/a.tar", true), ("shut/d.tar", true)]
        {
            let out = rpod!(t, "load", "-q", "-i", file).run();
            if accepted {
                out.ok();
            } else {
                out.fails(125, &["rejected by the signature policy", "policy.json"]);
                rpod!(t, "pull", "-q", format!("oci-archive:{file}")).run().fails(125, &["rejected"]);
            }
        }
    }
    policy(t, &json!({"default": accept, "transports": {"docker-archive": {"": [{"type": "reject"}]}}}))?;
    rpod!(t, "load", "-q", "-i", "shut/d.tar").run().fails(125, &["rejected by the signature policy"]);
    rpod!(t, "load", "-q", "-i", "shut/a.tar").run().ok();
    Ok(())
}

/// Requirements that policies may have and rpod cannot check refuse the images of their scope, and no others.
fn what_cannot_be_checked(t: &Sandbox) -> Outcome {
    let registry = Registry::plain()?;
    let host = registry.host();
    let name = format!("{host}/library/busybox:oci");
    let fulcio = json!({"caPath": "/c", "oidcIssuer": "https://issuer.example", "subjectEmail": "a@b.example"});
    for (rule, reason) in [
        (json!({"type": "sigstoreSigned", "fulcio": fulcio, "rekorPublicKeyPath": "/k"}), "fulcio"),
        (json!({"type": "sigstoreSigned", "pki": {"caRootsPath": "/c", "subjectEmail": "a@b.example"}}), "pki"),
        (json!({"type": "sigstoreSigned", "keyPath": "/k", "rekorPublicKeyPath": "/r"}), "rekorPublicKey"),
        (json!({"type": "signedBaseLayer", "baseLayerIdentity": {"type": "matchExact"}}), "signedBaseLayer"),
        (json!({"type": "signedBy", "keyType": "signedByGPGKeys", "keyPath": "/k"}), "signedByGPGKeys"),
    ] {
        let accept = json!([{"type": "insecureAcceptAnything"}]);
        let of = |scope: &str| json!({"default": accept, "transports": {"docker": {scope: [accept[0], rule]}}});
        policy(t, &of("other.example"))?;
        pull(t, &name).ok();
        policy(t, &of(&host))?;
        pull(t, &name).fails(125, &["is rejected", reason, "policy.json"]);
        rpod!(t, "images", "-q").run().lines_are(&[]);
        rpod!(t, "image", "trust", "show").run().prints(&host);
    }
    Ok(())
}

fn show_and_set(t: &Sandbox) -> Outcome {
    t.write("home/k.pub", "key")?;
    let set = |words: &[&str]| t.rpod(["image", "trust", "set"].iter().chain(words).copied()).run();
    set(&["-t", "reject", "default"]).ok();
    set(&["-t", "accept", "docker.io/library"]).ok();
    set(&["-t", "sigstoreSigned", "-f", "k.pub", "reg.example:5000"]).ok();
    set(&["-f", "k.pub", "-f", "k.pub", "gpg.example/team"]).ok();
    set(&["-t", "reject", "docker.io/library"]).ok();
    set(&["gpg.example"]).fails(125, &["--pubkeysfile"]);
    set(&["-f", "nosuch.pub", "gpg.example"]).fails(125, &["nosuch.pub"]);
    set(&["-t", "reject", "UPPER CASE"]).code(125);
    set(&["-t", "reject"]).fails(125, &["default"]);
    let shown = rpod!(t, "image", "trust", "show").run().ok().to_owned();
    let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["TRANSPORT", "NAME", "TYPE", "ID", "STORE"]);
    assert_eq!(rows[1], ["all", "default", "reject"]);
    assert_eq!(rows[2], ["repository", "docker.io/library", "reject"]);
    assert_eq!(rows[3][..3], ["repository", "gpg.example/team", "signed"]);
    assert_eq!(rows[5][..3], ["repository", "reg.example:5000", "sigstoreSigned"]);
    let list = rpod!(t, "image", "trust", "show", "--json").run().json();
    assert_eq!(list[0], json!({"transport": "all", "name": "* (default)", "repo_name": "default", "type": "reject"}));
    rpod!(t, "image", "trust", "show", "docker.io/library/alpine:3").run().prints("reject");
    let raw = rpod!(t, "image", "trust", "show", "--raw").run().json();
    assert_eq!(raw["transports"]["docker"]["gpg.example/team"].as_array().unwrap().len(), 2);
    Ok(())
}
