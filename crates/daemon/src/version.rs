//! Which program this is.

use crate::metrics::{MetricFamily, MetricKind};

/// The version of this release, the same for all our programs.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The revision of the source that was built, when the build was told (`VEDETTE_BUILD_REVISION`
/// in its environment), else `"unknown"`.
pub const REVISION: &str = match option_env!("VEDETTE_BUILD_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// What was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildInfo {
    /// [`VERSION`].
    pub version: &'static str,
    /// [`REVISION`].
    pub revision: &'static str,
    /// The processor architecture, such as `x86_64`.
    pub arch: &'static str,
    /// The operating system, such as `linux`.
    pub os: &'static str,
}

impl BuildInfo {
    /// This build.
    #[must_use]
    pub const fn current() -> Self {
        Self {
            version: VERSION,
            revision: REVISION,
            arch: std::env::consts::ARCH,
            os: std::env::consts::OS,
        }
    }

    /// The metric `vedette_build_info`: always 1, said by its labels.
    #[must_use]
    pub fn family(&self) -> MetricFamily {
        MetricFamily::new(
            "vedette_build_info",
            "Which build this process runs; the value is always 1.",
            MetricKind::Info,
        )
        .with(
            &[
                ("version", self.version),
                ("revision", self.revision),
                ("arch", self.arch),
                ("os", self.os),
            ],
            1.0,
        )
    }
}

impl std::fmt::Display for BuildInfo {
    /// One line, as `--version` shows it: `0.1.0 (1a2b3c4, x86_64-linux)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} ({}, {}-{})",
            self.version, self.revision, self.arch, self.os
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::render_text;

    #[test]
    fn the_build_is_one_sample_with_its_facts_as_labels() {
        let info = BuildInfo {
            version: "1.2.3",
            revision: "abc",
            arch: "x86_64",
            os: "linux",
        };
        assert_eq!(info.to_string(), "1.2.3 (abc, x86_64-linux)");
        assert_eq!(
            render_text(&[info.family()]),
            "# HELP vedette_build_info Which build this process runs; the value is always 1.\n\
             # TYPE vedette_build_info gauge\n\
             vedette_build_info{arch=\"x86_64\",os=\"linux\",revision=\"abc\",version=\"1.2.3\"} 1\n"
        );
        assert_eq!(BuildInfo::current().version, env!("CARGO_PKG_VERSION"));
    }
}
