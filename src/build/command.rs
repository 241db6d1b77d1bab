//! RUN.

use super::dockerfile::Command;
use super::dockerfile::instruction::Run;
use super::stage::{Stage, Stop};
use super::{run_mounts, settings, variables};
use crate::engine::container::cdi;
use crate::engine::container::step::{self, Step};
use crate::error::{Error, Result};
use crate::network::mode::Mode;
use crate::spec::settings::Mount;

/// Where a here-document with an interpreter of its own stands while it runs.
const SCRIPTS: &str = "/dev/pipes";

impl Stage<'_> {
    pub(crate) fn command(&mut self, run: &Run) -> Result<bool, Stop> {
        let (words, script) = self.words(run)?;
        let mut options = self.build.request.template.clone();
        // A step sees the accounts that the image has, as it changes them.
        options.surroundings.accounts.none = true;
        match run.network.as_deref() {
            None | Some("default") => {}
            Some("none") => options.network.mode = Mode::None,
            Some("host") => options.network.mode = Mode::Host,
            Some(other) => return Err(Error::new(format!("unsupported network mode: {other:?}")).into()),
        }
        match run.security.as_deref() {
            None | Some("sandbox") => {}
            Some("insecure") if self.build.request.insecure => options.privileged = true,
            Some("insecure") => {
                return Err(Error::new("RUN --security=insecure is not allowed")
                    .hint("allow it: --allow security.insecure")
                    .into());
            }
            Some(other) => return Err(Error::new(format!("security {other:?} is not valid")).into()),
        }
        for text in &run.devices {
            let text = self.expand(text)?;
            let name = text.split(',').next().unwrap_or_default();
            let named = cdi::Name::parse(name).ok_or_else(|| {
                Error::new(format!("RUN --device={name}: it names no device"))
                    .hint("write VENDOR/CLASS=DEVICE as the CDI files do, such as nvidia.com/gpu=all")
            })?;
            options.cdi.push(named);
        }
        // Root has root's groups, as with Docker and Buildah, whether an instruction says so or none does.
        if self.state.config.config.user.is_empty() {
            options.user = Some("0".to_owned());
        }
        if let Some(name) = self.build.globals.given.get(variables::HOSTNAME) {
            options.hostname = Some(name.clone());
        }
        let env = self.state.config.config.env.clone();
        let arguments: Vec<(String, String)> =
            self.seen.arguments.of_run(&env).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mounts = self.run_mounts(&run.mounts)?;
        let line = history(&words, script.as_deref(), &arguments);
        // What a step can see of them. Which helper connects it is nothing that it could tell.
        let network = match &options.network.mode {
            Mode::None => "none",
            Mode::Host => "host",
            _ => "private",
        };
        let security = format!("{:?} {network} {:?} {:?}", run.security, options.network.add_hosts, options.cdi);
        let exact = serde_json::json!([words, arguments]).to_string();
        let mut parts = vec![line.as_str(), &exact, &security];
        parts.extend(script.as_deref());
        let keys: Vec<String> = mounts.iter().map(run_mounts::Wanted::key).collect();
        parts.extend(keys.iter().map(String::as_str));
        let key = self.state.next_key(&parts);
        let (found, cached) = self.lookup(&key)?;
        if let Some(step) = found {
            self.state.add(key, line, &step);
            return Ok(cached);
        }
        let place = self.workplace(&self.state.layers.clone())?;
        self.make_volumes(&place)?;
        let mut prepared = self.prepare_mounts(&mounts, &place)?;
        if let Some(script) = &script {
            prepared.mounts.push(script_mount(&place.dir, &words[0], script)?);
        }
        options.command = words;
        options.entrypoint = Some(Vec::new());
        for (name, value) in arguments.into_iter().chain(prepared.environment.drain(..)) {
            options.environment.set.insert(name, value);
        }
        for name in variables::PROXIES {
            if let Some(value) = self.build.globals.given.get(name) {
                options.environment.proxy.insert(name.to_owned(), value.clone());
            }
        }
        let scratch = place.dir.join("names");
        crate::state::paths::create_private(&scratch)?;
        let step = Step {
            id: &place.id,
            options: &options,
            config: &self.state.config,
            rootfs: &place.rootfs,
            scratch: &scratch,
            mounts: std::mem::take(&mut prepared.mounts),
            stdin: self.build.request.stdin,
            maps: self.build.maps,
            volatile: true,
        };
        let sender = &mut *self.sender;
        let mut gone = None;
        let ended = step::run(step, &mut |stderr, bytes| {
            if let Err(error) = sender.output(stderr, bytes) {
                gone.get_or_insert(error);
            }
        })?;
        if let Some(error) = gone {
            return Err(error.into());
        }
        for warning in &ended.warnings {
            self.warn(warning)?;
        }
        if ended.code != 0 {
            return Err(Stop::Program(ended.code));
        }
        drop(prepared);
        let layer = self.make_layer(&place, ended.places)?;
        let same = self.run_mounts(&run.mounts)?.iter().map(run_mounts::Wanted::key).eq(keys);
        let step = match same {
            true => self.keep(&key, Some(layer))?,
            false => {
                self.warn("the build context changed while the step ran; it is not cached")?;
                self.once(layer)
            }
        };
        let key = if same { key } else { self.state.next_key(&[&place.id]) };
        self.state.add(key, line, &step);
        Ok(false)
    }

    /// The program's words, and the script that it is when a here-document brings its own interpreter.
    fn words(&self, run: &Run) -> Result<(Vec<String>, Option<String>)> {
        let Command::Shell(text) = &run.command else {
            return Ok((settings::words(&run.command, &self.state.config), None));
        };
        let shell = settings::shell(&self.state.config);
        let with_shell = |text: String| shell.iter().cloned().chain([text]).collect::<Vec<_>>();
        let Some(first) = run.heredocs.first() else { return Ok((with_shell(text.clone()), None)) };
        if super::dockerfile::is_heredoc(text, self.build.escape) {
            let content = first.content();
            return Ok(match content.starts_with("#!") {
                true => (vec![format!("{SCRIPTS}/{}", first.name)], Some(content)),
                false => (with_shell(content), None),
            });
        }
        let documents = run.heredocs.iter().map(|document| format!("\n{}{}", document.raw, document.name));
        Ok((with_shell(documents.fold(text.clone(), |all, one| all + &one)), None))
    }
}

/// As BuildKit writes it.
fn history(words: &[String], script: Option<&str>, arguments: &[(String, String)]) -> String {
    let mut line = String::from("RUN ");
    if !arguments.is_empty() {
        line = format!("{line}|{} ", arguments.len());
        for (name, value) in arguments {
            line = format!("{line}{name}={value} ");
        }
    }
    let script = script.map(|_| " (script)").unwrap_or_default();
    format!("{line}{}{script} # buildkit", words.join(" "))
}

fn script_mount(dir: &std::path::Path, destination: &str, script: &str) -> Result<Mount> {
    use std::os::unix::fs::PermissionsExt;

    use crate::error::Context;
    let scripts = dir.join("script");
    crate::state::paths::create_private(&scripts)?;
    let path = scripts.join("script");
    std::fs::write(&path, script)
        .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)))
        .and_then(|()| std::fs::set_permissions(&scripts, std::fs::Permissions::from_mode(0o755)))
        .context(|| "cannot write a here-document")?;
    Ok(Mount {
        destination: destination.to_owned(),
        kind: "bind".to_owned(),
        source: path,
        options: ["bind", "ro", "rprivate"].map(str::to_owned).to_vec(),
    })
}
