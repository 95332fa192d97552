//! What watching a node costs the node: an agent beside `node_exporter`, at the same interval.
//!
//! | module | does |
//! |---|---|
//! | [`process`] | memory and processor time of a process, size of its program |
//! | [`sink`] | the smallest coordinator that an agent can talk to; counts what comes |
//! | [`exporter`] | a scraper as Prometheus is one, as far as the wire is concerned |
//! | [`report`] | the comparison as a table and as JSON |
//!
//! Both run at once, so that the machine is as busy for the one as for the other.

pub mod exporter;
pub mod process;
pub mod report;
pub mod sink;
