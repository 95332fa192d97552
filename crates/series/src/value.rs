//! Sample values: an `f64` whose every bit pattern is kept.

/// Prometheus' stale marker: the series ended here. It is one NaN among many, told apart by bits.
pub const STALE_NAN: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether `value` is the stale marker, and not just any NaN.
#[must_use]
pub const fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN.to_bits()
}

/// Whether two values have the same bits: unlike `==`, NaN equals itself and 0 differs from −0.
#[must_use]
pub const fn same_bits(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_marker_is_stale() {
        assert!(is_stale(STALE_NAN));
        assert!(!is_stale(f64::NAN));
        assert!(!same_bits(0.0, -0.0));
    }
}
