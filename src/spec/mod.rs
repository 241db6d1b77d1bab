//! Resolved settings → OCI runtime Spec. Pure: no system call, no file.
