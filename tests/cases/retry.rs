//! `--retry` of `pull` and `run`: a registry that fails for a while, or is not there yet.

use std::time::Duration;

use crate::support::{
    Cmd, FakeRegistry, Image, Outcome, Response, Sandbox, Server, Trial, User, free_port, rpod, trial,
};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("retry::of_pull", User::Sub, |t| {
            enough_and_too_few(|image, retries| {
                rpod!(t, "pull", "-q", "--tls-verify=false", RETRY_DELAY, retries, image)
            })
        }),
        trial("retry::of_a_registry_that_starts", User::Sub, starts_later),
        trial("retry::of_run", User::Sub, |t| {
            enough_and_too_few(|image, retries| {
                let words =
                    ["run", "--rm", "--network=none", "--tls-verify=false", RETRY_DELAY, retries, image, "true"];
                t.rpod(words)
            })
        }),
    ]
}

const RETRY_DELAY: &str = "--retry-delay=1ms";

/// Each manifest is refused so often.
const FAILURES: usize = 3;

fn flaky(image: &Image) -> Server {
    FakeRegistry::of("test/flaky", image).serve(|request, answer, before| {
        let refused = request.path().contains("/manifests/") && before < FAILURES;
        if refused { Response::new(503).body("not now") } else { answer }
    })
}

fn enough_and_too_few(command: impl Fn(&str, &str) -> Cmd) -> Outcome {
    let image = Image::busybox()?;
    let server = flaky(&image);
    let name = format!("{}/test/flaky", server.host());
    command(&name, "--retry=1").run().fails(125, &["503"]);
    let asked = |server: &Server| server.requests().iter().filter(|r| r.path().contains("/manifests/")).count();
    assert_eq!(asked(&server), 2);
    // A fresh one, which has not yet been asked.
    let server = flaky(&image);
    let name = format!("{}/test/flaky", server.host());
    command(&name, "--retry=3").run().ok();
    assert!(asked(&server) > FAILURES, "{}", asked(&server));
    Ok(())
}

/// Refused connections are repeated when that is asked for, and only then.
fn starts_later(t: &Sandbox) -> Outcome {
    let image = Image::busybox()?;
    let port = free_port();
    let name = format!("127.0.0.1:{port}/test/late");
    rpod!(t, "pull", "-q", "--tls-verify=false", &name).run().fails(125, &["refused"]);
    rpod!(t, "pull", "-q", "--tls-verify=false", "--retry=2", RETRY_DELAY, &name).run().fails(125, &["refused"]);
    let pull = rpod!(t, "pull", "-q", "--tls-verify=false", "--retry=20", "--retry-delay=100ms", &name).spawn();
    // Enough for the first attempt; one that comes later only finds the registry there.
    std::thread::sleep(Duration::from_millis(500));
    let registry = FakeRegistry::of("test/late", &image);
    let server = Server::start_at(port, move |request| registry.answer(request));
    pull.wait().ok();
    drop(server);
    Ok(())
}
