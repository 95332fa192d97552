//! Remote write: messages of both versions, and snappy blocks.

use fuzz::Draft;

use crate::Seeds;

pub(crate) fn snappy() -> Seeds {
    let texts = [&b""[..], b"some words, some words, some words", &[7; 1000]];
    let packed = texts.map(|text| {
        let packed = snap::raw::Encoder::new().compress_vec(text);
        packed.expect("it is short")
    });
    let most = u16::MAX.to_le_bytes();
    let seed = |body| Draft::default().bytes(most).bytes(body).done();
    packed.into_iter().map(seed).collect()
}

pub(crate) fn remote_writes() -> Seeds {
    // A value and a time, as everyone writes them.
    let sample = [
        &[0x09][..],
        &1.5_f64.to_le_bytes(),
        &[0x10, 0xe6, 0xcf, 0xf5, 0x8b, 0xa0, 0x34],
    ];
    let sample = field(2, &sample.concat());
    let label = |name: &[u8], value: &[u8]| field(1, &[field(1, name), field(2, value)].concat());
    let series = |node: &[u8]| {
        let labels = [label(b"__name__", b"up"), label(b"node", node)].concat();
        field(1, &[labels, sample.clone(), sample.clone()].concat())
    };
    let first = [series(b"1"), series(b"2")].concat();
    let long = series(&[b'x'; 3000]);
    let symbols = [&b""[..], b"__name__", b"up", b"node", b"1", b"2"];
    let symbols = symbols.map(|symbol| field(4, symbol)).concat();
    let series = |node: u8| {
        let metadata = field(5, &[0x08, 2]);
        field(
            5,
            &[field(1, &[1, 2, 3, node]), sample.clone(), metadata].concat(),
        )
    };
    let second = [symbols, series(4), series(5)].concat();
    let mut seeds = Seeds::new();
    for (head, a, b) in [
        (0x80, &first, &first),
        (0x82, &first, &second),
        (0x83, &second, &second),
        (0, &first, &first),
        (0x80, &long, &long),
    ] {
        seeds.push(Draft::default().bytes([head]).piece(a).bytes(b).done());
    }
    seeds
}

/// A field of a protobuf message that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("seeds are small");
    let [low, _] = length.to_le_bytes();
    let [high, _] = (length >> 7).to_le_bytes();
    let length = if high == 0 {
        vec![low]
    } else {
        vec![low | 0x80, high]
    };
    [&[number << 3 | 2], &length[..], bytes].concat()
}
