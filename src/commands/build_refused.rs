//! What `build` is asked for and does not do: each refusal says why.

use crate::cli::build_refused::Refused;
use crate::error::{Error, Result};

/// `--isolation`.
pub(super) fn isolation(text: Option<&str>) -> Result<()> {
    match text {
        None | Some("" | "default" | "oci" | "rootless") => Ok(()),
        Some("chroot") => {
            Err(Error::new("--isolation chroot is not supported: steps always run in a container of their own")
                .hint("leave it out"))
        }
        Some(other) => Err(Error::new(format!("unrecognized isolation type {other:?}"))),
    }
}

/// Why steps have no map of their own.
pub(super) const WHOLE_MAP: &str =
    "layers hold the ids of your whole map, and a step with another one would change their owners";

/// Flags that are known but not carried out.
pub(super) fn refuse(flags: &Refused) -> Result<()> {
    let never = [
        ("compat-volumes", flags.compat_volumes, "what RUN writes to a volume stays in the image, as with Docker"),
        ("cpp-flag", !flags.cpp_flag.is_empty(), "Dockerfiles are not run through a C preprocessor"),
        ("cw", flags.cw.is_some(), "confidential workloads are out of rpod's scope"),
        ("decryption-key", !flags.decryption_key.is_empty(), "encrypted images are not supported"),
        ("hooks-dir", !flags.hooks_dir.is_empty(), "OCI hooks are not supported"),
        ("identity-label", flags.identity_label == Some(true), "rpod adds no label of its own"),
        ("layer-label", !flags.layer_label.is_empty(), "there are no intermediate images"),
        ("logsplit", flags.logsplit, "platforms are built one after the other, into one log"),
        ("os-feature", !flags.os_feature.is_empty(), "only Linux images are built"),
        ("os-version", flags.os_version.is_some(), "only Linux images are built"),
        ("runtime-flag", !flags.runtime_flag.is_empty(), "steps run in rpod's own runtime"),
        ("sbom", flags.sbom.as_deref().is_some_and(|v| v != "false"), "bills of materials are not made"),
        ("attest", flags.attest.iter().any(|text| !is_disabled(text)), "attestations are not made"),
        ("provenance", flags.provenance.as_deref().is_some_and(|v| v != "false"), "attestations are not made"),
        ("sign-by", flags.sign_by.is_some(), "images are not signed"),
        ("userns-uid-map", !flags.userns_uid_map.is_empty(), WHOLE_MAP),
        ("userns-gid-map", !flags.userns_gid_map.is_empty(), WHOLE_MAP),
        ("userns-uid-map-user", flags.userns_uid_map_user.is_some(), WHOLE_MAP),
        ("userns-gid-map-group", flags.userns_gid_map_group.is_some(), WHOLE_MAP),
    ];
    match never.iter().find(|(_, given, _)| *given) {
        Some((name, _, reason)) => Err(Error::new(format!("--{name} is not supported: {reason}"))),
        None => Ok(()),
    }
}

/// `--attest type=…,disabled=true`.
fn is_disabled(text: &str) -> bool {
    text.split(',').any(|field| field == "disabled=true")
}
