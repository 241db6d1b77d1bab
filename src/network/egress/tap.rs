//! The headers of a refused packet.

use std::net::IpAddr;

/// From where to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Headers {
    pub from: IpAddr,
    pub to: IpAddr,
    pub protocol: u8,
    /// Of TCP and UDP.
    pub port: Option<u16>,
}

/// Reads IPv4 (RFC 791) or IPv6 (RFC 8200) and what follows; `None` for what is neither.
pub(super) fn read(packet: &[u8]) -> Option<Headers> {
    let version = packet.first()? >> 4;
    let (protocol, from, to, length) = match version {
        4 => {
            let ip = |at: usize| packet.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok()).map(IpAddr::from);
            (*packet.get(9)?, ip(12)?, ip(16)?, usize::from(packet.first()? & 15) * 4)
        }
        6 => {
            let ip = |at: usize| packet.get(at..at + 16).and_then(|b| <[u8; 16]>::try_from(b).ok()).map(IpAddr::from);
            (*packet.get(6)?, ip(8)?, ip(24)?, 40)
        }
        _ => return None,
    };
    let ports = matches!(i32::from(protocol), libc::IPPROTO_TCP | libc::IPPROTO_UDP);
    let port = packet.get(length + 2..length + 4).and_then(|b| b.try_into().ok()).map(u16::from_be_bytes);
    Some(Headers { from, to, protocol, port: port.filter(|_| ports) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let mut packet = [0; 28];
        packet[0] = 0x45;
        packet[9] = 6;
        packet[12..20].copy_from_slice(&[10, 1, 0, 2, 192, 0, 2, 7]);
        packet[22..24].copy_from_slice(&443u16.to_be_bytes());
        let read4 = read(&packet).map(|h| format!("{} {} {} {:?}", h.from, h.to, h.protocol, h.port));
        assert_eq!(read4.as_deref(), Some("10.1.0.2 192.0.2.7 6 Some(443)"));
        packet[9] = 1;
        assert_eq!(read(&packet).and_then(|headers| headers.port), None);
        let mut packet = [0; 48];
        (packet[0], packet[6], packet[43]) = (0x60, 17, 53);
        assert_eq!(read(&packet).and_then(|headers| headers.port), Some(53));
        for length in 0..20 {
            assert!(read(&[0x45; 20][..length]).is_none());
        }
        assert!(read(&[0x10; 60]).is_none());
    }
}
