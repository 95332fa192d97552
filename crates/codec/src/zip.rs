//! zstd within bounds, for the whole workspace.

use zstd::bulk;

use crate::Error;

/// Compresses `bytes` at `level` (1 to 19; others are clamped) and appends one zstd frame to
/// `out`. The frame holds its content size and no checksum: every user of this has its own.
pub fn compress(bytes: &[u8], level: i32, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + zstd::zstd_safe::compress_bound(bytes.len()), 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let written = bulk::compress_to_buffer(bytes, room, level.clamp(1, 19))
        // zstd refuses only a destination below its own bound, or when it has no memory, where
        // the allocator would have aborted already.
        .expect("the destination has the bound that zstd asks for");
    out.truncate(start + written);
}

/// Unpacks one or more zstd frames that together hold at most `max_len` bytes. It allocates at
/// most `max_len` bytes for the result, and no more than the frame claims.
///
/// # Errors
/// [`Error::TooLarge`] when the frame says it holds more than `max_len`; [`Error::Frame`] when it
/// is damaged, holds more than it says or does not say.
pub fn decompress(bytes: &[u8], max_len: usize) -> Result<Vec<u8>, Error> {
    let claimed = zstd::zstd_safe::get_frame_content_size(bytes)
        .ok()
        .flatten()
        .ok_or(Error::Invalid {
            what: "the head of a zstd frame",
        })?;
    let room = match usize::try_from(claimed) {
        Ok(room) if room <= max_len => room,
        _ => {
            return Err(Error::TooLarge {
                what: "the content of a zstd frame",
                got: claimed,
                max: max_len as u64,
            });
        }
    };
    bulk::decompress(bytes, room).map_err(|source| Error::Frame { source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_is_unpacked_within_its_bound() {
        for bytes in [vec![], vec![7; 100_000], (0..=255).collect()] {
            let mut out = b"before".to_vec();
            compress(&bytes, 3, &mut out);
            let frame = out.split_off(6);
            assert_eq!(out, b"before");
            assert_eq!(decompress(&frame, bytes.len()).unwrap(), bytes);
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked() {
        let mut out = vec![];
        compress(&vec![0; 1 << 24], 1, &mut out);
        assert!(out.len() < 4096);
        assert!(matches!(
            decompress(&out, 1 << 20),
            Err(Error::TooLarge { got, .. }) if got == 1 << 24
        ));
    }

    #[test]
    fn a_cut_frame_is_an_error() {
        let mut out = vec![];
        compress(b"some words, some words, some words", 3, &mut out);
        for end in 0..out.len() {
            assert!(decompress(&out[..end], 1000).is_err(), "{end}");
        }
    }
}
