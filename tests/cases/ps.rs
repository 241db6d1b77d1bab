//! `rpod ps`: columns, filters, formats as Podman's.

use crate::support::{Outcome, Sandbox, Trial, User, free_port, rpod, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("ps::table", User::Sub, table),
        trial("ps::json", User::Sub, json),
        trial("ps::templates", User::Sub, templates),
        trial("ps::filters", User::Sub, filters),
        trial("ps::selection", User::Sub, |t| {
            let image = t.busybox()?;
            for name in ["a", "b", "c"] {
                rpod!(t, "run", "--name", name, image, "true").run().ok();
            }
            rpod!(t, "ps").run().code(0);
            assert_eq!(rpod!(t, "ps", "-q").run().ok(), "");
            rpod!(t, "ps", "-a", "--format", "{{.Names}}").run().lines_are(&["a", "b", "c"]);
            rpod!(t, "ps", "-n", "2", "--format", "{{.Names}}").run().lines_are(&["b", "c"]);
            rpod!(t, "ps", "-l", "--format", "{{.Names}}").run().lines_are(&["c"]);
            rpod!(t, "ps", "-a", "--sort", "names", "--format", "{{.Names}}").run().lines_are(&["a", "b", "c"]);
            let long = rpod!(t, "ps", "-aq", "--no-trunc").run();
            assert!(long.ok().lines().all(|id| id.len() == 64), "{long}");
            Ok(())
        }),
        trial("ps::nothing_there", User::NoSub, |t| {
            // No store has been made yet.
            let out = rpod!(t, "ps", "-a").run();
            assert_eq!(out.ok().lines().count(), 1, "{out}");
            rpod!(t, "ps", "-a", "--format", "json").run().lines_are(&["[]"]);
            Ok(())
        }),
    ]
}

fn table(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let port = free_port();
    rpod!(t, "run", "-d", "--name", "web", "-p", format!("127.0.0.1:{port}:80"), image, "sleep", "1000").run().ok();
    let out = rpod!(t, "ps").run();
    let lines: Vec<&str> = out.ok().lines().collect();
    let titles: Vec<&str> = lines[0].split("  ").map(str::trim).filter(|s| !s.is_empty()).collect();
    assert_eq!(titles, ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]);
    for part in [image, "sleep 1000", "Up ", &format!("127.0.0.1:{port}->80/tcp"), "web"] {
        assert!(lines[1].contains(part), "no {part}\n{out}");
    }
    rpod!(t, "ps", "--noheading").run().prints("web");
    assert_eq!(rpod!(t, "ps", "--noheading").run().ok().lines().count(), 1);
    rpod!(t, "stop", "-t", "0", "web").run().code(0);
    rpod!(t, "ps", "-a").run().prints("Exited (137)");
    Ok(())
}

fn json(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let id = rpod!(t, "run", "-d", "--name", "j", "--label", "k=v", image, "sleep", "1000").run().ok().to_owned();
    let list = rpod!(t, "ps", "--format", "json").run().json();
    let row = &list[0];
    assert_eq!(row["Id"], id.as_str());
    assert_eq!(row["Names"], serde_json::json!(["j"]));
    assert_eq!(row["Image"], image);
    assert_eq!(row["Command"], serde_json::json!(["sleep", "1000"]));
    assert_eq!(row["State"], "running");
    assert_eq!(row["Labels"]["k"], "v");
    assert_eq!(row["Exited"], false);
    assert_eq!(row["AutoRemove"], false);
    assert!(
        row["Pid"].as_u64().is_some_and(|pid| pid > 1) && row["Created"].is_i64() && row["StartedAt"].is_i64(),
        "{row}"
    );
    for field in
        ["CreatedAt", "ExitCode", "ExitedAt", "ImageID", "Mounts", "Networks", "Ports", "Status", "Restarts", "Size"]
    {
        assert!(row.get(field).is_some(), "no {field} in {row}");
    }
    Ok(())
}

fn templates(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "run", "-d", "--name", "p", "--label", "a=1", "--label", "b=2", image, "sleep", "1000").run().ok();
    let show = |template: &str| rpod!(t, "ps", "-a", "--format", template).run().ok().to_owned();
    assert_eq!(show("{{.Names}} {{.Image}} {{.State}}"), format!("p {image} running"));
    assert_eq!(show("{{.Command}}"), "sleep 1000");
    assert_eq!(show("{{.Label \"a\"}}"), "1");
    assert_eq!(show("{{upper .Names}}-{{len .ID}}"), "P-12");
    assert_eq!(show("{{if eq .State \"running\"}}up{{else}}down{{end}}"), "up");
    assert_eq!(show("{{json .Names}}"), "\"p\"");
    assert_eq!(
        show("table {{.Names}}\t{{.State}}").split_whitespace().collect::<Vec<_>>(),
        ["NAMES", "STATE", "p", "running"]
    );
    let bad = rpod!(t, "ps", "-a", "--format", "{{.NoSuchField}}").run();
    bad.fails(125, &["NoSuchField"]);
    rpod!(t, "ps", "-a", "--format", "{{.Names").run().code(125);
    Ok(())
}

fn filters(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "run", "-d", "--name", "running", "--label", "tier=front", image, "sleep", "1000").run().ok();
    rpod!(t, "run", "--name", "failed", image, "sh", "-c", "exit 3").run().code(3);
    rpod!(t, "create", "--name", "made", "--label", "tier=back", image, "true").run().ok();
    let names = |filters: &[&str]| {
        let options: Vec<&str> = filters.iter().flat_map(|f| ["--filter", f]).collect();
        let all = [&["ps", "-a", "--format", "{{.Names}}"], options.as_slice()].concat();
        let mut names: Vec<String> = t.rpod(all).run().ok().lines().map(str::to_owned).collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(names(&["status=running"]), "running");
    assert_eq!(names(&["status=exited"]), "failed");
    assert_eq!(names(&["status=created", "status=running"]), "made running");
    assert_eq!(names(&["exited=3"]), "failed");
    assert_eq!(names(&["name=^ma"]), "made");
    assert_eq!(names(&["label=tier"]), "made running");
    assert_eq!(names(&["label=tier=front"]), "running");
    assert_eq!(names(&["ancestor=busybox"]), "failed made running");
    assert_eq!(names(&["before=failed"]), "running");
    assert_eq!(names(&["since=failed"]), "made");
    rpod!(t, "ps", "--filter", "nosuch=1").run().fails(125, &["nosuch"]);
    Ok(())
}
