//! The edge: collect → batch → encode → spool → sync.

pub mod collect;
