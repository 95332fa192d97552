//! The gRPC contract as checked Rust types.
//!
//! [`proto`] and [`health`] are generated from `proto/` (`cargo run -p tidy --bin generate`; a test fails
//! when it is stale). What arrives over a socket is turned into the types of [`ingest`], [`transition`] and
//! [`join`] by `TryFrom` once, at the door, and trusted from there on.

#[cfg(feature = "client")]
pub mod client;
pub mod ingest;
pub mod join;
pub mod transition;

/// The generated messages, clients (feature `client`) and servers (feature `server`).
#[allow(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    clippy::nursery,
    clippy::restriction,
    missing_docs,
    unreachable_pub,
    elided_lifetimes_in_paths,
    unused_qualifications,
    reason = "generated"
)]
pub mod proto {
    include!("generated/vedette.v1.rs");
}

/// The standard health service, generated (server only).
#[allow(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    clippy::nursery,
    clippy::restriction,
    missing_docs,
    unreachable_pub,
    elided_lifetimes_in_paths,
    unused_qualifications,
    reason = "generated"
)]
pub mod health {
    include!("generated/grpc.health.v1.rs");
}

/// The contract and the health service as a descriptor set, for the reflection service.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/vedette.v1.bin");

/// Largest message either side takes, in bytes. gRPC's own default, which middle boxes expect.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Version of the ingest protocol spoken here.
pub const PROTOCOL: u32 = 1;

pub use prost::Message;
