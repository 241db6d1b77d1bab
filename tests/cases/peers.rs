//! Images go to and fro between rpod and Podman, Buildah and Skopeo, through Debian's registry.

use crate::support::{Image, Outcome, Peer, Registry, Sandbox, Stop, Trial, User, rpod, serial_trial, sha256};

pub fn trials() -> Vec<Trial> {
    vec![
        serial_trial("peers::rpod_reads_what_they_push", User::Sub, reads_theirs),
        serial_trial("peers::they_read_what_rpod_pushes", User::Sub, they_read_ours),
    ]
}

const PROGRAMS: [&str; 3] = ["podman", "buildah", "skopeo"];

/// A root file system's tar becomes localhost/base; two more layers make b:oci and b:docker of it.
const MAKE: &str = r#"
podman rm -fa -t 0; podman rmi -fa; podman manifest rm ml
D=$(mktemp -d); cd $D
podman import -c CMD=sh - localhost/base
head -c 300000 /dev/urandom | base64 >big
printf 'FROM localhost/base\nCOPY big /big\nRUN echo built >/made\nENV A=b\nCMD ["cat", "/made"]\n' >Dockerfile
podman build -q -t b:oci .
podman build -q --format docker -t b:docker .
"#;

const PUSH: &str = r#"
podman push -q $T b:oci $R/p/b:oci
podman push -q $T --format v2s2 b:docker $R/p/b:docker
podman push -q $T --format v2s2 b:oci $R/p/b:v2s2
podman push -q $T --compression-format zstd b:oci $R/q/b:zstd
podman push -q $T --compression-format zstd:chunked b:oci $R/r/b:chunked
buildah bud -q --isolation chroot -t bb . && buildah push -q $T bb $R/p/b:buildah
podman manifest create ml && podman manifest add --arch arm64 --os linux ml localhost/b:docker
podman manifest add ml localhost/b:oci
podman manifest push --all -q $T ml docker://$R/p/b:multi
C="skopeo copy -q --insecure-policy --src-tls-verify=false --dest-tls-verify=false"
$C --all docker://$R/p/b:multi docker://$R/s/b:multi
$C --format v2s2 docker://$R/p/b:oci docker://$R/s/b:v2s2
$C --dest-compress-format zstd dir:/nowhere docker://$R/s/b:zstd
cd /; rm -rf $D; podman rmi -fa
"#;

fn prelude(registry: &Registry) -> String {
    format!("exec 3>&1 >/dev/null 2>&1; R={}; T=--tls-verify=false\n", registry.host())
}

fn reads_theirs(t: &Sandbox) -> Outcome {
    let peer = Peer::find(PROGRAMS)?;
    let registry = Registry::empty()?;
    let root = Image::busybox()?.layers[0].tar.clone();
    peer.run(t, &format!("{}{MAKE}{PUSH}", prelude(&registry)), &root)?;
    for name in [
        "p/b:oci",
        "p/b:docker",
        "p/b:v2s2",
        "q/b:zstd",
        "r/b:chunked",
        "p/b:buildah",
        "p/b:multi",
        "s/b:multi",
        "s/b:v2s2",
    ] {
        let image = format!("{}/{name}", registry.host());
        rpod!(t, "rmi", "-fa").run().ok();
        rpod!(t, "pull", "-q", "--tls-verify=false", &image).run().ok();
        rpod!(t, "run", "--rm", "--network=none", &image).run().lines_are(&["built"]);
        // What the registry has under the name is what rpod says it has.
        let digest = sha256(&manifest(&registry, name)?);
        let digests = rpod!(t, "image", "inspect", "--format", "{{.RepoDigests}}", &image).run();
        assert!(digests.ok().contains(&digest), "{name}: {digest} is not in {digests}");
    }
    Ok(())
}

fn manifest(registry: &Registry, name: &str) -> Result<Vec<u8>, Stop> {
    let (repository, tag) = name.split_once(':').unwrap();
    let accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                  application/vnd.docker.distribution.manifest.v2+json, \
                  application/vnd.docker.distribution.manifest.list.v2+json";
    let target = format!("/v2/{repository}/manifests/{tag}");
    let (status, _, body) = crate::support::request(&registry.host(), "GET", &target, &[("Accept", accept)], &[])?;
    assert_eq!(status, 200, "{name} was not pushed");
    Ok(body)
}

fn they_read_ours(t: &Sandbox) -> Outcome {
    let peer = Peer::find(PROGRAMS)?;
    let registry = Registry::empty()?;
    let base = t.busybox()?;
    let dockerfile = format!(
        "FROM {base}\nRUN echo built >/made && mkdir /d && chown 7:8 /d && ln /made /d/hard && ln -s /made /d/soft\n\
         HEALTHCHECK CMD true\nONBUILD RUN true\nSHELL [\"/bin/sh\", \"-ec\"]\nSTOPSIGNAL 9\nUSER 7\nCMD [\"cat\", \"/d/hard\"]\n"
    );
    t.write("home/context/Dockerfile", dockerfile)?;
    rpod!(t, "build", "-q", "--format", "docker", "-t", "localhost/built", "context").run().ok();
    rpod!(t, "run", "--name", "c", "--network=none", "localhost/built", "sh", "-c", "cat /d/soft")
        .run()
        .lines_are(&["built"]);
    rpod!(t, "commit", "-q", "--change", "ENV X=y", "--change", "CMD cat /made", "c", "localhost/committed").run().ok();
    let mut digests = Vec::new();
    for (number, (image, flags)) in [
        ("localhost/built", &[][..]),
        ("localhost/built", &["--format", "oci"]),
        ("localhost/built", &["--format", "v2s2"]),
        ("localhost/built", &["--compression-format", "zstd"]),
        ("localhost/built", &["--compression-format", "gzip", "--compression-level", "9", "--force-compression"]),
        ("localhost/committed", &[]),
    ]
    .into_iter()
    .enumerate()
    {
        let file = t.home().join("digest");
        let target = format!("{}/x/y:{number}", registry.host());
        let words = ["push", "-q", "--tls-verify=false", "--digestfile", file.to_str().unwrap()];
        t.rpod(words.iter().chain(flags).chain(&[image, target.as_str()])).run().ok();
        digests.push(std::fs::read_to_string(file)?);
    }
    let script = format!(
        "{}{}",
        prelude(&registry),
        r#"
D=$(mktemp -d); cd $D; podman rm -fa -t 0; podman rmi -fa
for N in 0 1 2 3 4 5; do
  skopeo inspect $T --format '{{.Digest}}' docker://$R/x/y:$N >&3
  podman pull -q $T $R/x/y:$N && podman image inspect --format '{{.Digest}}' $R/x/y:$N >&3
  podman run --rm --network none $R/x/y:$N >&3
  skopeo copy -q --insecure-policy --src-tls-verify=false docker://$R/x/y:$N oci:$D/oci:$N && echo copied >&3
  skopeo copy -q --insecure-policy --src-tls-verify=false docker://$R/x/y:$N docker-archive:$D/$N.tar:y:z && echo copied >&3
  buildah from -q $T --name w$N $R/x/y:$N && buildah config --author me w$N && buildah commit -q w$N w && echo based >&3
  buildah rm -a; podman rmi -fa
done
cd /; rm -rf $D
"#
    );
    let said = peer.run(t, &script, &[])?;
    let wanted: String =
        digests.iter().map(|digest| format!("{digest}\n{digest}\nbuilt\ncopied\ncopied\nbased\n")).collect();
    assert_eq!(said, wanted);
    Ok(())
}
