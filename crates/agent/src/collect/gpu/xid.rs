//! What the driver's XID numbers mean, how bad they are and what to do.
//!
//! The meanings are those of NVIDIA's "XID Errors" and of its catalogue for Ampere and newer GPUs;
//! where a number calls for a different act by GPU or by sub-code, the table names the first act
//! that is safe, and the advice says when to go further.

/// How bad one event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know; the GPU goes on.
    Info,
    /// A job was lost or the GPU begins to wear.
    Warning,
    /// The GPU cannot be trusted until somebody acts.
    Critical,
}

impl Severity {
    /// The word for labels and pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What kind of act an event asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The program on the GPU failed: restart it, look at its code if it comes again.
    Application,
    /// Nothing now; look at how often it comes.
    Watch,
    /// The GPU works again after a reset.
    ResetGpu,
    /// Only a restart of the whole node brings the GPU back.
    RebootNode,
    /// Hardware that has to be inspected or replaced.
    Replace,
    /// A number that is not in the table.
    Unknown,
}

impl Class {
    /// All classes, mildest first.
    pub const ALL: [Self; 6] = [
        Self::Application,
        Self::Watch,
        Self::ResetGpu,
        Self::RebootNode,
        Self::Replace,
        Self::Unknown,
    ];

    /// The value of the label `class`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Watch => "watch",
            Self::ResetGpu => "reset_gpu",
            Self::RebootNode => "reboot_node",
            Self::Replace => "replace",
            Self::Unknown => "unknown",
        }
    }
}

/// What is known of one XID number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xid {
    /// The number, as the driver logs it.
    pub number: u32,
    /// What happened.
    pub meaning: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What kind of act it asks for.
    pub class: Class,
    /// What to do, in a sentence.
    pub advice: &'static str,
}

/// The number NVML gives when it does not know the XID either.
pub const UNKNOWN_NUMBER: u32 = 999;

const fn row(
    number: u32,
    severity: Severity,
    class: Class,
    meaning: &'static str,
    advice: &'static str,
) -> Xid {
    Xid {
        number,
        meaning,
        severity,
        class,
        advice,
    }
}

const RESTART: &str = "Restart the program; look for a bug in its kernels if it comes again.";
const RESET: &str = "Drain the node and reset the GPU; replace the GPU if it comes again.";
const LINK: &str = "Drain the node and reset the GPUs on the link; inspect the NVLink and its \
                    switch if it comes again.";

/// Every number that is known, ascending.
pub const TABLE: &[Xid] = {
    use Class::{Application, RebootNode, Replace, ResetGpu, Watch};
    use Severity::{Critical, Info, Warning};
    &[
        row(8, Warning, Application, "GPU stopped processing", RESTART),
        row(
            13,
            Warning,
            Application,
            "graphics engine exception",
            RESTART,
        ),
        row(31, Warning, Application, "GPU memory page fault", RESTART),
        row(
            32,
            Warning,
            Application,
            "corrupted push buffer stream",
            RESTART,
        ),
        row(
            43,
            Warning,
            Application,
            "GPU stopped processing a channel",
            RESTART,
        ),
        row(
            45,
            Info,
            Application,
            "preemptive cleanup, due to previous errors or a killed program",
            "Look for the error before it; alone it only says that a program ended.",
        ),
        row(46, Critical, ResetGpu, "GPU stopped processing", RESET),
        row(48, Critical, ResetGpu, "double-bit ECC error", RESET),
        row(
            54,
            Critical,
            Replace,
            "auxiliary power is not connected to the board",
            "Check the power cables of the board.",
        ),
        row(
            61,
            Warning,
            ResetGpu,
            "internal micro-controller breakpoint",
            RESET,
        ),
        row(
            62,
            Critical,
            ResetGpu,
            "internal micro-controller halt",
            RESET,
        ),
        row(
            63,
            Warning,
            ResetGpu,
            "row remapping or page retirement recorded",
            "Reset the GPU when it is next free: the spare row is used from then on.",
        ),
        row(
            64,
            Critical,
            Replace,
            "row remapping or page retirement failed",
            "Drain the node and reset the GPU; replace it when the remap failure flag is set.",
        ),
        row(
            65,
            Warning,
            Application,
            "video processor exception",
            RESTART,
        ),
        row(68, Warning, Application, "video decoder exception", RESTART),
        row(
            69,
            Warning,
            Application,
            "graphics engine class error",
            RESTART,
        ),
        row(74, Critical, ResetGpu, "NVLink error", LINK),
        row(
            79,
            Critical,
            RebootNode,
            "GPU has fallen off the bus",
            "Drain the node and power-cycle it; check seating, power and cooling, and replace the \
             GPU if it comes again.",
        ),
        row(
            92,
            Warning,
            Watch,
            "high rate of single-bit ECC errors",
            "Watch the rate; run the field diagnostics and replace the GPU if it goes on.",
        ),
        row(
            94,
            Warning,
            Application,
            "contained ECC error",
            "Restart the program that was hit; reset the GPU when it is next free.",
        ),
        row(95, Critical, ResetGpu, "uncontained ECC error", RESET),
        row(109, Critical, ResetGpu, "context switch timed out", RESET),
        row(110, Critical, ResetGpu, "security fault", RESET),
        row(
            119,
            Critical,
            ResetGpu,
            "GSP does not answer",
            "Drain the node and reset the GPU; restart the node if the reset fails, and update the \
             driver if it comes again.",
        ),
        row(120, Critical, ResetGpu, "GSP error", RESET),
        row(
            121,
            Warning,
            Watch,
            "corrected error on the chip-to-chip link",
            "Watch the rate; reset the GPU when it is next free.",
        ),
        row(140, Critical, ResetGpu, "unrecovered ECC error", RESET),
        row(143, Critical, ResetGpu, "GPU initialisation error", RESET),
        row(144, Critical, ResetGpu, "NVLink error (SAW)", LINK),
        row(145, Critical, ResetGpu, "NVLink error (RLW)", LINK),
        row(146, Critical, ResetGpu, "NVLink error (TLW)", LINK),
        row(147, Critical, ResetGpu, "NVLink error (TREX)", LINK),
        row(148, Critical, ResetGpu, "NVLink error (NVLPW)", LINK),
        row(149, Critical, ResetGpu, "NVLink error (NETIR)", LINK),
        row(150, Critical, ResetGpu, "NVLink error (MSE)", LINK),
        row(
            154,
            Warning,
            Watch,
            "the recovery action of the GPU changed",
            "Do what DCGM_FI_DEV_GET_GPU_RECOVERY_ACTION now says.",
        ),
    ]
};

/// What is known of `number`.
#[must_use]
pub fn lookup(number: u32) -> Option<&'static Xid> {
    TABLE
        .binary_search_by_key(&number, |xid| xid.number)
        .ok()
        .and_then(|index| TABLE.get(index))
}

/// The class of `number`; [`Class::Unknown`] when it is not in the table.
#[must_use]
pub fn class_of(number: u32) -> Class {
    lookup(number).map_or(Class::Unknown, |xid| xid.class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_ascends_so_that_each_of_its_numbers_is_found() {
        assert!(TABLE.windows(2).all(|two| two[0].number < two[1].number));
        for xid in TABLE {
            assert_eq!(lookup(xid.number), Some(xid));
            assert_ne!(xid.class, Class::Unknown, "{}", xid.number);
        }
    }

    #[test]
    fn a_number_that_is_not_in_the_table_has_no_meaning_and_class_unknown() {
        assert_eq!(lookup(UNKNOWN_NUMBER), None);
        assert_eq!(class_of(0), Class::Unknown);
        assert_eq!(class_of(79), Class::RebootNode);
    }

    #[test]
    fn only_what_somebody_must_act_on_is_critical() {
        for xid in TABLE
            .iter()
            .filter(|xid| xid.severity == Severity::Critical)
        {
            assert!(
                matches!(
                    xid.class,
                    Class::ResetGpu | Class::RebootNode | Class::Replace
                ),
                "{}",
                xid.number
            );
        }
    }
}
