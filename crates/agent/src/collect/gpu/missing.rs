//! Values that stand for "there is none". A driver that does not know a value may still return
//! success and one of these; they must never be taken for a measurement.

/// DCGM's first blank 32-bit integer; it and everything above it is one (`DCGM_INT32_BLANK`).
const INT32_BLANK: u32 = 0x7fff_fff0;
/// DCGM's first blank 64-bit integer (`DCGM_INT64_BLANK`). `9223372036854775794`, which is often
/// seen in graphs, is "not supported", two above it.
const INT64_BLANK: u64 = 0x7fff_ffff_ffff_fff0;
/// DCGM's first blank float (`DCGM_FP64_BLANK`).
const FP64_BLANK: f64 = 140_737_488_355_328.0;

/// The value of an unsigned 32-bit answer. NVML's own "not available" is `UINT_MAX`.
pub(super) fn known_u32(value: u32) -> Option<f64> {
    (value < INT32_BLANK).then_some(f64::from(value))
}

/// The value of an unsigned 64-bit answer. NVML's own "not available" is `ULLONG_MAX`.
#[expect(
    clippy::cast_precision_loss,
    reason = "samples are floats: a counter beyond 2^53 loses its last bits there"
)]
pub(super) fn known_u64(value: u64) -> Option<f64> {
    (value < INT64_BLANK).then_some(value as f64)
}

/// The value of a signed 64-bit answer. NVML's own "not available" is −1: nothing that is read
/// here can be negative.
pub(super) fn known_i64(value: i64) -> Option<f64> {
    u64::try_from(value).ok().and_then(known_u64)
}

/// The value of a floating point answer.
pub(super) fn known_f64(value: f64) -> Option<f64> {
    (value.is_finite() && value < FP64_BLANK).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_of_every_width_are_missing_and_their_neighbours_are_not() {
        assert_eq!(known_u32(0x7fff_ffef), Some(2_147_483_631.0));
        for blank in [0x7fff_fff0, 0x7fff_fff3, 0x8000_0000, u32::MAX] {
            assert_eq!(known_u32(blank), None, "{blank:#x}");
        }
        assert_eq!(known_u64(0), Some(0.0));
        assert_eq!(known_u64(1 << 60), Some(1_152_921_504_606_846_976.0));
        for blank in [INT64_BLANK, 9_223_372_036_854_775_794, u64::MAX] {
            assert_eq!(known_u64(blank), None, "{blank:#x}");
        }
        assert_eq!(known_i64(45), Some(45.0));
        assert_eq!(known_i64(-1), None);
        assert_eq!(known_i64(9_223_372_036_854_775_794), None);
        assert_eq!(
            known_f64(140_737_488_355_327.0),
            Some(140_737_488_355_327.0)
        );
        for blank in [FP64_BLANK, 140_737_488_355_331.0, f64::NAN, f64::INFINITY] {
            assert_eq!(known_f64(blank), None, "{blank}");
        }
    }
}
