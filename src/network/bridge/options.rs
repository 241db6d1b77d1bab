//! `--opt KEY=VALUE` of `network create`. Pure.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::define::Wanted;
use super::driver::Driver;
use crate::error::{Error, Result};
use crate::network::overlay::settings;

/// The options that were typed, under the keys they are kept by.
pub(super) fn options(wanted: &Wanted, driver: Driver) -> Result<BTreeMap<String, String>> {
    let mut options = BTreeMap::new();
    for option in &wanted.options {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        let boolean = || match value {
            "true" | "false" | "1" | "0" => Ok(()),
            _ => Err(Error::new(format!("{key}: the value must be true or false, not {value:?}"))),
        };
        if let Some(key) = driver.option(key, value)? {
            options.insert(key.to_owned(), value.to_owned());
            continue;
        }
        if driver == Driver::Overlay && settings::check(key, value)? {
            match options.entry(key.to_owned()) {
                // Hosts, one after the other.
                Entry::Occupied(mut before) if key == "peer" => *before.get_mut() += &format!(",{value}"),
                Entry::Occupied(mut before) => drop(before.insert(value.to_owned())),
                Entry::Vacant(place) => drop(place.insert(value.to_owned())),
            }
            continue;
        }
        let key = match key {
            "mtu" | "com.docker.network.driver.mtu" => {
                let mtu = value.parse::<u32>().ok().filter(|mtu| (68..=65521).contains(mtu));
                mtu.ok_or_else(|| Error::new(format!("mtu: {value:?} is not a number from 68 to 65521")))?;
                "mtu"
            }
            // Networks are always kept apart here, so what either value wishes for holds or does no harm.
            "metric" => {
                let metric = value.parse::<u32>().ok().filter(|metric| *metric > 0);
                metric
                    .ok_or_else(|| Error::new(format!("metric: {value:?} is not a number from 1 to {}", u32::MAX)))?;
                key
            }
            "isolate" if value == "strict" => key,
            "isolate" => boolean().map(|()| key)?,
            "no_default_route" => boolean().map(|()| key)?,
            "com.docker.network.bridge.name" => key,
            "com.docker.network.bridge.enable_icc" if matches!(value, "true" | "1") => key,
            "com.docker.network.bridge.enable_icc" => {
                let why = "is not supported here: containers of a network reach each other";
                return Err(Error::new(format!("{key}={value} {why}")));
            }
            "vlan" | "vrf" | "mode" => {
                return Err(Error::new(format!("the {} network option {key} is not supported here", driver.as_str())));
            }
            _ => return Err(Error::new(format!("unsupported {} network option {key}", driver.as_str()))),
        };
        options.insert(key.to_owned(), value.to_owned());
    }
    Ok(options)
}
