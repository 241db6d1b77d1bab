//! Flags that Podman has and rpod does not want: what somebody who types one is told. `contrib/flags.md` lists them too.

/// One flag, of `verbs`.
pub(crate) struct Refused {
    pub verbs: &'static [&'static str],
    pub flag: &'static str,
    pub why: &'static str,
}

const RUN: &[&str] = &["run", "create"];

const PODS: &str = "pods come with verbs of their own; share namespaces with --network, --pid and --ipc container:NAME";

const fn refused(verbs: &'static [&'static str], flag: &'static str, why: &'static str) -> Refused {
    Refused { verbs, flag, why }
}

/// All of them.
pub(crate) const REFUSED: &[Refused] = &[
    refused(RUN, "--rdt-class", "classes of Intel's cache allocation (resctrl) can be joined by root only"),
    refused(RUN, "--decryption-key", "encrypted images are not supported: decrypt the image with skopeo first"),
    refused(RUN, "--personality", "the built-in runtime changes no execution domain: run the program under setarch"),
    refused(&["clone"], "--pod", PODS),
    refused(&["create"], "--init-ctr", "init containers belong to pods: use `kube play`"),
];

/// Why `verb` does not have `flag`, if it is one of these.
pub(crate) fn reason(verb: &str, flag: &str) -> Option<&'static str> {
    REFUSED.iter().find(|refused| refused.flag == flag && refused.verbs.contains(&verb)).map(|refused| refused.why)
}
