//! Configuration files shared with the other container tools.
