//! Flags and verbs that Podman or Docker have and rpod does not want: what somebody who types one is told. `contrib/flags.md`
//! lists the flags too.

/// One flag, of `verbs`; those in front of a verb are of `rpod`.
pub(crate) struct Refused {
    pub verbs: &'static [&'static str],
    pub flag: &'static str,
    pub why: &'static str,
}

const RUN: &[&str] = &["run", "create"];

const GLOBAL: &[&str] = &["rpod"];

const PODS: &str = "pods come with verbs of their own; share namespaces with --network, --pid and --ipc container:NAME";
const ENCRYPTED: &str = "encrypted images are not supported: encrypt or decrypt with skopeo";
const SIGSTORE: &str = "sigstore signatures are made by cosign, of what has been pushed";
const ARTIFACTS: &str = "lists are made of images; artifacts are pushed with oras";

const SBOM: &str = "bills of materials are not made: have syft or another tool read the image";

const fn refused(verbs: &'static [&'static str], flag: &'static str, why: &'static str) -> Refused {
    Refused { verbs, flag, why }
}

/// All of them.
pub(crate) const REFUSED: &[Refused] = &[
    refused(RUN, "--rdt-class", "classes of Intel's cache allocation (resctrl) can be joined by root only"),
    refused(RUN, "--decryption-key", "encrypted images are not supported: decrypt the image with skopeo first"),
    refused(RUN, "--personality", "the built-in runtime changes no execution domain: run the program under setarch"),
    refused(&["run", "create", "clone"], "--pod", PODS),
    refused(RUN, "--pod-id-file", PODS),
    refused(&["pull"], "--decryption-key", ENCRYPTED),
    refused(&["push"], "--encrypt-layer", ENCRYPTED),
    refused(&["push"], "--encryption-key", ENCRYPTED),
    refused(&["push"], "--sign-by-sigstore", SIGSTORE),
    refused(&["push"], "--sign-by-sigstore-private-key", SIGSTORE),
    refused(&["push"], "--sign-passphrase-file", "gpg asks its own agent for the passphrase"),
    refused(
        &["push"],
        "--add-compression",
        "a list has one image for a platform: push it to another tag with --compression-format",
    ),
    refused(&["commit"], "--config", "write what is to change as --change, once for each instruction"),
    refused(&["add"], "--artifact", ARTIFACTS),
    refused(&["add"], "--artifact-config", ARTIFACTS),
    refused(&["add"], "--artifact-config-type", ARTIFACTS),
    refused(&["add"], "--artifact-exclude-titles", ARTIFACTS),
    refused(&["add"], "--artifact-layer-type", ARTIFACTS),
    refused(&["add"], "--artifact-subject", ARTIFACTS),
    refused(&["add"], "--artifact-type", ARTIFACTS),
    refused(&["annotate"], "--subject", ARTIFACTS),
    refused(&["build"], "--sbom-image-output", SBOM),
    refused(&["build"], "--sbom-image-purl-output", SBOM),
    refused(&["build"], "--sbom-merge-strategy", SBOM),
    refused(&["build"], "--sbom-output", SBOM),
    refused(&["build"], "--sbom-purl-output", SBOM),
    refused(&["build"], "--sbom-scanner-command", SBOM),
    refused(&["build"], "--sbom-scanner-image", SBOM),
    refused(
        RUN,
        "--health-start-interval",
        "checks keep --health-interval from the start: --health-startup-cmd has one of its own",
    ),
    refused(RUN, "--storage-opt", "quotas need root: a volume of type tmpfs has a size"),
    refused(RUN, "--volume-driver", "volumes have no drivers but local"),
    refused(&["rm"], "--link", "links are names: they end with the container"),
    refused(&["stop", "restart"], "--signal", "run and create set it with --stop-signal; `rpod kill -s` sends any"),
    refused(&["unshare"], "--rootless-netns", "networks live in the netkeeper: enter one with run --network NAME"),
    refused(&["completion"], "--no-desc", "descriptions come with zsh, fish and PowerShell, and bash shows none"),
    refused(GLOBAL, "--config", "logins are read from $REGISTRY_AUTH_FILE, --authfile, and $DOCKER_CONFIG/config.json"),
    refused(GLOBAL, "--conmon", "rpod watches its containers itself"),
    refused(GLOBAL, "--connection", REMOTE),
    refused(GLOBAL, "--context", REMOTE),
    refused(GLOBAL, "--host", REMOTE),
    refused(GLOBAL, "--hooks-dir", "no directory adds hooks to every container: those of CDI devices run"),
    refused(GLOBAL, "--identity", REMOTE),
    refused(GLOBAL, "--remote", REMOTE),
    refused(GLOBAL, "--ssh", REMOTE),
    refused(GLOBAL, "--url", REMOTE),
    refused(
        GLOBAL,
        "--imagestore",
        "images are below --root, containers below $RPOD_STATE: nothing is to be split off",
    ),
    refused(GLOBAL, "--module", "containers.conf has no modules here: write what is to change as flags"),
    refused(GLOBAL, "--network-cmd-path", "slirp4netns and pasta are found by $PATH"),
    refused(GLOBAL, "--network-config-dir", "networks are below --root"),
    refused(GLOBAL, "--runtime-flag", "name a script that adds the flags as --runtime"),
    refused(GLOBAL, "--storage-opt", "--storage-driver names all there is to choose: overlay, fuse-overlayfs or copy"),
    refused(GLOBAL, "--syslog", "messages go to standard error: pipe them into logger"),
    refused(GLOBAL, "--tmpdir", "what lives until a reboot is below --runroot"),
    refused(
        GLOBAL,
        "--transient-store",
        "containers with --rm are in --runroot, which a reboot empties; others are kept",
    ),
    refused(GLOBAL, "--volumepath", "volumes are below --root"),
    refused(&["create"], "--init-ctr", "init containers belong to pods: use `kube play`"),
];

/// Why `verb` does not have `flag`, if it is one of these.
pub(crate) fn reason(verb: &str, flag: &str) -> Option<&'static str> {
    REFUSED.iter().find(|refused| refused.flag == flag && refused.verbs.contains(&verb)).map(|refused| refused.why)
}

const CRIU: &str = "CRIU, which does it, needs root";
const SWARM: &str = "rpod manages containers of one machine, not a swarm";
const REMOTE: &str = "rpod talks to no service on another machine: ssh HOST rpod does";
const ONE_BUILDER: &str = "there is one builder, rpod itself: nothing is to be made, chosen or stopped";
const NO_RECORD: &str = "builds leave their image and what the next one needs: --logfile and --metadata-file keep more";
const NO_MIGRATION: &str =
    "nothing needs it: there are no lock numbers, and new ids are taken up when a container is made";

/// Verbs, all their words.
const VERBS: &[(&str, &str)] = &[
    ("artifact", "artifacts are pulled and pushed with oras or skopeo"),
    ("builder create", ONE_BUILDER),
    ("builder rm", ONE_BUILDER),
    ("builder stop", ONE_BUILDER),
    ("builder use", ONE_BUILDER),
    ("buildx bake", "its files are not read: `rpod build` builds one image after the other"),
    ("buildx create", ONE_BUILDER),
    ("buildx dap", "a build cannot be stopped at a step: --target ends it at a stage"),
    ("buildx debug", "a build cannot be stopped at a step: --target ends it at a stage"),
    ("buildx dial-stdio", "there is no BuildKit to talk to"),
    ("buildx history", NO_RECORD),
    ("buildx imagetools", "`rpod manifest inspect`, `create` and `push` do it"),
    ("buildx install", "`rpod build` is the same as `rpod buildx build`"),
    ("buildx policy", "no policies are evaluated: `rpod image trust` tells which images are taken"),
    ("buildx rm", ONE_BUILDER),
    ("buildx stop", ONE_BUILDER),
    ("buildx uninstall", "`rpod build` is the same as `rpod buildx build`"),
    ("buildx use", ONE_BUILDER),
    ("checkpoint", CRIU),
    ("container checkpoint", CRIU),
    ("container restore", CRIU),
    ("container runlabel", "commands that an image brings in a label are not run"),
    ("context", REMOTE),
    ("farm", REMOTE),
    ("machine", "rpod runs on Linux itself and needs no virtual machine"),
    ("node", SWARM),
    ("plugin", "there are no plugins"),
    ("service", SWARM),
    ("stack", SWARM),
    ("swarm", SWARM),
    ("system connection", REMOTE),
    ("system migrate", NO_MIGRATION),
    ("system renumber", NO_MIGRATION),
    ("volume reload", "volumes are directories; there are no plugins for them"),
];

/// Why there is no verb of these words, if it is one of those. What follows a first word counts only behind a noun.
pub(crate) fn verb(first: &str, second: Option<&str>) -> Option<(&'static str, &'static str)> {
    let both = second.map(|second| format!("{first} {second}"));
    VERBS.iter().copied().find(|(words, _)| *words == first || Some(*words) == both.as_deref())
}
