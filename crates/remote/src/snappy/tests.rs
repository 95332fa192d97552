use proptest::prelude::*;

use super::*;

fn pack(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

/// What the reference says.
fn reference(body: &[u8]) -> Option<Vec<u8>> {
    snap::raw::Decoder::new().decompress_vec(body).ok()
}

fn ours(body: &[u8]) -> Option<Vec<u8>> {
    // A buffer that holds something from before.
    let mut buffer = vec![0xaa; 100];
    decompress(body, 1 << 20, &mut buffer)
        .ok()
        .map(<[u8]>::to_vec)
}

/// Text that repeats itself from near and far.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..90),
        (any::<u8>(), 1_usize..300).prop_map(|(byte, count)| vec![byte; count]),
        prop::collection::vec(prop::sample::select(b"ab_".to_vec()), 0..40),
    ];
    let pieces = prop::collection::vec(piece, 1..8);
    (pieces, prop::collection::vec(0_usize..8, 0..200)).prop_map(|(pieces, order)| {
        let picked = order.iter().map(|at| &pieces[at % pieces.len()]);
        picked.flatten().copied().collect()
    })
}

proptest! {
    #[test]
    fn what_was_compressed_comes_back(text in text()) {
        prop_assert_eq!(ours(&pack(&text)), Some(text));
    }

    #[test]
    fn damage_is_found_where_the_reference_finds_it(
        text in text(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut body = pack(&text);
        for (at, byte) in flips {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len()));
        }
        // A length that is too large is refused before anything else is looked at.
        if snap::raw::decompress_len(&body).is_ok_and(|length| length <= 1 << 20) {
            prop_assert_eq!(ours(&body), reference(&body));
        }
    }

    #[test]
    fn any_elements_are_read_as_the_reference_reads_them(
        head in any::<u8>(),
        elements in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut body = vec![head & 0x7f];
        body.extend(elements);
        prop_assert_eq!(ours(&body), reference(&body));
    }
}

#[test]
fn every_element_is_read() {
    let long = |length: usize| vec![b'x'; length];
    let with = |head: &[u8], rest: Vec<u8>| [head, &rest].concat();
    for (body, text) in [
        (vec![0], Vec::new()),
        (vec![3, 2 << 2, b'a', b'b', b'c'], b"abc".to_vec()),
        // Literals with lengths of one to four bytes.
        (with(&[70, 60 << 2, 69], long(70)), long(70)),
        (with(&[0xac, 2, 61 << 2, 43, 1], long(300)), long(300)),
        (with(&[70, 62 << 2, 69, 0, 0], long(70)), long(70)),
        (with(&[70, 63 << 2, 69, 0, 0, 0], long(70)), long(70)),
        // A copy of each kind, each overlapping itself.
        (vec![6, 0, b'a', 1 | 1 << 2, 1], long_of(b"a", 6)),
        (
            vec![9, 1 << 2, b'a', b'b', 2 | 6 << 2, 2, 0],
            long_of(b"ab", 9),
        ),
        (
            vec![9, 1 << 2, b'a', b'b', 3 | 6 << 2, 2, 0, 0, 0],
            long_of(b"ab", 9),
        ),
    ] {
        assert_eq!(reference(&body), Some(text.clone()), "{body:?}");
        assert_eq!(ours(&body), Some(text), "{body:?}");
    }
}

fn long_of(pattern: &[u8], length: usize) -> Vec<u8> {
    pattern.iter().copied().cycle().take(length).collect()
}

#[test]
fn what_contradicts_itself_is_refused() {
    let bad = "an element is not valid";
    for (body, what) in [
        (vec![], "it has no length"),
        (vec![0x80], "it has no length"),
        (vec![0x80; 6], "it has no length"),
        (vec![100, 0, b'a'], "it claims more than it can hold"),
        (vec![2, 0, b'a'], bad),
        (vec![1, 1 << 2, b'a', b'b'], bad),
        (vec![1, 0, b'a', 0], bad),
        // Before the start, from nowhere, and past the end.
        (vec![5, 0, b'a', 1, 2], bad),
        (vec![5, 0, b'a', 1, 0], bad),
        (vec![8, 0, b'a', 1 | 4 << 2, 1], bad),
        (vec![8, 0, b'a', 2 | 9 << 2, 1, 0], bad),
        (vec![66, 0, b'a', 2 | 63 << 2, 1], bad),
        (vec![66, 60 << 2, 200, b'a'], bad),
        (vec![66, 63 << 2, 0xff, 0xff, 0xff, 0xff], bad),
        (vec![21, 63 << 2], bad),
    ] {
        let error = decompress(&body, 1 << 20, &mut Vec::new()).unwrap_err();
        assert_eq!(error, Error::Snappy { what }, "{body:?}");
    }
}

#[test]
fn a_claim_is_checked_before_it_is_believed() {
    let mut buffer = Vec::new();
    let body = pack(&[7; 1000]);
    let error = decompress(&body, 999, &mut buffer).unwrap_err();
    assert_eq!(
        error,
        Error::TooLarge {
            got: 1000,
            max: 999
        }
    );
    // 4 GiB from ten bytes.
    let lie = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 1, 2, 3, 4];
    assert!(decompress(&lie, usize::MAX, &mut buffer).is_err());
    assert_eq!(buffer.capacity(), 0);
}

#[test]
fn the_densest_block_is_no_lie() {
    let text = vec![0; 1 << 20];
    assert_eq!(ours(&pack(&text)), Some(text));
}

#[test]
fn a_buffer_is_used_again_whatever_it_holds() {
    let mut buffer = Vec::new();
    for text in [vec![1; 5000], Vec::new(), b"abc".to_vec(), vec![2; 300]] {
        let body = pack(&text);
        assert_eq!(decompress(&body, 1 << 20, &mut buffer), Ok(&text[..]));
    }
    assert!(buffer.len() >= 5000);
}
