//! The distribution client: authentication, transfers, retries.
