//! Archives written and read again, and archives that lie.

use std::io::{Read, Seek, SeekFrom, Write};

use super::*;
use crate::image::manifest::{Document, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};

const CONFIG: &str = r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["D"]}}"#;
const LAYER: &[u8] = b"not really a tar";

fn scratch() -> std::fs::File {
    let file = rustix::fs::memfd_create("archive", rustix::fs::MemfdFlags::CLOEXEC).expect("memfd");
    std::fs::File::from(file)
}

fn config() -> Vec<u8> {
    CONFIG.replace('D', &Digest::of(LAYER).to_string()).into_bytes()
}

fn written(format: Format) -> Index {
    let mut file = scratch();
    let mut writer = Writer::new(&mut file, format);
    let names = vec!["docker.io/library/a:1".to_owned(), "localhost/b:2".to_owned()];
    let image = Saved { names, config: config(), layers: vec![(Digest::of(LAYER), LAYER.len() as u64)] };
    let open = |diff_id: &DiffId, size| Ok((Descriptor::new(OCI_LAYER, size, *diff_id), LAYER));
    let manifest = |layers: &[Descriptor]| {
        let config = Descriptor::of(OCI_CONFIG, &image.config);
        Ok((OCI_MANIFEST.to_owned(), Manifest::new(OCI_MANIFEST, config, layers.to_vec()).to_bytes()?))
    };
    writer.image_as(&image, open, &manifest).expect("image");
    writer.finish().expect("finish");
    file.seek(SeekFrom::Start(0)).expect("seek");
    Index::read(file).expect("index")
}

/// A tar of `files`; a value starting with "->" is a symbolic link.
fn tar_of(files: &[(&str, &str)]) -> Result<Index> {
    let mut file = scratch();
    let mut builder = tar::Builder::new(&mut file);
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        match content.strip_prefix("->") {
            Some(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, name, target).expect("link");
            }
            None => {
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, name, content.as_bytes()).expect("file");
            }
        }
    }
    builder.into_inner().expect("end");
    file.seek(SeekFrom::Start(0)).expect("seek");
    Index::read(file)
}

#[test]
fn both_formats_round_trip() {
    for format in [Format::Docker, Format::Oci] {
        let index = written(format);
        let images = read(&index, &Platform::host()).expect("images");
        assert_eq!(images.len(), 1, "{format:?}");
        let image = &images[0];
        assert_eq!(image.names.len(), 2);
        assert_eq!(image.config_bytes, config());
        let mut layer = Vec::new();
        image.layers[0].content.clone().read_to_end(&mut layer).expect("layer");
        assert_eq!(layer, LAYER);
        match (format, &image.manifest) {
            (Format::Docker, None) => {}
            (Format::Oci, Some(bytes)) => assert!(matches!(Document::parse(bytes, None), Ok(Document::Image(_)))),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn podmans_manifest_byte_for_byte() {
    // Taken from Podman 5.4.2, of an image whose config has 409 bytes.
    let config: Digest =
        "sha256:3f35786d66286ccc34c22f1e4d586c7d7b919fc9a6382a9d7d5a13886e050380".parse().expect("digest");
    let layer = "sha256:fffa093e0299dd51f14be147b9425a88e6e01f736e36dc2a802a3b638ddd145d".parse().expect("digest");
    let bytes = docker_manifest(&[b' '; 409], &[(layer, 1_996_800)]).expect("manifest");
    let blank = Digest::of(&[b' '; 409]).to_string();
    let text = String::from_utf8(bytes).expect("text").replace(&blank, &config.to_string());
    assert_eq!(
        Digest::of(text.as_bytes()).to_string(),
        "sha256:bbb07fbcdb45fd8a0c417e39c854fdbe149fd03ba6e1556448666d8b1f40e21f"
    );
}

#[test]
fn follows_links_inside_only() {
    let list = r#"[{"Config":"c.json","RepoTags":null,"Layers":["x/layer.tar"]}]"#;
    let config = String::from_utf8(config()).expect("text");
    let files = |target: &'static str| {
        tar_of(&[("manifest.json", list), ("c.json", &config), ("x/layer.tar", target), ("y/layer.tar", "data")])
    };
    let good = files("->../y/layer.tar").expect("index");
    assert_eq!(read(&good, &Platform::host()).expect("images")[0].layers[0].content.len(), 4);
    for bad in ["->../../../etc/passwd", "->layer.tar", "->../z"] {
        assert!(read(&files(bad).expect("index"), &Platform::host()).is_err(), "{bad}");
    }
}

#[test]
fn refuses_what_is_no_archive() {
    assert!(Index::read(scratch()).is_err());
    let mut noise = scratch();
    noise.write_all(&[7; 4096]).expect("write");
    noise.seek(SeekFrom::Start(0)).expect("seek");
    assert!(Index::read(noise).is_err());
    for files in [
        &[("etc/passwd", "root")][..],
        &[("manifest.json", "[]x")],
        &[("manifest.json", r#"[{"Config":"../c.json"}]"#)],
        &[("manifest.json", r#"[{"Config":"c.json","Layers":[]}]"#), ("c.json", CONFIG)],
        &[("index.json", r#"{"schemaVersion":2,"manifests":[]}"#)],
    ] {
        let outcome = tar_of(files).and_then(|index| read(&index, &Platform::host()));
        assert!(outcome.is_err(), "{files:?}");
    }
}

#[test]
fn wrong_digests_and_sizes_are_found() {
    let digest = Digest::of(b"{}").to_string();
    let path = format!("blobs/sha256/{}", Digest::of(b"{}").hex());
    for (size, content) in [(2, "[]"), (3, "{}"), (2, "{} ")] {
        let index =
            format!(r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"","size":{size},"digest":"{digest}"}}]}}"#);
        let archive = tar_of(&[("index.json", &index), (&path, content)]).expect("index");
        assert!(read(&archive, &Platform::host()).is_err(), "{size} {content}");
    }
}

#[test]
fn a_truncated_archive_is_told() {
    let mut file = scratch();
    let mut header = tar::Header::new_gnu();
    header.set_path("layer.tar").expect("path");
    header.set_size(10_000);
    header.set_cksum();
    file.write_all(header.as_bytes()).expect("write");
    file.write_all(&[0; 700]).expect("write");
    file.seek(SeekFrom::Start(0)).expect("seek");
    let error = Index::read(file).expect_err("truncated").to_string();
    assert!(error.contains("truncated"), "{error}");
}
