//! `rpod inspect`, `port`: fields as Podman's, and the OCI Spec that was executed.

use serde_json::json;

use crate::support::{Outcome, Sandbox, Trial, User, free_port, rpod, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("inspect::empty_fields_of_images", User::Sub, empty_fields_of_images),
        trial("inspect::container", User::Sub, container),
        trial("inspect::spec", User::Sub, |t| {
            let image = t.busybox()?;
            rpod!(t, "create", "--name", "s", "--cap-drop=all", "-e", "A=1", image, "true").run().ok();
            let path = rpod!(t, "inspect", "--format", "{{.OCIConfigPath}}", "s").run().ok().to_owned();
            let spec: serde_json::Value = serde_json::from_slice(&std::fs::read(path)?)?;
            assert_eq!(spec["process"]["args"], json!(["true"]));
            assert!(spec["process"]["env"].as_array().is_some_and(|env| env.contains(&json!("A=1"))), "{spec}");
            assert!(spec["linux"]["namespaces"].as_array().is_some_and(|n| n.len() >= 6), "{spec}");
            Ok(())
        }),
        trial("inspect::several_and_missing", User::Sub, |t| {
            let image = t.busybox()?;
            rpod!(t, "create", "--name", "a", image, "true").run().ok();
            rpod!(t, "create", "--name", "b", image, "true").run().ok();
            rpod!(t, "inspect", "--format", "{{.Name}}", "a", "b").run().lines_are(&["a", "b"]);
            rpod!(t, "inspect", "--format", "{{.Name}}", "a", "nosuch").run().fails(125, &["nosuch"]);
            // An image when no container has that name; --type decides.
            rpod!(t, "inspect", "--format", "{{.Id}}", image).run().ok();
            rpod!(t, "inspect", "--type", "container", image).run().code(125);
            Ok(())
        }),
        trial("inspect::what_an_image_does_not_say", User::Sub, |t| {
            let image = crate::support::Image::scratch().config("Cmd", json!(["x"]));
            t.write("home/x.tar", image.docker_archive(&["localhost/x:1"]))?;
            rpod!(t, "load", "-q", "-i", "x.tar").run().ok();
            let lists = ["Env", "Entrypoint", "Shell", "OnBuild"].map(|name| (format!("{{{{.Config.{name}}}}}"), "[]"));
            let maps = ["Labels", "ExposedPorts", "Volumes"].map(|name| (format!("{{{{.Config.{name}}}}}"), "map[]"));
            let others = [
                ("{{.Labels}}|{{.labels}}|{{.config.cmd}}", "map[]|map[]|[x]"),
                ("{{.Config.User}}|{{.Config.WorkingDir}}|{{.Config.StopSignal}}|{{.Variant}}", "|||"),
                ("{{json .Config.ExposedPorts}}", "null"),
                ("{{json .Config}}", r#"{"Cmd":["x"]}"#),
                ("{{index .Config.Labels \"x\"}}|", "|"),
                ("{{range .Config.Env}}x{{end}}{{len .Config.Env}}", "0"),
                ("{{with .Config.Labels}}x{{else}}none{{end}}", "none"),
                ("{{if .Config.Healthcheck}}x{{else}}none{{end}}", "none"),
                ("{{if .HealthCheck}}x{{else}}none{{end}}", "none"),
            ];
            let others = others.map(|(format, said)| (format.to_owned(), said));
            for (format, said) in lists.into_iter().chain(maps).chain(others) {
                rpod!(t, "image", "inspect", "-f", &format, "localhost/x:1").run().lines_are(&[said]);
                rpod!(t, "inspect", "-f", &format, "localhost/x:1").run().lines_are(&[said]);
            }
            rpod!(t, "image", "inspect", "-f", "{{.Config.Nosuch}}", "localhost/x:1").run().fails(125, &["Nosuch"]);
            Ok(())
        }),
        trial("inspect::of_every_kind", User::Sub, |t| {
            let image = t.busybox()?;
            rpod!(t, "volume", "create", "v").run().ok();
            rpod!(t, "volume", "create", "both").run().ok();
            rpod!(t, "network", "create", "n").run().ok();
            rpod!(t, "create", "--name", "both", image, "true").run().ok();
            let what = |words: &[&str]| {
                let all = [&["inspect", "--format", "{{.Name}} {{.Driver}}"], words].concat();
                t.rpod(all).run().ok().to_owned()
            };
            assert_eq!(what(&["v"]), "v local");
            assert_eq!(what(&["n"]), "n bridge");
            assert_eq!(what(&["--type", "network", "n"]), "n bridge");
            assert_eq!(what(&["--type", "volume", "both"]), "both local");
            rpod!(t, "inspect", "--format", "{{.Name}} {{.State.Status}}", "both").run().lines_are(&["both created"]);
            let all = rpod!(t, "inspect", "v", "n", "both", image).run().json();
            assert_eq!(all.as_array().map(Vec::len), Some(4));
            assert!(all[1]["subnets"].is_array() && all[0]["Mountpoint"].is_string(), "{all}");
            for (kind, name, why) in [
                ("volume", "n", "no such volume n"),
                ("network", "v", "unable to find network with name or ID v: network not found"),
                ("pod", "x", "no such pod x"),
                ("all", "x", "no such object: \"x\""),
                ("nosuch", "x", "invalid type \"nosuch\""),
            ] {
                rpod!(t, "inspect", "--type", kind, name).run().fails(125, &[why]);
            }
            let latest = rpod!(t, "inspect", "--type", "volume", "--latest").run();
            latest.fails(125, &["latest is not supported for type \"volume\""]);
            Ok(())
        }),
        trial("inspect::port", User::Sub, |t| {
            let image = t.busybox()?;
            let port = free_port();
            rpod!(
                t,
                "run",
                "-d",
                "--name",
                "p",
                "-p",
                format!("127.0.0.1:{port}:80"),
                "-p",
                format!("{port}:53/udp"),
                image,
                "sleep",
                "1000"
            )
            .run()
            .ok();
            let all = rpod!(t, "port", "p").run();
            all.prints(&format!("80/tcp -> 127.0.0.1:{port}")).prints(&format!("53/udp -> 0.0.0.0:{port}"));
            rpod!(t, "port", "p", "80").run().lines_are(&[&format!("127.0.0.1:{port}")]);
            rpod!(t, "port", "p", "80/tcp").run().lines_are(&[&format!("127.0.0.1:{port}")]);
            let none = rpod!(t, "port", "p", "81").run();
            assert!(none.code != Some(0), "{none}");
            rpod!(t, "port", "-a").run().prints(&format!("127.0.0.1:{port}"));
            rpod!(t, "port", "-a", "p").run().fails(125, &["no arguments are needed with --all"]);
            rpod!(t, "stop", "-t", "0", "p").run().ok();
            rpod!(t, "port", "p", "80").run().lines_are(&[]);
            Ok(())
        }),
    ]
}

/// What an image leaves out is empty, not unknown, as Podman's types have it; in any case of letters.
fn empty_fields_of_images(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    for (format, wanted) in [
        ("{{.Config.Volumes}} {{.Config.Entrypoint}} {{.Config.Cmd}}", "map[] [] [sh]"),
        ("{{json .Config.Entrypoint}} {{len .Config.Volumes}} {{.Config.WorkingDir}}|", "null 0 |"),
        ("{{.config.cmd}} {{.Config.StopSignal}}|{{.Config.OnBuild}}", "[sh] |[]"),
        ("{{.Created.Year}} {{.RootFS.Type}} {{.HealthCheck}} {{.Healthcheck}}", "2023 layers <nil> <nil>"),
        ("{{range .History}}{{.CreatedBy}} {{.EmptyLayer}}{{end}}", "rpod tests false"),
        ("{{with .Config.Labels}}labels{{else}}none{{end}}", "none"),
        ("{{json .Config.Healthcheck}} {{.Variant}}|", "null |"),
    ] {
        for verb in [&["image", "inspect"][..], &["inspect"]] {
            t.rpod([verb, &["--format", format, image]].concat()).run().lines_are(&[wanted]);
        }
    }
    let config = rpod!(t, "image", "inspect", "--format", "{{json .Config}}", image).run().json();
    let keys: Vec<&String> = config.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["Cmd", "Env"]);
    rpod!(t, "image", "inspect", "--format", "{{.Config.Bogus}}", image).run().fails(125, &["Bogus"]);
    Ok(())
}

fn container(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let port = free_port();
    let data = t.mkdir("home/data")?;
    let id = rpod!(
        t,
        "run",
        "-d",
        "--name",
        "full",
        "-h",
        "box",
        "--label",
        "k=v",
        "--annotation",
        "note=x",
        "-e",
        "A=1",
        "-w",
        "/etc",
        "-p",
        format!("127.0.0.1:{port}:80"),
        "-v",
        format!("{}:/data:ro", data.display()),
        "--stop-signal",
        "SIGUSR1",
        "--stop-timeout",
        "7",
        "--cap-add",
        "net_admin",
        "--read-only",
        "--init=false",
        image,
        "sleep",
        "1000"
    )
    .run()
    .ok()
    .to_owned();
    // A label that is not there is an empty text, as scripts expect.
    let labels = "{{index .Config.Labels \"k\"}},{{index .Config.Labels \"none\"}},{{index .HostConfig.Tmpfs \"/x\"}}";
    rpod!(t, "inspect", "-f", labels, "full").run().lines_are(&["v,,"]);
    rpod!(t, "inspect", "-l", "full").run().fails(125, &["--latest and arguments cannot be used together"]);
    rpod!(t, "diff", "-l", "full").run().fails(125, &["--latest and containers cannot be used together"]);
    let all = rpod!(t, "inspect", "full").run().json();
    let c = &all[0];
    for (pointer, value) in [
        ("/Id", json!(id)),
        ("/Name", json!("full")),
        ("/Path", json!("sleep")),
        ("/Args", json!(["1000"])),
        ("/State/Status", json!("running")),
        ("/State/Running", json!(true)),
        ("/State/ExitCode", json!(0)),
        ("/ImageName", json!(image)),
        ("/Config/Hostname", json!("box")),
        ("/Config/Labels/k", json!("v")),
        ("/Config/WorkingDir", json!("/etc")),
        ("/Config/Cmd", json!(["sleep", "1000"])),
        ("/Config/StopSignal", json!("SIGUSR1")),
        ("/Config/StopTimeout", json!(7)),
        ("/Config/Tty", json!(false)),
        ("/HostConfig/ReadonlyRootfs", json!(true)),
        ("/HostConfig/AutoRemove", json!(false)),
        ("/HostConfig/Privileged", json!(false)),
        ("/HostConfig/LogConfig/Type", json!("k8s-file")),
        ("/NetworkSettings/Ports/80~1tcp/0/HostIp", json!("127.0.0.1")),
        ("/NetworkSettings/Ports/80~1tcp/0/HostPort", json!(port.to_string())),
        ("/Mounts/0/Type", json!("bind")),
        ("/Mounts/0/Destination", json!("/data")),
        ("/Mounts/0/RW", json!(false)),
    ] {
        assert_eq!(c.pointer(pointer), Some(&value), "{pointer} in {c:#}");
    }
    assert!(c["EffectiveCaps"].as_array().is_some_and(|caps| caps.contains(&json!("CAP_NET_ADMIN"))), "{c:#}");
    assert!(c["Config"]["Env"].as_array().is_some_and(|env| env.contains(&json!("A=1"))), "{c:#}");
    for field in
        ["Created", "Image", "ResolvConfPath", "HostnamePath", "HostsPath", "Driver", "OCIRuntime", "BoundingCaps"]
    {
        assert!(!c[field].is_null(), "no {field} in {c:#}");
    }
    let pid = rpod!(t, "inspect", "-f", "{{.State.Pid}}", "full").run().ok().to_owned();
    assert!(std::path::Path::new("/proc").join(pid).exists());
    Ok(())
}
