//! Stores of others (`RPOD_IMAGE_STORES`, storage.conf): used as they are, never changed.

use std::path::Path;

use crate::support::{
    Compression, Image, Outcome, Registry, Sandbox, Stop, Tarball, Trial, User, for_each_user, rpod, trial,
};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("additional::used_as_it_is", used_as_it_is);
    trials.extend(vec![
        trial("additional::on_a_read_only_file_system", User::Sub, read_only_file_system),
        trial("additional::of_another_user::sub", User::Sub, of_another_user),
        trial("additional::of_another_user::nosub", User::NoSub, of_another_user),
        trial("additional::named_in_storage_conf", User::Sub, named_in_storage_conf),
        trial("additional::with_the_copy_driver", User::NoSub, |t| {
            t.use_driver("copy");
            let site = site(t)?;
            let run = rpod!(t, "run", "--rm", "--network=none", NAME, "cat", "/site").env("RPOD_IMAGE_STORES", site);
            run.run().lines_are(&["of the site"]);
            Ok(())
        }),
    ]);
    trials
}

const NAME: &str = "site.example/team/app:1";

fn image() -> Result<Image, Stop> {
    Ok(Image::busybox()?.layer(Tarball::new().file("site", 0o644, "of the site\n").finish(), Compression::None))
}

/// A store with an image in it, filled as whoever keeps it would.
fn site(t: &Sandbox) -> Result<String, Stop> {
    let root = t.mkdir("site")?;
    let file = t.write("home/site.tar", image()?.docker_archive(&[NAME]))?;
    rpod!(t, "--root", &root, "load", "-q", "-i", file).run().ok();
    Ok(root.to_str().unwrap().to_owned())
}

fn entries(dir: &Path) -> usize {
    std::fs::read_dir(dir).map_or(0, Iterator::count)
}

fn used_as_it_is(t: &Sandbox) -> Outcome {
    let site = site(t)?;
    let rpod = |words: &[&str]| t.rpod(words).env("RPOD_IMAGE_STORES", &site).run();
    let before = entries(&Path::new(&site).join("layers"));
    let id = rpod(&["image", "inspect", "--format", "{{.Id}}", NAME]).ok().to_owned();
    rpod(&["images", "--format", "{{.Repository}}:{{.Tag}} {{.ReadOnly}}"]).lines_are(&[&format!("{NAME} true")]);
    assert!(rpod(&["images"]).ok().lines().next().unwrap().ends_with("R/O"));
    rpod(&["images", "-q", "--filter", "readonly=false"]).lines_are(&[]);
    // A container of it, what it changes, and an image of that.
    rpod(&["run", "--name", "c", "--network=none", NAME, "sh", "-c", "cat /site; echo own >/site"])
        .lines_are(&["of the site"]);
    rpod(&["diff", "c"]).lines_are(&["C /site"]);
    rpod(&["commit", "-q", "c", "localhost/own"]).ok();
    rpod(&["run", "--rm", "--network=none", "localhost/own", "cat", "/site"]).lines_are(&["own"]);
    assert_eq!(entries(&t.data().join("layers")), 1, "only what was made here is here");
    rpod(&["save", "-q", "-o", t.home().join("out.tar").to_str().unwrap(), NAME]).ok();
    // It cannot be removed, and nothing that removes everything touches it.
    rpod(&["rm", "c"]).ok();
    rpod(&["rmi", NAME]).fails(125, &[&format!("{NAME} is in a store that is only read"), "site"]);
    rpod(&["rmi", &id]).fails(125, &["only read"]);
    rpod(&["untag", NAME]).fails(125, &["only read"]);
    // A name of one's own for it comes and goes.
    rpod(&["tag", NAME, "two:1", "two:2"]).ok();
    rpod(&["untag", "two:1"]).ok();
    rpod(&["images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=site.example/team/app"])
        .lines_are(&[NAME]);
    rpod(&["images", "-q", "two"]).lines_are(&[]);
    rpod(&["tag", NAME, "mine"]).ok();
    rpod(&["images", "--format", "{{.ReadOnly}}", "mine"]).lines_are(&["false"]);
    rpod(&["rmi", "mine"]).lines_are(&["Untagged: localhost/mine:latest"]);
    rpod(&["rmi", "-af"]).ok();
    rpod(&["image", "prune", "-af"]).ok();
    rpod(&["system", "prune", "-af"]).ok();
    rpod(&["run", "--rm", "--network=none", NAME, "cat", "/site"]).lines_are(&["of the site"]);
    rpod(&["system", "check"]).ok();
    assert_eq!(entries(&Path::new(&site).join("layers")), before);
    // What a registry has of it is not transferred.
    let registry = Registry::empty()?;
    let name = format!("{}/x/y", registry.host());
    rpod(&["push", "-q", "--tls-verify=false", NAME, &name]).ok();
    rpod(&["pull", "-q", "--tls-verify=false", &name]).lines_are(&[&id]);
    assert_eq!(entries(&t.data().join("layers")), 0);
    // Without it there is nothing, and a container tells what it lacks.
    rpod(&["create", "--name=c", "--network=none", NAME, "true"]).ok();
    std::fs::rename(&site, format!("{site}.away"))?;
    rpod!(t, "start", "c").run().fails(125, &["unable to start", "/diff is not there: pull or load"]);
    std::fs::rename(format!("{site}.away"), &site)?;
    rpod(&["rm", "c"]).ok();
    rpod!(t, "run", "--rm", "--pull=never", NAME).run().fails(125, &["not known"]);
    let wrong = rpod!(t, "images").env("RPOD_IMAGE_STORES", format!("{site}:/nowhere")).run();
    wrong.fails(125, &["/nowhere is not a store of rpod"]);
    Ok(())
}

fn read_only_file_system(t: &Sandbox) -> Outcome {
    if !crate::support::is_root() {
        return crate::support::skip("needs root, to mount a file system read-only");
    }
    let site = site(t)?;
    let script = format!(
        "mount --bind {site} {site} && mount -o remount,bind,ro {site} && \
         exec {} rpod run --rm --network=none {NAME} sh -c 'cat /site; echo >/site && rm /bin/ls'",
        t.become_user()
    );
    let words = ["-m", "--propagation", "private", "bash", "-c", &script];
    t.program_as_root("unshare", words).env("RPOD_IMAGE_STORES", &site).run().lines_are(&["of the site"]);
    Ok(())
}

/// Files of somebody else: the container's root has all of them.
fn of_another_user(t: &Sandbox) -> Outcome {
    if !crate::support::is_root() {
        return crate::support::skip("needs root, to give the store to somebody else");
    }
    let site = site(t)?;
    let give =
        format!("chown -R 12345:12345 {site}; chmod a+rx {site} {site}/layers; chmod -R a+rX {site}/blobs {site}/refs");
    t.program_as_root("bash", ["-c", &give]).run().ok();
    let refused = rpod!(t, "run", "--rm", "--network=none", NAME, "true").env("RPOD_IMAGE_STORES", &site).run();
    refused.fails(125, &["home/alice/note", "chmod -R a+rX"]);
    t.program_as_root("chmod", ["-R", "a+rX", &site]).run().ok();
    let script = "cat /site; echo own >/site; cat /site; stat -c %u /bin/busybox; rm /bin/ls";
    let run = |words: &[&str]| t.rpod(words).env("RPOD_IMAGE_STORES", &site).run();
    run(&["run", "--name=c", "--network=none", NAME, "sh", "-c", script]).lines_are(&["of the site", "own", "0"]);
    run(&["image", "prune", "-af"]).ok();
    run(&["start", "-a", "c"]).fails(1, &["ls"]);
    Ok(())
}

fn named_in_storage_conf(t: &Sandbox) -> Outcome {
    let site = site(t)?;
    let podmans = t.mkdir("podmans")?;
    let conf = format!(
        "[storage]\ndriver = \"overlay\"\n[storage.options]\nadditionalimagestores = [\n  \"/nowhere\", \"{}\",\n  \"{site}\",\n]\n",
        podmans.display()
    );
    t.write("home/.config/containers/storage.conf", conf)?;
    rpod!(t, "run", "--rm", "--network=none", NAME, "cat", "/site").run().lines_are(&["of the site"]);
    // The user's own store comes first.
    let file = t.write("home/own.tar", Image::busybox()?.docker_archive(&[NAME]))?;
    rpod!(t, "load", "-q", "-i", file).run().ok();
    rpod!(t, "run", "--rm", "--network=none", NAME, "ls", "/site").run().code(1);
    rpod!(t, "rmi", NAME).run().ok();
    rpod!(t, "run", "--rm", "--network=none", NAME, "cat", "/site").run().lines_are(&["of the site"]);
    Ok(())
}
