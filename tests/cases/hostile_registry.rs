//! Registries that break off, stall, lie, redirect and overflow: retried where that helps, otherwise an error and nothing kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::support::{
    Compression, FakeRegistry, Image, Manifest, Outcome, Output, Response, Sandbox, Server, Tarball, Trial, User,
    index_of, rpod, sha256, trial,
};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("hostile_registry::breaks_off_then_resumes", User::Sub, breaks_off_then_resumes),
        trial("hostile_registry::always_breaks_off", User::Sub, |t| {
            let server = FakeRegistry::of("x/y", &image()).serve(|request, answer, _| {
                if request.path().contains("/blobs/") && answer.body.len() > 100_000 {
                    answer.cut_after(0)
                } else {
                    answer
                }
            });
            fails(t, &server, &[]);
            Ok(())
        }),
        trial("hostile_registry::ignores_range", User::Sub, |t| {
            // Breaks off once, then sends the whole blob again instead of the rest.
            let honest = FakeRegistry::of("x/y", &image());
            let whole = honest.clone();
            let server = honest.serve(move |request, answer, before| {
                if !request.path().contains("/blobs/") {
                    return answer;
                }
                let mut plain = request.clone();
                plain.headers.remove("range");
                let all = whole.answer(&plain);
                if before == 0 && all.body.len() > 100_000 { all.cut_after(70_000) } else { all }
            });
            pull(t, &server).ok();
            runs(t, &server);
            Ok(())
        }),
        trial("hostile_registry::stalls_once", User::Sub, |t| {
            let server = FakeRegistry::of("x/y", &image()).serve(|request, answer, before| {
                let first = request.path().contains("/blobs/") && answer.body.len() > 100_000 && before == 0;
                if first { answer.cut_after(50_000).stall(Duration::from_secs(150)) } else { answer }
            });
            pull(t, &server).ok();
            Ok(())
        }),
        trial("hostile_registry::busy", User::Sub, |t| {
            for status in [429, 500, 502, 503] {
                let server = FakeRegistry::of("x/y", &image()).serve(move |_, answer, before| {
                    if before < 2 { Response::new(status).header("Retry-After", "1").body("busy") } else { answer }
                });
                pull(t, &server).ok();
                rpod!(t, "rmi", "-af").run().ok();
            }
            Ok(())
        }),
        trial("hostile_registry::always_fails", User::Sub, |t| {
            for status in [400, 403, 418, 429, 500] {
                let server = Server::start(move |_| {
                    Response::new(status).header("Retry-After", "1").body("<html>\u{1b}[31mred")
                });
                let out = fails(t, &server, &[&status.to_string()]);
                assert!(!out.stderr.contains('\u{1b}'), "the server's escape sequences reach the terminal");
            }
            // A Retry-After of a year is not waited for.
            let server = Server::start(|_| Response::new(429).header("Retry-After", "31536000"));
            fails(t, &server, &["429"]);
            Ok(())
        }),
        trial("hostile_registry::wrong_content", User::Sub, wrong_content),
        trial("hostile_registry::foreign_urls_are_not_fetched", User::Sub, foreign_urls),
        trial("hostile_registry::lies_about_size", User::Sub, lies_about_size),
        trial("hostile_registry::redirects", User::Sub, redirects),
        trial("hostile_registry::manifests", User::Sub, manifests),
        trial("hostile_registry::endless", User::Sub, |t| {
            for part in ["/manifests/", "/blobs/", "/v2/"] {
                let server = FakeRegistry::of("x/y", &image()).serve(move |request, answer, _| {
                    let hit = if part == "/v2/" { request.path() == part } else { request.path().contains(part) };
                    if hit { answer.endless() } else { answer }
                });
                let out = pull(t, &server);
                assert!(part == "/v2/" || out.code == Some(125), "{part}: {out}");
            }
            Ok(())
        }),
        trial("hostile_registry::bearer_token", User::Sub, bearer_token),
        trial("hostile_registry::not_a_registry", User::Sub, |t| {
            let server =
                Server::start(|_| Response::new(200).header("Content-Type", "text/html").body("<html>hello</html>"));
            fails(t, &server, &[]);
            Ok(())
        }),
    ]
}

/// Busybox, whose layer is about a megabyte, and a small layer.
fn image() -> Image {
    let layer = Tarball::new().file("data", 0o644, b"data\n").finish();
    Image::busybox().map_or_else(|_| panic!("no busybox"), |image| image.layer(layer, Compression::Gzip))
}

fn pull(t: &Sandbox, server: &Server) -> Output {
    let name = format!("{}/x/y", server.host());
    rpod!(t, "pull", "-q", "--tls-verify=false", name).limit(Duration::from_secs(140)).run()
}

/// The store a server's pulls go to in [`fails`]: one for each, since whole layers of a failed pull may be kept.
fn own_store(t: &Sandbox, server: &Server) -> std::path::PathBuf {
    t.dir().join(format!("home/store-{}", server.port()))
}

fn runs(t: &Sandbox, server: &Server) {
    let name = format!("{}/x/y", server.host());
    rpod!(t, "run", "--rm", "--network=none", "--pull=never", name, "cat", "/data").run().lines_are(&["data"]);
}

/// Fails with 125 and leaves no image and nothing half done.
#[track_caller]
fn fails(t: &Sandbox, server: &Server, says: &[&str]) -> Output {
    let (name, store) = (format!("{}/x/y", server.host()), own_store(t, server));
    let out =
        rpod!(t, "--root", &store, "pull", "-q", "--tls-verify=false", name).limit(Duration::from_secs(140)).run();
    out.fails(125, says);
    assert_eq!(rpod!(t, "--root", &store, "images", "-aq").run().ok(), "", "{out}");
    let staged = std::fs::read_dir(store.join("staging")).map_or(0, Iterator::count);
    assert_eq!(staged, 0, "{out}");
    out
}

/// No layer with this diff ID is in the store.
fn not_kept(t: &Sandbox, server: &Server, tar: &[u8]) {
    let layer = own_store(t, server).join("layers").join(&sha256(tar)[7..]);
    assert!(!layer.exists(), "{}", layer.display());
}

fn breaks_off_then_resumes(t: &Sandbox) -> Outcome {
    let server = FakeRegistry::of("x/y", &image()).serve(|request, answer, before| {
        let big = request.path().contains("/blobs/") && answer.body.len() > 150_000;
        if big && before < 3 { answer.cut_after(100_000) } else { answer }
    });
    pull(t, &server).ok();
    runs(t, &server);
    // It went on where it was, each time.
    let path = format!("/v2/x/y/blobs/{}", sha256(&image().layers[0].blob()));
    let ranges: Vec<String> = server
        .requests()
        .iter()
        .filter(|request| request.path() == path)
        .filter_map(|request| request.header("range").map(str::to_owned))
        .collect();
    assert_eq!(ranges, ["bytes=100000-", "bytes=200000-", "bytes=300000-"]);
    Ok(())
}

fn wrong_content(t: &Sandbox) -> Outcome {
    let honest = FakeRegistry::of("x/y", &image());
    // Each part in turn, one bit changed.
    let (manifest, blobs) = image().manifest(Manifest::Oci);
    let digests: Vec<String> = blobs.iter().map(|blob| sha256(blob)).collect();
    for digest in &digests {
        let bad = digest.clone();
        let server = honest.clone().serve(move |request, mut answer, _| {
            if request.path().ends_with(&bad) {
                let at = answer.body.len() / 2;
                answer.body[at] ^= 1;
            }
            answer
        });
        fails(t, &server, &["sha256:"]);
        if let Some(layer) = image().layers.iter().find(|layer| sha256(&layer.blob()) == *digest) {
            not_kept(t, &server, &layer.tar);
        }
    }
    // Asked for by digest, another manifest is sent.
    let server = honest.clone().serve(|request, answer, _| {
        if request.path().contains("/manifests/sha256:") {
            answer.body(b"{\"schemaVersion\":2}".to_vec())
        } else {
            answer
        }
    });
    let name = format!("{}/x/y@{}", server.host(), sha256(&manifest));
    rpod!(t, "pull", "-q", "--tls-verify=false", name).run().fails(125, &["digest"]);
    // A layer whose compressed digest is right and whose diff ID is not the configuration's.
    let mut other = image();
    let config = other.config_blob();
    other.layers[1].tar = Tarball::new().file("data", 0o644, b"evil\n").finish();
    let layers: Vec<_> = other.layers.iter().map(crate::support::Layer::blob).collect();
    let manifest = json!({"schemaVersion": 2, "mediaType": Manifest::Oci.media_type(),
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(&config), "size": config.len()},
        "layers": layers.iter().map(|blob| json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": sha256(blob), "size": blob.len()})).collect::<Vec<_>>()});
    let lying = layers
        .iter()
        .fold(FakeRegistry::default().blob("x/y", &config), |registry, blob| registry.blob("x/y", blob))
        .manifest("x/y", Manifest::Oci.media_type(), manifest.to_string().as_bytes());
    let server = lying.serve_honestly();
    fails(t, &server, &[]);
    not_kept(t, &server, &other.layers[1].tar);
    // Nothing of all this is in the way of the honest registry.
    let server = honest.serve_honestly();
    pull(t, &server).ok();
    runs(t, &server);
    Ok(())
}

fn lies_about_size(t: &Sandbox) -> Outcome {
    let (manifest, blobs) = image().manifest(Manifest::Oci);
    let text = String::from_utf8(manifest)?;
    let true_size = format!("\"size\":{}", blobs[0].len());
    for lie in ["\"size\":10", "\"size\":99999999999", "\"size\":-1", "\"size\":18446744073709551616"] {
        let manifest = text.replace(&true_size, lie);
        assert_ne!(manifest, text);
        let server = blobs
            .iter()
            .fold(FakeRegistry::default(), |registry, blob| registry.blob("x/y", blob))
            .manifest("x/y", Manifest::Oci.media_type(), manifest.as_bytes())
            .serve_honestly();
        fails(t, &server, &[]);
    }
    for length in [0, 5, 1 << 40] {
        let server = FakeRegistry::of("x/y", &image()).serve(move |request, answer, _| {
            if request.path().contains("/blobs/") { answer.claims_length(length) } else { answer }
        });
        fails(t, &server, &[]);
    }
    Ok(())
}

fn redirects(t: &Sandbox) -> Outcome {
    // To itself, for ever.
    for part in ["/manifests/", "/blobs/"] {
        let server = FakeRegistry::of("x/y", &image()).serve(move |request, answer, _| {
            if request.path().contains(part) {
                Response::new(307).header("Location", request.target.clone())
            } else {
                answer
            }
        });
        let out = fails(t, &server, &["redirect"]);
        assert!(server.requests().len() < 200, "{} requests\n{out}", server.requests().len());
    }
    // Blobs from another host, as real registries do: without the credentials.
    let storage = FakeRegistry::of("x/y", &image()).serve_honestly();
    let elsewhere = storage.host();
    let server = FakeRegistry::of("x/y", &image()).serve(move |request, answer, _| {
        if request.header("authorization").is_none() {
            return Response::new(401).header("WWW-Authenticate", "Basic realm=\"x\"");
        }
        if request.path().contains("/blobs/") {
            return Response::new(307).header("Location", format!("http://{elsewhere}{}", request.target));
        }
        answer
    });
    let name = format!("{}/x/y", server.host());
    rpod!(t, "pull", "-q", "--tls-verify=false", "--creds", "me:secret", name).run().ok();
    let leaked = storage.requests().iter().any(|request| request.header("authorization").is_some());
    assert!(!leaked, "the password went to another host");
    // Nowhere one may go.
    rpod!(t, "rmi", "-af").run().ok();
    for location in ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://", "//", "http://127.0.0.1:1/x"] {
        let server = FakeRegistry::of("x/y", &image()).serve(move |request, answer, _| {
            if request.path().contains("/blobs/") { Response::new(307).header("Location", location) } else { answer }
        });
        fails(t, &server, &[]);
    }
    Ok(())
}

fn manifests(t: &Sandbox) -> Outcome {
    let oci = Manifest::Oci.media_type();
    let index_type = "application/vnd.oci.image.index.v1+json";
    let native = json!({"os": "linux", "architecture": Image::scratch().architecture});
    // Indexes within indexes, thirty deep.
    let (manifest, blobs) = image().manifest(Manifest::Oci);
    let mut registry = blobs
        .iter()
        .fold(FakeRegistry::default(), |registry, blob| registry.blob("x/y", blob))
        .manifest("x/y", oci, &manifest);
    let mut inner = (oci, manifest);
    for _ in 0..30 {
        let index = index_of(&[(inner.0, &inner.1, native.clone())]);
        registry = registry.manifest("x/y", index_type, &index);
        inner = (index_type, index);
    }
    fails(t, &registry.serve_honestly(), &[]);
    // A thousand million layers, a manifest of 20 MB, of deep nesting, of nonsense.
    let layer = json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": sha256(b"x"), "size": 1});
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(b"{}"), "size": 2});
    let many = json!({"schemaVersion": 2, "mediaType": oci, "config": config, "layers": vec![layer.clone(); 20_000]})
        .to_string();
    let huge = json!({"schemaVersion": 2, "mediaType": oci, "config": config, "layers": [], "annotations": {"x": "y".repeat(20 << 20)}}).to_string();
    let with_layers = |layers: serde_json::Value| {
        json!({"schemaVersion": 2, "mediaType": oci, "config": config, "layers": layers}).to_string()
    };
    let cases: Vec<(&str, &str, Vec<u8>)> = vec![
        ("many layers", oci, many.into_bytes()),
        ("huge", oci, huge.into_bytes()),
        ("nested", oci, "[".repeat(1 << 20).into_bytes()),
        ("empty", oci, Vec::new()),
        ("not JSON", oci, b"hello".to_vec()),
        ("null", oci, b"null".to_vec()),
        ("no config", oci, json!({"schemaVersion": 2, "mediaType": oci, "layers": []}).to_string().into_bytes()),
        ("schema 1", "application/vnd.docker.distribution.manifest.v1+prettyjws", json!({"schemaVersion": 1, "name": "x/y", "tag": "latest", "fsLayers": [], "history": []}).to_string().into_bytes()),
        ("empty index", index_type, index_of(&[])),
        ("digest with slashes", oci, with_layers(json!([{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "sha256:../../../../etc/passwd", "size": 1}])).into_bytes()),
        ("short digest", oci, with_layers(json!([{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "sha256:00", "size": 1}])).into_bytes()),
        ("unknown algorithm", oci, with_layers(json!([{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "md5:d41d8cd98f00b204e9800998ecf8427e", "size": 1}])).into_bytes()),
        ("a helm chart", oci, json!({"schemaVersion": 2, "mediaType": oci, "config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": sha256(b"{}"), "size": 2}, "layers": [layer]}).to_string().into_bytes()),
    ];
    for (what, media_type, manifest) in cases {
        let server = FakeRegistry::default()
            .blob("x/y", b"{}")
            .blob("x/y", b"x")
            .manifest("x/y", media_type, &manifest)
            .serve_honestly();
        let out = pull(t, &server);
        assert_eq!(out.code, Some(125), "{what}: {out}");
    }
    rpod!(t, "images", "-aq").run().lines_are(&[]);
    Ok(())
}

/// The token dance of Docker Hub: challenge, token with scope, retry; a token that expires half-way.
fn bearer_token(t: &Sandbox) -> Outcome {
    let issued = Arc::new(AtomicUsize::new(0));
    let (count, current) = (Arc::clone(&issued), Arc::clone(&issued));
    let tokens = Server::start(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        Response::new(200)
            .header("Content-Type", "application/json")
            .body(json!({"token": format!("token-{number}"), "expires_in": 60}).to_string())
    });
    let realm = format!("http://{}/token", tokens.host());
    let expired = AtomicUsize::new(0);
    let server = FakeRegistry::of("x/y", &image()).serve(move |request, answer, _| {
        let wanted = format!("Bearer token-{}", current.load(Ordering::SeqCst));
        let right = request.header("authorization") == Some(wanted.as_str());
        // The first blob finds its token expired.
        let expire = right && request.path().contains("/blobs/") && expired.fetch_add(1, Ordering::SeqCst) == 0;
        if right && !expire {
            return answer;
        }
        let challenge = format!("Bearer realm=\"{realm}\",service=\"test\",scope=\"repository:x/y:pull\"");
        Response::new(401).header("WWW-Authenticate", challenge)
    });
    pull(t, &server).ok();
    runs(t, &server);
    let asked = tokens.requests();
    assert!(asked[0].target.contains("service=test") && asked[0].target.contains("repository"), "{}", asked[0].target);
    assert!(asked[0].header("authorization").is_none(), "anonymous");
    // With a password it is the token server that gets it, and a refused password is told.
    rpod!(t, "rmi", "-af").run().ok();
    let tokens = Server::start(|request| {
        if request.header("authorization") == Some("Basic bWU6c2VjcmV0") {
            Response::new(200).header("Content-Type", "application/json").body(r#"{"access_token":"good"}"#)
        } else {
            Response::new(401).body("{}")
        }
    });
    let realm = format!("http://{}/token", tokens.host());
    let server = FakeRegistry::of("x/y", &image()).serve(move |request, answer, _| {
        if request.header("authorization") == Some("Bearer good") {
            return answer;
        }
        Response::new(401).header("WWW-Authenticate", format!("Bearer realm=\"{realm}\",service=\"test\""))
    });
    let name = format!("{}/x/y", server.host());
    rpod!(t, "pull", "-q", "--tls-verify=false", "--creds", "me:wrong", &name).run().fails(125, &["log in"]);
    rpod!(t, "pull", "-q", "--tls-verify=false", "--creds", "me:secret", &name).run().ok();
    Ok(())
}

/// Layers that the registry does not have, with addresses elsewhere: Windows' base images had them, and an attacker may.
fn foreign_urls(t: &Sandbox) -> Outcome {
    let image = image();
    let layer = image.layers[0].blob();
    let content = layer.clone();
    let elsewhere = Server::start(move |_| Response::new(200).body(content.clone()));
    let (manifest, blobs) = image.manifest(Manifest::Oci);
    let mut manifest: serde_json::Value = serde_json::from_slice(&manifest)?;
    manifest["layers"][0]["urls"] = json!([format!("http://{}/layer", elsewhere.host())]);
    for media_type in
        ["application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar+gzip"]
    {
        manifest["layers"][0]["mediaType"] = media_type.into();
        let mut registry = FakeRegistry::default();
        for blob in blobs.iter().filter(|blob| **blob != layer) {
            registry = registry.blob("x/y", blob);
        }
        let server =
            registry.manifest("x/y", Manifest::Oci.media_type(), manifest.to_string().as_bytes()).serve_honestly();
        fails(t, &server, &["404"]);
    }
    assert!(elsewhere.requests().is_empty());
    Ok(())
}
