//! What to do about an alert: `docs/runbooks` of this repository, as the program was built.

/// Where the pages are in the repository.
const FOLDER: &str = "docs/runbooks/";

/// A page that is part of the program.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The name of its file, `AgentSilent.md`.
    pub file: &'static str,
    /// Its text, in Markdown.
    pub text: &'static str,
}

/// Pages by the names of their files, without `.md`.
macro_rules! pages {
    ($($name:literal)*) => {
        &[$(Page {
            file: concat!($name, ".md"),
            text: include_str!(concat!("../../../docs/runbooks/", $name, ".md")),
        }),*]
    };
}

static PAGES: &[Page] = pages! {
    "AgentSilent" "AgentSparesDetail" "AlertsRefused" "AuditLogIncomplete" "BusinessMetricLow"
    "CertificateRunsOut" "ClockSkewed" "ClocksApart" "CollectorDown" "ConfigurationNotUnderstood"
    "CoordinatorUpkeepFails" "CpuUsageHigh" "CredentialsRefused" "CustomMetric" "DataLost"
    "DiskFillsWithinADay" "DiskUsageHigh" "EngineHung" "ErrorsHigh" "FilesystemReadOnly"
    "GpuDriverHangs" "GpuHot" "GpuLinkDown" "GpuLost" "GpuMemoryErrors" "GpuNeedsAct"
    "GpuRowRemapFailed" "GpuRowsWaitForReset" "GpuSlowedDown" "GpuUsageHigh" "HeartbeatFails"
    "HostKillsProcesses" "KvCacheFull" "LatencyHigh" "MemoryErrors" "MemoryUsageHigh"
    "MetricTrend" "MetricUnusual" "ModelQualityLow" "NetworkErrors" "NetworkIoHigh"
    "NotificationsFail" "QueueLong" "RaidDegraded" "RuleGroupsMissed" "RulesFail" "SeriesRefused"
    "SpoolFails" "SpoolFills" "TargetDown" "TrafficLow" "WatchedMetricMissing"
};

/// All pages, by name.
#[must_use]
pub fn pages() -> &'static [Page] {
    PAGES
}

/// The page of a name, with or without `.md`.
#[must_use]
pub fn page(name: &str) -> Option<Page> {
    let name = name.strip_suffix(".md").unwrap_or(name);
    let named = |page: &&Page| page.file.strip_suffix(".md") == Some(name);
    PAGES.iter().find(named).copied()
}

/// The file of a page that a rule names by its path in the repository; none where the rule names something
/// else.
#[must_use]
pub fn file(runbook: &str) -> Option<&'static str> {
    Some(page(runbook.strip_prefix(FOLDER)?)?.file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_found_by_what_rules_and_people_call_it() {
        assert_eq!(file("docs/runbooks/AgentSilent.md"), Some("AgentSilent.md"));
        assert_eq!(file("https://wiki/AgentSilent.md"), None);
        assert_eq!(file("docs/runbooks/None.md"), None);
        assert!(page("AgentSilent").is_some_and(|page| page.text.starts_with("# ")));
    }
}
