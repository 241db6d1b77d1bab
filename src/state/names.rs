//! Names of containers: what may be one, and made-up ones for those who gave none.

use crate::error::{Error, Result};

/// The rule of Docker and Podman.
const RULE: &str = "[a-zA-Z0-9][a-zA-Z0-9_.-]*";

/// Longest name: it is a file name, and its lock and temporary names must fit as well.
const LONGEST: usize = 200;

/// Refuses what cannot be a name.
pub(crate) fn check(name: &str) -> Result<()> {
    let mut bytes = name.bytes();
    let starts_well = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    if starts_well && bytes.all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) {
        if name.len() > LONGEST {
            return Err(Error::new(format!("the name is {} characters long; {LONGEST} are possible", name.len())));
        }
        return Ok(());
    }
    Err(Error::new(format!("names must match {RULE}: invalid argument")).hint(format!("{name:?} does not")))
}

/// `adjective_noun` chosen by `seed`.
pub(crate) fn from_seed(seed: u32) -> String {
    let seed = seed as usize;
    format!("{}_{}", ADJECTIVES[seed % ADJECTIVES.len()], NOUNS[(seed / ADJECTIVES.len()) % NOUNS.len()])
}

const ADJECTIVES: [&str; 96] = [
    "able", "agile", "airy", "alert", "amber", "ample", "apt", "azure", "balmy", "bold", "brave", "breezy", "brief",
    "bright", "brisk", "busy", "calm", "candid", "cheery", "chief", "civil", "clear", "clever", "coral", "cosmic",
    "cosy", "crisp", "curious", "dapper", "daring", "deft", "dewy", "eager", "early", "earnest", "easy", "fair",
    "fancy", "fast", "fine", "fleet", "fluent", "fond", "frank", "fresh", "gentle", "giddy", "glad", "golden", "grand",
    "handy", "happy", "hardy", "honest", "humble", "ideal", "jolly", "jovial", "keen", "kind", "lively", "lofty",
    "loyal", "lucid", "lucky", "merry", "mild", "modest", "neat", "nimble", "noble", "patient", "placid", "plucky",
    "polite", "prime", "proud", "quick", "quiet", "rapid", "ready", "rosy", "rustic", "serene", "sharp", "silent",
    "sleek", "smart", "snug", "steady", "sunny", "swift", "tidy", "vivid", "warm", "witty",
];

const NOUNS: [&str; 96] = [
    "acorn",
    "albatross",
    "alder",
    "anchor",
    "aspen",
    "badger",
    "basil",
    "beacon",
    "beaver",
    "birch",
    "bison",
    "breeze",
    "brook",
    "canyon",
    "cedar",
    "cherry",
    "clover",
    "comet",
    "condor",
    "coot",
    "crane",
    "creek",
    "dahlia",
    "delta",
    "dolphin",
    "dune",
    "eagle",
    "elm",
    "ember",
    "falcon",
    "fern",
    "finch",
    "fjord",
    "fox",
    "gannet",
    "glacier",
    "grove",
    "gull",
    "harbour",
    "hare",
    "hawk",
    "hazel",
    "heron",
    "hill",
    "ibex",
    "iris",
    "island",
    "ivy",
    "jackdaw",
    "jasmine",
    "juniper",
    "kestrel",
    "kite",
    "koala",
    "lagoon",
    "lake",
    "larch",
    "lark",
    "lilac",
    "linden",
    "lynx",
    "maple",
    "marten",
    "meadow",
    "mole",
    "moss",
    "oak",
    "ocean",
    "orchid",
    "oriole",
    "osprey",
    "otter",
    "owl",
    "pebble",
    "pelican",
    "pine",
    "plover",
    "poppy",
    "prairie",
    "puffin",
    "quail",
    "quartz",
    "raven",
    "reef",
    "ridge",
    "robin",
    "rowan",
    "salmon",
    "sparrow",
    "spruce",
    "stork",
    "swan",
    "tulip",
    "valley",
    "willow",
    "wren",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule() {
        for good in ["a", "web-1", "A.b_c", "0"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "a/b", "..", "a b", "ä", "a\n", &"a".repeat(201)] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn made_up_names_are_names() {
        for seed in [0, 1, 95, 96, 9215, 9216, u32::MAX] {
            assert!(check(&from_seed(seed)).is_ok());
        }
    }
}
