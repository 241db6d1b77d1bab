//! COPY and ADD: what they take, what that is known by, and the layer they make.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::chmod::Chmod;
use super::context::ignore::Ignore;
use super::context::select::{self, Root, Source as Selected, Wanted};
use super::copy::{Attributes, Target};
use super::dockerfile::instruction::Transfer;
use super::dockerfile::{self, expand};
use super::git::Rights;
use super::git_reference::GitReference;
use super::layer::Workplace;
use super::plan::Source;
use super::stage::{Stage, Stop};
use super::{extract, fetch, git, link, redact, settings, variables};
use crate::engine::images::left_out;
use crate::error::{Context, Error, Result};
use crate::image::digest::Digest;
use crate::state::paths::create_private;
use crate::storage::Skipped;
use crate::userns::enter;

/// Where some of the sources come from.
enum Origin {
    /// The build context, or a directory that stands for one.
    Directory { root: Root, ignore: Ignore, sources: Vec<String>, unpack: bool },
    /// A stage or an image.
    Layers { source: Source, sources: Vec<String> },
}

/// A COPY or ADD with everything replaced and found.
struct Order {
    origins: Vec<Origin>,
    destination: String,
    several: bool,
    exclude: Ignore,
    /// Those of `exclude`.
    patterns: Vec<String>,
    attributes: Attributes,
    parents: bool,
    /// What the sources are known by.
    content: Vec<String>,
}

impl Stage<'_> {
    pub(crate) fn transfer(&mut self, transfer: &Transfer) -> Result<bool, Stop> {
        let place = self.workplace_dir()?;
        let order = self.order(transfer, &place)?;
        let line = self.transfer_line(transfer, &order)?;
        let flags = format!(
            "chown {:?} chmod {:?} link {} parents {} exclude {:?} unpack {:?} time {:?}",
            transfer.chown.as_deref().map(|text| self.expand(text)).transpose()?,
            order.attributes.mode,
            transfer.link,
            order.parents,
            order.patterns,
            transfer.unpack,
            order.attributes.time,
        );
        let mut parts = vec![line.as_str(), &flags, &order.destination];
        parts.extend(order.content.iter().map(String::as_str));
        let key = self.state.next_key(&parts);
        let linked = transfer.link && self.is_independent(transfer, &order.destination)?;
        let own = if linked { link::key(&parts) } else { key };
        let (found, cached) = self.lookup(&own)?;
        if let Some(step) = found {
            self.state.know(own, &step);
            self.state.add(key, line, &step);
            return Ok(cached);
        }
        let below = if linked { Vec::new() } else { self.state.layers.clone() };
        let workplace = self.workplace(&below)?;
        self.carry_out(&order, transfer, &workplace)?;
        if self.context_changed(&order)? {
            // What was copied is not what the key stands for.
            let layer = self.make_layer(&workplace, Vec::new())?;
            self.warn("the build context changed while it was being copied; the step is not cached")?;
            let step = self.once(layer);
            let unknown = self.state.next_key(&[&workplace.id]);
            self.state.add(unknown, line, &step);
            return Ok(false);
        }
        let layer = self.make_layer(&workplace, Vec::new())?;
        let step = self.keep(&own, Some(layer))?;
        self.state.know(own, &step);
        self.state.add(key, line, &step);
        Ok(false)
    }

    /// A directory for what is fetched or written for one instruction.
    fn workplace_dir(&self) -> Result<Scratch> {
        let name = format!("in-{}", crate::state::id::short(&crate::state::id::random()?));
        Ok(Scratch(self.build.room.path(&name)))
    }

    /// What history says.
    fn transfer_line(&self, transfer: &Transfer, order: &Order) -> Result<String> {
        let keyword = if transfer.add { "ADD" } else { "COPY" };
        let mut line = keyword.to_owned();
        if let Some(from) = &transfer.from {
            line = format!("{line} --from={from}");
        }
        if let Some(owner) = &transfer.chown {
            line = format!("{line} --chown={}", self.expand(owner)?);
        }
        if let Some(mode) = &transfer.chmod {
            line = format!("{line} --chmod={}", self.expand(mode)?);
        }
        let sources = transfer.sources.iter().map(|source| self.expand(source)).collect::<Result<Vec<_>>>()?;
        let sources = sources.join(" ");
        Ok(format!("{line} {} {} # buildkit", redact::urls(&sources), order.destination))
    }

    fn order(&mut self, transfer: &Transfer, scratch: &Scratch) -> Result<Order> {
        let destination = self.destination(&self.expand(&transfer.destination)?);
        let request = self.build.request;
        let from = self.source_of(transfer.from.as_deref())?;
        let mode = transfer.chmod.as_deref().map(|text| self.expand(text)).transpose()?;
        let checksum = transfer.checksum.as_deref().map(|text| self.expand(text)).transpose()?;
        let patterns = transfer.exclude.iter().map(|text| self.expand(text)).collect::<Result<Vec<_>>>()?;
        let mut order = Order {
            origins: Vec::new(),
            destination,
            several: false,
            exclude: Ignore::of(patterns.iter().map(String::as_str)).map_err(Error::new)?,
            patterns,
            attributes: Attributes {
                owner: None,
                mode: mode.as_deref().map(Chmod::parse).transpose()?,
                time: request.timestamp.filter(|_| request.rewrite_timestamp),
            },
            parents: transfer.parents,
            content: Vec::new(),
        };
        let mut local = Vec::new();
        let mut documents = transfer.heredocs.iter();
        let (mut count, mut length) = (0, 0);
        for text in &transfer.sources {
            count += 1;
            if dockerfile::is_heredoc(text, self.build.escape) {
                let document = documents.next().ok_or_else(|| Error::new("a here-document is missing"))?;
                let mut content = document.content();
                if document.expand {
                    let lookup = variables::lookup(&self.state.config.config.env, &self.seen.arguments);
                    content = expand::text(&content, self.build.escape, &*lookup).map_err(Error::new)?;
                }
                self.document(&document.name, &content, scratch, &mut order)?;
                continue;
            }
            let text = self.expand(text)?;
            length += text.len();
            if length > expand::LONGEST {
                return Err(Error::new(expand::too_long(expand::LONGEST)));
            }
            if transfer.add && fetch::is_git(&text) {
                let directory = scratch.sub(&format!("git-{count}"))?;
                let wanted = GitReference::parse(&text)?;
                let (commit, directory) = git::fetch(
                    &text,
                    &wanted,
                    &directory,
                    transfer.keep_git_dir,
                    Rights::Agent(self.build.request.ssh.get("default").map(std::path::PathBuf::as_path)),
                )?;
                if let Some(wanted) = checksum.as_deref().filter(|wanted| !commit.starts_with(wanted)) {
                    return Err(Error::new(format!(
                        "checksum mismatch for {text}: the commit is {commit}, not {wanted}"
                    )));
                }
                let GitReference { below, submodules, keep_git_dir, .. } = &wanted;
                order.content.push(format!("git {commit} {submodules} {keep_git_dir:?} {below}"));
                order.origins.push(plain(&directory, vec![".".to_owned()], false)?);
            } else if !transfer.add && from.is_none() && fetch::is_url(&text) {
                return Err(Error::new(format!("source can't be a URL for COPY: {text}")).hint("ADD fetches URLs"));
            } else if transfer.add && fetch::is_url(&text) {
                let directory = scratch.sub(&format!("url-{count}"))?;
                let name = fetch::file_name(&text)?;
                let digest = fetch::url(&text, &directory.join(&name), checksum.as_deref())?;
                order.content.push(format!("url {name} {digest}"));
                // Never unpacked, unless that is asked for.
                order.origins.push(plain(&directory, vec![name], transfer.unpack == Some(true))?);
            } else {
                local.push(text);
            }
        }
        order.several = count > 1;
        if checksum.is_some() && !local.is_empty() {
            return Err(Error::new("checksum can't be specified for local sources"));
        }
        if !local.is_empty() {
            self.local(from, local, transfer, &mut order)?;
        }
        Ok(order)
    }

    fn local(
        &mut self,
        from: Option<Source>,
        sources: Vec<String>,
        transfer: &Transfer,
        order: &mut Order,
    ) -> Result<()> {
        let unpack = transfer.add && transfer.unpack != Some(false);
        match from {
            None | Some(Source::Context(_)) => {
                let context = self.context_of(from.as_ref())?;
                let (root, ignore) = (context.root()?.try_clone()?, context.ignore().clone());
                let nothing = &order.exclude;
                let wanted = Wanted { sources: &sources, ignore: &ignore, exclude: nothing, parents: order.parents };
                let digest = self.digest_of(context, &root, &wanted)?;
                order.content.push(digest.to_string());
                order.origins.push(Origin::Directory { root, ignore, sources, unpack });
            }
            Some(source) => {
                let layers = self.layers_of(&source)?;
                let exclude = (&order.exclude, &order.patterns[..]);
                let name = Self::name_of(transfer.from.as_deref(), Some(&source));
                let digest = self.content_of(&layers, &sources, exclude, order.parents, &name)?;
                order.content.push(format!("content {digest}"));
                order.origins.push(Origin::Layers { source, sources });
            }
        }
        Ok(())
    }

    fn document(&self, name: &str, content: &str, scratch: &Scratch, order: &mut Order) -> Result<()> {
        let failed = || format!("cannot write the here-document {name}");
        if name.contains('/') || matches!(name, "." | "..") {
            return Err(Error::new(format!("{}: it cannot be a file's name", failed())));
        }
        let directory = scratch.sub(&format!("doc-{}", order.origins.len()))?;
        let path = directory.join(name);
        std::fs::write(&path, content)
            .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)))
            .context(failed)?;
        order.content.push(format!("document {name} {}", Digest::of(content.as_bytes())));
        order.origins.push(plain(&directory, vec![name.to_owned()], false)?);
        Ok(())
    }

    /// Absolute, a slash at the end kept.
    fn destination(&self, text: &str) -> String {
        let is_directory =
            text.ends_with('/') || matches!(text, "" | "." | "..") || text.ends_with("/.") || text.ends_with("/..");
        let path = settings::workdir(&self.state.config.config.working_dir, text);
        if is_directory && path != "/" { format!("{path}/") } else { path }
    }

    /// Copies everything into the layer.
    fn carry_out(&mut self, order: &Order, transfer: &Transfer, place: &Workplace<'_>) -> Result<()> {
        let mut attributes = order.attributes.clone();
        if let Some(owner) = &transfer.chown {
            attributes.owner = Some(self.owner(&self.expand(owner)?, place)?);
        }
        let mut views = Vec::new();
        for (number, origin) in order.origins.iter().enumerate() {
            views.push(match origin {
                Origin::Directory { .. } => None,
                Origin::Layers { source, .. } => {
                    let layers = self.layers_of(source)?;
                    let dir = place.dir.join(format!("from-{number}"));
                    let plan = self.view(&layers, &dir)?;
                    let lower = dir.join("lower");
                    create_private(&lower)?;
                    Some((plan, lower))
                }
            });
        }
        let skipped = enter::run(self.build.maps, || {
            let mut skipped = Skipped::default();
            rustix::process::umask(Mode::empty());
            let mounted = place.rootfs.mount_in_place()?;
            let root = Root::new(mounted.root.try_clone().context(|| "cannot keep a directory")?)?;
            for (origin, view) in order.origins.iter().zip(&views) {
                let mut attributes = attributes.clone();
                if matches!(origin, Origin::Directory { unpack: false, .. }) {
                    // Whoever owns the context, in the image it is root.
                    attributes.owner.get_or_insert((0, 0));
                }
                let mut target = Target::new(&root, &attributes);
                match (origin, view) {
                    (Origin::Directory { root: from, ignore, sources, unpack }, _) => {
                        let wanted = Wanted { sources, ignore, exclude: &order.exclude, parents: order.parents };
                        let found = select::select(from, &wanted)?;
                        if *unpack {
                            skipped += unpack_or_copy(&mut target, &root, from, found, order, &attributes)?;
                        } else {
                            target.copy(from, &found, order.destination.as_bytes(), order.several)?;
                        }
                    }
                    (Origin::Layers { source, sources }, Some((plan, lower))) => {
                        let mounted = plan.mount_lower(lower)?;
                        let from = Root::new(mounted.root.try_clone().context(|| "cannot keep a directory")?)?
                            .called(Self::name_of(transfer.from.as_deref(), Some(source)));
                        let nothing = Ignore::default();
                        let wanted =
                            Wanted { sources, ignore: &nothing, exclude: &order.exclude, parents: order.parents };
                        let found = select::select(&from, &wanted)?;
                        target.copy(&from, &found, order.destination.as_bytes(), order.several)?;
                    }
                    (Origin::Layers { .. }, None) => {}
                }
                skipped += target.done()?;
            }
            Ok(skipped)
        })?;
        left_out(&skipped, None).iter().try_for_each(|text| self.warn(text))
    }

    /// What is known by content of the given sources of a build context.
    pub(crate) fn context_digest(&mut self, from: Option<&Source>, sources: &[String]) -> Result<Digest> {
        let context = self.context_of(from)?;
        let root = context.root()?.try_clone()?;
        let nothing = Ignore::default();
        let wanted = Wanted { sources, ignore: context.ignore(), exclude: &nothing, parents: false };
        self.digest_of(context, &root, &wanted)
    }

    fn digest_of(&mut self, context: &super::context::Context, root: &Root, wanted: &Wanted<'_>) -> Result<Digest> {
        let found: Vec<Selected> = select::select(root, wanted)?;
        let known = self.known(context);
        let digests = found.iter().map(|source| known.source(root, source)).collect::<Result<Vec<_>>>()?;
        let text: Vec<String> = digests.iter().map(Digest::to_string).collect();
        Ok(Digest::of(text.join("\n").as_bytes()))
    }

    /// Whether the context is no longer what was hashed before it was copied.
    fn context_changed(&mut self, order: &Order) -> Result<bool> {
        for origin in &order.origins {
            let Origin::Directory { root, ignore, sources, .. } = origin else { continue };
            let wanted = Wanted { sources, ignore, exclude: &order.exclude, parents: order.parents };
            let build = self.build;
            let mut contexts = build.contexts.values().chain([build.context]);
            if let Some(context) = contexts.find(|context| context.root().is_ok_and(|own| own.is_same(root))) {
                let digest = self.digest_of(context, root, &wanted)?.to_string();
                if !order.content.contains(&digest) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// Archives are unpacked, everything else is copied.
fn unpack_or_copy(
    target: &mut Target<'_>,
    root: &Root,
    from: &Root,
    found: Vec<Selected>,
    order: &Order,
    attributes: &Attributes,
) -> Result<Skipped> {
    let mut skipped = Skipped::default();
    let several = order.several || found.len() > 1;
    for source in found {
        let entry = source.entries.first().filter(|_| !source.is_directory);
        let file = match entry {
            Some(entry) => {
                let fd = from.reopen(&entry.from, OFlags::RDONLY | OFlags::NONBLOCK);
                Some(File::from(fd.context(|| format!("cannot open {}", entry.from.escape_ascii()))?))
            }
            None => None,
        };
        match file {
            Some(file) if extract::is_archive(&file)? => {
                let base = target.locate(order.destination.as_bytes())?;
                let name = String::from_utf8_lossy(entry.map_or(&[][..], |entry| &entry.from)).into_owned();
                extract::unpack(target, &file, &base).context(|| format!("cannot unpack {name}"))?;
            }
            _ => {
                let owned = Attributes { owner: Some(attributes.owner.unwrap_or((0, 0))), ..attributes.clone() };
                let mut target = Target::new(root, &owned);
                target.copy(from, &[source], order.destination.as_bytes(), several)?;
                skipped += target.done()?;
            }
        }
    }
    Ok(skipped)
}

/// A directory of ours as an origin.
fn plain(directory: &Path, sources: Vec<String>, unpack: bool) -> Result<Origin> {
    Ok(Origin::Directory { root: Root::open(directory)?, ignore: Ignore::default(), sources, unpack })
}

/// Files of one instruction; gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn sub(&self, name: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        create_private(&path)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Never made, most of the time.
        let _ = crate::storage::remove_path(&self.0);
    }
}
