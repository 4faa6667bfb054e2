//! What a server says over HTTP/2 (RFC 9113), as far as it tells what became of what was sent.

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const GOAWAY: u8 = 7;
const HEAD: usize = 9;

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Heard {
    /// A request was answered with this status.
    Answer(u16),
    /// A request was reset.
    Reset,
    /// The whole connection was given up, and that was said.
    GoAway,
    /// It was closed without that.
    Closed,
    /// It stands open, and nothing more comes.
    Open,
}

/// Takes the frames that are whole out of what was said.
pub(super) fn take(said: &mut Vec<u8>) -> Vec<Heard> {
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(head) = said.get(at..at + HEAD) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let length = usize::try_from(length).expect("24 bits");
        let Some(payload) = said.get(at + HEAD..at + HEAD + length) else {
            break;
        };
        all.extend(match head[3] {
            HEADERS => status(payload).map(Heard::Answer),
            RESET => Some(Heard::Reset),
            GOAWAY => Some(Heard::GoAway),
            _ => None,
        });
        at += HEAD + length;
    }
    said.drain(..at);
    all
}

/// The status, which comes first (RFC 7541; RFC 9113, section 8.3.2).
fn status(block: &[u8]) -> Option<u16> {
    // Changes of the size of the table come before it (RFC 7541, section 6.3).
    let begin = block.iter().position(|byte| byte & 0xe0 != 0x20)?;
    let (first, rest) = block[begin..].split_first()?;
    Some(match first {
        0x88 => 200,
        0x89 => 204,
        0x8a => 206,
        0x8b => 304,
        0x8c => 400,
        0x8d => 404,
        0x8e => 500,
        // Its name is in the table, and it is not (section 6.2).
        0x48 | 0x08 | 0x18 => {
            let (length, value) = rest.split_first()?;
            match length {
                0x03 => std::str::from_utf8(value.get(..3)?).ok()?.parse().ok()?,
                _ => packed(value)?,
            }
        }
        _ => return None,
    })
}

/// Three digits: five bits each up to 2, six bits from 3 on (RFC 7541, appendix B).
fn packed(bytes: &[u8]) -> Option<u16> {
    let bits = bytes
        .iter()
        .take(3)
        .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
    let mut left = 8 * u32::try_from(bytes.len().min(3)).ok()?;
    let mut number = 0;
    for _ in 0..3 {
        let five = bits >> left.checked_sub(5)? & 0x1f;
        let digit = match five {
            0..=2 => five,
            _ => (bits >> left.checked_sub(6)? & 0x3f).checked_sub(0x19)? + 3,
        };
        left -= if five <= 2 { 5 } else { 6 };
        number = number * 10 + digit;
    }
    u16::try_from(number).ok()
}

#[test]
fn what_became_of_a_request_is_read_and_half_a_frame_is_left() {
    let frame = |kind: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).expect("a short one");
        [&[0, 0, length, kind, 4, 0, 0, 0, 1], payload].concat()
    };
    let settings = frame(4, &[0; 6]);
    let half = &settings[..11];
    let mut said = [
        settings.clone(),
        frame(HEADERS, &[0x88, 0xbe]),
        frame(HEADERS, &[0x20, 0x3f, 0x8d]),
        frame(HEADERS, &[0x48, 0x03, b'4', b'3', b'1']),
        // 401, 431 and 202 as h2 packs them.
        frame(HEADERS, &[0x48, 0x82, 0x68, 0x01]),
        frame(HEADERS, &[0x48, 0x83, 0x69, 0x90, 0xff]),
        frame(HEADERS, &[0x48, 0x82, 0x10, 0x05]),
        frame(RESET, &[0; 4]),
        frame(GOAWAY, &[0; 8]),
        half.to_vec(),
    ]
    .concat();
    let heard = take(&mut said);
    let answers = [200, 404, 431, 401, 431, 202].map(Heard::Answer);
    let rest = [Heard::Reset, Heard::GoAway];
    assert_eq!(heard, [&answers[..], &rest].concat());
    assert_eq!(said, half);
}
