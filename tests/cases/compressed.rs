//! Layers kept as they came (`--keep-compressed`): the digests that go out again when nobody else has the bytes any more.

use std::path::PathBuf;

use super::push::noise;
use crate::support::{
    Compression, FakeRegistry, Image, Manifest, Need, Outcome, Registry, Sandbox, Stop, Tarball, Trial, User, need,
    rpod, sha256, trial,
};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("compressed::of_a_registry_that_has_gone", User::Sub, of_a_registry_that_has_gone),
        trial("compressed::of_an_archive", User::NoSub, of_an_archive),
        trial("compressed::into_directories", User::Sub, into_directories),
        trial("compressed::of_gos_compressor", User::Sub, of_gos_compressor),
        trial("compressed::after_a_broken_connection", User::Sub, after_a_broken_connection),
        trial("compressed::space_and_damage", User::Sub, space_and_damage),
    ]
}

/// A small gzip layer, a zstd one, and one of six megabytes.
fn image() -> Result<Image, Stop> {
    let small = Tarball::new().file("small", 0o644, "small\n").finish();
    let large = Tarball::new().file("large", 0o644, noise(6 << 20)).finish();
    Ok(Image::busybox()?.layer(small, Compression::Zstd).layer(large, Compression::Gzip))
}

/// What is kept.
fn kept(t: &Sandbox) -> Vec<PathBuf> {
    let layers = std::fs::read_dir(t.data().join("layers")).into_iter().flatten().flatten();
    let kept = layers.flat_map(|layer| std::fs::read_dir(layer.path().join("compressed")).into_iter().flatten());
    kept.flatten().map(|entry| entry.path()).collect()
}

/// Pushes and answers the digest that the registry has.
fn push(t: &Sandbox, image: &str, to: &Registry) -> String {
    let file = t.home().join("digest");
    let target = format!("{}/to/there", to.host());
    rpod!(t, "push", "-q", "--tls-verify=false", "--digestfile", &file, image, target).run().ok();
    std::fs::read_to_string(file).unwrap()
}

fn of_a_registry_that_has_gone(t: &Sandbox) -> Outcome {
    let (one, two, three) = (Registry::empty()?, Registry::empty()?, Registry::empty()?);
    let digest = image()?.push(&one, "x/y", "latest", Manifest::Oci)?;
    let name = format!("{}/x/y", one.host());
    rpod!(t, "pull", "-q", "--tls-verify=false", &name).run().ok();
    assert_eq!(kept(t), Vec::<PathBuf>::new());
    // The layers are here already: only what is to be kept of them comes.
    let keep = || rpod!(t, "pull", "-q", "--tls-verify=false", "--keep-compressed", &name).run();
    keep().ok();
    assert_eq!(kept(t).len(), 3);
    keep().ok();
    drop(one);
    assert_eq!(push(t, &name, &two), digest);
    // What was built on it has its layers, as they were.
    t.script(&format!("echo 'FROM {name}' >Dockerfile; echo 'RUN echo >/more' >>Dockerfile; rpod build -q -t built ."))
        .run()
        .ok();
    push(t, "built", &three);
    let raw = rpod!(t, "manifest", "inspect", "--tls-verify=false", format!("{}/to/there", three.host())).run().json();
    let (manifest, _) = image()?.manifest(Manifest::Oci);
    let manifest: serde_json::Value = serde_json::from_slice(&manifest)?;
    for number in 0..3 {
        assert_eq!(raw["layers"][number]["digest"], manifest["layers"][number]["digest"], "{raw}");
    }
    // What was asked for once is not what everybody gets.
    let image = t.busybox()?;
    let target = format!("{}/to/busybox", three.host());
    rpod!(t, "push", "-q", "--tls-verify=false", "--compression-format=zstd", image, format!("{target}:z")).run().ok();
    rpod!(t, "push", "-q", "--tls-verify=false", image, format!("{target}:g")).run().ok();
    let raw = rpod!(t, "manifest", "inspect", "--tls-verify=false", format!("{target}:g")).run().json();
    assert!(raw["layers"][0]["mediaType"].as_str().unwrap().ends_with("gzip"), "{raw}");
    // Another form than the one that is kept is made as ever.
    let plain = ["push", "-q", "--compression-format", "zstd", "--force-compression", &name, "oci:other:x"];
    t.rpod(plain).run().ok();
    Ok(())
}

fn of_an_archive(t: &Sandbox) -> Outcome {
    let archive = t.write("home/in.tar", image()?.oci_archive(Some("localhost/a:1")))?;
    rpod!(t, "load", "-q", "-i", &archive).env("RPOD_KEEP_COMPRESSED", "true").run().ok();
    assert_eq!(kept(t).len(), 3);
    let digest = rpod!(t, "image", "inspect", "--format", "{{.Digest}}", "a:1").run().ok().trim().to_owned();
    let is_there = |t: &Sandbox, list: &str| {
        t.script(list).run().prints(&format!("blobs/sha256/{}", &digest[7..]));
    };
    rpod!(t, "save", "-q", "--format", "oci-archive", "-o", "out.tar", "a:1").run().ok();
    is_there(t, "tar -tf out.tar");
    rpod!(t, "save", "-q", "--format", "oci-dir", "-o", "out", "a:1").run().ok();
    is_there(t, "find out");
    rpod!(t, "push", "-q", "a:1", "oci-archive:pushed.tar:a").run().ok();
    is_there(t, "tar -tf pushed.tar");
    // Docker's format has plain layers.
    rpod!(t, "save", "-q", "-o", "docker.tar", "a:1").run().ok();
    let other = t.mkdir("home/other")?;
    for archive in ["out.tar", "docker.tar", "pushed.tar"] {
        rpod!(t, "--root", &other, "load", "-q", "-i", archive).run().ok();
        rpod!(t, "--root", &other, "rmi", "-af").run().ok();
    }
    // And without being asked, nothing is kept.
    rpod!(t, "--root", &other, "load", "-q", "-i", "out").run().ok();
    assert!(t.script("find other -name compressed").run().ok().is_empty());
    let wrong = rpod!(t, "images").env("RPOD_KEEP_COMPRESSED", "maybe").run();
    wrong.fails(125, &["RPOD_KEEP_COMPRESSED is neither true nor false"]);
    Ok(())
}

/// Directories of both kinds have the bytes that came, in manifests of either kind.
fn into_directories(t: &Sandbox) -> Outcome {
    let registry = Registry::empty()?;
    // gzip alone, which Docker's manifests have a word for; and a layer that came as it is.
    let plain = Tarball::new().file("plain", 0o644, "plain\n").finish();
    let image = Image::busybox()?.layer(plain, Compression::None);
    for (tag, kind) in [("oci", Manifest::Oci), ("docker", Manifest::DockerSchema2)] {
        let digest = image.push(&registry, "x/y", tag, kind)?;
        let (manifest, blobs) = image.manifest(kind);
        let name = format!("{}/x/y:{tag}", registry.host());
        let is_docker = tag == "docker";
        let whole = |dir: &str, same_manifest: bool, flags: &str| {
            let written = std::fs::read(t.home().join(dir).join("manifest.json")).unwrap();
            assert_eq!(written == manifest, same_manifest, "{dir} {flags}: {}", String::from_utf8_lossy(&written));
            for blob in &blobs {
                let file = t.home().join(dir).join(&sha256(blob)[7..]);
                assert!(std::fs::read(&file).is_ok_and(|found| found == *blob), "{dir} {flags}: {}", file.display());
            }
            t.script(&format!("rm -rf {dir}")).run().ok();
        };
        // Without the bytes, the layers are written as their tars.
        rpod!(t, "pull", "-q", "--tls-verify=false", &name).run().ok();
        rpod!(t, "push", "-q", &name, "dir:made").run().ok();
        assert!(std::fs::read(t.home().join("made/manifest.json"))? != manifest);
        rpod!(t, "pull", "-q", "--tls-verify=false", "--keep-compressed", &name).run().ok();
        rpod!(t, "push", "-q", "--digestfile=digest", &name, "dir:d").run().ok();
        assert_eq!(std::fs::read_to_string(t.home().join("digest"))?, digest);
        whole("d", true, "push");
        rpod!(t, "save", "-q", "--format=docker-dir", "-o", "d", &name).run().ok();
        whole("d", is_docker, "save");
        rpod!(t, "push", "-q", &name, "oci:o:x").run().ok();
        rpod!(t, "save", "-q", "--format=oci-dir", "-o", "s", &name).run().ok();
        for layout in ["o", "s"] {
            for blob in &blobs {
                assert!(
                    t.home().join(layout).join("blobs/sha256").join(&sha256(blob)[7..]).exists(),
                    "{layout} of {tag}"
                );
            }
            let there = t.home().join(layout).join("blobs/sha256").join(&digest[7..]).exists();
            assert_eq!(there, !is_docker, "{layout} of {tag}");
        }
        t.script("rm -rf o s made; rpod rmi -af").run().ok();
    }
    Ok(())
}

/// Skopeo compresses as Podman, Buildah and Docker do.
fn of_gos_compressor(t: &Sandbox) -> Outcome {
    need([Need::Skopeo])?;
    let (one, two, three) = (Registry::empty()?, Registry::empty()?, Registry::empty()?);
    let layer = Tarball::new().file("text", 0o644, "to be and not to be\n".repeat(90_000)).finish();
    let plain = Image::busybox()?.layer(layer, Compression::None);
    t.write("home/in.tar", plain.docker_archive(&["localhost/b:1"]))?;
    let skopeo = |words: &[&str]| t.program("skopeo", words.iter().copied()).run().ok().trim().to_owned();
    let name = format!("{}/go/made", one.host());
    let target = format!("docker://{name}");
    let insecure = ["copy", "-q", "--insecure-policy", "--dest-tls-verify=false"];
    skopeo(&[&insecure[..], &["docker-archive:in.tar", &target]].concat());
    let digest = skopeo(&["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &target]);
    let other = t.mkdir("home/other")?;
    rpod!(t, "--root", &other, "pull", "-q", "--tls-verify=false", &name).run().ok();
    rpod!(t, "pull", "-q", "--tls-verify=false", "--keep-compressed", &name).run().ok();
    drop(one);
    // Without the bytes, this is what becomes of it.
    let target = format!("{}/to/there", three.host());
    rpod!(t, "--root", &other, "push", "-q", "--tls-verify=false", "--digestfile", "digest", &name, target).run().ok();
    assert_ne!(std::fs::read_to_string(t.home().join("digest"))?, digest);
    assert_eq!(push(t, &name, &two), digest);
    let copied = format!("docker://{}/to/there", two.host());
    skopeo(&["copy", "-q", "--insecure-policy", "--src-tls-verify=false", &copied, "dir:copy"]);
    // Out of a layout, and into an archive.
    skopeo(&["copy", "-q", "--insecure-policy", "docker-archive:in.tar", "oci:layout:localhost/made:1"]);
    let digest = skopeo(&["inspect", "--format", "{{.Digest}}", "oci:layout:localhost/made:1"]);
    rpod!(t, "rmi", "-af").run().ok();
    rpod!(t, "pull", "-q", "--keep-compressed", "oci:layout:localhost/made:1").run().ok();
    rpod!(t, "save", "-q", "--format", "oci-archive", "-o", "made.tar", "made:1").run().ok();
    assert_eq!(skopeo(&["inspect", "--format", "{{.Digest}}", "oci-archive:made.tar"]), digest);
    Ok(())
}

fn after_a_broken_connection(t: &Sandbox) -> Outcome {
    let image = image()?;
    let server = FakeRegistry::of("x/y", &image).serve(|request, answer, before| {
        let large = request.path().contains("/blobs/") && answer.body.len() > 5_000_000;
        if large && before == 0 { answer.cut_after(3_000_000) } else { answer }
    });
    let name = format!("{}/x/y", server.host());
    let pull = ["pull", "-q", "--tls-verify=false", "--keep-compressed", "--retry=0", &name];
    t.rpod(pull).run().fails(125, &["broke off"]);
    t.rpod(pull).run().ok();
    assert_eq!(kept(t).len(), 3);
    rpod!(t, "system", "check").run().lines_are(&[]);
    assert!(t.script("find .local/share/rpod/staging -name '*.partial'").run().ok().is_empty());
    drop(server);
    let to = Registry::empty()?;
    let digest = rpod!(t, "image", "inspect", "--format", "{{.Digest}}", &name).run().ok().trim().to_owned();
    assert_eq!(push(t, &name, &to), digest);
    Ok(())
}

fn space_and_damage(t: &Sandbox) -> Outcome {
    let archive = t.write("home/in.tar", image()?.oci_archive(Some("localhost/a:1")))?;
    let size = || rpod!(t, "system", "df", "--format", "json").run().json()[0]["RawSize"].as_u64().unwrap();
    rpod!(t, "load", "-q", "-i", &archive).run().ok();
    let before = size();
    rpod!(t, "load", "-q", "--keep-compressed", "-i", &archive).run().ok();
    let bytes: u64 = kept(t).iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(bytes > 6 << 20);
    let more = size() - before;
    assert!(more >= bytes && more < bytes + 100_000, "{more} {bytes}");
    // An image with the same layers in no compressed form needs none of them.
    let plain = image()?.docker_archive(&["localhost/b:1"]);
    let plain = t.write("home/plain.tar", plain)?;
    rpod!(t, "load", "-q", "-i", plain).run().ok();
    rpod!(t, "rmi", "a:1").run().ok();
    assert_eq!(kept(t), Vec::<PathBuf>::new());
    rpod!(t, "load", "-q", "--keep-compressed", "-i", &archive).run().ok();
    rpod!(t, "rmi", "b:1").run().ok();
    assert_eq!(kept(t).len(), 3);

    let large = kept(t).into_iter().find(|path| path.metadata().unwrap().len() > 6 << 20).unwrap();
    t.script(&format!("printf x | dd of={} bs=1 seek=1000 conv=notrunc 2>/dev/null", large.display())).run().ok();
    rpod!(t, "system", "check", "-q").run().code(0);
    let check = rpod!(t, "system", "check").run();
    check.fails(125, &["damage detected"]).prints("Damaged compressed form sha256:").prints("its digest is sha256:");
    // The layer itself is whole: nothing wrong goes out.
    rpod!(t, "save", "-q", "--format", "oci-archive", "-o", "bad.tar", "a:1").run().fails(125, &["is damaged"]);
    let registry = Registry::empty()?;
    let name = format!("{}/to/there", registry.host());
    let out = rpod!(t, "push", "--tls-verify=false", "a:1", &name).run();
    out.ok();
    assert!(out.stderr.contains("is damaged: rpod system check --repair"), "{out}");
    rpod!(t, "system", "check", "--repair").run().prints("Repaired");
    assert_eq!(kept(t).len(), 2);
    rpod!(t, "run", "--rm", "--network=none", "a:1", "cat", "/small").run().lines_are(&["small"]);

    let pruned = rpod!(t, "system", "prune", "-af").run();
    pruned.prints("Deleted Images");
    assert_eq!((size(), kept(t)), (0, Vec::<PathBuf>::new()));
    Ok(())
}
