//! `--secret NAME[,type=mount|env][,target=…][,uid=…][,gid=…][,mode=…]` as typed → [`SecretRequest`].

use crate::error::{Error, Result};

/// A secret that the container gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SecretRequest {
    pub name: String,
    pub place: SecretPlace,
}

/// Where the container finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretPlace {
    File { path: String, uid: u32, gid: u32, mode: u32 },
    Variable(String),
}

pub(crate) fn secret(text: &str) -> Result<SecretRequest> {
    let bad = || Error::new(format!("{text}: unable to parse secret option")).hint("NAME[,type=mount|env][,target=…]");
    let mut name = None;
    let (mut kind, mut target) = ("mount", None);
    let (mut uid, mut gid, mut mode) = (None, None, None);
    for (at, word) in text.split(',').enumerate() {
        let number = |value: &str, radix| u32::from_str_radix(value, radix).map_err(|_| bad());
        match word.split_once('=') {
            None if at == 0 && !word.is_empty() => name = Some(word),
            Some(("source" | "src", value)) if !value.is_empty() => name = Some(value),
            Some(("type", value @ ("mount" | "env"))) => kind = value,
            Some(("type", value)) => {
                return Err(Error::new(format!("type {value} is invalid: unable to parse secret option")));
            }
            Some(("target", value)) if !value.is_empty() => target = Some(value),
            Some(("uid", value)) => uid = Some(number(value, 10)?),
            Some(("gid", value)) => gid = Some(number(value, 10)?),
            Some(("mode", value)) => mode = Some(number(value, 8)?),
            _ => return Err(bad()),
        }
    }
    let name = name.ok_or_else(bad)?.to_owned();
    if kind == "env" {
        if uid.is_some() || gid.is_some() || mode.is_some() {
            return Err(Error::new(
                "UID, GID, Mode options cannot be set with secret type env: unable to parse secret option",
            ));
        }
        let variable = target.unwrap_or(&name).to_owned();
        return Ok(SecretRequest { name, place: SecretPlace::Variable(variable) });
    }
    let target = target.unwrap_or(&name);
    let path = if target.starts_with('/') { target.to_owned() } else { format!("/run/secrets/{target}") };
    if path.split('/').any(|part| part == "..") {
        return Err(bad());
    }
    let place =
        SecretPlace::File { path, uid: uid.unwrap_or(0), gid: gid.unwrap_or(0), mode: mode.unwrap_or(0o444) & 0o7777 };
    Ok(SecretRequest { name, place })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_podman_reads_them() {
        let file = |path: &str, uid, gid, mode| SecretPlace::File { path: path.into(), uid, gid, mode };
        for (text, place) in [
            ("s", file("/run/secrets/s", 0, 0, 0o444)),
            ("s,target=x", file("/run/secrets/x", 0, 0, 0o444)),
            ("source=s,type=mount,target=/a/b,uid=1,gid=2,mode=0400", file("/a/b", 1, 2, 0o400)),
            ("s,type=env", SecretPlace::Variable("s".into())),
            ("s,type=env,target=VAR", SecretPlace::Variable("VAR".into())),
        ] {
            assert_eq!(secret(text).ok(), Some(SecretRequest { name: "s".into(), place }), "{text}");
        }
        for bad in [
            "",
            ",",
            "s,type=x",
            "type=env",
            "s,uid=x",
            "s,mode=9",
            "s,what=1",
            "s,type=env,uid=1",
            "s,target=../x",
            "a,b",
        ] {
            assert!(secret(bad).is_err(), "{bad}");
        }
    }
}
