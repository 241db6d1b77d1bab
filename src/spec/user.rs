//! Who the program runs as.
