//! Bugs put in on purpose, each at a seam: what the simulation must find.

/// A bug put in on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// The coordinator's engine says that a batch is durable before it is synced.
    AcknowledgeBeforeSync,
    /// The agent's disk says that a record is durable before it is synced.
    SpoolBeforeSync,
    /// The high-water marks are not written with their batches.
    ForgetMark,
    /// The agent's disk deletes what it is told to set aside.
    DeleteUnreadable,
    /// The coordinator loses the marks that it has in memory now and then, so that what is sent again
    /// is applied again.
    ApplyTwice,
}

impl Mutant {
    const NAMED: [(&'static str, Self); 5] = [
        ("acknowledge-before-sync", Self::AcknowledgeBeforeSync),
        ("spool-before-sync", Self::SpoolBeforeSync),
        ("forget-mark", Self::ForgetMark),
        ("delete-unreadable", Self::DeleteUnreadable),
        ("apply-twice", Self::ApplyTwice),
    ];

    /// The one of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let found = Self::NAMED.iter().find(|(known, _)| *known == name);
        found.map(|(_, mutant)| *mutant)
    }
}
