//! `--filter KEY=VALUE` of `network ls` and `network prune`: Podman's keys. Values of one key are alternatives, keys must
//! all hold; labels must all hold as well.

use std::collections::BTreeSet;

use jiff::Timestamp;
use regex_lite::Regex;

use crate::engine::{pattern, when};
use crate::error::{Error, Result};
use crate::network::bridge::object::{DEFAULT, Network};

/// All filters of a command line.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    names: Vec<Regex>,
    ids: Vec<String>,
    drivers: Vec<String>,
    /// Name, value, and whether it is wanted.
    labels: Vec<(String, Option<String>, bool)>,
    until: Option<Timestamp>,
    dangling: Option<bool>,
}

impl Filters {
    pub(crate) fn parse(texts: &[String]) -> Result<Self> {
        let mut filters = Self::default();
        for text in texts {
            let (key, value) = text.split_once('=').ok_or_else(|| Error::new(format!("invalid filter {text:?}")))?;
            match key {
                "name" => filters.names.push(pattern::regex(value)?),
                "id" => filters.ids.push(value.to_owned()),
                "driver" => filters.drivers.push(value.to_owned()),
                "label" | "label!" => {
                    let (name, wanted) = match value.split_once('=') {
                        Some((name, value)) => (name, Some(value.to_owned())),
                        None => (value, None),
                    };
                    filters.labels.push((name.to_owned(), wanted, key == "label"));
                }
                "until" => filters.until = Some(when::parse("filter until", value)?),
                "dangling" => {
                    filters.dangling = Some(match value {
                        "true" | "1" => true,
                        "false" | "0" => false,
                        _ => return Err(Error::new(format!("invalid dangling filter value {value:?}"))),
                    });
                }
                _ => return Err(Error::new(format!("invalid filter {key:?}"))),
            }
        }
        Ok(filters)
    }

    /// Whether the answer needs to know which networks are used.
    pub(crate) fn ask_for_use(&self) -> bool {
        self.dangling.is_some()
    }

    /// `used`: the networks that containers are on.
    pub(crate) fn matches(&self, network: &Network, used: &BTreeSet<String>) -> bool {
        let label = |(name, value, wanted): &(String, Option<String>, bool)| {
            let found = network.labels.get(name).is_some_and(|has| value.as_ref().is_none_or(|value| has == value));
            found == *wanted
        };
        let dangling = network.name != DEFAULT && !used.contains(&network.name);
        (self.names.is_empty() || self.names.iter().any(|name| name.is_match(&network.name)))
            && (self.ids.is_empty() || self.ids.iter().any(|id| network.id.starts_with(id)))
            && (self.drivers.is_empty() || self.drivers.contains(&network.driver))
            && self.labels.iter().all(label)
            && self.until.is_none_or(|until| network.created < until)
            && self.dangling.is_none_or(|wanted| dangling == wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podmans_keys() {
        let mut network = Network::standard(Timestamp::UNIX_EPOCH);
        network.name = "web".into();
        network.labels.insert("a".into(), "b".into());
        for (filters, expected) in [
            (&[][..], true),
            (&["name=we"], true),
            (&["name=x"], false),
            (&["name=x", "name=web"], true),
            (&["driver=bridge", "label=a"], true),
            (&["label=a=c"], false),
            (&["label!=a"], false),
            (&["id=2f2"], true),
            (&["dangling=true"], true),
            (&["dangling=false"], false),
            (&["until=1s"], true),
        ] {
            let texts: Vec<String> = filters.iter().map(|&text| text.to_owned()).collect();
            let parsed = Filters::parse(&texts).expect("parses");
            assert_eq!(parsed.matches(&network, &BTreeSet::new()), expected, "{filters:?}");
        }
        for bad in ["foo=bar", "name", "dangling=x"] {
            assert!(Filters::parse(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
