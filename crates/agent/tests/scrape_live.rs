//! Scraping against real HTTP servers: one target, and a pool of them.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]
#![expect(
    clippy::float_cmp,
    reason = "reported values are small whole numbers, or copied"
)]

#[path = "scrape_live/pool.rs"]
mod pool;
#[path = "scrape_live/server.rs"]
mod server;
#[path = "scrape_live/target.rs"]
mod target;
