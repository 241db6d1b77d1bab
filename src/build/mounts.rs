//! `RUN --mount=…`: what is asked for.

use super::dockerfile::expand::{self, Lookup};

/// One mount, its variables replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunMount {
    pub kind: MountKind,
    pub target: String,
    pub source: String,
    pub from: Option<String>,
    pub id: Option<String>,
    pub read_only: bool,
    pub required: bool,
    pub sharing: Sharing,
    pub uid: u32,
    pub gid: u32,
    pub mode: Option<u32>,
    /// Bytes.
    pub size: Option<u64>,
    /// Of a secret: the variable that it is given as, instead of or beside a file.
    pub env: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MountKind {
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

/// What several builds do that use the same cache directory at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Sharing {
    #[default]
    Shared,
    Private,
    Locked,
}

/// The `from=` of a mount as it stands.
pub(crate) fn from_of(text: &str) -> Option<String> {
    fields(text).into_iter().find_map(|(key, value)| (key == "from").then_some(value).flatten())
}

/// Fields separated by commas; quotes keep a comma in a value (CSV).
fn fields(text: &str) -> Vec<(String, Option<String>)> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    fields.push(field);
    fields
        .into_iter()
        .map(|field| match field.split_once('=') {
            Some((key, value)) => (key.trim().to_ascii_lowercase(), Some(value.to_owned())),
            None => (field.trim().to_ascii_lowercase(), None),
        })
        .collect()
}

impl RunMount {
    /// Reads `type=…,target=…`. Sources and targets are as typed; relative targets are the caller's to complete.
    pub(crate) fn parse(text: &str, escape: char, lookup: &Lookup<'_>) -> Result<Self, String> {
        let fields = fields(text);
        let kind = match fields.iter().find(|(key, _)| key == "type").and_then(|(_, value)| value.as_deref()) {
            None | Some("bind") => MountKind::Bind,
            Some("cache") => MountKind::Cache,
            Some("tmpfs") => MountKind::Tmpfs,
            Some("secret") => MountKind::Secret,
            Some("ssh") => MountKind::Ssh,
            Some(other) => return Err(format!("unsupported mount type {other:?}")),
        };
        let mut mount = Self {
            kind,
            target: String::new(),
            source: String::new(),
            from: None,
            id: None,
            read_only: kind == MountKind::Bind,
            required: false,
            sharing: Sharing::default(),
            uid: 0,
            gid: 0,
            mode: None,
            size: None,
            env: None,
        };
        for (key, value) in fields {
            mount.field(&key, value.as_deref(), escape, lookup)?;
        }
        if kind == MountKind::Secret && mount.id.is_none() {
            let name = if mount.source.is_empty() { mount.target.rsplit('/').next() } else { Some(&*mount.source) };
            mount.id = name.filter(|name| !name.is_empty()).map(str::to_owned);
        }
        if mount.target.is_empty() {
            match kind {
                MountKind::Secret if mount.env.is_some() => {}
                MountKind::Secret => {
                    let id = mount.id.as_deref().filter(|id| !id.is_empty()).ok_or("one of source, target required")?;
                    mount.target = format!("/run/secrets/{}", id.rsplit('/').next().unwrap_or(id));
                }
                MountKind::Ssh => {}
                _ => return Err("target is required".to_owned()),
            }
        }
        Ok(mount)
    }

    fn field(&mut self, key: &str, value: Option<&str>, escape: char, lookup: &Lookup<'_>) -> Result<(), String> {
        use MountKind::{Bind, Cache, Secret, Ssh, Tmpfs};
        let switch = || match value.map(str::to_ascii_lowercase).as_deref() {
            None | Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => Err(format!("invalid value for {key}: {other}")),
        };
        let text = || value.ok_or_else(|| format!("invalid field {key:?} must be a key=value pair"));
        let expanded = || text().and_then(|text| expand::word(text, escape, lookup));
        let number = || text().and_then(|text| text.parse().map_err(|_| format!("invalid value {text:?} for {key}")));
        let unexpected = || Err(format!("unexpected key {key:?} for mount type {:?}", self.kind));
        match (key, self.kind) {
            ("type", _) => {}
            ("target" | "dst" | "destination", _) => self.target = expanded()?,
            ("source" | "src", Bind | Cache | Secret) => self.source = expanded()?,
            ("from", Bind | Cache) => self.from = Some(text()?.to_owned()),
            ("id", Cache | Secret | Ssh) => self.id = Some(expanded()?),
            ("ro" | "readonly", Bind | Cache | Ssh) => self.read_only = switch()?,
            ("rw" | "readwrite", Bind | Cache | Ssh) => self.read_only = !switch()?,
            ("required", Secret | Ssh) => self.required = switch()?,
            ("sharing", Cache) => {
                self.sharing = match text()? {
                    "shared" => Sharing::Shared,
                    "private" => Sharing::Private,
                    "locked" => Sharing::Locked,
                    other => return Err(format!("unsupported sharing value {other:?}")),
                };
            }
            ("uid", Cache | Secret | Ssh) => self.uid = number()?,
            ("gid", Cache | Secret | Ssh) => self.gid = number()?,
            ("mode", Cache | Secret | Ssh) => {
                let mode = text()?;
                let parsed = u32::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o7777);
                self.mode = Some(parsed.ok_or_else(|| format!("invalid value {mode:?} for mode"))?);
            }
            ("size", Tmpfs) => {
                let size = text()?;
                let parsed = crate::engine::container::options::values::size(size);
                self.size = Some(parsed.map_err(|_| format!("invalid value {size:?} for size"))?);
            }
            ("env", Secret) => {
                self.env = Some(value.map_or_else(|| self.id.clone().unwrap_or_default(), str::to_owned))
            }
            // SELinux relabelling and overlay options that Buildah knows; nothing here needs them.
            ("z" | "Z" | "bind-propagation" | "relabel", Bind | Cache) => {
                return Err(format!("{key} is not supported: there is no SELinux relabelling, and mounts are private"));
            }
            _ => return unexpected(),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RunMount, String> {
        RunMount::parse(text, '\\', &|name| (name == "A").then(|| "a".to_owned()))
    }

    #[test]
    fn mounts_are_read() {
        let bind = parse("target=/x,source=s/$A,from=build").expect("bind");
        assert_eq!((bind.kind, bind.read_only, bind.source.as_str()), (MountKind::Bind, true, "s/a"));
        assert_eq!(bind.from.as_deref(), Some("build"));
        assert!(!parse("type=bind,target=/x,rw").expect("rw").read_only);
        let cache = parse("type=cache,dst=/c,id=x,sharing=locked,uid=1,gid=2,mode=0700").expect("cache");
        assert_eq!((cache.sharing, cache.uid, cache.gid, cache.mode), (Sharing::Locked, 1, 2, Some(0o700)));
        assert_eq!(parse("type=secret,id=key").expect("secret").target, "/run/secrets/key");
        assert_eq!(parse("type=secret,id=key,env=KEY").expect("secret").env.as_deref(), Some("KEY"));
        assert_eq!(parse("type=tmpfs,target=/t,size=1m").expect("tmpfs").size, Some(1 << 20));
        assert_eq!(from_of("type=bind,from=a,target=/x").as_deref(), Some("a"));
        // BuildKit's reference: "Defaults to basename of the target path".
        for (text, id) in
            [("target=/root/.aws/credentials", "credentials"), ("src=a,target=/b", "a"), ("id=c,target=/b", "c")]
        {
            assert_eq!(parse(&format!("type=secret,{text}")).expect(text).id.as_deref(), Some(id), "{text}");
        }
        for bad in [
            "type=foo,target=/x",
            "type=bind",
            "type=cache,target=/c,sharing=x",
            "type=tmpfs,target=/t,id=1",
            "target=/x,foo=1",
            "type=secret",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "(type|target|src|from|id|mode|size|uid|sharing|env|rw|)(=(bind|cache|secret|tmpfs|ssh)|[=,a-z0-9/$\"{}\\\\ -]){0,24}") {
            if let Ok(mount) = parse(&text) {
                proptest::prop_assert!(!mount.target.is_empty() || matches!(mount.kind, MountKind::Secret | MountKind::Ssh));
            }
            let _ = from_of(&text);
        }
    }
}
