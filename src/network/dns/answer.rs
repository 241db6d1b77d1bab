//! One query → its answer (RFC 1035, 6891).

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::zone::{Meaning, Opening, Zone};
use crate::network::egress::policy::may_be_pinned;

/// Containers come and go: nobody is to remember where they were.
pub(super) const LIFETIME: u32 = 0;

/// What UDP carries without EDNS, and what we take with it.
pub(super) const PLAIN: u16 = 512;
pub(super) const PAYLOAD: u16 = 1232;

/// What becomes of a query.
#[derive(Debug)]
pub(super) enum Verdict {
    Answer(Vec<u8>),
    /// Ask these servers, or the host's when there are none.
    Forward(Vec<IpAddr>),
    /// An egress policy does not allow to ask for this name.
    Barred(Vec<u8>, String),
    /// No query.
    Ignore,
}

/// Answers what a client asked; `turn` moves the first of several addresses on.
pub(super) fn answer(packet: &[u8], client: IpAddr, zone: &Zone, tcp: bool, turn: usize) -> Verdict {
    let query = match Message::from_vec(packet) {
        Ok(query) if query.metadata.message_type == MessageType::Query => query,
        Ok(_) => return Verdict::Ignore,
        Err(_) => return malformed(packet),
    };
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.metadata.recursion_desired = query.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.queries.clone_from(&query.queries);
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD);
        reply.edns = Some(edns);
    }
    let limit = if tcp { u16::MAX } else { query.edns.as_ref().map_or(PLAIN, |e| e.max_payload().max(PLAIN)) };
    let [question] = query.queries.as_slice() else { return refuse(reply, ResponseCode::FormErr, limit) };
    if query.metadata.op_code != OpCode::Query || question.query_class != DNSClass::IN {
        return refuse(reply, ResponseCode::NotImp, limit);
    }
    let meaning = match question.query_type {
        RecordType::PTR => match question.name.parse_arpa_name().map(|net| (net.addr(), net.prefix_len())) {
            Ok((ip, 32 | 128)) => match zone.reverse(client, ip) {
                Ok(names) => {
                    for target in names.iter().filter_map(|name| Name::from_ascii(name).ok()) {
                        let data = RData::PTR(PTR(target));
                        reply.add_answer(Record::from_rdata(question.name.clone(), LIFETIME, data));
                    }
                    reply.metadata.authoritative = true;
                    return finish(reply, limit);
                }
                Err(meaning) => meaning,
            },
            _ => zone.elsewhere(client),
        },
        _ => zone.look_up(client, &plain(&question.name)),
    };
    match meaning {
        Meaning::Addresses(mut ips) => {
            ips.retain(|ip| match question.query_type {
                RecordType::A => ip.is_ipv4(),
                RecordType::AAAA => ip.is_ipv6(),
                _ => false,
            });
            if !ips.is_empty() {
                let first = turn % ips.len();
                ips.rotate_left(first);
            }
            for ip in ips {
                let data = match ip {
                    IpAddr::V4(ip) => RData::A(A(ip)),
                    IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
                };
                reply.add_answer(Record::from_rdata(question.name.clone(), LIFETIME, data));
            }
            reply.metadata.authoritative = true;
            finish(reply, limit)
        }
        Meaning::Unknown => refuse(reply, ResponseCode::NXDomain, limit),
        Meaning::Stranger => refuse(reply, ResponseCode::Refused, limit),
        Meaning::Elsewhere(servers) => {
            let name = plain(&question.name);
            match zone.gate(client, &name) {
                Some(_) => Verdict::Forward(servers),
                None => match refuse(reply, ResponseCode::NXDomain, limit) {
                    Verdict::Answer(answer) => Verdict::Barred(answer, name),
                    other => other,
                },
            }
        }
    }
}

/// In lower case, without a final dot.
fn plain(name: &Name) -> String {
    let mut name = name.to_ascii().to_ascii_lowercase();
    if name.ends_with('.') {
        name.pop();
    }
    name
}

/// What a resolver's answer opens to the client by egress policies: whose, to which ports, which addresses for how many seconds.
pub(super) fn openings(answer: &[u8], client: IpAddr, zone: &Zone) -> Vec<(Opening, Vec<(IpAddr, u32)>)> {
    let Ok(answer) = Message::from_vec(answer) else { return Vec::new() };
    let [question] = answer.queries.as_slice() else { return Vec::new() };
    let openings = zone.gate(client, &plain(&question.name)).unwrap_or_default();
    if openings.is_empty() {
        return Vec::new();
    }
    let address = |record: &Record| match &record.data {
        RData::A(A(ip)) => Some((IpAddr::V4(*ip), record.ttl)),
        RData::AAAA(AAAA(ip)) => Some((IpAddr::V6(*ip), record.ttl)),
        _ => None,
    };
    let addresses: Vec<(IpAddr, u32)> =
        answer.answers.iter().filter_map(address).filter(|(ip, _)| may_be_pinned(*ip)).collect();
    openings.into_iter().map(|opening| (opening, addresses.clone())).collect()
}

fn refuse(mut reply: Message, code: ResponseCode, limit: u16) -> Verdict {
    reply.metadata.response_code = code;
    finish(reply, limit)
}

fn finish(reply: Message, limit: u16) -> Verdict {
    match reply.to_vec() {
        Ok(bytes) if bytes.len() <= usize::from(limit) => Verdict::Answer(bytes),
        Ok(_) => reply.truncate().to_vec().map_or(Verdict::Ignore, Verdict::Answer),
        Err(_) => Verdict::Ignore,
    }
}

/// With a header at least, whoever sent it hears that it was wrong.
fn malformed(packet: &[u8]) -> Verdict {
    match packet {
        [a, b, flags, _, _, _, _, _, _, _, _, _, ..] if flags & 0x80 == 0 => {
            let message = Message::error_msg(u16::from_be_bytes([*a, *b]), OpCode::Query, ResponseCode::FormErr);
            finish(message, PLAIN)
        }
        _ => Verdict::Ignore,
    }
}

/// An answer that no resolver gave.
pub(super) fn failure(query: &[u8]) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.metadata.recursion_desired = query.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.metadata.response_code = ResponseCode::ServFail;
    reply.queries = query.queries;
    reply.to_vec().ok()
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;

    use super::super::zone::tests::{ip, zone};
    use super::*;

    fn ask(client: &str, name: &str, kind: RecordType, turn: usize) -> String {
        let mut query = Message::query();
        let mut name = Name::from_ascii(name).expect("a name");
        name.set_fqdn(true);
        query.add_query(Query::query(name, kind));
        let bytes = query.to_vec().expect("encodes");
        match answer(&bytes, ip(client), &zone(), false, turn) {
            Verdict::Forward(servers) => format!("forward {servers:?}"),
            Verdict::Ignore => "ignore".into(),
            Verdict::Barred(_, name) => format!("barred {name}"),
            Verdict::Answer(bytes) => {
                let reply = Message::from_vec(&bytes).expect("decodes");
                assert_eq!((reply.metadata.id, &reply.queries), (query.metadata.id, &query.queries));
                let answers: Vec<_> = reply.answers.iter().map(|record| record.data.to_string()).collect();
                format!("{} {}", reply.metadata.response_code, answers.join(" "))
            }
        }
    }

    #[test]
    fn answers() {
        use RecordType as T;
        for (client, name, kind, expected) in [
            ("10.1.0.2", "DB.", T::A, "No Error 10.1.0.3"),
            ("10.1.0.2", "db", T::AAAA, "No Error fd00:1::3"),
            ("10.1.0.2", "db", T::MX, "No Error "),
            ("10.1.0.2", "db2", T::AAAA, "No Error "),
            ("10.1.0.2", "nobody.dns.podman", T::A, "Non-Existent Domain "),
            ("10.1.0.2", "example.org", T::A, "forward []"),
            ("10.1.0.2", "3.0.1.10.in-addr.arpa.", T::PTR, "No Error db.dns.podman. data.dns.podman."),
            ("10.1.0.2", "8.8.8.8.in-addr.arpa.", T::PTR, "forward []"),
            ("10.9.0.2", "db", T::A, "Query Refused "),
            ("10.3.0.2", "example.org", T::TXT, "Non-Existent Domain "),
        ] {
            assert_eq!(ask(client, name, kind, 0), expected, "{client} {name} {kind}");
        }
        assert_eq!(ask("10.1.0.2", "data", T::A, 0), "No Error 10.1.0.3 10.1.0.4");
        assert_eq!(ask("10.1.0.2", "data", T::A, 1), "No Error 10.1.0.4 10.1.0.3");
    }

    #[test]
    fn what_is_no_query_gets_no_answer() {
        let verdict = |packet: &[u8]| format!("{:?}", answer(packet, ip("10.1.0.2"), &zone(), false, 0));
        assert_eq!(verdict(b""), "Ignore");
        assert_eq!(verdict(&[0; 11]), "Ignore");
        let mut reply = [0u8; 12];
        reply[2] = 0x80;
        assert_eq!(verdict(&reply), "Ignore");
        // A name that points at itself.
        let looping = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1];
        assert!(verdict(&looping).starts_with("Answer"));
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_survived(mut packet: Vec<u8>, question: bool) {
            if question && packet.len() > 6 {
                // As a query with one question, which is parsed further.
                packet[2] &= 0x07;
                packet[4..6].copy_from_slice(&[0, 1]);
            }
            let _ = answer(&packet, ip("10.1.0.2"), &zone(), question, 0);
            let _ = failure(&packet);
        }
    }
}
