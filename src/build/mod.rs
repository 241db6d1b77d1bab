//! `rpod build`: a Dockerfile and a context → an image.

pub(crate) mod dockerfile;
