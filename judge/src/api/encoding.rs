//! Bodies that were compressed on their way: gzip and zstd, bounded by what comes out of them.
//!
//! What a decoder may ask for is bounded before it is asked: the window of zstd is read from the
//! frame, and output stops at the bound of a body. A part of a stream, or more than one stream's
//! worth of anything else, is an error.

use std::io::Read;

use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, StatusCode};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::error::ApiError;
use crate::limits::ZSTD_WINDOW_BYTES_MAX;

/// Bytes that are decoded between two looks at the bounds.
const CHUNK_BYTES: usize = 64 << 10;
const ZSTD_MAGIC: u32 = 0xfd2f_b528;
/// The low four bits are free: RFC 8878, section 3.1.2.
const ZSTD_SKIPPABLE: u32 = 0x184d_2a50;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Not at all.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Encoding {
    /// What the header says.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let Some(value) = headers.get(CONTENT_ENCODING) else { return Ok(Self::Identity) };
        match value.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_encoding",
                "the header Content-Encoding says something unknown",
                "send the body as it is, or by gzip or zstd",
            )),
        }
    }
}

/// Decodes `bytes`; `room` says whether there is room for so many decoded ones.
pub(super) fn decode(
    bytes: &[u8],
    encoding: Encoding,
    mut room: impl FnMut(usize) -> Result<(), ApiError>,
) -> Result<Vec<u8>, ApiError> {
    let mut decoded = Vec::new();
    match encoding {
        Encoding::Identity => decoded.extend_from_slice(bytes),
        Encoding::Gzip => {
            let mut reader = flate2::bufread::MultiGzDecoder::new(bytes);
            drain(&mut reader, &mut decoded, &mut room)?;
        }
        Encoding::Zstd => {
            let mut rest = bytes;
            while !rest.is_empty() {
                rest = zstd_frame(rest, &mut decoded, &mut room)?;
            }
        }
    }
    Ok(decoded)
}

fn drain(
    reader: &mut impl Read,
    decoded: &mut Vec<u8>,
    room: &mut impl FnMut(usize) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    loop {
        let read = reader.by_ref().take(CHUNK_BYTES as u64).read_to_end(decoded).map_err(broken)?;
        room(decoded.len())?;
        if read < CHUNK_BYTES {
            return Ok(());
        }
    }
}

/// Decodes the first frame of `bytes` and returns what follows it.
fn zstd_frame<'a>(
    bytes: &'a [u8],
    decoded: &mut Vec<u8>,
    room: &mut impl FnMut(usize) -> Result<(), ApiError>,
) -> Result<&'a [u8], ApiError> {
    let word = |at: usize| {
        let word = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(word))
    };
    let cut = || broken("the frame is cut off");
    let magic = word(0).ok_or_else(cut)?;
    if magic & !0xf == ZSTD_SKIPPABLE {
        let length = usize::try_from(word(4).ok_or_else(cut)?).map_err(broken)?;
        return bytes.get(8..).and_then(|bytes| bytes.get(length..)).ok_or_else(cut);
    }
    if magic != ZSTD_MAGIC {
        return Err(broken("there is no frame"));
    }
    check_window(bytes).ok_or_else(|| broken("its window is larger than 8 MiB"))?;
    let mut source = bytes;
    let mut decoder = FrameDecoder::new();
    let mut reader =
        StreamingDecoder::new_with_decoder(&mut source, &mut decoder).map_err(broken)?;
    drain(&mut reader, decoded, room)?;
    if !decoder.is_finished() {
        return Err(cut());
    }
    let (said, is) = (decoder.get_checksum_from_data(), decoder.get_calculated_checksum());
    if said.is_some() && said != is {
        return Err(broken("its checksum is wrong"));
    }
    Ok(source)
}

/// `None` where a decoder would have to keep more than we give: RFC 8878, section 3.1.1.1.
fn check_window(frame: &[u8]) -> Option<()> {
    let descriptor = *frame.get(4)?;
    let window = if descriptor & 0x20 == 0 {
        let byte = *frame.get(5)?;
        let base = 1_u64 << (10 + u32::from(byte >> 3));
        base + base / 8 * u64::from(byte & 7)
    } else {
        // A single segment: the content is the window. Its size follows the dictionary's id.
        let at = 5 + [0, 1, 2, 4][usize::from(descriptor & 3)];
        let length = [1, 2, 4, 8][usize::from(descriptor >> 6)];
        let mut size = [0; 8];
        size.get_mut(..length)?.copy_from_slice(frame.get(at..at + length)?);
        u64::from_le_bytes(size)
    };
    (window <= ZSTD_WINDOW_BYTES_MAX).then_some(())
}

fn broken(reason: impl ToString) -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "malformed_encoding",
        format!("the body cannot be decoded: {}", reason.to_string()),
        "compress the whole body, and say how in Content-Encoding",
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const BOUND: usize = 1 << 20;

    fn decoded(bytes: &[u8], encoding: Encoding) -> Result<Vec<u8>, &'static str> {
        let room = |bytes: usize| {
            let full = ApiError::unprocessable("too_large", "", "");
            if bytes <= BOUND { Ok(()) } else { Err(full) }
        };
        decode(bytes, encoding, room).map_err(|error| error.code)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        ruzstd::encoding::compress_to_vec(bytes, level)
    }

    #[test]
    fn what_was_compressed_comes_out_as_it_was() {
        for text in [Vec::new(), b"{}".to_vec(), vec![b'x'; CHUNK_BYTES], vec![b'x'; BOUND]] {
            assert_eq!(decoded(&gzip(&text), Encoding::Gzip).as_ref(), Ok(&text));
            assert_eq!(decoded(&zstd(&text), Encoding::Zstd).as_ref(), Ok(&text));
            assert_eq!(decoded(&text, Encoding::Identity).as_ref(), Ok(&text));
        }
        let two = [gzip(b"a"), gzip(b"b")].concat();
        assert_eq!(decoded(&two, Encoding::Gzip).unwrap(), b"ab");
        let skippable = [&0x184d_2a51_u32.to_le_bytes()[..], &[2, 0, 0, 0], b"xx"].concat();
        let three = [skippable, zstd(b"a"), zstd(b"b")].concat();
        assert_eq!(decoded(&three, Encoding::Zstd).unwrap(), b"ab");
    }

    #[test]
    fn a_bomb_stops_at_the_bound() {
        let large = vec![0; 64 * BOUND];
        assert!(gzip(&large).len() < BOUND / 4);
        assert_eq!(decoded(&gzip(&large), Encoding::Gzip), Err("too_large"));
        assert_eq!(decoded(&zstd(&large), Encoding::Zstd), Err("too_large"));
        assert_eq!(decoded(&gzip(&vec![0; BOUND + 1]), Encoding::Gzip), Err("too_large"));
        let frames = zstd(&[0; 4096]).repeat(300);
        assert_eq!(decoded(&frames, Encoding::Zstd), Err("too_large"));
    }

    #[test]
    fn what_is_cut_or_changed_is_refused() {
        let text = (0..20_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>();
        for (whole, encoding) in [(gzip(&text), Encoding::Gzip), (zstd(&text), Encoding::Zstd)] {
            for at in [1, 3, 5, 9, whole.len() / 2, whole.len() - 1] {
                let cut = decoded(&whole[..at], encoding);
                assert_eq!(cut, Err("malformed_encoding"), "{encoding:?} cut at {at}");
            }
            let more = [&whole[..], b"more"].concat();
            assert_eq!(decoded(&more, encoding), Err("malformed_encoding"), "{encoding:?}");
        }
        // A window of 1 GiB, in a frame that is otherwise empty.
        let greedy = [&ZSTD_MAGIC.to_le_bytes()[..], &[0, 20 << 3, 1, 0, 0]].concat();
        assert_eq!(decoded(&greedy, Encoding::Zstd), Err("malformed_encoding"));
        let honest = [&ZSTD_MAGIC.to_le_bytes()[..], &[0, 13 << 3, 1, 0, 0]].concat();
        assert_eq!(decoded(&honest, Encoding::Zstd).unwrap(), b"");
    }
}
