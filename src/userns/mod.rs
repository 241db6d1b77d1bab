//! Subordinate id ranges, id maps, and entering user namespaces.
