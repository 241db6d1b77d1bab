//! The common question, answered without building messages: one name, A or AAAA, known here. Everything else is for `answer`,
//! which says the same of these.

use std::net::IpAddr;

use super::answer::{LIFETIME, PAYLOAD, PLAIN};
use super::zone::{Meaning, Zone};

const HEADER: usize = 12;
const A: u16 = 1;
const AAAA: u16 = 28;
const IN: u16 = 1;
const OPT: u16 = 41;

/// Writes the answer to `out`; its length, or `None` when this is not such a question.
pub(super) fn answer(packet: &[u8], client: IpAddr, zone: &Zone, turn: usize, out: &mut [u8]) -> Option<usize> {
    let half = |at: usize| packet.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
    let [high, low, flags, more, 0, 1, 0, 0, 0, 0, 0, additional @ (0 | 1), ..] = *packet else { return None };
    // A query (RFC 1035, 4.1.1), nothing else asked for.
    if flags & 0xfe != 0 || more & 0x80 != 0 {
        return None;
    }
    let mut name = [0; 255];
    let mut length = 0;
    let mut at = HEADER;
    loop {
        let label = match *packet.get(at)? {
            0 => break,
            label @ 1..=63 => usize::from(label),
            _ => return None,
        };
        if length > 0 {
            *name.get_mut(length)? = b'.';
            length += 1;
        }
        let text = packet.get(at + 1..at + 1 + label)?;
        // What would have to be escaped is nobody's name.
        if !text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
            return None;
        }
        let place = name.get_mut(length..length + label)?;
        place.copy_from_slice(text);
        place.make_ascii_lowercase();
        length += label;
        at += 1 + label;
    }
    let kind = half(at + 1).filter(|kind| matches!(*kind, A | AAAA))?;
    if half(at + 3)? != IN {
        return None;
    }
    let end = at + 5;
    let limit = match additional {
        0 if packet.len() == end => PLAIN,
        // EDNS (RFC 6891, 6.1.2) of version 0, without options.
        1 if packet.len() == end + 11
            && packet[end] == 0
            && half(end + 1)? == OPT
            && packet[end + 6] == 0
            && half(end + 9)? == 0 =>
        {
            half(end + 3)?.max(PLAIN)
        }
        _ => return None,
    };
    let Meaning::Addresses(mut ips) = zone.look_up(client, std::str::from_utf8(&name[..length]).ok()?) else {
        return None;
    };
    ips.retain(|ip| ip.is_ipv6() == (kind == AAAA));
    let size = if kind == AAAA { 16 } else { 4 };
    let total = end + ips.len() * (12 + size) + if additional == 1 { 11 } else { 0 };
    if total > usize::from(limit) || total > out.len() {
        return None;
    }
    let mut place = 0;
    let mut put = |bytes: &[u8]| {
        if let Some(room) = out.get_mut(place..place + bytes.len()) {
            room.copy_from_slice(bytes);
        }
        place += bytes.len();
    };
    let count = u16::try_from(ips.len()).ok()?.to_be_bytes();
    // Authoritative, recursion available; recursion desired as it was.
    put(&[high, low, 0x84 | flags & 1, 0x80, 0, 1, count[0], count[1], 0, 0, 0, additional]);
    put(&packet[HEADER..end]);
    let first = if ips.is_empty() { 0 } else { turn % ips.len() };
    for ip in ips[first..].iter().chain(&ips[..first]) {
        put(&[0xc0, HEADER as u8]);
        put(&kind.to_be_bytes());
        put(&IN.to_be_bytes());
        put(&LIFETIME.to_be_bytes());
        put(&(size as u16).to_be_bytes());
        match ip {
            IpAddr::V4(ip) => put(&ip.octets()),
            IpAddr::V6(ip) => put(&ip.octets()),
        }
    }
    if additional == 1 {
        put(&[0]);
        put(&OPT.to_be_bytes());
        put(&PAYLOAD.to_be_bytes());
        put(&[0; 6]);
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Edns, Message, Query};
    use hickory_proto::rr::{Name, RecordType};

    use super::super::answer::{self as slow, Verdict};
    use super::super::zone::tests::{ip, zone};
    use super::*;

    fn question(name: &str, kind: RecordType, edns: bool) -> Vec<u8> {
        let mut query = Message::query();
        let mut name = Name::from_ascii(name).expect("a name");
        name.set_fqdn(true);
        query.add_query(Query::query(name, kind));
        query.metadata.recursion_desired = true;
        if edns {
            let mut edns = Edns::new();
            edns.set_max_payload(1400);
            query.edns = Some(edns);
        }
        query.to_vec().expect("encodes")
    }

    #[test]
    fn both_say_the_same() {
        let mut quick = 0;
        for client in ["10.1.0.2", "10.2.0.3", "10.3.0.2", "10.9.9.9"] {
            for name in
                ["db", "DB", "data", "database", "db.dns.podman", "nobody", "host.docker.internal", "example.org"]
            {
                for kind in [RecordType::A, RecordType::AAAA, RecordType::MX] {
                    for (edns, turn) in [(false, 0), (true, 1)] {
                        let packet = question(name, kind, edns);
                        let mut out = [0; 1500];
                        let Some(length) = answer(&packet, ip(client), &zone(), turn, &mut out) else { continue };
                        quick += 1;
                        let Verdict::Answer(expected) = slow::answer(&packet, ip(client), &zone(), false, turn) else {
                            panic!("{client} {name} {kind}: not answered")
                        };
                        let (ours, theirs) = (Message::from_vec(&out[..length]), Message::from_vec(&expected));
                        assert_eq!(format!("{:?}", ours.expect("decodes")), format!("{:?}", theirs.expect("decodes")));
                    }
                }
            }
        }
        assert!(quick > 20, "{quick}");
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_survived(tail: Vec<u8>, additional in 0u8..2, room in 0usize..600) {
            let packet = [&[0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, additional][..], &tail].concat();
            let mut out = vec![0; room];
            let _ = answer(&packet, ip("10.1.0.2"), &zone(), 3, &mut out);
        }
    }
}
