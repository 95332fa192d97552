//! When a group is evaluated: at slots that follow from its name alone.

/// FNV-1a, which is the same on every machine and in every version.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// By how much the slots of a group lie behind the multiples of its interval: groups of many names do not
/// all evaluate at once.
pub(super) fn offset(group: &str, interval_millis: i64) -> i64 {
    let interval = u64::try_from(interval_millis).unwrap_or(1).max(1);
    i64::try_from(hash(group) % interval).unwrap_or(0)
}

/// The last slot at or before a time.
pub(super) fn at_or_before(at: i64, interval: i64, offset: i64) -> i64 {
    let since = at.saturating_sub(offset).rem_euclid(interval.max(1));
    at.saturating_sub(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_from_the_name() {
        assert_eq!(offset("node", 60_000), offset("node", 60_000));
        assert_ne!(offset("node", 60_000), offset("gpu", 60_000));
        assert_eq!(at_or_before(125, 60, 5), 125);
        assert_eq!(at_or_before(124, 60, 5), 65);
        assert_eq!(at_or_before(0, 60, 5), -55);
    }
}
