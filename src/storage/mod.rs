//! Layers, how they are unpacked and rebuilt, and root file systems made of them.
