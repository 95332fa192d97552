//! The repository's own rules, as functions; `tests/` applies them to this repository.
//!
//! A rule takes a root folder, a text or parsed data and returns its faults, one sentence each: an
//! empty list means that all is well. So every rule is tried here on made-up trees that break it,
//! because a rule that cannot fail holds nothing.
//!
//! | module | keeps |
//! |---|---|
//! | [`borders`] | which crate may use which, and which heavy dependency has which owner |
//! | [`manifests`] | that crates inherit versions, lints and dependencies from the root |
//! | [`sources`] | file lengths, names, and what may not be left lying in code |
//! | [`pages`] | that documentation names only what exists |
//! | [`units`] | that units of systemd start what there is, in a sandbox that holds and hides nothing measured |
//! | [`contract`] | that `proto/` is commented and no number in it changes its meaning |
//!
//! [`generate`] makes the code of `proto/`, for the freshness test and for
//! `cargo run -p tidy --bin generate`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use prost::Message;
use prost_types::FileDescriptorSet;

pub mod borders;
pub mod contract;
pub mod manifests;
pub mod pages;
pub mod sources;
pub mod tree;
pub mod units;

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .map(Path::to_owned)
        .unwrap_or_default()
}

/// Compiles all files under `proto/vedette/v1` of a repository, comments included.
///
/// # Errors
/// When one of them cannot be read or does not compile.
pub fn compile(root: &Path) -> Result<FileDescriptorSet> {
    let proto = root.join("proto");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(proto.join("vedette/v1")).context("listing proto/vedette/v1")? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            files.push(path);
        }
    }
    files.sort();
    protox::compile(&files, [&proto]).context("compiling proto/")
}

/// Generates the Rust code and the descriptor set of all files under `proto/` into `out`.
///
/// # Errors
/// When a proto file does not compile or `out` cannot be written.
pub fn generate(out: &Path) -> Result<()> {
    let ours = compile(&root())?;
    // Of the standard health service only the server is ours to build: tonic-health has the client.
    let proto = root().join("proto");
    let health = protox::compile([proto.join("grpc/health/v1/health.proto")], [&proto])
        .context("compiling the health service")?;
    let mut for_reflection = ours.clone();
    for_reflection.file.extend(health.file.clone());
    for file in &mut for_reflection.file {
        file.source_code_info = None;
    }
    std::fs::write(out.join("vedette.v1.bin"), for_reflection.encode_to_vec())
        .context("writing the descriptor set")?;
    tonic_prost_build::configure()
        .out_dir(out)
        .bytes(".vedette.v1.Block.columns")
        .bytes(".vedette.v1.SeriesDefinitions.list")
        .bytes(".vedette.v1.SpooledBlock")
        .btree_map(".")
        .client_mod_attribute("vedette.v1", "#[cfg(feature = \"client\")]")
        .server_mod_attribute("vedette.v1", "#[cfg(feature = \"server\")]")
        .build_transport(true)
        .compile_fds(ours)
        .context("generating code from proto/vedette/v1")?;
    tonic_prost_build::configure()
        .out_dir(out)
        .btree_map(".")
        .build_client(false)
        .server_mod_attribute("grpc.health.v1", "#[cfg(feature = \"server\")]")
        .build_transport(true)
        .compile_fds(health)
        .context("generating code from proto/grpc/health/v1")
}
