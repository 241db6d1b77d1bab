//! A power cut right after a pull: what it may have destroyed is found and can be had again.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::support::{Image, Outcome, Sandbox, Trial, User, for_each_user, rpod, sha256, trial, wait_until};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("unflushed::layers", layers);
    trials.push(trial("unflushed::what_cannot_be_had_again", User::Sub, commit));
    trials
}

fn marks(t: &Sandbox) -> PathBuf {
    t.data().join("unflushed")
}

/// As the mark of a process that was killed before it had flushed the layer, in that boot.
fn mark(t: &Sandbox, layer: &str, boot: &str) -> Outcome {
    let made =
        t.script(&format!("mkdir -p {marks}; ln -s {boot} {marks}/{layer}.0123456789ab", marks = marks(t).display()));
    made.run().ok();
    Ok(())
}

fn layers(t: &Sandbox) -> Outcome {
    let image = Image::busybox()?;
    let archive = t.write("home/image.tar", image.docker_archive(&["localhost/i"]))?;
    let load = || {
        rpod!(t, "load", "-q", "-i", &archive).run().ok();
    };
    let works = || rpod!(t, "run", "--rm", "localhost/i", "echo", "works").run();
    load();
    wait_until("the flush", || !marks(t).exists());
    works().lines_are(&["works"]);

    let layer = sha256(&image.layers[0].tar)[7..].to_owned();
    let dir = t.data().join("layers").join(&layer);
    let earlier = "00000000-0000-0000-0000-000000000000";
    mark(t, &layer, earlier)?;
    works().lines_are(&["works"]);
    assert!(dir.exists() && !marks(t).exists(), "a layer that is whole stays");

    mark(t, &layer, earlier)?;
    fs::File::options().write(true).open(dir.join("diff/etc/passwd"))?.set_len(0)?;
    works().fails(125, &["the layer", "is not in the store", "pull or load the image again"]);
    assert!(!dir.exists() && !marks(t).exists());
    load();
    works().lines_are(&["works"]);

    // A mark of a layer that is gone, and what is no mark.
    wait_until("the flush", || !marks(t).exists());
    mark(t, &"0".repeat(64), earlier)?;
    works().lines_are(&["works"]);
    assert!(!marks(t).exists());

    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    mark(t, &layer, boot.trim())?;
    works().lines_are(&["works"]);
    assert!(marks(t).exists(), "in this boot nothing is doubted");
    let other = t.write(
        "home/other.tar",
        image
            .config("User", "alice".into())
            .layer(vec![0; 1024], crate::support::Compression::None)
            .docker_archive(&["localhost/o"]),
    )?;
    rpod!(t, "load", "-q", "-i", other).run().ok();
    wait_until("another worker's flush", || !marks(t).exists());
    Ok(())
}

/// A commit holds what nobody else has: it is on the disk before it is told.
fn commit(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    wait_until("the flush", || !marks(t).exists());
    rpod!(t, "run", "--name", "c", image, "touch", "/f").run().ok();
    let before = fs::read_dir(t.data().join("layers"))?.count();
    // Would be there for a flush that comes later.
    symlink("/nonexistent", marks(t))?;
    rpod!(t, "commit", "-q", "c", "localhost/c").run().ok();
    assert!(fs::read_dir(t.data().join("layers"))?.count() > before);
    fs::remove_file(marks(t))?;
    Ok(())
}
