//! `rpod pull` from Debian's registry: plain, TLS, passwords, indexes, digests, compressions, mirrors.

use serde_json::{Value, json};

use crate::support::{
    Compression, FakeRegistry, Image, Manifest, Outcome, PASSWORD, Registry, Sandbox, Stop, Tarball, Trial, USERNAME,
    User, for_each_user, rpod, sha256, trial,
};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("pull::plain_where_configured", plain);
    trials.push(trial("pull::tls", User::Sub, tls));
    trials.push(trial("pull::passwords", User::Sub, passwords));
    trials.push(trial("pull::kinds_of_layers", User::Sub, kinds));
    trials.push(trial("pull::platforms", User::Sub, platforms));
    trials.push(trial("pull::entries_without_a_platform", User::Sub, entries_without_a_platform));
    trials.push(trial("pull::digests", User::Sub, digests));
    trials.push(trial("pull::messages", User::Sub, messages));
    trials.push(trial("pull::run_pulls", User::Sub, |t| {
        let registry = Registry::plain()?;
        configure(t, registry)?;
        let name = format!("{}/library/busybox", registry.host());
        let out = rpod!(t, "run", "--rm", &name, "echo", "hi").run();
        out.lines_are(&["hi"]);
        rpod!(t, "run", "--rm", "--pull=always", &name, "echo", "hi").run().lines_are(&["hi"]);
        rpod!(t, "run", "--rm", "--pull=newer", &name, "echo", "hi").run().lines_are(&["hi"]);
        Ok(())
    }));
    trials.push(trial("pull::docker_io_from_a_mirror", User::Sub, |t| {
        let registry = Registry::plain()?;
        configure(t, registry)?;
        rpod!(t, "pull", "-q", "busybox").run().ok();
        rpod!(t, "images", "--format", "{{.Repository}}:{{.Tag}}")
            .run()
            .lines_are(&["docker.io/library/busybox:latest"]);
        Ok(())
    }));
    trials.push(trial("pull::nothing_twice", User::Sub, nothing_twice));
    trials.push(trial("pull::client_certificates", User::Sub, client_certificates));
    trials.push(trial("pull::through_a_proxy", User::Sub, through_a_proxy));
    trials.push(trial("pull::proxies_as_in_go", User::Sub, proxies_as_in_go));
    trials.push(trial("pull::registries_conf", User::Sub, registries_conf));
    trials.push(trial("pull::registries_conf_protects", User::Sub, registries_conf_protects));
    trials.push(trial("pull::save_what_was_pulled", User::NoSub, |t| {
        let registry = Registry::plain()?;
        configure(t, registry)?;
        let name = format!("{}/library/busybox:layers", registry.host());
        rpod!(t, "pull", "-q", &name).run().ok();
        let layers = rpod!(t, "image", "inspect", "--format", "{{json .RootFS.Layers}}", &name).run().json();
        let archive = rpod!(t, "save", &name).run();
        let files = super::images::entries(&archive.stdout_bytes);
        let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"])?;
        for (layer, diff_id) in manifest[0]["Layers"].as_array().unwrap().iter().zip(layers.as_array().unwrap()) {
            assert_eq!(crate::support::sha256(&files[layer.as_str().unwrap()]), diff_id.as_str().unwrap());
        }
        Ok(())
    }));
    trials
}

/// registries.conf: this registry without TLS, and as docker.io.
pub fn configure(t: &Sandbox, registry: &Registry) -> Outcome {
    let host = registry.host();
    let config = format!(
        "unqualified-search-registries = [\"docker.io\"]\n\
         [[registry]]\nlocation = \"{host}\"\ninsecure = true\n\
         [[registry]]\nprefix = \"docker.io\"\nlocation = \"{host}\"\ninsecure = true\n"
    );
    t.write("home/.config/containers/registries.conf", config)?;
    Ok(())
}

/// The registry's CA in `certs.d`.
pub fn trust(t: &Sandbox, registry: &Registry) -> Outcome {
    let certificate = std::fs::read(registry.ca())?;
    t.write(&format!("home/.config/containers/certs.d/{}/ca.crt", registry.host()), certificate)?;
    Ok(())
}

fn auth(registry: &Registry, password: &str) -> String {
    let pair = base64(format!("{USERNAME}:{password}").as_bytes());
    serde_json::json!({"auths": {registry.host(): {"auth": pair}}}).to_string()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for n in 0..4 {
            text.push(if n <= chunk.len() { char::from(ALPHABET[(word >> (18 - 6 * n) & 63) as usize]) } else { '=' });
        }
    }
    text
}

fn plain(t: &Sandbox) -> Outcome {
    let registry = Registry::plain()?;
    let name = format!("{}/library/busybox", registry.host());
    // TLS unless told otherwise.
    rpod!(t, "pull", &name).run().code(125);
    let id = rpod!(t, "pull", "-q", "--tls-verify=false", &name).run().ok().to_owned();
    assert_eq!(id, Image::busybox()?.id()[7..]);
    rpod!(t, "run", "--rm", "--network=none", &name, "echo", "runs").run().lines_are(&["runs"]);
    rpod!(t, "rmi", &name).run().ok();
    configure(t, registry)?;
    let out = rpod!(t, "pull", &name).run();
    assert_eq!(out.ok(), id, "only the id on stdout, progress on stderr\n{out}");
    assert!(
        !out.stderr.contains('\r') && !out.stderr.contains('\u{1b}'),
        "plain lines where there is no terminal\n{out}"
    );
    Ok(())
}

fn tls(t: &Sandbox) -> Outcome {
    let registry = Registry::tls()?;
    let name = format!("{}/library/busybox", registry.host());
    rpod!(t, "pull", &name).run().fails(125, &["certificate"]);
    trust(t, registry)?;
    rpod!(t, "pull", "-q", &name).run().ok();
    rpod!(t, "rmi", &name).run().ok();
    // --cert-dir, and no check at all.
    let home = t.home();
    std::fs::rename(home.join(".config/containers/certs.d"), home.join("certs"))?;
    let dir = home.join("certs").join(registry.host());
    rpod!(t, "pull", "-q", "--cert-dir", dir, &name).run().ok();
    rpod!(t, "pull", "-q", "--tls-verify=false", &name).run().ok();
    Ok(())
}

fn passwords(t: &Sandbox) -> Outcome {
    let registry = Registry::tls_with_password()?;
    trust(t, registry)?;
    let name = format!("{}/library/busybox", registry.host());
    rpod!(t, "pull", &name).run().fails(125, &["password"]);
    let pull = || {
        let out = rpod!(t, "pull", "-q", &name).run();
        rpod!(t, "rmi", "-f", &name).run();
        out
    };
    for place in [".config/containers/auth.json", ".docker/config.json"] {
        let file = t.write(&format!("home/{place}"), auth(registry, PASSWORD))?;
        pull().ok();
        std::fs::remove_file(file)?;
    }
    let file = t.write("run/containers/auth.json", auth(registry, PASSWORD))?;
    pull().ok();
    std::fs::remove_file(file)?;
    let file = t.write("home/own.json", auth(registry, PASSWORD))?;
    rpod!(t, "pull", "-q", &name).env("REGISTRY_AUTH_FILE", &file).run().ok();
    rpod!(t, "rmi", &name).run().ok();
    rpod!(t, "pull", "-q", "--authfile", &file, &name).run().ok();
    rpod!(t, "rmi", &name).run().ok();
    rpod!(t, "pull", "-q", "--creds", format!("{USERNAME}:{PASSWORD}"), &name).run().ok();
    rpod!(t, "rmi", &name).run().ok();
    t.write("home/.config/containers/auth.json", auth(registry, "wrong"))?;
    let out = pull();
    out.fails(125, &["log in"]);
    assert!(
        !out.stderr.contains("wrong") && !out.stderr.contains(&base64(b"tester:wrong")),
        "the password is shown\n{out}"
    );
    // Without TLS a password is sent only where the registry is configured so.
    let plain = Registry::plain_with_password()?;
    let plain_name = format!("{}/library/busybox", plain.host());
    let creds = format!("{USERNAME}:{PASSWORD}");
    rpod!(t, "pull", "-q", "--creds", &creds, &plain_name).run().code(125);
    rpod!(t, "pull", "-q", "--creds", &creds, "--tls-verify=false", &plain_name).run().ok();
    t.write("home/.config/containers/auth.json", "{ broken")?;
    pull().fails(125, &["auth.json"]);
    Ok(())
}

fn kinds(t: &Sandbox) -> Outcome {
    let registry = Registry::plain()?;
    configure(t, registry)?;
    for tag in ["oci", "docker", "zstd", "plain", "layers"] {
        let name = format!("{}/library/busybox:{tag}", registry.host());
        rpod!(t, "pull", "-q", &name).run().ok();
        rpod!(t, "run", "--rm", "--network=none", &name, "echo", tag).run().lines_are(&[tag]);
    }
    // One layer whatever its compression: all five share busybox's.
    let layers = std::fs::read_dir(t.data().join("layers"))?.flatten().filter(|entry| entry.path().is_dir()).count();
    assert_eq!(layers, 3);
    let name = format!("{}/library/busybox:layers", registry.host());
    let show = "ls /data /opaque | tr '\\n' ' '";
    rpod!(t, "run", "--rm", "--network=none", &name, "sh", "-c", show)
        .run()
        .lines_are(&["/data: three two  /opaque: new "]);
    Ok(())
}

/// An entry of an index that names no platform may be for any: the first such is taken where no other fits, as Podman does,
/// from registries and layouts. Of two for one platform, the one whose annotation says zstd.
fn entries_without_a_platform(t: &Sandbox) -> Outcome {
    let registry = Registry::empty()?;
    let images: Vec<Image> = ["a", "b"]
        .iter()
        .map(|name| Ok(Image::busybox()?.config("Labels", json!({"name": name}))))
        .collect::<Result<_, Stop>>()?;
    let mut blobs: Vec<Vec<u8>> = Vec::new();
    for image in &images {
        image.push(&registry, "x/y", "one", Manifest::Oci)?;
        let (manifest, others) = image.manifest(Manifest::Oci);
        blobs.extend(others.into_iter().chain([manifest]));
    }
    let entry = |image: &Image, platform: Value| {
        let (manifest, _) = image.manifest(Manifest::Oci);
        let mut entry =
            json!({"mediaType": Manifest::Oci.media_type(), "digest": sha256(&manifest), "size": manifest.len()});
        if !platform.is_null() {
            entry["platform"] = platform;
        }
        entry
    };
    let index_type = "application/vnd.oci.image.index.v1+json";
    let index =
        |entries: &[Value]| json!({"schemaVersion": 2, "mediaType": index_type, "manifests": entries}).to_string();
    let here = json!({"os": "linux", "architecture": images[0].architecture});
    let far = json!({"os": "linux", "architecture": "s390x"});
    let (a, b) = (&images[0], &images[1]);
    let mut zstd = entry(b, here.clone());
    zstd["annotations"] = json!({"io.github.containers.compression.zstd": "true"});
    let name = format!("{}/x/y:index", registry.host());
    for (entries, flags, chosen) in [
        (vec![entry(a, Value::Null), entry(b, Value::Null)], &[][..], Some(a)),
        (vec![entry(a, Value::Null), entry(b, Value::Null)], &["--platform=linux/s390x"], Some(a)),
        (vec![entry(a, Value::Null), entry(b, here.clone())], &[], Some(b)),
        (vec![entry(a, far.clone()), entry(b, Value::Null)], &[], Some(b)),
        (vec![entry(a, far), entry(b, Value::Null)], &["--arch=s390x"], Some(a)),
        (vec![entry(a, json!({})), entry(b, Value::Null)], &[], Some(b)),
        (vec![entry(a, json!({}))], &[], None),
        (vec![entry(a, here), zstd], &[], Some(b)),
    ] {
        let index = index(&entries);
        registry.put_manifest("x/y", "index", index_type, index.as_bytes())?;
        let out =
            t.rpod(["pull", "-q", "--tls-verify=false"].iter().chain(flags).copied().chain([name.as_str()])).run();
        match chosen {
            Some(image) => assert_eq!(out.ok().trim(), &image.id()[7..], "{index}"),
            None => drop(out.fails(125, &["no image for platform"])),
        }
        rpod!(t, "rmi", "-af").run().ok();
    }
    // The same within a layout, where the top index has one entry for each name.
    let inner = index(&[entry(a, Value::Null), entry(b, Value::Null)]);
    let top = index(&[json!({"mediaType": index_type, "digest": sha256(inner.as_bytes()), "size": inner.len(),
        "annotations": {"org.opencontainers.image.ref.name": "localhost/in:1"}})]);
    blobs.push(inner.into_bytes());
    let mut archive =
        Tarball::new().file("oci-layout", 0o644, r#"{"imageLayoutVersion":"1.0.0"}"#).file("index.json", 0o644, top);
    for blob in &blobs {
        archive = archive.file(&format!("blobs/sha256/{}", &sha256(blob)[7..]), 0o644, blob);
    }
    let archive = t.write("home/layout.tar", archive.finish())?;
    rpod!(t, "load", "-q", "-i", &archive).run().ok();
    rpod!(t, "image", "inspect", "-f", "{{.Id}}", "localhost/in:1").run().lines_are(&[&a.id()[7..]]);
    rpod!(t, "rmi", "-af").run().ok();
    let out = rpod!(t, "pull", "-q", format!("oci-archive:{}", archive.display())).run();
    assert_eq!(out.ok().trim(), &a.id()[7..]);
    Ok(())
}

fn platforms(t: &Sandbox) -> Outcome {
    let registry = Registry::plain()?;
    configure(t, registry)?;
    let name = format!("{}/library/busybox:multi", registry.host());
    rpod!(t, "pull", "-q", &name).run().ok();
    rpod!(t, "run", "--rm", "--network=none", &name, "cat", "/arch").run().lines_are(&[Image::scratch().architecture]);
    rpod!(t, "pull", "-q", "--platform", "linux/s390x", &name).run().ok();
    rpod!(t, "image", "inspect", "--format", "{{.Architecture}}", &name).run().lines_are(&["s390x"]);
    rpod!(t, "pull", "-q", "--platform", "linux/arm64/v8", &name).run().ok();
    rpod!(t, "pull", "-q", "--arch", "arm64", &name).run().ok();
    // An image that is here is of the variant asked for, or another one is fetched.
    let here = |flags: &[&str]| t.rpod([&["create", "--pull", "never"], flags, &[&name, "true"]].concat()).run();
    here(&["--arch", "arm64"]).ok();
    here(&["--platform", "linux/arm64/v8"]).ok();
    for flags in [&["--arch", "arm64", "--variant", "v9"][..], &["--platform", "linux/arm64/v9"], &["--variant", "v2"]]
    {
        here(flags).fails(125, &["image not known"]);
    }
    rpod!(t, "rm", "-a").run().ok();
    rpod!(t, "pull", "--platform", "linux/riscv64", &name).run().fails(125, &["riscv64", "s390x"]);
    Ok(())
}

fn digests(t: &Sandbox) -> Outcome {
    let registry = Registry::plain()?;
    configure(t, registry)?;
    let tagged = format!("{}/library/busybox:docker", registry.host());
    rpod!(t, "pull", "-q", &tagged).run().ok();
    let digest = rpod!(t, "image", "inspect", "--format", "{{.Digest}}", &tagged).run().ok().to_owned();
    rpod!(t, "rmi", &tagged).run().ok();
    let by_digest = format!("{}/library/busybox@{digest}", registry.host());
    rpod!(t, "pull", "-q", &by_digest).run().ok();
    rpod!(t, "run", "--rm", "--network=none", &by_digest, "true").run().ok();
    let other = format!("{}/library/busybox@sha256:{}", registry.host(), "0".repeat(64));
    rpod!(t, "pull", "-q", &other).run().code(125);
    Ok(())
}

fn messages(t: &Sandbox) -> Outcome {
    let registry = Registry::plain()?;
    configure(t, registry)?;
    let host = registry.host();
    rpod!(t, "pull", format!("{host}/library/busybox:nosuch")).run().fails(125, &["nosuch", "manifest unknown"]);
    rpod!(t, "pull", format!("{host}/nosuch")).run().fails(125, &["nosuch"]);
    rpod!(t, "pull", "127.0.0.1:1/x/y").run().fails(125, &["127.0.0.1:1", "refused"]);
    rpod!(t, "pull", "no-such-host.invalid/x/y").run().fails(125, &["no-such-host.invalid"]);
    for name in ["UPPER/x", "x:bad tag", "x@sha256:123", "http://x/y", "", "x//y", "-x"] {
        rpod!(t, "pull", "--", name).run().code(125);
    }
    // On a terminal: a bar for each layer, and the id at the end.
    let mut pty = rpod!(t, "pull", format!("{host}/library/busybox:layers")).pty(24, 80);
    pty.expect("\u{1b}[");
    assert_eq!(pty.finish(), 0);
    Ok(())
}

/// Two processes at once, then a third: each layer crosses the wire once.
fn nothing_twice(t: &Sandbox) -> Outcome {
    let big = Tarball::new().file("big", 0o644, vec![b'x'; 8 << 20]).finish();
    let image = Image::busybox()?.layer(big, Compression::None);
    let server = FakeRegistry::of("x/y", &image).serve(|request, answer, _| {
        if request.path().contains("/blobs/") { answer.stall(std::time::Duration::from_millis(300)) } else { answer }
    });
    let name = format!("{}/x/y", server.host());
    let pulls: Vec<_> = (0..3).map(|_| rpod!(t, "pull", "-q", "--tls-verify=false", &name).spawn()).collect();
    for pull in pulls {
        pull.finish().ok();
    }
    rpod!(t, "pull", "-q", "--tls-verify=false", &name).run().ok();
    for layer in &image.layers {
        let path = format!("/v2/x/y/blobs/{}", crate::support::sha256(&layer.blob()));
        let fetched = server.requests().iter().filter(|r| r.method == "GET" && r.path() == path).count();
        assert_eq!(fetched, 1, "{path}");
    }
    Ok(())
}

/// A registry that wants to see a certificate (certs.d, `*.cert` and `*.key`).
fn client_certificates(t: &Sandbox) -> Outcome {
    let registry = Registry::empty_with_client_certificates()?;
    trust(t, &registry)?;
    let name = format!("{}/x/y", registry.host());
    let image = t.busybox()?;
    rpod!(t, "push", "-q", "--retry=0", image, &name).run().code(125);
    let certs = format!("home/.config/containers/certs.d/{}", registry.host());
    // The CA has signed the server's certificate; it signs for itself as a client, too.
    let dir = registry.ca().parent().unwrap();
    t.write(&format!("{certs}/client.cert"), std::fs::read(dir.join("client.crt"))?)?;
    rpod!(t, "push", "-q", image, &name).run().fails(125, &["client.key"]);
    t.write(&format!("{certs}/client.key"), std::fs::read(dir.join("client.key"))?)?;
    rpod!(t, "push", "-q", image, &name).run().ok();
    rpod!(t, "pull", "-q", &name).run().ok();
    Ok(())
}

/// `http_proxy` is asked for what it is for, `no_proxy` is left out.
fn through_a_proxy(t: &Sandbox) -> Outcome {
    let image = Image::busybox()?;
    let content = FakeRegistry::of("x/y", &image);
    let proxy = crate::support::Server::start(move |request| {
        // A proxy is given the whole URL.
        let mut inner = request.clone();
        inner.target = request.target.strip_prefix("http://far.example:5000").unwrap_or("/not-for-a-proxy").to_owned();
        content.answer(&inner)
    });
    let pull = |no_proxy: &str| {
        rpod!(t, "pull", "-q", "--retry=0", "--tls-verify=false", "far.example:5000/x/y")
            .env("http_proxy", format!("http://{}", proxy.host()))
            .env("no_proxy", no_proxy)
            .run()
    };
    pull("other.example").ok();
    let before = proxy.requests().len();
    assert!(before >= 3);
    pull("far.example").code(125);
    assert_eq!(proxy.requests().len(), before);
    Ok(())
}

/// Nothing on this machine is asked for through a proxy; exceptions may have a port; SOCKS proxies look names up; what cannot be
/// used is an error where it counts.
fn proxies_as_in_go(t: &Sandbox) -> Outcome {
    let image = Image::busybox()?;
    let registry = FakeRegistry::of("x/y", &image).serve(|_, answer, _| answer);
    let (near, far) = (format!("{}/x/y", registry.host()), "far.example:5000/x/y");
    let pull = |name: &str, variables: &[(&str, &str)]| {
        let mut command = rpod!(t, "pull", "-q", "--retry=0", "--tls-verify=false", name);
        for (variable, value) in variables {
            command = command.env(variable, value);
        }
        let out = command.run();
        rpod!(t, "rmi", "-af").run();
        out
    };
    for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
        pull(&near, &[(variable, "http://127.0.0.1:1")]).ok();
        pull(&near, &[(variable, "ftp://127.0.0.1:1")]).ok();
    }
    for unusable in ["ftp://127.0.0.1:1", "garbage:::", "http://"] {
        pull(far, &[("HTTP_PROXY", unusable)]).fails(125, &["HTTP_PROXY", "socks5://"]);
    }
    // The password of a proxy is not shown.
    let out = pull(far, &[("HTTPS_PROXY", "ftp://user:geheim@127.0.0.1:1")]);
    out.fails(125, &["HTTPS_PROXY"]);
    assert!(!out.stderr.contains("geheim"), "{out}");
    let socks = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = format!("socks5://{}", socks.local_addr()?);
    let target = registry.host().to_owned();
    std::thread::spawn(move || {
        for client in socks.incoming().flatten() {
            let target = target.clone();
            std::thread::spawn(move || relay_socks(client, &target));
        }
    });
    let variables = |exceptions: &'static str| [("ALL_PROXY", address.as_str()), ("NO_PROXY", exceptions)];
    pull(far, &variables("far.example:5001,.far.example,10.0.0.0/8")).ok();
    let before = registry.requests().len();
    assert!(before > 0);
    for exceptions in ["far.example:5000", "far.example", "*", "x, .example:5000"] {
        pull(far, &variables(exceptions)).fails(125, &["far.example"]);
    }
    assert_eq!(registry.requests().len(), before);
    Ok(())
}

/// A SOCKS5 proxy (RFC 1928) of one connection, for whom far.example is `target`.
fn relay_socks(mut client: std::net::TcpStream, target: &str) -> std::io::Result<()> {
    use std::io::{Read, Write};
    let mut greeting = [0; 2];
    client.read_exact(&mut greeting)?;
    client.read_exact(&mut vec![0; usize::from(greeting[1])])?;
    client.write_all(&[5, 0])?;
    let mut request = [0; 5];
    client.read_exact(&mut request)?;
    let mut name = vec![0; usize::from(request[4]) + 2];
    client.read_exact(&mut name)?;
    // Connect, to a name.
    if request[..4] != [5, 1, 0, 3] || !name.starts_with(b"far.example") {
        return client.write_all(&[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]);
    }
    let mut server = std::net::TcpStream::connect(target)?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        to.shutdown(std::net::Shutdown::Write)
    });
    std::io::copy(&mut server, &mut client)?;
    client.shutdown(std::net::Shutdown::Write)
}

/// Mirrors for some pulls, drop-ins, blocked registries, short names without a question.
fn registries_conf(t: &Sandbox) -> Outcome {
    let registry = Registry::plain()?;
    let host = registry.host();
    let conf = format!(
        "unqualified-search-registries = [\"127.0.0.1:1\", \"reg.example\"]\n\
         [[registry]]\nlocation = \"reg.example\"\n\
         [[registry.mirror]]\nlocation = \"127.0.0.1:1\"\n\
         [[registry.mirror]]\nlocation = \"{host}\"\ninsecure = true\npull-from-mirror = \"tag-only\"\n"
    );
    t.write("home/.config/containers/registries.conf", conf)?;
    let pull = |name: &str| rpod!(t, "pull", "-q", "--retry=0", name).run();
    // The first mirror is dead, the second has it; the image has the name that was typed.
    pull("reg.example/library/busybox").ok();
    rpod!(t, "images", "--format", "{{.Repository}}").run().lines_are(&["reg.example/library/busybox"]);
    pull("library/busybox").ok();
    let digest =
        rpod!(t, "image", "inspect", "--format", "{{.Digest}}", "reg.example/library/busybox").run().ok().to_owned();
    rpod!(t, "rmi", "-af").run().ok();
    pull(&format!("reg.example/library/busybox@{digest}")).code(125);
    // A drop-in wins over the file.
    let drop_in = "home/.config/containers/registries.conf.d/50-own.conf";
    t.write(drop_in, "[[registry]]\nlocation = \"reg.example\"\nblocked = true\n")?;
    pull("reg.example/library/busybox").fails(125, &["blocked"]);
    t.write(drop_in, "short-name-mode = \"enforcing\"\n")?;
    pull("library/busybox").fails(125, &["enforcing"]);
    t.write(drop_in, "short-name-mode = \"enforcing\"\n[aliases]\n\"bb\" = \"reg.example/library/busybox\"\n")?;
    pull("bb").ok();
    t.write(drop_in, "short-name-mode = \"always\"\n")?;
    pull("bb").fails(125, &["50-own.conf", "short-name-mode"]);
    Ok(())
}

/// A rule counts however Podman lets it be written; what cannot be meant is an error, what is unknown a warning.
fn registries_conf_protects(t: &Sandbox) -> Outcome {
    let registry = Registry::plain()?;
    let host = registry.host();
    let open = format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true\n");
    let pull = |conf: &str, name: &str| {
        t.write("home/.config/containers/registries.conf", format!("{open}{conf}"))?;
        Ok::<_, crate::support::Stop>(rpod!(t, "pull", "-q", "--retry=0", name).run())
    };
    let name = format!("{host}/library/busybox");
    pull("", &name)?.ok();
    rpod!(t, "rmi", "-af").run().ok();
    let library = format!("location = \"{host}/library");
    for blocked in [
        format!("[[registry]]\n{library}/\"\nblocked = true\n"),
        format!("[[registry]]\n{library}\"\nBlocked = true\n"),
        format!("[[registry]]\n{library}//\"\nInsecure = true\nBLOCKED = true\n"),
        format!("[[registry]]\nprefix = \"{host}/library/\"\n{library}/\"\nblocked = true\n"),
    ] {
        pull(&blocked, &name)?.fails(125, &["blocked"]);
    }
    let rewritten = format!("[[registry]]\nprefix = \"sl.example/\"\n{library}/\"\ninsecure = true\n");
    pull(&rewritten, "sl.example/busybox")?.ok();
    // `*.example.com` replaces the host and leaves the port.
    let bare = host.split(':').next().unwrap_or_default();
    let port = &host[bare.len()..];
    let wild = format!("[[registry]]\nprefix = \"*.wild.example\"\nlocation = \"{bare}\"\ninsecure = true\n");
    pull(&wild, &format!("a.b.wild.example{port}/library/busybox"))?.ok();
    for (wrong, said) in [
        (format!("[[registry]]\nlocation = \"https://{host}\"\nblocked = true\n"), "https://"),
        (format!("[[registry]]\nprefix = \"*.wild.example/ns\"\nlocation = \"{host}\"\n"), "*.wild.example/ns"),
        (format!("[[registry]]\nprefix = \"x.example\"\nlocation = \"{host}\"\nblocked = true\n"), "blocked"),
        ("[[registry]]\nlocation = \"x.example\"\nblocked = true\nBlocked = false\n".to_owned(), "Blocked"),
        ("[[registry]]\nlocation = \"x.example\"\n[[registry.mirror]]\n".to_owned(), "location"),
        ("[aliases]\na = \"x.example/a:1\"\n".to_owned(), "x.example/a:1"),
    ] {
        pull(&wrong, &name)?.fails(125, &["registries.conf", said]);
    }
    // Where no registry is to be searched, Docker Hub is not either.
    t.write("home/.config/containers/registries.conf", "unqualified-search-registries = []\n")?;
    for verb in ["pull", "search"] {
        rpod!(t, verb, "short").run().fails(125, &["unqualified-search-registries"]);
    }
    let out = pull("[[registry]]\nlocation = \"x.example\"\nbloked = true\n", &name)?;
    out.ok();
    assert!(out.stderr.contains("bloked") && out.stderr.contains("without effect"), "{out}");
    Ok(())
}
