//! Compiles the freestanding programs that rpod carries inside itself.
//!
//! Every `src/sys/freestanding/NAME.rs` is a program of its own without std, libc or start files: static, position
//! dependent and a few hundred bytes to a few kilobytes long. It becomes `$OUT_DIR/NAME`, for
//! `include_bytes!(concat!(env!("OUT_DIR"), "/NAME"))`.

use std::error::Error;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const SOURCES: &str = "src/sys/freestanding";
/// The processors whose system call instruction the programs know.
const SUPPORTED: [&str; 2] = ["x86_64", "aarch64"];

fn main() -> Result<(), Box<dyn Error>> {
    let mut cargo = std::io::stdout();
    writeln!(cargo, "cargo::rerun-if-changed=build.rs")?;
    writeln!(cargo, "cargo::rerun-if-changed={SOURCES}")?;
    let arch = variable("CARGO_CFG_TARGET_ARCH")?;
    if !SUPPORTED.iter().any(|known| arch == *known) {
        return Err(format!("rpod does not know the processor {} yet, only {SUPPORTED:?}", arch.display()).into());
    }
    let out = PathBuf::from(variable("OUT_DIR")?);
    for entry in fs::read_dir(SOURCES)? {
        let source = entry?.path();
        if source.extension().is_some_and(|e| e == "rs") {
            compile(&source, &out)?;
        }
    }
    Ok(())
}

fn compile(source: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let name = source.file_stem().ok_or("a source file without a name")?;
    let mut rustc = Command::new(variable("RUSTC")?);
    rustc
        .arg("--edition=2024")
        .arg("--crate-type=bin")
        .arg("--crate-name")
        .arg(name.to_string_lossy().replace('-', "_"))
        .arg("--target")
        .arg(variable("TARGET")?)
        .args(["-C", "panic=abort", "-C", "opt-level=s", "-C", "debuginfo=0", "-C", "overflow-checks=off"])
        .args(["-C", "relocation-model=static", "-C", "target-feature=+crt-static", "-C", "strip=symbols"])
        .args(["-C", "relro-level=off", "-C", "link-arg=-nostartfiles", "-C", "link-arg=-nostdlib"])
        // No build id, and headers and code without gaps: the programs are copied on every use.
        .args(["-C", "link-arg=-Wl,--build-id=none", "-C", "link-arg=-Wl,-z,noseparate-code"])
        .arg("-o")
        .arg(out.join(name))
        .arg(source);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={}", linker.display()));
    }
    match rustc.status()?.success() {
        true => Ok(()),
        false => Err(format!("cannot compile {}", source.display()).into()),
    }
}

/// A variable that cargo sets for build scripts.
fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("{name} is not set; run cargo build"))
}
