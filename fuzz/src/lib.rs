//! What the fuzz targets share.
//!
//! A target takes the bytes of the fuzzer and gives them to a decoder. It promises more than that
//! nothing panics: what is decoded is encoded and decoded again, to the bit, and what is allocated
//! stays [`within`] what the decoder's documentation says. A checksum would stop a fuzzer at the
//! door, so most targets [`seal`] the bytes first; some inputs are given as they are.
//!
//! `fuzz/run.sh` builds and runs the targets, `fuzz/examples/seeds.rs` writes what they start from.

mod bound;
mod draft;
mod input;
mod routes;
pub mod seal;

pub use bound::within;
pub use draft::Draft;
pub use input::Input;
pub use routes::routes;

/// One KiB.
pub const KIB: usize = 1024;
/// One MiB.
pub const MIB: usize = 1024 * KIB;

/// A read without bounds.
#[derive(Clone, Copy, Debug)]
pub struct Unbounded;

impl store::Meter for Unbounded {
    fn series(&self, _: u64) -> bool {
        true
    }

    fn samples(&self, _: u64) -> bool {
        true
    }
}

/// The bits of values, which unlike the values can be compared.
#[must_use]
pub fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}
