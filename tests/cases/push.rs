//! `rpod push` to Debian's registry, read back by rpod and by Skopeo; and to registries that misbehave.

use crate::support::{
    Compression, FakeRegistry, Image, Manifest, Need, Outcome, Registry, Response, Sandbox, Stop, Tarball, Trial,
    UploadServer, User, for_each_user, need, rpod, sha256, trial,
};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("push::comes_back", comes_back);
    trials.extend(vec![
        trial("push::skopeo_reads_every_format", User::Sub, skopeo_reads),
        trial("push::nothing_twice", User::Sub, nothing_twice),
        trial("push::keeps_digests", User::Sub, keeps_digests),
        trial("push::copies_from_where_it_came", User::Sub, copies_from_where_it_came),
        trial("push::a_base_is_not_sent_again", User::Sub, a_base_is_not_sent_again),
        trial("push::of_what_skopeo_pushed", User::Sub, of_what_skopeo_pushed),
        trial("push::where_to", User::Sub, where_to),
        trial("push::refuses", User::Sub, refuses),
        trial("push::in_parts_that_break", User::Sub, in_parts_that_break),
        trial("push::busy", User::Sub, |t| {
            let image = t.busybox()?;
            for status in [429, 502, 503] {
                let server = UploadServer::start(move |_, answer, before| {
                    if before == 0 { Response::new(status).header("Retry-After", "1") } else { answer }
                });
                rpod!(t, "push", "-q", "--tls-verify=false", image, format!("{}/x/y", server.host())).run().ok();
                assert!(server.manifest("latest").is_some());
            }
            Ok(())
        }),
        trial("push::uploads_elsewhere_get_no_credentials", User::Sub, uploads_elsewhere),
        trial("push::a_registry_that_keeps_something_else", User::Sub, |t| {
            let image = t.busybox()?;
            let server = UploadServer::start(|request, answer, _| match request.path().contains("/manifests/") {
                true => Response::new(201).header("Docker-Content-Digest", sha256(b"other")),
                false => answer,
            });
            rpod!(t, "push", "-q", "--tls-verify=false", image, format!("{}/x/y", server.host()))
                .run()
                .fails(125, &["wrong digest"]);
            Ok(())
        }),
    ]);
    trials
}

/// Incompressible, so that parts of an upload are what they seem.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 7u64;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as u8
        })
        .collect()
}

/// Another store of the same user.
fn elsewhere(t: &Sandbox) -> Result<String, Stop> {
    Ok(t.mkdir("home/elsewhere")?.to_str().unwrap().to_owned())
}

fn push(t: &Sandbox, args: &[&str]) -> String {
    let digest = t.home().join("digest");
    let words = ["push", "-q", "--tls-verify=false", "--digestfile", digest.to_str().unwrap()];
    t.rpod(words.iter().chain(args)).run().ok();
    std::fs::read_to_string(digest).unwrap()
}

fn comes_back(t: &Sandbox) -> Outcome {
    let registry = Registry::empty()?;
    let image = t.busybox()?;
    let name = format!("{}/team/app:1", registry.host());
    rpod!(t, "tag", image, &name).run().ok();
    let digest = push(t, &[&name]);
    let id = rpod!(t, "image", "inspect", "--format", "{{.Id}}", image).run().ok().to_owned();
    let other = elsewhere(t)?;
    let pulled = rpod!(t, "--root", &other, "pull", "-q", "--tls-verify=false", &name).run().ok().to_owned();
    assert_eq!(pulled, id);
    rpod!(t, "--root", &other, "image", "inspect", "--format", "{{.Digest}}", &name).run().lines_are(&[&digest]);
    let show = rpod!(t, "--root", &other, "run", "--rm", "--network=none", &name, "cat", "/var/www/index.html").run();
    show.lines_are(&["hello from busybox"]);
    // Owners travel, also those that this user cannot give to files.
    let list = "stat -c %u:%g /home/alice/note 2>/dev/null || true";
    if t.user() == User::Sub {
        rpod!(t, "--root", &other, "run", "--rm", "--network=none", &name, "sh", "-c", list)
            .run()
            .lines_are(&["1000:1000"]);
    }
    rpod!(t, "events", "--stream=false", "--filter", "event=push", "--format", "{{.Name}}").run().lines_are(&[&name]);
    Ok(())
}

fn skopeo(t: &Sandbox, args: &[&str]) -> crate::support::Output {
    t.program("skopeo", args.iter().copied()).run()
}

fn skopeo_reads(t: &Sandbox) -> Outcome {
    need([Need::Skopeo])?;
    let registry = Registry::empty()?;
    let image = t.busybox()?;
    for (number, (flags, manifest, layer)) in [
        (&[][..], Manifest::DockerSchema2.media_type(), "diff.tar.gzip"),
        (&["--format", "oci"], Manifest::Oci.media_type(), "tar+gzip"),
        (&["--format", "v2s2"], Manifest::DockerSchema2.media_type(), "diff.tar.gzip"),
        (&["--compression-format", "zstd"], Manifest::Oci.media_type(), "tar+zstd"),
        (&["--compression-format", "gzip", "--compression-level", "9"], Manifest::DockerSchema2.media_type(), "gzip"),
        (
            &["--compression-format", "zstd", "--compression-level", "19", "--format", "oci"],
            Manifest::Oci.media_type(),
            "zstd",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("{}/x/y:{number}", registry.host());
        let words: Vec<&str> = flags.iter().copied().chain([image, name.as_str()]).collect();
        let digest = push(t, &words);
        let source = format!("docker://{name}");
        let raw = skopeo(t, &["inspect", "--raw", "--tls-verify=false", &source]);
        assert_eq!(sha256(&raw.stdout_bytes), digest);
        let parsed = raw.json();
        assert_eq!(parsed["mediaType"], manifest, "{flags:?}");
        let found = parsed["layers"][0]["mediaType"].as_str().unwrap();
        assert!(found.ends_with(layer), "{flags:?}: {found}");
        // Copying reads every byte and checks every digest.
        let target = format!("dir:{}/copy{number}", t.home().display());
        skopeo(t, &["copy", "-q", "--src-tls-verify=false", "--insecure-policy", &source, &target]).ok();
    }
    Ok(())
}

fn nothing_twice(t: &Sandbox) -> Outcome {
    let registry = Registry::empty()?;
    let host = registry.host();
    let image = t.busybox()?;
    push(t, &[image, &format!("{host}/one/app")]);
    assert_eq!(registry.uploads(), 2, "a layer and a config");
    push(t, &[image, &format!("{host}/one/app:again")]);
    assert_eq!(registry.uploads(), 2, "{:?}", registry.requests());
    // Another repository of the same registry: the layer is mounted, only the config is sent.
    push(t, &[image, &format!("{host}/two/app")]);
    assert_eq!(registry.uploads(), 3, "{:?}", registry.requests());
    assert!(registry.requests().iter().any(|r| r.contains("mount=") && r.ends_with(" 201")));
    // Without any memory of a push, the name says where the image came from.
    let other = elsewhere(t)?;
    rpod!(t, "--root", &other, "pull", "-q", "--tls-verify=false", format!("{host}/two/app")).run().ok();
    let name = format!("{host}/three/app");
    rpod!(t, "--root", &other, "push", "-q", "--tls-verify=false", format!("{host}/two/app"), &name).run().ok();
    assert_eq!(registry.uploads(), 4, "{:?}", registry.requests());
    // A mount that is declined is an upload.
    let server = UploadServer::start(|request, answer, _| match request.path().starts_with("/v2/b/") {
        true if request.method == "HEAD" => Response::new(404),
        _ => answer,
    });
    let (a, b) = (format!("{}/a/a", server.host()), format!("{}/b/b", server.host()));
    push(t, &[image, &a]);
    push(t, &[image, &b]);
    assert!(server.server.requests().iter().any(|r| r.target.contains("mount=")));
    Ok(())
}

/// A pulled image keeps its manifest wherever its layers can be made again.
fn keeps_digests(t: &Sandbox) -> Outcome {
    let (one, two) = (Registry::empty()?, Registry::empty()?);
    let image = Image::busybox()?.layer(Tarball::new().file("more", 0o644, noise(3 << 20)).finish(), Compression::None);
    let mut plain = image.clone();
    plain.layers[0].compression = Compression::None;
    let plain_digest = plain.push(&one, "x/plain", "latest", Manifest::Oci)?;
    let name = format!("{}/x/plain", one.host());
    rpod!(t, "pull", "-q", "--tls-verify=false", &name).run().ok();
    assert_eq!(push(t, &[&name, &format!("{}/x/plain", two.host())]), plain_digest);
    // Compressed by rpod, at levels that nobody tells it.
    for (tag, flags) in [("gzip", &["--compression-format", "gzip"][..]), ("zstd", &["--compression-format", "zstd"])] {
        let name = format!("{}/x/y:{tag}", one.host());
        let words: Vec<&str> = flags.iter().copied().chain([image_name(t, &plain)?, name.as_str()]).collect();
        let digest = push(t, &words);
        let other = elsewhere(t)?;
        rpod!(t, "--root", &other, "pull", "-q", "--tls-verify=false", &name).run().ok();
        let file = t.home().join("other-digest");
        let target = format!("{}/x/y:{tag}", two.host());
        rpod!(t, "--root", &other, "push", "-q", "--tls-verify=false", "--digestfile", &file, &name, target).run().ok();
        assert_eq!(std::fs::read_to_string(file)?, digest, "{tag}");
        // To another repository of the same registry byte for byte, whoever compressed it.
        rpod!(t, "--root", &other, "rmi", "-af").run().ok();
    }
    let foreign = image.push(&one, "x/foreign", "latest", Manifest::DockerSchema2)?;
    let name = format!("{}/x/foreign", one.host());
    rpod!(t, "pull", "-q", "--tls-verify=false", &name).run().ok();
    assert_eq!(push(t, &[&name, &format!("{}/y/foreign", one.host())]), foreign);
    Ok(())
}

/// What another compressor made keeps its digest as long as somebody has it.
fn copies_from_where_it_came(t: &Sandbox) -> Outcome {
    let (one, two, three) = (Registry::empty()?, Registry::empty()?, Registry::empty()?);
    let image = Image::busybox()?.layer(Tarball::new().file("more", 0o644, noise(3 << 20)).finish(), Compression::Zstd);
    let conf = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", one.host());
    t.write("home/.config/containers/registries.conf", conf)?;
    for (tag, manifest) in [("oci", Manifest::Oci), ("docker", Manifest::DockerSchema2)] {
        let mut image = image.clone();
        if manifest == Manifest::DockerSchema2 {
            image.layers.pop();
        }
        let digest = image.push(&one, "x/foreign", tag, manifest)?;
        let name = format!("{}/x/foreign:{tag}", one.host());
        rpod!(t, "pull", "-q", &name).run().ok();
        assert_eq!(push(t, &[&name, &format!("{}/y/foreign:{tag}", two.host())]), digest);
    }
    // Back where it came from, and there is nobody to ask: it arrives, compressed by rpod.
    let host = one.host();
    drop(one);
    let name = format!("{host}/x/foreign:oci");
    let digest = push(t, &[&name, &format!("{}/y/foreign", three.host())]);
    let other = elsewhere(t)?;
    let pulled = format!("{}/y/foreign", three.host());
    rpod!(t, "--root", &other, "pull", "-q", "--tls-verify=false", &pulled).run().ok();
    rpod!(t, "--root", &other, "image", "inspect", "--format", "{{.Digest}}", &pulled).run().lines_are(&[&digest]);
    // A copy that turns out wrong is noticed, and the layer made here.
    let bad = FakeRegistry::of("x/y", &image).serve(|request, answer, before| {
        let layer = request.path().contains("/blobs/") && answer.body.len() > 1 << 20;
        let mut answer = answer;
        if layer && request.method == "GET" && before > 0 {
            answer.body[1 << 20] ^= 1;
        }
        answer
    });
    let conf = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", bad.host());
    t.write("home/.config/containers/registries.conf", conf)?;
    let name = format!("{}/x/y", bad.host());
    rpod!(t, "rmi", "-af").run().ok();
    rpod!(t, "pull", "-q", &name).run().ok();
    let empty = Registry::empty()?;
    let target = format!("{}/y/bad", empty.host());
    let out = rpod!(t, "push", "--tls-verify=false", &name, &target).run();
    out.ok();
    assert!(out.stderr.contains("compressed anew") && out.stderr.contains("wrong digest"), "{out}");
    rpod!(t, "rmi", "-af").run().ok();
    rpod!(t, "pull", "-q", "--tls-verify=false", &target).run().ok();
    Ok(())
}

/// The layers of a base image that came from the same registry are borrowed, however it was compressed.
fn a_base_is_not_sent_again(t: &Sandbox) -> Outcome {
    let registry = Registry::empty()?;
    let base = format!("{}/base/b", registry.host());
    Image::busybox()?.push(&registry, "base/b", "latest", Manifest::Oci)?;
    rpod!(t, "pull", "-q", "--tls-verify=false", &base).run().ok();
    rpod!(t, "run", "--name", "c", "--network=none", &base, "touch", "/made").run().ok();
    rpod!(t, "commit", "-q", "c", "localhost/made").run().ok();
    let before = registry.uploads();
    push(t, &["localhost/made", &format!("{}/own/made", registry.host())]);
    assert_eq!(registry.uploads() - before, 2, "a layer and a config: {:?}", registry.requests());
    Ok(())
}

/// Loads an image; its name.
fn image_name(t: &Sandbox, image: &Image) -> Result<&'static str, Stop> {
    let file = t.write("home/image.tar", image.docker_archive(&["localhost/own:1"]))?;
    rpod!(t, "load", "-q", "-i", file).run().ok();
    Ok("localhost/own:1")
}

fn of_what_skopeo_pushed(t: &Sandbox) -> Outcome {
    need([Need::Skopeo])?;
    let registry = Registry::empty()?;
    let archive = t.write("home/busybox.tar", Image::busybox()?.docker_archive(&["localhost/b:1"]))?;
    let source = format!("docker-archive:{}", archive.display());
    for (number, flags) in [
        &["--format", "oci"][..],
        &["--format", "v2s2"],
        &["--format", "oci", "--dest-compress-format", "zstd", "--dest-compress-level", "1"],
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("{}/s/s:{number}", registry.host());
        let target = format!("docker://{name}");
        let words = ["copy", "-q", "--insecure-policy", "--dest-tls-verify=false"];
        let words: Vec<&str> = words.iter().chain(flags).copied().chain([source.as_str(), target.as_str()]).collect();
        skopeo(t, &words).ok();
        rpod!(t, "pull", "-q", "--tls-verify=false", &name).run().ok();
        rpod!(t, "run", "--rm", "--network=none", &name, "echo", "runs").run().lines_are(&["runs"]);
        // And it comes out as it came, in another repository of the same registry.
        let raw = skopeo(t, &["inspect", "--raw", "--tls-verify=false", &target]);
        let digest = push(t, &[&name, &format!("{}/t/t:{number}", registry.host())]);
        assert_eq!(digest, sha256(&raw.stdout_bytes), "{flags:?}");
    }
    Ok(())
}

fn where_to(t: &Sandbox) -> Outcome {
    let registry = Registry::empty()?;
    let image = t.busybox()?;
    let id = rpod!(t, "image", "inspect", "--format", "{{.Id}}", image).run().ok().to_owned();
    rpod!(t, "push", &id).run().fails(125, &["destination"]);
    let out = rpod!(t, "push", "--tls-verify=false", &id, format!("docker://{}/by/id", registry.host())).run();
    assert_eq!(out.ok(), "", "progress goes to stderr");
    assert!(out.stderr.contains("Writing manifest to image destination"), "{out}");
    // registries.conf decides about TLS, blocks, and rewrites; mirrors are not pushed to.
    let host = registry.host();
    let conf = format!(
        "[[registry]]\nprefix = \"reg.example/team\"\nlocation = \"{host}/moved\"\ninsecure = true\n\
         [[registry.mirror]]\nlocation = \"127.0.0.1:1/mirror\"\n\
         [[registry]]\nlocation = \"blocked.example\"\nblocked = true\n"
    );
    t.write("home/.config/containers/registries.conf", conf)?;
    rpod!(t, "push", "-q", image, "reg.example/team/app:2").run().ok();
    assert!(registry.requests().contains(&"PUT /v2/moved/app/manifests/2 201".to_owned()));
    rpod!(t, "push", "-q", image, "blocked.example/x").run().fails(125, &["blocked"]);
    Ok(())
}

fn refuses(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    for (words, wanted) in [
        (&["nosuch", "h.example/x"][..], "image not known"),
        (&[image, "h.example/UPPER"], "lower case"),
        (&[image, "h.example/x:a\u{7}b"], "not a tag"),
        (&[image, "containers-storage:x"], "not supported"),
        (&["--compression-format", "zstd:chunked", image, "h.example/x"], "zstd:chunked"),
        (&["--compression-format", "xz", image, "h.example/x"], "unknown compression"),
        (&["--compression-level", "10", image, "h.example/x"], "level"),
        (&["--compression-format", "zstd", "--format", "v2s2", image, "h.example/x"], "zstd"),
        (&["--format", "v2s1", image, "h.example/x"], "schema 1"),
        (&["--compress", image, "h.example/x"], "dir:"),
        (&["--retry", "0", image, "127.0.0.1:1/x"], "refused"),
        (&[image, &format!("h.example/x@sha256:{}", "0".repeat(64))], "to a tag"),
    ] {
        let words: Vec<&str> = ["push"].iter().chain(words).copied().collect();
        let out = t.rpod(words).run();
        out.fails(125, &[wanted]);
        assert!(!out.stderr.contains('\u{7}'), "{out}");
    }
    Ok(())
}

/// Several parts; one is lost before, one after the registry has taken it, and the last answer is lost too.
fn in_parts_that_break(t: &Sandbox) -> Outcome {
    let layer = Tarball::new().file("big", 0o644, noise(20 << 20)).finish();
    let image = Image::busybox()?.layer(layer.clone(), Compression::None);
    let name = image_name(t, &image)?;
    let server = UploadServer::start(|request, answer, before| match (request.method.as_str(), before) {
        ("PATCH", 1) => answer.cut_after(0),
        ("PATCH", 3) => Response::new(503).header("Retry-After", "0"),
        ("PUT", 1) if request.path().contains("/uploads/") => answer.cut_after(0),
        _ => answer,
    });
    let target = format!("{}/x/y", server.host());
    rpod!(t, "push", "-q", "--tls-verify=false", "--retry-delay", "10ms", name, &target).run().ok();
    let manifest: serde_json::Value = serde_json::from_slice(&server.manifest("latest").unwrap())?;
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 2);
    let digest = manifest["layers"][1]["digest"].as_str().unwrap();
    let blob = server.blob(digest).expect("the layer came");
    let mut tar = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(blob.as_slice()), &mut tar)?;
    assert!(tar == layer, "the layer is damaged");
    Ok(())
}

fn uploads_elsewhere(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let other = UploadServer::start(|_, answer, _| answer);
    let port = other.server.port();
    for target in [format!("http://localhost:{port}/v2/x/y/blobs/uploads/s1"), "file:///etc/passwd".to_owned()] {
        let location = target.clone();
        let server = UploadServer::start(move |request, answer, _| {
            if request.header("authorization").is_none() {
                return Response::new(401).header("WWW-Authenticate", "Basic realm=\"x\"");
            }
            if request.method == "POST" { Response::new(202).header("Location", location.clone()) } else { answer }
        });
        let name = format!("{}/x/y", server.host());
        let out = rpod!(t, "push", "-q", "--tls-verify=false", "--creds=u:secret", image, &name).run();
        out.code(125);
        assert!(!out.stderr.contains("secret"), "{out}");
    }
    assert!(!other.server.requests().is_empty(), "the upload's location was not used");
    assert!(other.server.requests().iter().all(|request| request.header("authorization").is_none()));
    Ok(())
}
