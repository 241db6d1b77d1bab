//! One file per topic.

mod architecture;
mod harness;

use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    [architecture::trials(), harness::trials()].into_iter().flatten().collect()
}
