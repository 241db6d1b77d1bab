//! "Done when": from a registry with a password to nginx answering another host, for both users, each driver, each network.

use std::time::{Duration, Instant};

use crate::support::{
    ClientHost, Need, Outcome, PASSWORD, Registry, Sandbox, Trial, USERNAME, User, free_port, need, rpod, trial,
};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for user in [User::Sub, User::NoSub] {
        for driver in ["overlay", "fuse-overlayfs", "copy"] {
            for (network, helper) in [("slirp4netns", Need::Slirp4netns), ("pasta", Need::Pasta)] {
                trials.push(trial(format!("scenario::nginx::{driver}::{network}::{user}"), user, move |t| {
                    need([helper, Need::Curl, Need::ClientHost])?;
                    super::storage::choose(t, driver)?;
                    nginx(t, network)
                }));
            }
        }
    }
    trials
}

fn nginx(t: &Sandbox, network: &str) -> Outcome {
    let registry = Registry::tls_with_password()?;
    let client = ClientHost::new()?;
    super::pull::trust(t, registry)?;
    let image = format!("{}/library/nginx", registry.host());
    if crate::support::debian_is_missing()? {
        return crate::support::skip("there is no Debian image");
    }
    let pull = rpod!(t, "pull", "-q", "--creds", format!("{USERNAME}:{PASSWORD}"), &image);
    pull.limit(Duration::from_secs(240)).run().ok();

    let port = free_port();
    let mut run = vec!["run", "-d", "--name", "web", "--network", network, "-p"];
    let published = format!("{port}:80");
    run.extend([published.as_str(), &image]);
    if t.user() == User::NoSub {
        // There is no other id to change to: the kernel refuses chown(2) to www-data, whatever made the namespace.
        run.extend(["sh", "-c", "sed -i 's/^user .*/user root;/' /etc/nginx/nginx.conf; exec nginx -g 'daemon off;'"]);
    }
    t.rpod(run).run().ok();
    let url = format!("http://{}:{port}/", client.server_address());
    let end = Instant::now() + Duration::from_secs(20);
    let page = loop {
        let out = client.curl(&url).run();
        if out.code == Some(0) {
            break out.stdout;
        }
        let logs = || rpod!(t, "logs", "web").run();
        assert!(Instant::now() < end, "nginx does not answer: {out}\n{}\n{}", logs(), rpod!(t, "ps", "-a").run());
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(page.contains("Welcome to nginx"), "{page}");

    // The log on stdout names the client, and -f shows the next request as it comes.
    let following = rpod!(t, "logs", "-f", "web").spawn();
    following.expect(&format!("{} - - ", client.address()));
    client.curl(&format!("{url}second-request")).run().ok();
    following.expect("GET /second-request");

    let mut shell = rpod!(t, "exec", "-it", "web", "bash", "--norc").pty(24, 80);
    shell.send("echo pid-1-is-$(cat /proc/1/comm); exit 7\r");
    shell.expect("pid-1-is-nginx");
    assert_eq!(shell.finish(), 7);

    rpod!(t, "stop", "web").run().ok();
    following.wait().code(0);
    assert!(client.curl(&url).run().code != Some(0), "still answering after stop");
    rpod!(t, "inspect", "--format", "{{.State.ExitCode}}", "web").run().lines_are(&["0"]);
    rpod!(t, "rm", "web").run().ok();
    rpod!(t, "rmi", &image).run().ok();
    rpod!(t, "images", "-q").run().lines_are(&[]);
    Ok(())
}
