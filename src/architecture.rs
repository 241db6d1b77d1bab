//! Checks the arrows of DESIGN section 5 against the `use crate::` lines of the source.
