//! build: lists of several platforms, registries, caches for others, what the cache takes, limits of steps.

use serde_json::Value;

use super::build::context;
use crate::support::{
    Compression, Image, Manifest, Need, Outcome, Registry, Sandbox, Tarball, Trial, User, index_of, need, rpod, trial,
};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("build_share::platforms", User::Sub, platforms),
        trial("build_share::push", User::NoSub, push),
        trial("build_share::cache_in_a_registry", User::Sub, cache),
        trial("build_share::cache_in_a_directory", User::NoSub, cache_directory),
        trial("build_share::space", User::Sub, space),
        trial("build_share::limits_of_steps", User::Sub, limits),
        trial("build_share::pruned_by_age_and_size", User::Sub, pruned_by_age_and_size),
        trial("build_share::builders", User::NoSub, builders),
    ]
}

fn hits(out: &str) -> usize {
    out.lines().filter(|line| line.ends_with(" CACHED")).count()
}

/// A base of two platforms in the registry.
fn two_platforms(registry: &Registry) -> Result<String, crate::support::Stop> {
    let mut manifests = Vec::new();
    for architecture in ["amd64", "riscv64"] {
        let tar = Tarball::new().file("base", 0o644, architecture).finish();
        let mut image = Image::scratch().layer(tar, Compression::Gzip);
        image.architecture = architecture;
        image.push(registry, "base", architecture, Manifest::Oci)?;
        manifests.push((architecture, image.manifest(Manifest::Oci).0));
    }
    let platform = |architecture| serde_json::json!({"os": "linux", "architecture": architecture});
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let entries: Vec<_> = manifests.iter().map(|(name, manifest)| (kind, &manifest[..], platform(name))).collect();
    registry.put_manifest("base", "latest", "application/vnd.oci.image.index.v1+json", &index_of(&entries))?;
    Ok(format!("{}/base", registry.host()))
}

fn platforms(t: &Sandbox) -> Outcome {
    need([Need::DockerRegistry])?;
    let registry = Registry::plain()?;
    let base = two_platforms(registry)?;
    let text = format!("FROM {base}\nARG TARGETARCH\nLABEL arch=$TARGETARCH\nCOPY own /own\n");
    let dir = context(t, "ctx", &text)?;
    std::fs::write(dir.join("own"), "own\n")?;
    let name = format!("{}/list-{}", registry.host(), t.uid());
    let both = "linux/amd64,linux/riscv64";
    let files = t.mkdir("files")?;
    let args = ["build", "--tls-verify=false", "-q", "--platform", both, "-t", &name, "--push", "--metadata-file"];
    let words = args.iter().map(|arg| (*arg).to_owned());
    let build = t.rpod(words.chain([files.join("meta").display().to_string(), dir.display().to_string()])).run();
    let id = build.ok().trim().to_owned();
    let list = rpod!(t, "manifest", "inspect", &name).run().json();
    let of = |list: &Value| -> Vec<String> {
        let entries = list["manifests"].as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| entry["platform"]["architecture"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(of(&list), ["amd64", "riscv64"]);
    assert!(std::fs::read_to_string(files.join("meta"))?.contains(&format!("sha256:{id}")));
    // It is whole at the registry: each platform's image has its own files and labels.
    for architecture in ["amd64", "riscv64"] {
        let (out, text) = (t.mkdir(&format!("out-{architecture}"))?, format!("FROM {name}\n"));
        let check = context(t, &format!("check-{architecture}"), &text)?;
        let platform = format!("linux/{architecture}");
        rpod!(t, "build", "--tls-verify=false", "--pull", "--platform", &platform, "-t", "check", "-o", &out, &check)
            .run()
            .ok();
        assert_eq!(std::fs::read_to_string(out.join("base"))?, architecture);
        let inspected = rpod!(t, "image", "inspect", "check").run().json();
        assert_eq!(inspected[0]["Config"]["Labels"]["arch"], architecture);
    }
    // --manifest adds one image after the other.
    for architecture in ["amd64", "riscv64"] {
        let platform = format!("linux/{architecture}");
        rpod!(t, "build", "--tls-verify=false", "-q", "--platform", &platform, "--manifest", "other", &dir).run().ok();
    }
    assert_eq!(of(&rpod!(t, "manifest", "inspect", "other").run().json()), ["amd64", "riscv64"]);
    // The same name again is a list of this build alone.
    rpod!(t, "build", "--tls-verify=false", "-q", "--platform", both, "-t", &name, "--label", "x=1", &dir).run().ok();
    assert_eq!(of(&rpod!(t, "manifest", "inspect", &name).run().json()).len(), 2);
    rpod!(t, "build", "--platform", both, &dir).run().fails(125, &["needs a name"]);
    rpod!(t, "build", "--platform", both, "-t", "x", "-").stdin("FROM scratch\n").run().fails(125, &["read once"]);
    rpod!(t, "build", "--platform", both, "-t", "x", "-o", "-", &dir).run().fails(125, &["one platform at a time"]);
    Ok(())
}

fn push(t: &Sandbox) -> Outcome {
    need([Need::DockerRegistry])?;
    let registry = Registry::plain()?;
    let dir = context(t, "ctx", "FROM scratch\nCOPY own /own\n")?;
    std::fs::write(dir.join("own"), "pushed\n")?;
    let name = format!("{}/pushed-{}", registry.host(), t.uid());
    for (tag, flag) in [("a", "--push"), ("b", "-otype=registry"), ("c", "-otype=image,push=true")] {
        let name = format!("{name}:{tag}");
        rpod!(t, "build", "--tls-verify=false", "-q", "-t", &name, flag, &dir).run().ok();
        rpod!(t, "rmi", "-f", &name).run().ok();
        rpod!(t, "pull", "-q", "--tls-verify=false", &name).run().ok();
    }
    rpod!(t, "build", "--push", &dir).run().fails(125, &["no name"]);
    Ok(())
}

const CACHED: &str = "FROM busybox AS a\nRUN cat /proc/sys/kernel/random/uuid >/stamp-a\nFROM busybox\nENV A=1\nRUN cat /proc/sys/kernel/random/uuid >/stamp\nCOPY own /own\nCOPY --from=a /stamp-a /a\n";

fn cache(t: &Sandbox) -> Outcome {
    need([Need::DockerRegistry])?;
    let registry = Registry::plain()?;
    let place = format!("{}/cache-{}:main", registry.host(), t.uid());
    let option = format!("type=registry,ref={place}");
    same_elsewhere(t, &["--tls-verify=false", "--cache-to", &option], &["--tls-verify=false", "--cache-from", &place])?;
    // What is not there costs a warning; what is no cache as well.
    let dir = t.dir().join("ctx");
    let missing = format!("{}/cache-missing", registry.host());
    let out = rpod!(t, "build", "--tls-verify=false", "--cache-from", &missing, &dir).run();
    out.ok();
    assert!(out.stderr.contains("cannot use the build cache"), "{}", out.stderr);
    let name = format!("{}/plain-{}", registry.host(), t.uid());
    rpod!(t, "build", "--tls-verify=false", "-q", "-t", &name, "--push", &dir).run().ok();
    let out = rpod!(t, "build", "--tls-verify=false", "--cache-from", &name, &dir).run();
    out.ok();
    assert!(out.stderr.contains("not a build cache"), "{}", out.stderr);
    rpod!(t, "image", "exists", &name).run().ok();
    // mode=min: the target's steps only.
    let least = format!("type=registry,ref={}/least-{},mode=min", registry.host(), t.uid());
    rpod!(t, "build", "--tls-verify=false", "-q", "--cache-to", &least, &dir).run().ok();
    forget(t, &[]);
    let out = rpod!(t, "build", "--tls-verify=false", "--cache-from", least.replace(",mode=min", ""), &dir).run();
    assert_eq!(hits(out.ok()), 3, "{}", out.stdout);
    for bad in ["type=gha", "type=registry", "type=registry,ref=x,mode=most", "type=registry,ref=x,color=red"] {
        rpod!(t, "build", "--cache-from", bad, &dir).run().fails(125, &["invalid build cache"]);
    }
    Ok(())
}

fn cache_directory(t: &Sandbox) -> Outcome {
    let place = t.mkdir("cache")?;
    let (to, from) = (format!("type=local,dest={}", place.display()), format!("type=local,src={}", place.display()));
    same_elsewhere(t, &["--cache-to", &to], &["--cache-from", &from])
}

/// Builds, forgets everything, and gets the same image without carrying out a step.
fn same_elsewhere(t: &Sandbox, to: &[&str], from: &[&str]) -> Outcome {
    t.busybox()?;
    let dir = context(t, "ctx", CACHED)?;
    std::fs::write(dir.join("own"), "own\n")?;
    let build = |options: &[&str]| {
        let words = ["build", "-t", "app"].iter().chain(options).map(|word| (*word).to_owned());
        let out = t.rpod(words.chain([dir.display().to_string()])).run();
        (out.ok().lines().last().unwrap_or_default().to_owned(), hits(out.ok()))
    };
    let (first, _) = build(to);
    forget(t, &["app"]);
    let images = rpod!(t, "images", "-q").run().ok().lines().count();
    assert_eq!(build(from), (first, 5));
    assert_eq!(rpod!(t, "images", "-q").run().ok().lines().count(), images + 1, "the cache is no image of the list");
    Ok(())
}

fn forget(t: &Sandbox, images: &[&str]) {
    for image in images {
        rpod!(t, "rmi", "-f", image).run().ok();
    }
    rpod!(t, "builder", "prune", "-f", "--all").run().ok();
}

/// The oldest steps go first, and only as many as have to.
fn pruned_by_age_and_size(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let text = |n: u32| format!("FROM busybox\nRUN dd if=/dev/urandom of=/f{n} bs=1k count=400\n");
    for n in 1..=4 {
        let dir = context(t, &format!("ctx{n}"), &text(n))?;
        rpod!(t, "build", "-q", "-t", "app", dir).run().ok();
    }
    rpod!(t, "rmi", "-f", "app").run().ok();
    rpod!(t, "image", "prune", "-f").run().ok();
    let left = || -> Vec<u32> {
        let known = |n: &u32| hits(rpod!(t, "build", t.dir().join(format!("ctx{n}"))).run().ok()) == 1;
        let found = (1..=4).filter(known).collect();
        rpod!(t, "image", "prune", "-f").run().ok();
        found
    };
    let ids = || rpod!(t, "builder", "du", "--format", "{{.ID}}").run().ok().to_owned();
    let steps = || ids().lines().count();
    let prune = |args: &[&str]| {
        let out = t.rpod(["builder", "prune", "-f"].iter().chain(args)).run();
        out.ok().lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(steps(), 4);
    rpod!(t, "buildx", "du").run().prints("RECLAIMABLE").prints("Total:");
    assert_eq!(prune(&["--keep-storage", "1GB"]), "Removed 0 cached build steps");
    assert_eq!(prune(&["-a", "--filter", "until=24h", "--min-free-space", "1b"]), "Removed 0 cached build steps");
    let before = ids();
    assert_eq!(prune(&["--max-used-space", "1000kb"]), "Removed 2 cached build steps");
    assert_eq!(ids().lines().collect::<Vec<_>>(), before.lines().take(2).collect::<Vec<_>>(), "the newest stay");
    assert_eq!(prune(&["--keep-storage", "1000kb", "--builder", "default"]), "Removed 0 cached build steps");
    assert_eq!(prune(&["--reserved-space", "500kb", "--filter", "until=24h"]), "Removed 0 cached build steps");
    assert_eq!(prune(&["--min-free-space", "900000tb"]), "Removed 2 cached build steps");
    assert_eq!(left(), [0; 0]);
    assert_eq!(steps(), 4);
    assert_eq!(prune(&["-a"]), "Removed 4 cached build steps");
    rpod!(t, "builder", "prune", "-f", "--keep-storage", "much").run().code(125);
    Ok(())
}

/// What scripts for Docker ask of buildx is answered, or refused with the reason.
fn builders(t: &Sandbox) -> Outcome {
    rpod!(t, "buildx", "ls").run().prints("default*");
    rpod!(t, "buildx", "inspect", "--bootstrap").run().prints("Platforms: linux/");
    rpod!(t, "buildx", "inspect", "other").run().fails(125, &["no builder \"other\" found", "there is one builder"]);
    rpod!(t, "buildx", "version").run().prints("rpod");
    for (words, says) in [
        ("create --use --name x", "there is one builder"),
        ("use x", "there is one builder"),
        ("rm x", "there is one builder"),
        ("imagetools inspect busybox", "rpod manifest inspect"),
        ("bake", "its files are not read"),
        ("history ls", "--metadata-file"),
    ] {
        let out = t.rpod(["buildx"].into_iter().chain(words.split(' '))).run();
        out.fails(125, &["is not possible", says]);
    }
    Ok(())
}

fn space(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let text = "FROM busybox\nRUN dd if=/dev/zero of=/big bs=1k count=600\nRUN --mount=type=cache,target=/c dd if=/dev/zero of=/c/x bs=1k count=300\n";
    let dir = context(t, "ctx", text)?;
    let row = || {
        let all = rpod!(t, "system", "df", "--format", "json").run().json();
        let row = all.as_array().unwrap().iter().find(|row| row["Type"] == "Build Cache").cloned().unwrap();
        (row["Total"].as_u64().unwrap(), row["Active"].as_u64().unwrap(), row["RawSize"].as_u64().unwrap())
    };
    assert_eq!(row().0, 0);
    rpod!(t, "build", "-q", "-t", "app", &dir).run().ok();
    let (total, active, size) = row();
    assert_eq!((total, active), (2, 2));
    assert!((300_000..500_000).contains(&size), "the image's layers are no part of it: {size}");
    rpod!(t, "rmi", "app").run().ok();
    let (total, active, size) = row();
    assert_eq!((total, active), (2, 0));
    assert!((900_000..1_200_000).contains(&size), "{size}");
    rpod!(t, "system", "df", "-v").run().prints("Build cache usage:");
    rpod!(t, "system", "prune", "-f").run().ok();
    assert_eq!(row().0, 2, "only --build removes it");
    rpod!(t, "builder", "prune", "-f", "--filter", "until=1h").run().prints("Removed 0 cached build steps");
    rpod!(t, "builder", "prune", "-f", "--filter", "color=red").run().fails(125, &["until"]);
    rpod!(t, "system", "prune", "--build", "-f").run().prints("Total reclaimed space:");
    assert_eq!((row().0, row().1), (0, 0));
    assert!(row().2 < 50_000);
    // --cache-ttl: what is older is carried out again.
    rpod!(t, "build", "-q", &dir).run().ok();
    assert_eq!(hits(rpod!(t, "build", "--cache-ttl", "1h", &dir).run().ok()), 2);
    assert_eq!(hits(rpod!(t, "build", "--cache-ttl", "0", &dir).run().ok()), 0);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(hits(rpod!(t, "build", "--cache-ttl", "1s", &dir).run().ok()), 0);
    rpod!(t, "build", "--cache-ttl", "soon", &dir).run().fails(125, &["invalid --cache-ttl"]);
    Ok(())
}

/// Where no cgroup can be had the flags warn, as those of run do; never are they passed over.
fn limits(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let text = "FROM busybox\nRUN cat /sys/fs/cgroup/cpu.weight /sys/fs/cgroup/memory.max 2>/dev/null; hostname; ls -la /etc/hostname || true\n";
    let dir = context(t, "ctx", text)?;
    let delegated = need([Need::DelegatedCgroup]).is_ok();
    let flags = ["--cpu-shares", "512", "--memory", "64m", "--memory-swap", "128m"];
    let words = ["build", "--no-cache"].iter().chain(&flags).map(|word| (*word).to_owned());
    let out = t.rpod(words.chain([dir.display().to_string()])).run();
    out.ok();
    match delegated {
        true => drop(out.prints("67108864")),
        false => assert!(out.stderr.contains("limit") || out.stderr.contains("cgroup"), "{}", out.stderr),
    }
    rpod!(t, "build", "--no-cache", "--memory", "nothing", &dir).run().fails(125, &["nothing"]);
    rpod!(t, "build", "--no-cache", "--memory-swap", "1m", &dir).run().fails(125, &["memory"]);
    rpod!(t, "build", "--no-cache", "--userns", "keep-id", &dir).run().fails(125, &["your whole map"]);
    rpod!(t, "build", "--no-cache", "--userns", "private", &dir).run().ok();
    let out = rpod!(t, "build", "--no-cache", "--no-hostname", &dir).run();
    assert!(!out.ok().lines().any(|line| line.ends_with(" /etc/hostname")), "busybox has none: {}", out.stdout);
    Ok(())
}
