//! Rules that are run on the node.

use daemon::units::ByteSize;
use serde::{Deserialize, Serialize};

/// Rules that the coordinator gives and the agent runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RulesConfig {
    /// Whether they are run here; else the coordinator runs them, later.
    pub enabled: bool,
    /// Most memory for the samples that they look back on.
    pub memory: ByteSize,
}

impl Default for RulesConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            memory: ByteSize::mib(16),
        }
    }
}
