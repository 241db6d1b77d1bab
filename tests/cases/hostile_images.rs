//! What pushes, imports, commits and archives meet that means no good: refused with a reason, and nothing kept.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    Compression, Image, Outcome, Output, Response, Sandbox, Server, Tarball, Trial, UploadServer, User, gzip, rpod,
    sha256, trial,
};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("hostile_images::registries_that_take", User::Sub, registries_that_take),
        trial("hostile_images::uploads_that_lie", User::Sub, uploads_that_lie),
        trial("hostile_images::imports", User::Sub, imports),
        trial("hostile_images::imports_from_the_net", User::Sub, imports_from_the_net),
        trial("hostile_images::commits", User::Sub, commits),
        trial("hostile_images::layouts", User::Sub, layouts),
        trial("hostile_images::many_images", User::Sub, many_images),
        trial("hostile_images::odd_configs", User::Sub, odd_configs),
    ]
}

fn push(t: &Sandbox, server: &UploadServer, image: &str) -> Output {
    let words = ["push", "-q", "--tls-verify=false", "--retry=1", "--retry-delay=10ms", "--creds=u:secret", image];
    let name = format!("{}/x/y", server.host());
    t.rpod(words.iter().copied().chain([name.as_str()]))
        .env("RPOD_REGISTRY_TIMEOUT", "3")
        .limit(Duration::from_secs(60))
        .run()
}

/// Answers that never end, loops, and refusals in the middle.
fn registries_that_take(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let thief = Server::start(|_| Response::new(200));
    let away = format!("http://localhost:{}/", thief.port());
    type Spoil = fn(&crate::support::Request, Response, &str) -> Response;
    let cases: [(&str, Spoil); 9] = [
        (
            "endless answer to a POST",
            |request, answer, _| if request.method == "POST" { answer.endless() } else { answer },
        ),
        (
            "endless refusal",
            |request, answer, _| if request.method == "PUT" { Response::new(400).endless() } else { answer },
        ),
        (
            "no room",
            |request, answer, _| {
                if request.method == "PUT" { Response::new(413).body("\u{1b}[31mfull") } else { answer }
            },
        ),
        ("manifest refused", |request, answer, _| {
            if request.path().contains("/manifests/") { Response::new(400).body("<html>") } else { answer }
        }),
        ("no location", |request, answer, _| if request.method == "POST" { Response::new(202) } else { answer }),
        ("a location that is none", |request, answer, _| {
            if request.method == "POST" { Response::new(202).header("Location", "ht!tp://[") } else { answer }
        }),
        ("redirected for ever", |request, answer, _| {
            if request.method == "HEAD" { Response::new(307).header("Location", request.path()) } else { answer }
        }),
        ("redirected to a file", |request, answer, _| {
            if request.method == "HEAD" { Response::new(302).header("Location", "file:///etc/passwd") } else { answer }
        }),
        ("upload redirected", |request, answer, away| {
            if request.method == "PUT" { Response::new(307).header("Location", away) } else { answer }
        }),
    ];
    for (what, spoil) in cases {
        let away = away.clone();
        let server = UploadServer::start(move |request, answer, _| {
            if request.header("authorization").is_none() {
                return Response::new(401).header("WWW-Authenticate", "Basic realm=\"x\"");
            }
            spoil(request, answer, &away)
        });
        let out = push(t, &server, image);
        assert!(
            out.code == Some(125) || ["endless answer to a POST", "upload redirected"].contains(&what),
            "{what}: {out}"
        );
        assert!(!out.stderr.contains("secret") && !out.stderr.contains('\u{1b}'), "{what}: {out}");
    }
    assert!(thief.requests().iter().all(|request| request.header("authorization").is_none()), "credentials went along");
    // The image is as it was.
    rpod!(t, "run", "--rm", "--network=none", image, "true").run().ok();
    Ok(())
}

/// A registry that claims to have other bytes of an upload than it was sent.
fn uploads_that_lie(t: &Sandbox) -> Outcome {
    let layer = Tarball::new().file("big", 0o644, super::push::noise(20 << 20)).finish();
    let file =
        t.write("home/image.tar", Image::scratch().layer(layer, Compression::None).docker_archive(&["localhost/big"]))?;
    rpod!(t, "load", "-q", "-i", file).run().ok();
    for range in ["0-999999999999", "0-5", "garbage", "5-4", "0-18446744073709551615"] {
        let server = UploadServer::start(move |request, answer, before| match (request.method.as_str(), before) {
            ("PATCH", 1) => Response::new(500),
            ("GET", _) if request.path().contains("/uploads/") => {
                Response::new(204).header("Location", request.path()).header("Range", range)
            }
            _ => answer,
        });
        push(t, &server, "localhost/big").fails(125, &["upload"]);
    }
    Ok(())
}

fn imports(t: &Sandbox) -> Outcome {
    let victim = t.write("home/victim", "untouched")?;
    let up = format!("{}{}", "../".repeat(20), victim.to_str().unwrap().trim_start_matches('/'));
    let escapes = [
        ("dots", Tarball::new().pax(&[("path", up.as_bytes())]).file("x", 0o644, "overwritten").finish()),
        (
            "link",
            Tarball::new().symlink("d", t.home().to_str().unwrap()).file("d/victim", 0o644, "overwritten").finish(),
        ),
        (
            "hard link",
            Tarball::new()
                .pax(&[("linkpath", up.as_bytes())])
                .hardlink("h", "x")
                .file("h", 0o644, "overwritten")
                .finish(),
        ),
        ("truncated", Image::busybox()?.layers[0].tar[..200_000].to_vec()),
        ("garbage", super::push::noise(5000)),
        ("half a gzip", gzip(&Image::busybox()?.layers[0].tar)[..300_000].to_vec()),
    ];
    for (what, tar) in escapes {
        let out = rpod!(t, "import", "-q", "-", "localhost/bad").stdin(tar).run();
        assert!(out.code == Some(125) || ["link", "garbage"].contains(&what), "{what}: {out}");
        assert_eq!(std::fs::read_to_string(&victim)?, "untouched", "{what}");
        rpod!(t, "rmi", "-af").run().ok();
    }
    // A bomb: three gigabytes of zeros in three megabytes.
    let bomb = "head -c 3000000000 /dev/zero | gzip -1 | rpod import -q - localhost/bomb";
    let out = t.script(bomb).env("RPOD_MAX_LAYER_BYTES", "100000000").run();
    out.fails(125, &["100000000"]);
    for (words, wanted) in [
        (&["-", "localhost/x\u{1b}[31m"][..], "localhost"),
        (&["-", "UPPER"], "lower case"),
        (&["-c", "BOGUS \u{7}x", "-", "x"], "BOGUS"),
        (&["/dev/null/x"], "/dev/null/x"),
    ] {
        let out = t.rpod(["import"].iter().chain(words)).stdin(Tarball::new().finish()).run();
        out.fails(125, &[wanted]);
        assert!(!out.stderr.contains(['\u{1b}', '\u{7}']), "{out}");
    }
    rpod!(t, "images", "-q").run().lines_are(&[]);
    Ok(())
}

fn imports_from_the_net(t: &Sandbox) -> Outcome {
    let tar = Image::busybox()?.layers[0].tar.clone();
    let server = Server::start(move |request| match request.path() {
        "/good.tar" => Response::new(200).body(tar.clone()),
        "/file" => Response::new(302).header("Location", "file:///etc/passwd"),
        "/loop" => Response::new(302).header("Location", "/loop"),
        "/cut" => Response::new(200).body(tar.clone()).cut_after(100_000),
        "/endless" => Response::new(200).body("x").endless(),
        _ => Response::new(404),
    });
    let url = |path: &str| format!("http://{}{path}", server.host());
    rpod!(t, "import", "-q", url("/good.tar"), "localhost/good").run().ok();
    rpod!(t, "run", "--rm", "--network=none", "localhost/good", "busybox", "true").run().ok();
    for path in ["/file", "/loop", "/cut", "/endless", "/nosuch"] {
        let out = rpod!(t, "import", "-q", url(path), "localhost/bad").limit(Duration::from_secs(60)).run();
        out.fails(125, &[]);
        assert!(!out.stderr.contains("root:"), "{out}");
    }
    rpod!(t, "image", "exists", "localhost/bad").run().code(1);
    Ok(())
}

fn commits(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let script = "touch /.wh.x /ok; mkfifo /pipe; ln -s ../../../../etc/passwd /link; \
                  mkdir -p '/odd\n\u{1b}[31m'; touch '/odd\n\u{1b}[31m/file'";
    rpod!(t, "run", "--name=c", "--network=none", image, "sh", "-c", script).run().ok();
    let out = rpod!(t, "commit", "-q", "c", "localhost/bad").run();
    out.fails(125, &["/.wh.x"]);
    assert!(!out.stderr.contains('\u{1b}'), "{out}");
    rpod!(t, "image", "exists", "localhost/bad").run().code(1);
    rpod!(t, "start", "c").run().ok();
    rpod!(t, "run", "--name=d", "--network=none", image, "sh", "-c", script.replace("/.wh.x ", "")).run().ok();
    rpod!(t, "commit", "-q", "d", "localhost/odd").run().ok();
    rpod!(t, "run", "--rm", "--network=none", "localhost/odd", "sh", "-c", "test -p /pipe && ls /odd*")
        .run()
        .lines_are(&["file"]);
    for (words, wanted) in [
        (&["--change", "BOGUS \u{1b}", "d", "x"][..], "BOGUS"),
        (&["d", "a\u{7}b"], "a"),
        (&["d", "../x"], ""),
        (&["nosuch", "x"], "nosuch"),
    ] {
        let out = t.rpod(["commit"].iter().chain(words)).run();
        out.fails(125, &[wanted]);
        assert!(!out.stderr.contains(['\u{1b}', '\u{7}']), "{out}");
    }
    Ok(())
}

/// Indexes within indexes, blobs that are not there, sizes that are wrong, layers elsewhere.
fn layouts(t: &Sandbox) -> Outcome {
    let tar = Tarball::new().file("x", 0o644, "x").finish();
    let image = Image::scratch().layer(tar, Compression::Gzip);
    let (manifest, config, layer) =
        (image.manifest(crate::support::Manifest::Oci).0, image.config_blob(), image.layers[0].blob());
    let kind = crate::support::Manifest::Oci.media_type();
    let index_kind = "application/vnd.oci.image.index.v1+json";
    let index = |kind: &str, digest: &str, size: usize| {
        json!({"schemaVersion": 2, "mediaType": index_kind, "manifests": [{"mediaType": kind, "digest": digest, "size": size,
            "annotations": {"org.opencontainers.image.ref.name": "localhost/x:1"}}]})
        .to_string()
    };
    let layout = |index: &str, blobs: &[&[u8]]| {
        let mut archive = Tarball::new().file("oci-layout", 0o644, r#"{"imageLayoutVersion":"1.0.0"}"#);
        archive = archive.file("index.json", 0o644, index);
        for blob in blobs {
            archive = archive.file(&format!("blobs/sha256/{}", &sha256(blob)[7..]), 0o644, blob);
        }
        archive.finish()
    };
    let inner = index(kind, &sha256(&manifest), manifest.len());
    let good = index(kind, &sha256(&manifest), manifest.len());
    let foreign = serde_json::from_slice::<serde_json::Value>(&manifest).map(|mut value| {
        value["layers"][0]["urls"] = json!(["http://127.0.0.1:1/layer", "file:///etc/passwd"]);
        value["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
        value.to_string().into_bytes()
    })?;
    let mut deep = index(kind, &sha256(&manifest), manifest.len());
    let mut nested: Vec<Vec<u8>> = Vec::new();
    for _ in 0..50 {
        nested.push(deep.clone().into_bytes());
        deep = index(index_kind, &sha256(deep.as_bytes()), deep.len());
    }
    let mut with_nested: Vec<&[u8]> = nested.iter().map(Vec::as_slice).collect();
    with_nested.extend([&manifest[..], &config, &layer]);
    let cases = [
        ("no manifest", layout(&good, &[&config, &layer])),
        ("no config", layout(&good, &[&manifest, &layer])),
        ("no layer", layout(&good, &[&manifest, &config])),
        ("wrong size", layout(&index(kind, &sha256(&manifest), 5), &[&manifest, &config, &layer])),
        ("digest outside", layout(&index(kind, "sha256:../../../../etc/passwd", 5), &[])),
        ("another algorithm", layout(&index(kind, "md5:d41d8cd98f00b204e9800998ecf8427e", 5), &[])),
        ("foreign layer", layout(&index(kind, &sha256(&foreign), foreign.len()), &[&foreign, &config])),
        ("deep", layout(&deep, &with_nested)),
        ("not an image", layout(&index("text/plain", &sha256(b"hello"), 5), &[b"hello"])),
        ("control characters", layout(&good.replace("localhost/x:1", "x\\u001b[31m:1"), &[&manifest, &config, &layer])),
    ];
    for (what, archive) in cases {
        let out = rpod!(t, "load", "-q").stdin(archive).run();
        assert_eq!(out.code, Some(125), "{what}: {out}");
        assert!(!out.stderr.contains('\u{1b}') && !out.stderr.contains("root:"), "{what}: {out}");
        rpod!(t, "images", "-aq").run().lines_are(&[]);
    }
    // One index within another is what buildx writes.
    let nested = index(index_kind, &sha256(inner.as_bytes()), inner.len());
    rpod!(t, "load", "-q").stdin(layout(&nested, &[inner.as_bytes(), &manifest, &config, &layer])).run().ok();
    rpod!(t, "rmi", "-af").run().ok();
    rpod!(t, "load", "-q").stdin(layout(&good, &[&layer, &config, &manifest, &layer, &manifest])).run().ok();
    Ok(())
}

/// A docker archive that names one image a great many times.
fn many_images(t: &Sandbox) -> Outcome {
    let image = Image::busybox()?;
    let names: Vec<String> = (0..300).map(|n| format!("localhost/n{n}:1")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    rpod!(t, "load", "-q").stdin(image.docker_archive(&names)).run().ok();
    assert_eq!(rpod!(t, "images", "--format", "{{.Repository}}").run().ok().lines().count(), 300);
    rpod!(t, "save", "-q", "-m", "-o", "many.tar", names[0], names[1], "builtin:hello")
        .run()
        .fails(125, &["builtin:hello"]);
    rpod!(t, "save", "-q", "-m", "-o", "many.tar", names[0], names[299]).run().ok();
    rpod!(t, "rmi", "-af").run().ok();
    rpod!(t, "load", "-q", "-i", "many.tar").run().ok();
    assert_eq!(rpod!(t, "images", "--format", "{{.Repository}}").run().ok().lines().count(), 2);
    Ok(())
}

/// What Go reads without a word, and Podman 5.4.2 loads and runs: numbers below zero, null for what is empty at any depth.
fn odd_configs(t: &Sandbox) -> Outcome {
    let check =
        |interval| json!({"Test": ["CMD", "true"], "Interval": interval, "Timeout": interval, "Retries": interval});
    for (key, value) in [
        ("StopTimeout", json!(-5)),
        ("StopTimeout", json!(99_999_999_999_u64)),
        ("Healthcheck", check(json!(-5))),
        ("Healthcheck", check(json!(null))),
        ("Healthcheck", json!({"Test": null})),
        ("ExposedPorts", json!({"80/tcp": null})),
        ("Volumes", json!({"/v": null})),
        ("Volumes", json!(null)),
        ("Labels", json!({"a": null})),
        ("Entrypoint", json!([null])),
        ("Entrypoint", json!([""])),
        ("OnBuild", json!(null)),
        ("Shell", json!(null)),
        ("StopSignal", json!(null)),
    ] {
        let image = Image::busybox()?.config(key, value.clone()).config("Cmd", json!(["echo", "ran"]));
        let archive = t.write("home/odd.tar", image.docker_archive(&["localhost/odd:1"]))?;
        let what = format!("{key}: {value}");
        let out = rpod!(t, "load", "-q", "-i", archive).run();
        assert_eq!(out.code, Some(0), "{what}: {out}");
        let out = rpod!(t, "run", "--rm", "--network=none", "odd:1").run();
        assert_eq!((out.code, out.stdout.as_str()), (Some(0), "ran\n"), "{what}: {out}");
        // Its bytes stay what they are.
        rpod!(t, "image", "inspect", "-f", "{{.Id}}", "odd:1").run().lines_are(&[&image.id()[7..]]);
    }
    // What is below zero is kept by what is made from the image.
    let image = Image::busybox()?.config("StopTimeout", json!(-5));
    let archive = t.write("home/odd.tar", image.docker_archive(&["localhost/odd:1"]))?;
    rpod!(t, "load", "-q", "-i", archive).run().ok();
    rpod!(t, "create", "--name=c", "odd:1").run().ok();
    rpod!(t, "commit", "-q", "c", "localhost/of-odd").run().ok();
    let inspected = rpod!(t, "image", "inspect", "localhost/of-odd").run().json();
    assert_eq!(inspected[0]["Config"]["StopTimeout"], -5, "{inspected}");
    Ok(())
}
