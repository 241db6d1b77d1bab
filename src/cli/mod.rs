//! What can be typed: clap types only, a file per noun.
