//! User-mode networks of containers: modes, helpers, published ports, name files.
