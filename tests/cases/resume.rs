//! A pull that ended early goes on where it was, in another process.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Compression, FakeRegistry, Image, Outcome, Sandbox, Server, Tarball, Trial, User, rpod, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("resume::after_a_broken_connection", User::Sub, after_a_broken_connection),
        trial("resume::after_control_c", User::Sub, after_control_c),
        trial("resume::damaged_beginning", User::Sub, damaged_beginning),
    ]
}

/// Six megabytes that no compression makes smaller, and busybox.
fn image() -> Result<Image, crate::support::Stop> {
    let mut state = 1u64;
    let noise: String = (0..6_000_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + (state >> 57) as u8 % 90)
        })
        .collect();
    let layer = Tarball::new().file("noise", 0o644, &noise).file("data", 0o644, "data\n").finish();
    Ok(Image::busybox()?.layer(layer, Compression::None))
}

/// A server that sends `most` bytes of the large layer, then stalls or breaks off.
fn limping(image: &Image, most: usize, stall: bool) -> Server {
    FakeRegistry::of("x/y", image).serve(move |request, answer, _| {
        let large = request.path().contains("/blobs/") && answer.body.len() > 5_000_000;
        match large {
            true if stall => answer.cut_after(most).stall(Duration::from_secs(100)),
            true => answer.cut_after(most),
            false => answer,
        }
    })
}

/// An honest one that notes what was asked for of the large layer.
fn noting(image: &Image) -> (Server, Arc<Mutex<Vec<u64>>>) {
    let starts = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&starts);
    let server = FakeRegistry::of("x/y", image).serve(move |request, answer, _| {
        if request.path().contains("/blobs/") && (answer.status == 206 || answer.body.len() > 5_000_000) {
            let range = request.header("range").and_then(|range| range.strip_prefix("bytes="));
            let start = range.and_then(|range| range.split('-').next()?.parse().ok()).unwrap_or(0);
            noted.lock().unwrap().push(start);
        }
        answer
    });
    (server, starts)
}

fn name(server: &Server) -> String {
    format!("{}/x/y", server.host())
}

fn partials(t: &Sandbox) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(t.data().join("staging")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "partial")).collect()
}

/// From an honest registry, beginning at a byte that `asked` accepts; the image works and nothing is left.
fn goes_on(t: &Sandbox, image: &Image, asked: impl Fn(&[u64]) -> bool) {
    let (server, starts) = noting(image);
    rpod!(t, "pull", "-q", "--tls-verify=false", name(&server)).run().ok();
    let starts = starts.lock().unwrap().clone();
    assert!(asked(&starts), "{starts:?}");
    rpod!(t, "run", "--rm", "--network=none", name(&server), "cat", "/data").run().lines_are(&["data"]);
    assert_eq!(partials(t), Vec::<std::path::PathBuf>::new());
}

fn cut_off(t: &Sandbox, image: &Image) -> std::path::PathBuf {
    let server = limping(image, 3_000_000, false);
    rpod!(t, "pull", "-q", "--retry=0", "--tls-verify=false", name(&server)).run().fails(125, &["broke off"]);
    let left = partials(t);
    assert_eq!(left.len(), 1, "{left:?}");
    left.into_iter().next().unwrap()
}

fn after_a_broken_connection(t: &Sandbox) -> Outcome {
    let image = image()?;
    cut_off(t, &image);
    goes_on(t, &image, |starts| matches!(starts, [start] if *start > 1_000_000));
    Ok(())
}

fn after_control_c(t: &Sandbox) -> Outcome {
    let image = image()?;
    let server = limping(&image, 3_000_000, true);
    let running = rpod!(t, "pull", "--tls-verify=false", name(&server)).spawn();
    let begun = || partials(t).first().is_some_and(|path| path.metadata().is_ok_and(|meta| meta.len() > 1_000_000));
    for _ in 0..300 {
        if begun() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    running.signal(Signal::INT);
    running.wait();
    drop(server);
    goes_on(t, &image, |starts| matches!(starts, [start] if *start > 1_000_000));
    Ok(())
}

fn damaged_beginning(t: &Sandbox) -> Outcome {
    let image = image()?;
    let partial = cut_off(t, &image);
    let length = partial.metadata().unwrap().len();
    // What a power cut may leave.
    std::fs::write(&partial, vec![0; usize::try_from(length).unwrap()]).unwrap();
    goes_on(t, &image, |starts| starts.last() == Some(&0));
    // Longer than the layer.
    rpod!(t, "rmi", "-af").run().ok();
    let partial = cut_off(t, &image);
    std::fs::write(&partial, vec![0; 7_000_000]).unwrap();
    goes_on(t, &image, |starts| starts == [0]);
    Ok(())
}
