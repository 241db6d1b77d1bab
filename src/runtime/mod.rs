//! One OCI runtime Spec → a running process. Knows no image and no name.
