//! `rpod manifest` and `rpod search`, against Debian's registry and one that searches as Docker Hub does.

use serde_json::{Value, json};

use crate::support::{
    Image, Manifest, Need, Outcome, Registry, Response, Sandbox, Server, Trial, User, for_each_user, index_of, need,
    request, rpod, sha256, trial,
};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("manifest::made_here", made_here);
    trials.extend(vec![
        trial("manifest::from_a_registry_with_attestations", User::Sub, with_attestations),
        trial("manifest::into_files", User::Sub, into_files),
        trial("manifest::among_images", User::Sub, among_images),
        trial("manifest::annotations", User::Sub, annotations),
        trial("manifest::names_in_archives_stay_there", User::Sub, names_in_archives),
        trial("manifest::refuses", User::Sub, refuses),
        trial("search::docker_hub", User::Sub, docker_hub),
        trial("search::catalog_and_tags", User::Sub, catalog),
    ]);
    trials
}

/// An image for another machine, loaded under this name.
fn foreign(t: &Sandbox, architecture: &'static str, name: &str) -> Outcome {
    let mut image = Image::busybox()?;
    image.architecture = architecture;
    let file = t.write(&format!("home/{architecture}.tar"), image.docker_archive(&[name]))?;
    rpod!(t, "load", "-q", "-i", file).run().ok();
    Ok(())
}

fn made_here(t: &Sandbox) -> Outcome {
    let registry = Registry::empty()?;
    let host = registry.host();
    let image = t.busybox()?;
    foreign(t, "s390x", "localhost/other:1")?;
    rpod!(t, "manifest", "create", "app:1", image).run().ok();
    rpod!(t, "manifest", "exists", "app:1").run().ok();
    rpod!(t, "manifest", "exists", "nosuch").run().code(1);
    rpod!(t, "manifest", "create", "app:1").run().fails(125, &["already", "--amend"]);
    rpod!(t, "manifest", "add", "app:1", "localhost/other:1").run().ok();
    rpod!(t, "manifest", "add", "app:1", "localhost/other:1").run().ok();
    let list = rpod!(t, "manifest", "inspect", "app:1").run().json();
    let platforms: Vec<&str> =
        list["manifests"].as_array().unwrap().iter().filter_map(|m| m["platform"]["architecture"].as_str()).collect();
    assert_eq!(platforms, [Image::scratch().architecture, "s390x"]);
    // A list keeps its images.
    rpod!(t, "rmi", "-f", "localhost/other:1").run().ok();
    let name = format!("{host}/team/app:1");
    rpod!(t, "manifest", "push", "-q", "--tls-verify=false", "--digestfile", "digest", "app:1", &name).run().ok();
    let (status, _, body) = request(
        &host,
        "GET",
        "/v2/team/app/manifests/1",
        &[("Accept", "application/vnd.oci.image.index.v1+json")],
        &[],
    )?;
    assert_eq!((status, sha256(&body)), (200, std::fs::read_to_string(t.home().join("digest"))?));
    rpod!(t, "rmi", "-f", image).run().ok();
    rpod!(t, "pull", "-q", "--tls-verify=false", &name).run().ok();
    rpod!(t, "run", "--rm", "--network=none", &name, "echo", "runs").run().lines_are(&["runs"]);
    rpod!(t, "pull", "-q", "--tls-verify=false", "--platform=linux/s390x", &name).run().ok();
    let remote = rpod!(t, "manifest", "inspect", "--tls-verify=false", &name).run().json();
    assert_eq!(remote["manifests"].as_array().unwrap().len(), 2);
    // push by the list's own name, which then is forgotten.
    let own = format!("{host}/own/app:1");
    rpod!(t, "manifest", "create", &own, &name).run().ok();
    rpod!(t, "push", "-q", "--all", "--tls-verify=false", &own).run().ok();
    rpod!(t, "manifest", "push", "-q", "--rm", "--tls-verify=false", &own).run().ok();
    rpod!(t, "manifest", "exists", &own).run().code(1);
    let out = rpod!(t, "manifest", "rm", "app:1", "nosuch").run();
    out.code(1);
    assert!(out.stdout.starts_with("Untagged: localhost/app:1\nDeleted: "), "{out}");
    Ok(())
}

/// What BuildKit pushes: images and, beside each, what it says about it.
fn with_attestations(t: &Sandbox) -> Outcome {
    let (one, two) = (Registry::empty()?, Registry::empty()?);
    let mut here = Image::busybox()?;
    // Such that the layers can be made again elsewhere, and digests stay.
    here.layers[0].compression = crate::support::Compression::None;
    let mut there = here.clone();
    there.architecture = "s390x";
    let mut manifests = Vec::new();
    for image in [&here, &there] {
        image.push(&one, "x/y", image.architecture, Manifest::Oci)?;
        manifests.push((image.manifest(Manifest::Oci).0, json!({"os": "linux", "architecture": image.architecture})));
    }
    let statement = br#"{"_type":"https://in-toto.io/Statement/v0.1"}"#;
    let config = br#"{"architecture":"unknown","os":"unknown","rootfs":{"type":"layers","diff_ids":[]}}"#;
    one.put_blob("x/y", statement)?;
    one.put_blob("x/y", config)?;
    let attestation = json!({
        "schemaVersion": 2,
        "mediaType": Manifest::Oci.media_type(),
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(config), "size": config.len()},
        "layers": [{"mediaType": "application/vnd.in-toto+json", "digest": sha256(statement), "size": statement.len()}],
    })
    .to_string()
    .into_bytes();
    one.put_manifest("x/y", &sha256(&attestation), Manifest::Oci.media_type(), &attestation)?;
    manifests.push((attestation, json!({"os": "unknown", "architecture": "unknown"})));
    let entries: Vec<(&str, &[u8], Value)> = manifests
        .iter()
        .map(|(bytes, platform)| (Manifest::Oci.media_type(), bytes.as_slice(), platform.clone()))
        .collect();
    let index = index_of(&entries);
    let mut index: Value = serde_json::from_slice(&index)?;
    index["manifests"][2]["annotations"] = json!({
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": index["manifests"][0]["digest"],
    });
    one.put_manifest("x/y", "1", "application/vnd.oci.image.index.v1+json", index.to_string().as_bytes())?;
    let source = format!("docker://{}/x/y:1", one.host());
    rpod!(t, "pull", "-q", "--tls-verify=false", &source).run().ok();
    rpod!(t, "manifest", "create", "--all", "--tls-verify=false", "copy", &source).run().ok();
    let list = rpod!(t, "manifest", "inspect", "copy").run().json();
    assert_eq!(list["manifests"], index["manifests"], "entries are taken over as they are");
    // Collecting garbage leaves what the list names.
    rpod!(t, "rmi", "-f", source.trim_start_matches("docker://")).run().ok();
    rpod!(t, "manifest", "push", "-q", "--tls-verify=false", "copy", format!("{}/z/copy:1", two.host())).run().ok();
    let accept = [("Accept", "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json")];
    let (_, _, pushed) = request(&two.host(), "GET", "/v2/z/copy/manifests/1", &accept, &[])?;
    let pushed: Value = serde_json::from_slice(&pushed)?;
    assert_eq!(pushed["manifests"], index["manifests"]);
    let digest = pushed["manifests"][2]["digest"].as_str().unwrap();
    let (status, _, _) = request(&two.host(), "GET", &format!("/v2/z/copy/manifests/{digest}"), &accept, &[])?;
    assert_eq!(status, 200, "the attestation went along");
    rpod!(t, "pull", "-q", "--tls-verify=false", format!("{}/z/copy:1", two.host())).run().ok();
    // Into a directory too, with everything that it names.
    rpod!(t, "manifest", "push", "-q", "copy", "dir:copy").run().ok();
    assert_eq!(
        index["manifests"],
        serde_json::from_slice::<Value>(&std::fs::read(t.home().join("copy/manifest.json"))?)?["manifests"]
    );
    for digest in [digest, &sha256(statement), &sha256(config)] {
        let names = [digest[7..].to_owned(), format!("{}.manifest.json", &digest[7..])];
        assert!(names.iter().any(|name| t.home().join("copy").join(name).exists()), "{digest}");
    }
    // Without --all only this machine's.
    rpod!(t, "manifest", "create", "--tls-verify=false", "single", &source).run().ok();
    let list = rpod!(t, "manifest", "inspect", "single").run().json();
    assert_eq!(list["manifests"].as_array().unwrap().len(), 1);
    Ok(())
}

/// Lists into directories and archives, as Podman and Skopeo read them: with all their images, or the one for this machine.
fn into_files(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    foreign(t, "s390x", "localhost/other:1")?;
    let id = |name: &str| rpod!(t, "image", "inspect", "--format", "{{.Id}}", name).run().ok().trim().to_owned();
    let (here, far) = (id(image), id("localhost/other:1"));
    rpod!(t, "manifest", "create", "app", image, "localhost/other:1").run().ok();
    let push = |words: &[&str]| t.rpod(["manifest", "push", "-q"].iter().chain(words).copied()).run();
    push(&["--digestfile=digest", "app", "dir:d"]).ok();
    let list = std::fs::read(t.home().join("d/manifest.json"))?;
    assert_eq!(std::fs::read_to_string(t.home().join("digest"))?, sha256(&list));
    push(&["app", "oci:o:x"]).ok();
    push(&["app", "oci:o:y"]).ok();
    push(&["app", "oci-archive:a.tar:x"]).ok();
    rpod!(t, "push", "-q", "--all", "app", "oci-archive:b.tar").run().ok();
    rpod!(t, "manifest", "create", "empty").run().ok();
    push(&["empty", "oci:e:x"]).ok();
    push(&["app", "docker-archive:c.tar"]).fails(125, &["no lists"]);
    push(&["--sign-by=me", "app", "dir:signed"]).fails(125, &["only what is pushed to a registry"]);
    push(&["app", "dir:/nosuch/d"]).fails(125, &["/nosuch/d"]);
    assert!(!t.home().join("c.tar").exists());
    push(&["--all=false", "app", "dir:single"]).ok();
    let single = std::fs::read_to_string(t.home().join("single/manifest.json"))?;
    assert!(single.contains("layers") && !single.contains("manifests"), "{single}");
    if need([Need::Skopeo]).is_ok() {
        for source in ["dir:d", "oci:o:x", "oci:o:y", "oci-archive:a.tar:x", "oci-archive:b.tar"] {
            let raw = t.program("skopeo", ["inspect", "--raw", source]).run().json();
            assert_eq!(raw["manifests"].as_array().map(Vec::len), Some(2), "{source}: {raw}");
            let target = format!("dir:of-{}", source.replace([':', '/'], "-"));
            t.program("skopeo", ["copy", "-q", "--all", "--insecure-policy", source, &target]).run().ok();
        }
    }
    rpod!(t, "manifest", "rm", "app").run().ok();
    // An image is no list.
    rpod!(t, "manifest", "rm", image).run().fails(125, &["is not a manifest list"]);
    rpod!(t, "rmi", "-af").run().ok();
    for source in ["dir:d", "oci:o:x", "oci:o:y", "oci-archive:a.tar:x", "oci-archive:b.tar"] {
        assert_eq!(rpod!(t, "pull", "-q", source).run().ok().trim(), here, "{source}");
        rpod!(t, "run", "--rm", "--network=none", &here, "true").run().ok();
        assert_eq!(rpod!(t, "pull", "-q", "--platform=linux/s390x", source).run().ok().trim(), far, "{source}");
        rpod!(t, "rmi", "-af").run().ok();
    }
    Ok(())
}

/// Lists in `images`, as images of this machine, with names given, taken and removed.
fn among_images(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    foreign(t, "s390x", "localhost/other:1")?;
    let id = rpod!(t, "image", "inspect", "--format", "{{.Id}}", image).run().ok().to_owned();
    rpod!(t, "manifest", "create", "app", "localhost/other:1", image).run().ok();
    let list = rpod!(t, "manifest", "add", "app", image).run().ok().to_owned();
    let bytes = rpod!(t, "images", "--format", "json", "--filter", "manifest=true").run().json();
    assert_eq!((&bytes[0]["Id"], &bytes[0]["Names"]), (&json!(list), &json!(["localhost/app:latest"])));
    assert!(bytes[0]["Size"].as_u64().unwrap() > 300 && bytes[1].is_null(), "{bytes}");
    let count = |filter: &str| rpod!(t, "images", "-q", "--filter", filter).run().ok().lines().count();
    assert_eq!((count("manifest=true"), count("manifest=false"), count("reference=app")), (1, 2, 1));
    // It stands for the image in it that is for this machine.
    rpod!(t, "run", "--rm", "--network=none", "app", "echo", "runs").run().lines_are(&["runs"]);
    rpod!(t, "image", "inspect", "--format", "{{.Id}}", "app").run().lines_are(&[&id]);
    rpod!(t, "image", "exists", "app").run().ok();
    // Names.
    rpod!(t, "tag", "app", "second").run().ok();
    rpod!(t, "manifest", "exists", "second").run().ok();
    rpod!(t, "rmi", &list[..12]).run().fails(125, &["more than one tag"]);
    rpod!(t, "rmi", "second").run().lines_are(&["Untagged: localhost/second:latest"]);
    rpod!(t, "tag", &list[..12], "second").run().ok();
    rpod!(t, "untag", "app", "nosuch").run().fails(125, &["nosuch"]);
    rpod!(t, "untag", "second").run().ok();
    rpod!(t, "manifest", "exists", "app").run().code(1);
    let shown =
        rpod!(t, "images", "--no-trunc", "--format", "{{.Repository}} {{.ID}}", "--filter", "manifest=true").run();
    shown.lines_are(&[&format!("<none> sha256:{list}")]);
    rpod!(t, "manifest", "inspect", &list).run().ok();
    rpod!(t, "rmi", &list).run().lines_are(&[&format!("Deleted: {list}")]);
    assert_eq!((count("manifest=true"), count("manifest=false")), (0, 2), "its images stay");
    // One for another machine only is no image here, but can be listed and removed.
    rpod!(t, "manifest", "create", "far", "localhost/other:1").run().ok();
    rpod!(t, "image", "inspect", "far").run().fails(125, &["manifest list", "no image for platform"]);
    rpod!(t, "image", "prune", "-af").run().ok();
    rpod!(t, "images", "-q").run().lines_are(&[]);
    Ok(())
}

fn annotations(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "manifest", "create", "--annotation", "a=b", "app").run().ok();
    let arguments =
        ["--annotation", "c=d=e", "--arch", "arm", "--variant", "v7", "--os-version", "10", "--features", "x"];
    t.rpod(["manifest", "add"].iter().chain(&arguments).copied().chain(["app", image])).run().ok();
    let list = rpod!(t, "manifest", "inspect", "app").run().json();
    let entry = &list["manifests"][0];
    assert_eq!((&list["annotations"], &entry["annotations"]), (&json!({"a": "b"}), &json!({"c": "d=e"})));
    let wanted = json!({"architecture": "arm", "os": "linux", "os.version": "10", "variant": "v7", "features": ["x"]});
    assert_eq!(entry["platform"], wanted);
    let digest = entry["digest"].as_str().unwrap();
    rpod!(t, "manifest", "annotate", "--os", "freebsd", "app", digest).run().ok();
    rpod!(t, "manifest", "annotate", "--arch", "arm64", "app", image).run().ok();
    rpod!(t, "manifest", "annotate", "--index", "--annotation", "f=g", "app").run().ok();
    let list = rpod!(t, "manifest", "inspect", "app").run().json();
    assert_eq!(list["manifests"][0]["platform"]["os"], "freebsd");
    assert_eq!(
        (&list["manifests"][0]["platform"]["architecture"], &list["annotations"]["f"]),
        (&json!("arm64"), &json!("g"))
    );
    rpod!(t, "manifest", "remove", "app", digest).run().ok();
    rpod!(t, "manifest", "remove", "app", digest).run().fails(125, &["not in the manifest list"]);
    Ok(())
}

/// An archive that is added to a list takes no name of the user's away, and leaves no image behind.
fn names_in_archives(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "tag", image, "localhost/own:1").run().ok();
    let mine = rpod!(t, "image", "inspect", "--format", "{{.Id}}", "own:1").run().ok().to_owned();
    let mut other = Image::busybox()?;
    other.architecture = "s390x";
    t.write("home/other.tar", other.docker_archive(&["localhost/own:1", "localhost/new:1"]))?;
    let names = || rpod!(t, "images", "--format", "{{.Repository}}:{{.Tag}}").run().ok().to_owned();
    rpod!(t, "manifest", "create", "list:1").run().ok();
    let before = names();
    rpod!(t, "manifest", "add", "list:1", "docker-archive:other.tar").run().ok();
    assert_eq!(names(), before);
    rpod!(t, "image", "inspect", "--format", "{{.Id}}", "own:1").run().lines_are(&[&mine]);
    rpod!(t, "image", "exists", "new:1").run().code(1);
    rpod!(t, "image", "prune", "-f").run().ok();
    // The list has it, whole.
    let list = rpod!(t, "manifest", "inspect", "list:1").run().json();
    assert_eq!(list["manifests"][0]["platform"]["architecture"], "s390x");
    let registry = Registry::empty()?;
    let name = format!("{}/x/list:1", registry.host());
    rpod!(t, "manifest", "push", "-q", "--all", "--tls-verify=false", "list:1", &name).run().ok();
    // One that is kept without a name already stays so.
    t.write("home/nameless.tar", other.docker_archive(&[]))?;
    rpod!(t, "load", "-q", "-i", "nameless.tar").run().ok();
    let before = names();
    assert!(before.contains("<none>"), "{before}");
    rpod!(t, "manifest", "add", "list:1", "docker-archive:other.tar").run().ok();
    assert_eq!(names(), before);
    Ok(())
}

fn refuses(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "manifest", "create", "app").run().ok();
    for (words, wanted) in [
        (&["create", "UPPER"][..], "lower case"),
        (&["create", "new", "nosuch.invalid/x"], "nosuch.invalid"),
        (&["create", "--annotation", "x", "new"], "KEY=VALUE"),
        (&["add", "nosuch", image], "manifest list not known"),
        (&["annotate", "app"], "--index"),
        (&["annotate", "app", image], "not in the manifest list"),
        (&["push", "app", "docker-archive:x"], "no lists"),
        (&["push", "nosuch"], "manifest list not known"),
        (&["inspect", "127.0.0.1:1/x"], "refused"),
        (&["rm", "nosuch"], "manifest list not known"),
    ] {
        let out = t.rpod(["manifest"].iter().chain(words).copied()).run();
        assert!(out.code != Some(0) && out.stderr.contains(wanted), "{words:?}: {out}");
    }
    rpod!(t, "manifest", "exists", "new").run().code(1);
    Ok(())
}

fn docker_hub(t: &Sandbox) -> Outcome {
    let answer = json!({"results": [
        {"name": "alpine", "description": "A minimal image \u{1b}[31mwith a long description that goes on and on", "star_count": 9000, "is_official": true, "is_automated": false},
        {"name": "user/alpine", "description": "", "star_count": 3, "is_official": false, "is_automated": true},
    ]});
    let server = Server::start(move |request| match request.path() {
        "/v1/search" => Response::new(200).body(answer.to_string()),
        _ => Response::new(404),
    });
    let conf = format!(
        "unqualified-search-registries = [\"{0}\"]\n[[registry]]\nlocation = \"{0}\"\ninsecure = true\n",
        server.host()
    );
    t.write("home/.config/containers/registries.conf", conf)?;
    let host = server.host();
    let out = rpod!(t, "search", "alpine").run();
    let lines: Vec<&str> = out.ok().lines().collect();
    assert!(lines[0].starts_with("NAME") && lines[0].ends_with("DESCRIPTION"), "{out}");
    assert!(lines[1].starts_with(&format!("{host}/alpine ")) && lines[1].ends_with("..."), "{out}");
    assert!(!out.stdout.contains('\u{1b}'), "{out}");
    let out =
        rpod!(t, "search", "--compatible", "--no-trunc", "--format", "{{.Name}} {{.Stars}} {{.Official}}", "alpine")
            .run();
    out.lines_are(&[&format!("{host}/alpine 9000 [OK]"), &format!("{host}/user/alpine 3 ")]);
    for (filter, count) in
        [("stars=10", 1), ("is-official", 1), ("is-official=false", 1), ("is-automated=true", 1), ("stars=1", 2)]
    {
        let list = rpod!(t, "search", "--format", "json", "--filter", filter, "alpine").run().json();
        assert_eq!(list.as_array().unwrap().len(), count, "{filter}");
    }
    rpod!(t, "search", "--limit", "1", "-f", "stars=1", "--format", "{{.Index}}", "alpine").run().lines_are(&[&host]);
    rpod!(t, "search", "--filter", "x=y", "alpine").run().fails(125, &["invalid search filter"]);
    rpod!(t, "search", "--limit", "0", "alpine").run().fails(125, &["between 1 and 100"]);
    assert!(server.requests().iter().any(|request| request.target.contains("q=alpine")));
    Ok(())
}

fn catalog(t: &Sandbox) -> Outcome {
    let registry = Registry::empty()?;
    let host = registry.host();
    let image = Image::busybox()?;
    for (name, tag) in [("team/app", "1"), ("team/app", "2"), ("team/other", "1")] {
        image.push(&registry, name, tag, Manifest::Oci)?;
    }
    let search = |term: &str, flags: &[&str]| {
        let words = ["search", "--tls-verify=false"].iter().chain(flags).copied();
        t.rpod(words.chain([format!("{host}/{term}").as_str()])).run()
    };
    search("app", &["--format", "{{.Name}}"]).lines_are(&[&format!("{host}/team/app")]);
    assert_eq!(search("", &["--format", "json"]).json().as_array().unwrap().len(), 2);
    // In the registry's own order.
    let tags = search("team/app", &["--list-tags", "--format", "{{.Tag}}"]).ok().to_owned();
    assert!(tags == "1\n2" || tags == "2\n1", "{tags}");
    let one = search("team/app", &["--list-tags", "--limit", "1", "--format", "{{.Name}}"]).ok().to_owned();
    assert_eq!(one, format!("{host}/team/app"));
    search("nosuch", &[]).lines_are(&[]);
    search("nosuch", &["--list-tags"]).fails(125, &["nosuch"]);
    search("app", &["--list-tags", "--filter", "stars=1"]).fails(125, &["filters are not applicable"]);
    // Every tag at once.
    let all = rpod!(t, "pull", "-q", "-a", "--tls-verify=false", format!("{host}/team/app")).run();
    assert_eq!(all.ok().lines().count(), 2);
    rpod!(t, "pull", "-a", format!("{host}/team/app:1")).run().fails(125, &["--all-tags"]);
    // Pages that go on for ever, or elsewhere.
    let thief = Server::start(|_| Response::new(200).body("{}"));
    let target = format!("http://localhost:{}/v2/x/tags/list", thief.port());
    let server = Server::start(move |request| match request.path() {
        "/v2/" => Response::new(200),
        _ => Response::new(200).header("Link", format!("<{target}>; rel=\"next\"")).body(r#"{"tags":["a"]}"#),
    });
    let name = format!("{}/x", server.host());
    rpod!(t, "search", "--tls-verify=false", "--list-tags", "--creds=u:p", "--format={{.Tag}}", name)
        .run()
        .lines_are(&["a"]);
    assert!(thief.requests().is_empty());
    Ok(())
}
