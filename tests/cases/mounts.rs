//! `-v`, `--mount`, `--tmpfs`, `--read-only`, `--shm-size`: what is mounted and what is refused.

use serde_json::json;

use crate::support::{Image, Outcome, Sandbox, Trial, User, for_each_user, rpod, trial};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    trials.extend(for_each_user("mounts::bind", bind));
    trials.extend(for_each_user("mounts::named_volumes", named_volumes));
    trials.push(trial("mounts::anonymous_volumes", User::Sub, anonymous_volumes));
    trials.push(trial("mounts::mount_syntax", User::Sub, mount_syntax));
    trials.push(trial("mounts::refused", User::Sub, refused));
    trials.extend(for_each_user("mounts::read_only", |t| {
        let image = t.busybox()?;
        let script = "touch /x 2>/dev/null && echo writable; touch /tmp/x /dev/shm/x /run/x && echo temporary";
        rpod!(t, "run", "--rm", "--read-only", image, "sh", "-c", script).run().lines_are(&["temporary"]);
        let script = "for dir in /dev /dev/shm /tmp; do touch $dir/x 2>/dev/null && echo $dir is writable; done; \
                      echo x >/dev/null && ls -d /dev/pts/ptmx";
        rpod!(t, "run", "--rm", "--read-only", "--read-only-tmpfs=false", image, "sh", "-c", script)
            .run()
            .lines_are(&["/dev/pts/ptmx"]);
        // What df and mount show as the device.
        let script = "awk '$2 ~ \"^/dev(/shm|/pts)?$\" {print $1, $2}' /proc/mounts | sort";
        rpod!(t, "run", "--rm", image, "sh", "-c", script).run().lines_are(&[
            "devpts /dev/pts",
            "shm /dev/shm",
            "tmpfs /dev",
        ]);
        let data = t.mkdir("home/data")?;
        let volume = format!("{}:/data", data.display());
        rpod!(t, "run", "--rm", "--read-only", "-v", volume, image, "touch", "/data/x").run().ok();
        Ok(())
    }));
    trials.push(trial("mounts::tmpfs_and_shm", User::Sub, |t| {
        let image = t.busybox()?;
        let show = "grep ' /scratch ' /proc/mounts; df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2";
        let out = rpod!(
            t,
            "run",
            "--rm",
            "--tmpfs",
            "/scratch:size=1m,mode=1770",
            "--shm-size",
            "8m",
            image,
            "sh",
            "-c",
            show
        )
        .run();
        assert!(out.ok().contains("size=1024k") && out.stdout.contains("mode=1770"), "{out}");
        assert_eq!(out.stdout.lines().last(), Some("8192"), "{out}");
        let full = "dd if=/dev/zero of=/scratch/f bs=1k count=2000 2>/dev/null";
        rpod!(t, "run", "--rm", "--tmpfs", "/scratch:size=1m", image, "sh", "-c", full).run().code(1);
        let out =
            rpod!(t, "run", "--rm", image, "sh", "-c", "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2").run();
        assert_eq!(out.ok(), "64000");
        Ok(())
    }));
    trials.push(trial("mounts::end_with_the_container", User::Sub, |t| {
        let image = t.busybox()?;
        let before = std::fs::read_to_string("/proc/self/mounts")?;
        rpod!(t, "run", "-d", "--name", "m", "--tmpfs", "/a", image, "sleep", "100").run().ok();
        let during = std::fs::read_to_string("/proc/self/mounts")?;
        assert!(!during.contains(t.dir().to_str().unwrap()), "a container's mount in the host's namespace");
        rpod!(t, "rm", "-f", "-t", "0", "m").run().ok();
        assert!(!before.contains(t.dir().to_str().unwrap()));
        Ok(())
    }));
    trials
}

fn bind(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let dir = t.mkdir("home/shared")?;
    t.write("home/shared/from-host", "host\n")?;
    let dir = dir.to_str().unwrap();
    let script = "cat /mnt/from-host; echo container >/mnt/from-container; stat -c %u /mnt/from-host";
    let out = rpod!(t, "run", "--rm", "-v", format!("{dir}:/mnt"), image, "sh", "-c", script).run();
    out.lines_are(&["host", "0"]);
    let made = t.dir().join("home/shared/from-container");
    assert_eq!(std::fs::read_to_string(&made)?, "container\n");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&made)?), t.uid());
    let read_only = rpod!(t, "run", "--rm", "-v", format!("{dir}:/mnt:ro"), image, "touch", "/mnt/x").run();
    read_only.fails(1, &["Read-only"]);
    // One file; a missing mount point is made; host paths relative to the working directory.
    let file =
        rpod!(t, "run", "--rm", "-v", format!("{dir}/from-host:/deep/new/file:ro"), image, "cat", "/deep/new/file")
            .run();
    file.lines_are(&["host"]);
    rpod!(t, "run", "--rm", "-v", "./shared:/mnt", image, "cat", "/mnt/from-host").run().lines_are(&["host"]);
    // What is mounted below comes along only with rbind's default; options go through.
    let out =
        rpod!(t, "run", "--rm", "-v", format!("{dir}:/mnt:noexec,nodev"), image, "grep", " /mnt ", "/proc/mounts")
            .run();
    assert!(out.ok().contains("noexec"), "{out}");
    Ok(())
}

fn named_volumes(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    // At its first use a named volume gets what the image has there.
    let out = rpod!(t, "run", "--rm", "-v", "www:/var/www", image, "cat", "/var/www/index.html").run();
    out.lines_are(&["hello from busybox"]);
    rpod!(t, "run", "--rm", "-v", "www:/var/www", image, "sh", "-c", "echo mine >/var/www/index.html").run().ok();
    rpod!(t, "run", "--rm", "-v", "www:/elsewhere:ro", image, "cat", "/elsewhere/index.html")
        .run()
        .lines_are(&["mine"]);
    assert_eq!(std::fs::read_to_string(t.data().join("volumes/www/_data/index.html"))?, "mine\n");
    // nocopy: empty.
    rpod!(t, "run", "--rm", "-v", "bare:/var/www:nocopy", image, "ls", "/var/www").run().lines_are(&[]);
    Ok(())
}

fn anonymous_volumes(t: &Sandbox) -> Outcome {
    let image = Image::busybox()?.config("Volumes", json!({"/var/www": {}}));
    let archive = t.write("home/v.tar", image.docker_archive(&["localhost/volume"]))?;
    rpod!(t, "load", "-i", &archive).run().ok();
    // Not the directory of their locks.
    let is_volume = |entry: &std::fs::DirEntry| !entry.file_name().to_string_lossy().starts_with('.');
    let volumes =
        || std::fs::read_dir(t.data().join("volumes")).map_or(0, |all| all.flatten().filter(is_volume).count());
    rpod!(t, "run", "--name", "v", "localhost/volume", "grep", "-q", " /var/www ", "/proc/mounts").run().ok();
    assert_eq!(volumes(), 1);
    rpod!(t, "create", "--name", "keeps", "localhost/volume", "true").run().ok();
    rpod!(t, "rm", "keeps").run().ok();
    assert_eq!(volumes(), 2, "plain rm keeps the container's anonymous volumes");
    rpod!(t, "rm", "-v", "v").run().ok();
    assert_eq!(volumes(), 1, "rm -v removes the container's anonymous volumes");
    rpod!(t, "run", "--rm", "localhost/volume", "cat", "/var/www/index.html").run().lines_are(&["hello from busybox"]);
    assert_eq!(volumes(), 1, "--rm removes the container's anonymous volumes");
    Ok(())
}

fn mount_syntax(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let dir = t.mkdir("home/data")?;
    t.write("home/data/file", "content\n")?;
    let source = dir.display();
    for spec in [
        format!("type=bind,source={source},target=/m"),
        format!("type=bind,src={source},dst=/m,readonly"),
        format!("type=bind,src={source},destination=/m,ro=true"),
        format!("src={source},dst=/m,type=bind,bind-propagation=rprivate"),
    ] {
        rpod!(t, "run", "--rm", "--mount", &spec, image, "cat", "/m/file").run().lines_are(&["content"]);
    }
    let read_only = format!("type=bind,src={source},dst=/m,ro");
    rpod!(t, "run", "--rm", "--mount", read_only, image, "touch", "/m/x").run().code(1);
    rpod!(t, "run", "--rm", "--mount", "type=volume,src=vol,dst=/m", image, "touch", "/m/x").run().ok();
    rpod!(t, "run", "--rm", "--mount", "type=volume,src=vol,dst=/m", image, "ls", "/m").run().lines_are(&["x"]);
    let tmpfs = "type=tmpfs,dst=/m,tmpfs-size=1m,tmpfs-mode=1700";
    rpod!(t, "run", "--rm", "--mount", tmpfs, image, "grep", " /m ", "/proc/mounts").run().prints("size=1024k");
    Ok(())
}

fn refused(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let refuse = |option: &str, value: &str, says: &[&str]| {
        rpod!(t, "run", "--rm", option, value, image, "true").run().fails(125, says);
    };
    refuse("-v", "/nosuch/dir:/x", &["/nosuch/dir"]);
    refuse("-v", "rel/path:/x", &["rel/path"]);
    refuse("-v", "/tmp:relative", &["relative", "absolute"]);
    refuse("-v", "/tmp:/x:bogusoption", &["bogusoption"]);
    refuse("-v", "/tmp:/a:/b:/c", &[]);
    refuse("--mount", "type=bogus,dst=/x", &["bogus"]);
    refuse("--mount", "type=bind,src=/tmp", &["destination"]);
    refuse("--mount", "type=bind,src=/nosuch/dir,dst=/x", &["/nosuch/dir"]);
    refuse("--mount", "type=bind,src=/tmp,dst=/x,nosuchoption=1", &["nosuchoption"]);
    refuse("--tmpfs", "relative", &["absolute"]);
    refuse("--shm-size", "lots", &["lots"]);
    // Two mounts at one place.
    rpod!(t, "run", "--rm", "-v", "/tmp:/x", "--tmpfs", "/x", image, "true").run().fails(125, &["/x"]);
    Ok(())
}
