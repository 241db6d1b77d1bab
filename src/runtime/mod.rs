//! One OCI runtime Spec → a running process. Knows no image and no name.

#[cfg(test)]
pub(crate) mod scenarios;
