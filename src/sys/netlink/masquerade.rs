//! One rule of nf_tables (libnftnl's wire format, linux/netfilter/nf_tables.h): what leaves through an interface has that
//! interface's address.

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send};

use super::{Batch, CREATE, Messages, NLMSG_ERROR, REQUEST, word};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = 0;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const APPEND: u16 = 0x800;

const NAME: &str = "rpod";

/// Translates the source addresses of IPv6 packets that leave through the interface with this index.
///
/// # Errors
/// When the kernel has no nf_tables for this namespace.
pub(crate) fn masquerade_ipv6(index: u32) -> Result<(), Errno> {
    let mut batch = Batch::default();
    control(&mut batch, BATCH_BEGIN);
    message(&mut batch, NEW_TABLE, 0);
    batch.text(1, NAME);
    batch.end();
    message(&mut batch, NEW_CHAIN, 0);
    batch.text(1, NAME);
    batch.text(3, NAME);
    let hook = batch.nest(4);
    const POST_ROUTING: u32 = 4;
    const SOURCE_NAT: u32 = 100;
    batch.attribute(1, &POST_ROUTING.to_be_bytes());
    batch.attribute(2, &SOURCE_NAT.to_be_bytes());
    batch.close(hook);
    batch.text(7, "nat");
    batch.end();
    message(&mut batch, NEW_RULE, APPEND);
    batch.text(1, NAME);
    batch.text(2, NAME);
    let expressions = batch.nest(4);
    const REGISTER: [u8; 4] = 1u32.to_be_bytes();
    const OUTPUT_INTERFACE: u32 = 5;
    expression(&mut batch, "meta", |batch| {
        batch.attribute(1, &REGISTER);
        batch.attribute(2, &OUTPUT_INTERFACE.to_be_bytes());
    });
    expression(&mut batch, "cmp", |batch| {
        batch.attribute(1, &REGISTER);
        batch.attribute(2, &0u32.to_be_bytes());
        let data = batch.nest(3);
        batch.attribute(1, &index.to_ne_bytes());
        batch.close(data);
    });
    expression(&mut batch, "masq", |_| {});
    batch.close(expressions);
    batch.end();
    control(&mut batch, BATCH_END);
    carry_out(&batch.bytes, 3)
}

fn carry_out(bytes: &[u8], answers: usize) -> Result<(), Errno> {
    let protocol = netlink::NETFILTER;
    let socket =
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol))?;
    rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, 0))?;
    send(&socket, bytes, SendFlags::empty())?;
    let mut buffer = vec![0; 8192];
    let mut answered = 0;
    while answered < answers {
        let (_, length) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        for (kind, _, body) in Messages(buffer.get(..length).unwrap_or_default()) {
            if kind == NLMSG_ERROR {
                answered += 1;
                match word(body, 0).cast_signed() {
                    0 => {}
                    code => return Err(Errno::from_raw_os_error(-code)),
                }
            }
        }
    }
    Ok(())
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

fn message(batch: &mut Batch, kind: u16, flags: u16) {
    batch.begin("nf_tables", SUBSYSTEM << 8 | kind, CREATE | flags);
    batch.put(&[libc::AF_INET6 as u8, 0, 0, 0]);
}

fn expression(batch: &mut Batch, name: &str, data: impl FnOnce(&mut Batch)) {
    let element = batch.nest(1);
    batch.text(1, name);
    let place = batch.nest(2);
    data(batch);
    batch.close(place);
    batch.close(element);
}
