//! What is in the datagrams between hosts.
//!
//! ```text
//! plain frame    08 00 00 00  VNI 00                      frame                    VXLAN, RFC 7348
//! plain message  'r' 'p' 'o' 1  VNI 00                    JSON
//! sealed         'r' 'p' 'o' 2  VNI 00  sender  counter   kind, frame or JSON, AES-256-GCM's tag
//! ```
//!
//! **Sealing.** The network's key is derived from the key file (HKDF-SHA256), and from it one for each life of a
//! netkeeper, its *sender* number: its start in seconds and 32 random bits. The counter is the nonce: no key sees one twice.
//! A receiver takes each counter once (a window of 128, RFC 4303 3.4.3), and from each address never a sender that is older than the
//! one it has heard: what was recorded in an earlier life cannot be sent again.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

/// Bytes before what a plain datagram carries.
const HEADER: usize = 8;
const NUMBERS: usize = 16;
const TAG: usize = 16;

const VXLAN: [u8; 4] = [0x08, 0, 0, 0];
const MESSAGE: [u8; 4] = *b"rpo\x01";
const SEALED: [u8; 4] = *b"rpo\x02";

/// What a datagram carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Frame = 1,
    Message = 2,
}

/// The number of the network that a datagram is for.
pub(super) fn vni(datagram: &[u8]) -> Option<u32> {
    match datagram {
        [_, _, _, _, a, b, c, 0, ..] => Some(u32::from_be_bytes([0, *a, *b, *c])),
        _ => None,
    }
}

fn header(magic: [u8; 4], vni: u32) -> [u8; HEADER] {
    let [_, x, y, z] = vni.to_be_bytes();
    let [a, b, c, d] = magic;
    [a, b, c, d, x, y, z, 0]
}

/// A network's key, as far as this host sends.
pub(super) struct Sealer {
    network: Prk,
    sender: u64,
    own: LessSafeKey,
    counter: u64,
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        32
    }
}

impl Sealer {
    /// `secret` is what the key file holds; `sender` is this netkeeper's number.
    pub(super) fn new(secret: &[u8], vni: u32, sender: u64) -> Option<Self> {
        let network = Salt::new(HKDF_SHA256, &header(*b"rpod", vni)).extract(secret);
        let own = key_of(&network, sender)?;
        Some(Self { network, sender, own, counter: 0 })
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

fn key_of(network: &Prk, sender: u64) -> Option<LessSafeKey> {
    let mut bytes = [0; 32];
    let info = sender.to_be_bytes();
    network.expand(&[&info], Length).ok()?.fill(&mut bytes).ok()?;
    UnboundKey::new(&AES_256_GCM, &bytes).ok().map(LessSafeKey::new)
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// Writes a datagram into `out`; `false` when it cannot be sealed.
pub(super) fn write(out: &mut Vec<u8>, kind: Kind, vni: u32, body: &[u8], sealer: Option<&mut Sealer>) -> bool {
    out.clear();
    let Some(sealer) = sealer else {
        out.extend_from_slice(&header(if kind == Kind::Frame { VXLAN } else { MESSAGE }, vni));
        out.extend_from_slice(body);
        return true;
    };
    out.extend_from_slice(&header(SEALED, vni));
    let Some(next) = sealer.counter.checked_add(1) else { return false };
    sealer.counter = next;
    out.extend_from_slice(&sealer.sender.to_be_bytes());
    out.extend_from_slice(&next.to_be_bytes());
    let mut known = [0; HEADER + NUMBERS];
    known.copy_from_slice(out);
    let start = out.len();
    out.push(kind as u8);
    out.extend_from_slice(body);
    let Ok(tag) = sealer.own.seal_in_place_separate_tag(nonce(next), Aad::from(known), &mut out[start..]) else {
        return false;
    };
    out.extend_from_slice(tag.as_ref());
    true
}

/// What has been heard sealed from one address.
#[derive(Default)]
pub(super) struct Heard {
    sender: u64,
    key: Option<LessSafeKey>,
    highest: u64,
    /// Bit n: the counter `highest - n` was taken.
    window: u128,
}

impl std::fmt::Debug for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heard").field("sender", &self.sender).field("highest", &self.highest).finish_non_exhaustive()
    }
}

impl Heard {
    fn is_new(&self, counter: u64) -> bool {
        match self.highest.checked_sub(counter) {
            None => true,
            Some(behind) => behind < 128 && self.window >> behind & 1 == 0,
        }
    }

    fn take(&mut self, counter: u64) {
        match counter.checked_sub(self.highest) {
            Some(ahead) => {
                self.window = u32::try_from(ahead).ok().and_then(|n| self.window.checked_shl(n)).unwrap_or(0) | 1;
                self.highest = counter;
            }
            None => self.window |= 1 << (self.highest - counter),
        }
    }
}

/// What a datagram carries, decrypted in its place; `None` for one that is not to be believed.
pub(super) fn read<'d>(
    datagram: &'d mut [u8],
    sealer: Option<&Sealer>,
    heard: &mut Heard,
) -> Option<(Kind, &'d mut [u8])> {
    let magic: [u8; 4] = datagram.get(..4)?.try_into().ok()?;
    let Some(sealer) = sealer else {
        let kind = match magic {
            VXLAN => Kind::Frame,
            MESSAGE => Kind::Message,
            _ => return None,
        };
        return Some((kind, datagram.get_mut(HEADER..)?));
    };
    if magic != SEALED || datagram.len() < HEADER + NUMBERS + 1 + TAG {
        return None;
    }
    let (known, sealed) = datagram.split_at_mut(HEADER + NUMBERS);
    let number = |at: usize| known.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes);
    let (sender, counter) = (number(HEADER)?, number(HEADER + 8)?);
    // An older life, or our own words.
    if sender < heard.sender || sender == sealer.sender || (sender == heard.sender && !heard.is_new(counter)) {
        return None;
    }
    let fresh = if sender == heard.sender && heard.key.is_some() { None } else { key_of(&sealer.network, sender) };
    let key = fresh.as_ref().or(heard.key.as_ref())?;
    let length = key.open_in_place(nonce(counter), Aad::from(&*known), sealed).ok()?.len();
    if let Some(key) = fresh {
        *heard = Heard { sender, key: Some(key), ..Heard::default() };
    }
    heard.take(counter);
    let (kind, body) = sealed.get_mut(..length)?.split_first_mut()?;
    match kind {
        1 => Some((Kind::Frame, body)),
        2 => Some((Kind::Message, body)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_vxlan() {
        let mut out = Vec::new();
        assert!(write(&mut out, Kind::Frame, 0x01_02_03, b"frame", None));
        assert_eq!(out, [&[8, 0, 0, 0, 1, 2, 3, 0][..], b"frame"].concat());
        assert_eq!(vni(&out), Some(0x01_02_03));
        let (kind, body) = read(&mut out, None, &mut Heard::default()).expect("is read");
        assert_eq!((kind, &*body), (Kind::Frame, &b"frame"[..]));
    }

    #[test]
    fn sealed_once_and_by_the_right_key() {
        let sealer = |secret: &[u8], sender| Sealer::new(secret, 7, sender).expect("a key");
        let (mut a, b) = (sealer(b"secret", 1 << 32), sealer(b"secret", 2 << 32));
        let mut heard = Heard::default();
        let mut sent = Vec::new();
        for _ in 0..300 {
            let mut out = Vec::new();
            assert!(write(&mut out, Kind::Message, 7, b"words", Some(&mut a)));
            sent.push(out);
        }
        let mut hear = |packet: &[u8], by: &Sealer| {
            let mut copy = packet.to_vec();
            read(&mut copy, Some(by), &mut heard).map(|(kind, body)| (kind, body.to_vec()))
        };
        let fine = Some((Kind::Message, b"words".to_vec()));
        assert_eq!(hear(&sent[0], &b), fine);
        assert_eq!(hear(&sent[0], &b), None, "twice");
        assert_eq!(hear(&sent[5], &b), fine);
        assert_eq!(hear(&sent[3], &b), fine, "out of order");
        assert_eq!(hear(&sent[3], &b), None);
        assert_eq!(hear(&sent[299], &b), fine);
        assert_eq!(hear(&sent[6], &b), None, "too old");
        assert_eq!(hear(&sent[298], &a), None, "one's own");
        assert!(read(&mut sent[298].clone(), Some(&sealer(b"other", 9)), &mut Heard::default()).is_none());
        for place in 0..sent[297].len() {
            let mut forged = sent[297].clone();
            forged[place] ^= 1;
            assert_eq!(hear(&forged, &b), None, "byte {place}");
        }
        assert_eq!(hear(&sent[297], &b), fine);
        // A later life of the sender; then the earlier one is not believed any more.
        let mut out = Vec::new();
        assert!(write(&mut out, Kind::Frame, 7, b"x", Some(&mut sealer(b"secret", 3 << 32))));
        assert_eq!(hear(&out, &b), Some((Kind::Frame, b"x".to_vec())));
        assert_eq!(hear(&sent[296], &b), None);
        // Without a key nothing sealed is understood, and nothing plain with one.
        assert!(read(&mut sent[1].clone(), None, &mut Heard::default()).is_none());
        let mut plain = Vec::new();
        assert!(write(&mut plain, Kind::Frame, 7, b"x", None));
        assert!(read(&mut plain, Some(&b), &mut Heard::default()).is_none());
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_survived(packet: Vec<u8>, sealed: bool) {
            let sealer = Sealer::new(b"x", 1, 5);
            let mut packet = packet;
            if sealed && packet.len() > 4 {
                packet[..4].copy_from_slice(&SEALED);
            }
            let _ = vni(&packet);
            let _ = read(&mut packet.clone(), None, &mut Heard::default());
            proptest::prop_assert!(read(&mut packet, sealer.as_ref(), &mut Heard::default()).is_none());
        }
    }
}
