//! Transactions of nf_tables (linux/netfilter/nf_tables.h): tables, chains, rules and sets, all or nothing.

use std::net::IpAddr;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send};

use super::{ACK, Batch, CREATE, Messages, NLMSG_ERROR, REQUEST, octets, word};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = 0;
const NEW_CHAIN: u16 = 3;
const DELETE_CHAIN: u16 = 5;
const NEW_RULE: u16 = 6;
const DELETE_RULE: u16 = 8;
const NEW_SET: u16 = 9;
const DELETE_SET: u16 = 11;
const NEW_ELEMENT: u16 = 12;
const DELETE_ELEMENT: u16 = 14;
const APPEND: u16 = 0x800;

/// Which packets a table sees (NFPROTO_…).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv4 and IPv6.
    Inet = 1,
    /// What comes in through one interface, before anything else.
    Netdev = 5,
    Ipv6 = 10,
}

/// Where a chain begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hook<'a> {
    /// filter, nat
    pub kind: &'a str,
    pub number: u32,
    pub priority: i32,
    /// For [`Family::Netdev`].
    pub device: Option<&'a str>,
}

pub(crate) const FORWARD: u32 = 2;
pub(crate) const POST_ROUTING: u32 = 4;
pub(crate) const INGRESS: u32 = 0;

/// Requests that are carried out together.
pub(crate) struct Transaction {
    batch: Batch,
    family: Family,
    table: &'static str,
    /// Where the flags of the last message are: it alone is answered when all goes well.
    last: Option<usize>,
    flags: u16,
}

/// Expressions of a rule: each narrows what the ones after it are for.
pub(crate) struct Rule<'t> {
    batch: &'t mut Batch,
}

impl Transaction {
    /// About one table, which is made if it is not there.
    pub(crate) fn new(family: Family, table: &'static str) -> Self {
        let mut transaction = Self { batch: Batch::default(), family, table, last: None, flags: 0 };
        control(&mut transaction.batch, BATCH_BEGIN);
        transaction.message(NEW_TABLE, CREATE);
        transaction.batch.end();
        transaction
    }

    /// Begins a message with the table's name.
    fn message(&mut self, kind: u16, flags: u16) {
        if let Some(place) = self.last {
            self.batch.bytes[place..place + 2].copy_from_slice(&(self.flags & !ACK).to_ne_bytes());
        }
        self.batch.begin("nf_tables", SUBSYSTEM << 8 | kind, flags);
        self.last = Some(self.batch.start + 6);
        self.flags = REQUEST | ACK | flags;
        self.batch.put(&[self.family as u8, 0, 0, 0]);
        self.batch.text(1, self.table);
    }

    /// A chain, if it is not there.
    pub(crate) fn chain(&mut self, name: &str, hook: Option<Hook<'_>>) {
        self.message(NEW_CHAIN, CREATE);
        self.batch.text(3, name);
        if let Some(hook) = hook {
            let place = self.batch.nest(4);
            self.batch.attribute(1, &hook.number.to_be_bytes());
            self.batch.attribute(2, &hook.priority.to_be_bytes());
            if let Some(device) = hook.device {
                self.batch.text(3, device);
            }
            self.batch.close(place);
            self.batch.text(7, hook.kind);
        }
        self.batch.end();
    }

    pub(crate) fn delete_chain(&mut self, name: &str) {
        self.flush(name);
        self.message(DELETE_CHAIN, 0);
        self.batch.text(3, name);
        self.batch.end();
    }

    /// Removes a chain's rules.
    pub(crate) fn flush(&mut self, chain: &str) {
        self.message(DELETE_RULE, 0);
        self.batch.text(2, chain);
        self.batch.end();
    }

    /// Appends a rule.
    pub(crate) fn rule(&mut self, chain: &str, write: impl FnOnce(&mut Rule<'_>)) {
        self.message(NEW_RULE, CREATE | APPEND);
        self.batch.text(2, chain);
        let place = self.batch.nest(4);
        write(&mut Rule { batch: &mut self.batch });
        self.batch.close(place);
        self.batch.end();
    }

    /// A set of addresses; `number` is its own within this transaction.
    pub(crate) fn set(&mut self, name: &str, ipv6: bool, number: u32) {
        // The types that nft(8) shows such sets with.
        let (kind, length): (u32, u32) = if ipv6 { (8, 16) } else { (7, 4) };
        self.message(NEW_SET, CREATE);
        self.batch.text(2, name);
        self.batch.attribute(3, &0u32.to_be_bytes());
        self.batch.attribute(4, &kind.to_be_bytes());
        self.batch.attribute(5, &length.to_be_bytes());
        self.batch.attribute(10, &number.to_be_bytes());
        self.batch.end();
    }

    pub(crate) fn delete_set(&mut self, name: &str) {
        self.message(DELETE_SET, 0);
        self.batch.text(2, name);
        self.batch.end();
    }

    /// Puts an address into a set, or takes it out.
    pub(crate) fn element(&mut self, set: &str, ip: IpAddr, remove: bool) {
        self.message(if remove { DELETE_ELEMENT } else { NEW_ELEMENT }, if remove { 0 } else { CREATE });
        self.batch.text(2, set);
        let list = self.batch.nest(3);
        let element = self.batch.nest(1);
        let key = self.batch.nest(1);
        self.batch.attribute(1, &octets(ip));
        self.batch.close(key);
        self.batch.close(element);
        self.batch.close(list);
        self.batch.end();
    }

    /// Carries everything out, or nothing.
    pub(crate) fn commit(mut self) -> Result<(), Errno> {
        control(&mut self.batch, BATCH_END);
        let socket = socket(SocketFlags::CLOEXEC)?;
        send(&socket, &self.batch.bytes, SendFlags::empty())?;
        let mut buffer = vec![0; 16384];
        loop {
            let (_, length) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
            for (kind, _, body) in Messages(buffer.get(..length).unwrap_or_default()) {
                if kind == NLMSG_ERROR {
                    // Errors come in the order of the messages, the answer to the last one after all of them.
                    return match word(body, 0).cast_signed() {
                        0 => Ok(()),
                        code => Err(Errno::from_raw_os_error(-code)),
                    };
                }
            }
        }
    }
}

/// A socket of the netfilter family in the caller's network namespace.
pub(super) fn socket(flags: SocketFlags) -> Result<std::os::fd::OwnedFd, Errno> {
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::NETFILTER))?;
    rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, 0))?;
    Ok(socket)
}

/// The beginning and the end of a transaction, which are not answered.
fn control(batch: &mut Batch, kind: u16) {
    batch.begin("nf_tables", kind, 0);
    let flags = batch.start + 6;
    batch.bytes[flags..flags + 2].copy_from_slice(&REQUEST.to_ne_bytes());
    let [high, low] = SUBSYSTEM.to_be_bytes();
    batch.put(&[libc::AF_UNSPEC as u8, 0, high, low]);
    batch.end();
}

const REGISTER: [u8; 4] = 1u32.to_be_bytes();

/// Keys of [`Rule::meta`].
const PROTOCOL: u32 = 1;
const OUTPUT_INTERFACE: u32 = 5;
const INPUT_NAME: u32 = 6;
const FAMILY: u32 = 15;
const TRANSPORT: u32 = 16;

/// Headers that [`Rule::payload`] counts from.
const NETWORK: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

impl Rule<'_> {
    fn expression(&mut self, name: &str, data: impl FnOnce(&mut Batch)) {
        let element = self.batch.nest(1);
        self.batch.text(1, name);
        let place = self.batch.nest(2);
        data(self.batch);
        self.batch.close(place);
        self.batch.close(element);
    }

    fn meta(&mut self, key: u32) {
        self.expression("meta", |batch| {
            batch.attribute(1, &REGISTER);
            batch.attribute(2, &key.to_be_bytes());
        });
    }

    fn payload(&mut self, base: u32, offset: u32, length: u32) {
        self.expression("payload", |batch| {
            batch.attribute(1, &REGISTER);
            batch.attribute(2, &base.to_be_bytes());
            batch.attribute(3, &offset.to_be_bytes());
            batch.attribute(4, &length.to_be_bytes());
        });
    }

    fn compare(&mut self, value: &[u8], equal: bool) {
        self.expression("cmp", |batch| {
            batch.attribute(1, &REGISTER);
            batch.attribute(2, &u32::from(!equal).to_be_bytes());
            let data = batch.nest(3);
            batch.attribute(1, value);
            batch.close(data);
        });
    }

    fn mask(&mut self, mask: &[u8]) {
        self.expression("bitwise", |batch| {
            batch.attribute(1, &REGISTER);
            batch.attribute(2, &REGISTER);
            batch.attribute(3, &(mask.len() as u32).to_be_bytes());
            for (kind, value) in [(4, mask), (5, &vec![0; mask.len()][..])] {
                let data = batch.nest(kind);
                batch.attribute(1, value);
                batch.close(data);
            }
        });
    }

    /// What leaves through the interface with this index.
    pub(crate) fn leaves_by(&mut self, index: u32) {
        self.meta(OUTPUT_INTERFACE);
        self.compare(&index.to_ne_bytes(), true);
    }

    /// What came through an interface.
    pub(crate) fn came_by(&mut self, name: &str) {
        let mut bytes = [0; libc::IFNAMSIZ];
        bytes.iter_mut().zip(name.bytes()).for_each(|(place, byte)| *place = byte);
        self.meta(INPUT_NAME);
        self.compare(&bytes, true);
    }

    /// Packets of connections that were let through before.
    pub(crate) fn established(&mut self) {
        const STATE: u32 = 0;
        /// NF_CT_STATE_BIT of established and related.
        const OLD: u32 = 2 | 4;
        self.expression("ct", |batch| {
            batch.attribute(1, &REGISTER);
            batch.attribute(2, &STATE.to_be_bytes());
        });
        self.mask(&OLD.to_ne_bytes());
        self.compare(&[0; 4], false);
    }

    fn version(&mut self, ipv6: bool) {
        self.meta(FAMILY);
        self.compare(&[if ipv6 { libc::AF_INET6 } else { libc::AF_INET } as u8], true);
    }

    /// IP packets from this address.
    pub(crate) fn from(&mut self, ip: IpAddr) {
        self.version(ip.is_ipv6());
        self.payload(NETWORK, if ip.is_ipv6() { 8 } else { 12 }, if ip.is_ipv6() { 16 } else { 4 });
        self.compare(&octets(ip), true);
    }

    /// IP packets into this network.
    pub(crate) fn goes_to(&mut self, ip: IpAddr, prefix: u8) {
        self.destination(ip.is_ipv6());
        let mut mask = octets(ip);
        for (index, byte) in mask.iter_mut().enumerate() {
            let bits = usize::from(prefix).saturating_sub(index * 8).min(8);
            *byte = if bits == 0 { 0 } else { 0xff << (8 - bits) };
        }
        self.mask(&mask);
        self.compare(&octets(ip), true);
    }

    fn destination(&mut self, ipv6: bool) {
        self.version(ipv6);
        self.payload(NETWORK, if ipv6 { 24 } else { 16 }, if ipv6 { 16 } else { 4 });
    }

    /// IP packets to an address in this set; `number` is its own if this transaction makes it.
    pub(crate) fn goes_to_one_of(&mut self, set: &str, ipv6: bool, number: u32) {
        self.destination(ipv6);
        self.expression("lookup", |batch| {
            batch.text(1, set);
            batch.attribute(2, &REGISTER);
            batch.attribute(4, &number.to_be_bytes());
        });
    }

    /// TCP or UDP to this port.
    pub(crate) fn goes_to_port(&mut self, protocol: u8, port: u16) {
        self.meta(TRANSPORT);
        self.compare(&[protocol], true);
        self.payload(TRANSPORT_HEADER, 2, 2);
        self.compare(&port.to_be_bytes(), true);
    }

    /// Frames of this EtherType whose bytes behind the frame's header are not these.
    pub(crate) fn frame_is_not(&mut self, kind: u16, offset: u32, values: &[Vec<u8>]) {
        self.meta(PROTOCOL);
        self.compare(&kind.to_be_bytes(), true);
        for value in values {
            self.payload(NETWORK, offset, value.len() as u32);
            self.compare(value, false);
        }
    }

    fn verdict(&mut self, code: i32, chain: Option<&str>) {
        self.expression("immediate", |batch| {
            batch.attribute(1, &0u32.to_be_bytes());
            let data = batch.nest(2);
            let verdict = batch.nest(2);
            batch.attribute(1, &code.to_be_bytes());
            if let Some(chain) = chain {
                batch.text(2, chain);
            }
            batch.close(verdict);
            batch.close(data);
        });
    }

    pub(crate) fn accept(&mut self) {
        self.verdict(1, None);
    }

    pub(crate) fn drop(&mut self) {
        self.verdict(0, None);
    }

    /// Back to the rule behind the [`Rule::jump`].
    pub(crate) fn go_back(&mut self) {
        self.verdict(-5, None);
    }

    pub(crate) fn jump(&mut self, chain: &str) {
        self.verdict(-3, Some(chain));
    }

    /// What leaves has the outgoing interface's address.
    pub(crate) fn masquerade(&mut self) {
        self.expression("masq", |_| {});
    }

    /// So many in a second.
    pub(crate) fn limit(&mut self, rate: u64) {
        self.expression("limit", |batch| {
            batch.attribute(1, &rate.to_be_bytes());
            batch.attribute(2, &1u64.to_be_bytes());
            batch.attribute(3, &5u32.to_be_bytes());
        });
    }

    /// Tells of the packet's first bytes (NFLOG).
    pub(crate) fn log(&mut self, group: u16, length: u32) {
        self.expression("log", |batch| {
            batch.attribute(1, &group.to_be_bytes());
            batch.attribute(3, &length.to_be_bytes());
        });
    }

    /// Answers that this is forbidden.
    pub(crate) fn reject(&mut self) {
        const ICMPX: u32 = 2;
        const PROHIBITED: u8 = 3;
        self.expression("reject", |batch| {
            batch.attribute(1, &ICMPX.to_be_bytes());
            batch.attribute(2, &[PROHIBITED]);
        });
    }
}

/// Translates the source addresses of IPv6 packets that leave through the interface with this index.
///
/// # Errors
/// When the kernel has no nf_tables for this namespace.
pub(crate) fn masquerade_ipv6(index: u32) -> Result<(), Errno> {
    const SOURCE_NAT: i32 = 100;
    let mut transaction = Transaction::new(Family::Ipv6, "rpod");
    let hook = Hook { kind: "nat", number: POST_ROUTING, priority: SOURCE_NAT, device: None };
    transaction.chain("rpod", Some(hook));
    transaction.rule("rpod", |rule| {
        rule.leaves_by(index);
        rule.masquerade();
    });
    transaction.commit()
}
