//! Egress policies: what containers may reach outside, everything else refused.
//!
//! ```text
//! policy   --egress as typed → rules, what they say of a name or an address (pure)
//! guard    rules in the netkeeper's namespace (nf_tables), addresses of allowed names, refusals
//! tap      refused packets as the kernel tells of them (NFLOG)
//! ```
//!
//! A network's policy is for everything that comes through its bridge, a container's for what comes from its addresses;
//! where there are both, both must allow. Packets are refused where they would be routed on, so that containers of a network reach
//! each other as ever. A container with a policy of its own cannot send from other addresses: its port drops that.
//!
//! **Names.** Name service forwards questions about allowed names only: to ask is a way out too. The addresses of an answer are
//! allowed, to whom asked, as long as the answer may be kept (its TTL, at least [`guard::SHORTEST`]) and for connections that were
//! made meanwhile. Loopback, link-local and multicast addresses are not, whatever an answer says.

pub(crate) mod guard;
pub(crate) mod policy;
mod tap;
