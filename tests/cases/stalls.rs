//! Registries that fall silent, in each phase of a push and of a pull: an error soon, and Ctrl-C at once.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use super::push::noise;
use crate::support::{
    Compression, FakeRegistry, Image, Manifest, Outcome, Request, Response, Sandbox, Server, Stop, Tarball, Trial,
    UploadServer, User, rpod, sha256, trial,
};

/// Longer than any of these trials may take.
const FOR_EVER: Duration = Duration::from_secs(300);
const LATE: &str = "the registry does not answer in time";

pub fn trials() -> Vec<Trial> {
    vec![
        trial("stalls::push", User::Sub, push),
        trial("stalls::push_to_one_that_does_not_read", User::Sub, push_to_one_that_does_not_read),
        trial("stalls::pull", User::Sub, pull),
        trial("stalls::token_server", User::Sub, token_server),
        trial("stalls::interrupted", User::Sub, interrupted),
        trial("stalls::bars_fit_the_terminal", User::Sub, bars_fit),
    ]
}

/// Busybox, and nine megabytes that are sent in two parts.
fn image() -> Result<Image, Stop> {
    let layer = Tarball::new().file("noise", 0o644, noise(9 << 20)).finish();
    Ok(Image::busybox()?.layer(layer, Compression::None))
}

fn load(t: &Sandbox) -> Result<&'static str, Stop> {
    let archive = t.write("home/in.tar", image()?.docker_archive(&["localhost/i:1"]))?;
    rpod!(t, "load", "-q", "-i", archive).run().ok();
    Ok("localhost/i:1")
}

/// Phases of a push by method and what their path has.
const PUSHES: [(&str, &str); 6] = [
    ("HEAD", "/blobs/"),
    ("POST", "/blobs/uploads/"),
    ("PATCH", "/blobs/uploads/"),
    // After a part whose answer got lost.
    ("GET", "/blobs/uploads/"),
    ("PUT", "/blobs/uploads/"),
    ("PUT", "/manifests/"),
];

fn is(request: &Request, (method, path): (&str, &str)) -> bool {
    request.method == method && request.path().contains(path)
}

fn push(t: &Sandbox) -> Outcome {
    let image = load(t)?;
    for phase in PUSHES {
        let server = UploadServer::start(move |request, answer, before| match is(request, phase) {
            true => answer.stall(FOR_EVER),
            false if phase == ("GET", "/blobs/uploads/") && request.method == "PATCH" && before == 0 => {
                Response::new(503)
            }
            false => answer,
        });
        let name = format!("{}/x/y", server.host());
        let retry: &[&str] = if phase.0 == "GET" { &["--retry=1", "--retry-delay=10ms"] } else { &["--retry=0"] };
        let words = [&["push", "-q", "--tls-verify=false"], retry, &[image, &name]].concat();
        t.rpod(words).env("RPOD_REGISTRY_TIMEOUT", "1").run().fails(125, &[LATE, &server.host()]);
        let asked = server.server.requests();
        assert!(asked.iter().any(|request| is(request, phase)), "{phase:?} {asked:?}");
        assert!(server.manifest("latest").is_none() || phase.1 == "/manifests/");
    }
    Ok(())
}

/// The part stays in the buffers between the two, or in rpod.
fn push_to_one_that_does_not_read(t: &Sandbox) -> Outcome {
    let image = load(t)?;
    for method in ["PATCH", "PUT"] {
        let server = UploadServer::listening(|_, answer, _| answer, move |request| request.method != method);
        let name = format!("{}/x/y", server.host());
        let words = ["push", "-q", "--tls-verify=false", "--retry=0", image, &name];
        t.rpod(words).env("RPOD_REGISTRY_TIMEOUT", "1").run().fails(125, &["the registry", &server.host()]);
        assert!(server.server.requests().iter().any(|request| request.method == method));
    }
    Ok(())
}

fn pull(t: &Sandbox) -> Outcome {
    let image = image()?;
    let phases: [fn(&Request, usize) -> bool; 4] = [
        |request, _| request.path().contains("/manifests/"),
        // The config, and the layers.
        |request, length| request.path().contains("/blobs/") && length < 100_000,
        |request, length| request.path().contains("/blobs/") && length > 100_000,
        |request, length| request.path().contains("/blobs/") && length > 8 << 20,
    ];
    for (number, phase) in phases.into_iter().enumerate() {
        let server = FakeRegistry::of("x/y", &image).serve(move |request, answer, _| {
            match phase(request, answer.body.len()) {
                // In the middle of it.
                true if answer.body.len() > 8 << 20 => answer.cut_after(6 << 20).stall(FOR_EVER),
                true => answer.stall(FOR_EVER),
                false => answer,
            }
        });
        let name = format!("{}/x/y", server.host());
        let words = ["pull", "-q", "--tls-verify=false", "--retry=0", &name];
        t.rpod(words).env("RPOD_REGISTRY_TIMEOUT", "1").run().fails(125, &[LATE]);
        assert!(!server.requests().is_empty());
        // What a cut-off layer began with is kept, and is all that is.
        let left = t.stray_files();
        assert!(left.iter().all(|path| path.extension().is_some_and(|end| end == "partial")), "{number}: {left:?}");
        rpod!(t, "image", "prune", "-af").run().ok();
    }
    // One that accepts connections and says nothing to a TLS client.
    let deaf = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let name = format!("{}/x/y", deaf.local_addr()?);
    rpod!(t, "pull", "-q", "--retry=0", &name).env("RPOD_REGISTRY_TIMEOUT", "1").run().fails(125, &["in time"]);
    Ok(())
}

fn token_server(t: &Sandbox) -> Outcome {
    let image = load(t)?;
    let tokens = Server::start(|_| Response::new(200).stall(FOR_EVER));
    let challenge = format!("Bearer realm=\"http://{}/token\",service=\"s\"", tokens.host());
    let registry = Server::start(move |_| Response::new(401).header("WWW-Authenticate", challenge.clone()));
    let name = format!("{}/x/y", registry.host());
    let auth = json!({"auths": {registry.host(): {"identitytoken": "t", "auth": "PHRva2VuPjo="}}});
    let auth = t.write("home/auth.json", auth.to_string())?;
    let auth = format!("--authfile={}", auth.display());
    for flags in [&[][..], &[auth.as_str()], &["--creds=me:secret"]] {
        for verb in [&["push", image, &name][..], &["pull", &name]] {
            let words = [verb, &["-q", "--tls-verify=false", "--retry=0"], flags].concat();
            t.rpod(words).env("RPOD_REGISTRY_TIMEOUT", "1").run().fails(125, &[LATE]);
        }
    }
    let methods: Vec<String> = tokens.requests().into_iter().map(|request| request.method).collect();
    assert_eq!(methods, ["GET", "GET", "POST", "POST", "GET", "GET"]);
    Ok(())
}

/// Whatever it waits for, it ends with the signal, and so do its helpers.
fn interrupted(t: &Sandbox) -> Outcome {
    let image = load(t)?;
    for phase in PUSHES.into_iter().filter(|phase| *phase != ("GET", "/blobs/uploads/")) {
        let server = UploadServer::start(move |request, answer, _| match is(request, phase) {
            true => answer.stall(FOR_EVER),
            false => answer,
        });
        let name = format!("{}/x/y", server.host());
        let running = rpod!(t, "push", "--tls-verify=false", image, &name).env("RPOD_REGISTRY_TIMEOUT", "200").spawn();
        reach(&server.server, |request| is(request, phase));
        running.signal(Signal::INT);
        let out = running.wait();
        assert!(!matches!(out.code, Some(0 | 125)), "{phase:?}: {out}");
        let left = t.leftovers(Duration::from_secs(20));
        assert!(left.is_empty(), "{phase:?}: {left:?}");
    }
    rpod!(t, "rmi", "-af").run().ok();
    let image = self::image()?;
    for path in ["/manifests/", "/blobs/"] {
        let server = FakeRegistry::of("x/y", &image).serve(move |request, answer, _| {
            if request.path().contains(path) { answer.stall(FOR_EVER) } else { answer }
        });
        let name = format!("{}/x/y", server.host());
        let running = rpod!(t, "pull", "--tls-verify=false", &name).env("RPOD_REGISTRY_TIMEOUT", "200").spawn();
        reach(&server, |request| request.path().contains(path));
        running.signal(Signal::INT);
        running.wait();
        let left = t.leftovers(Duration::from_secs(20));
        assert!(left.is_empty(), "{path}: {left:?}");
    }
    rpod!(t, "images", "-q").run().ok();
    Ok(())
}

/// A bar takes one line, however narrow the terminal, or it would be drawn again below itself.
fn bars_fit(t: &Sandbox) -> Outcome {
    let image = image()?;
    let (_, blobs) = image.manifest(Manifest::Oci);
    let layer =
        blobs.into_iter().find(|blob| blob.len() > 8 << 20).map(|blob| sha256(&blob)[7..19].to_owned()).unwrap();
    for (columns, marks) in [(80, &["[", "MiB", "B/s"][..]), (60, &["MiB", "B/s"]), (40, &["%", "B/s"]), (20, &["%"])] {
        let server = FakeRegistry::of("x/y", &image).serve(|_, answer, _| {
            if answer.body.len() > 8 << 20 { answer.cut_after(6 << 20).stall(FOR_EVER) } else { answer }
        });
        let name = format!("{}/x/y", server.host());
        let mut pty = rpod!(t, "pull", "--tls-verify=false", &name).pty(24, columns);
        pty.expect(&layer[..6]);
        pty.expect(marks.last().unwrap());
        pty.signal(Signal::INT);
        t.leftovers(Duration::from_secs(20));
        // All that it wrote.
        let mut text = pty.text();
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let now = pty.text();
            if now == text {
                break;
            }
            text = now;
        }
        pty.finish();
        let size = |number| std::num::NonZero::new(number).unwrap();
        let mut terminal = vt100::Parser::new(size(24), size(columns), 0);
        terminal.process(text.as_bytes());
        let rows: Vec<String> = terminal.screen().rows(0, columns).collect();
        let bars: Vec<&String> =
            rows.iter().filter(|row| ["%", "MiB", "B/s"].iter().any(|mark| row.contains(mark))).collect();
        assert!(bars.iter().all(|row| marks.iter().all(|mark| row.contains(mark))), "{columns}: {rows:#?}");
        assert!(bars.iter().any(|row| row.starts_with(&layer[..6])), "{columns}: {rows:#?}");
        rpod!(t, "system", "prune", "-af").run().ok();
    }
    Ok(())
}

/// Waits until the server was asked so.
#[track_caller]
fn reach(server: &Server, what: impl Fn(&Request) -> bool) {
    for _ in 0..3000 {
        if server.requests().iter().any(&what) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("not asked: {:?}", server.requests());
}
