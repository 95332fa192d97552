//! The repository's own rules, as tests: see `tests/`.
//!
//! The library part generates the code of `proto/`, for the freshness test and for
//! `cargo run -p tidy --bin generate`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use prost::Message;

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_owned).unwrap_or_default()
}

/// Generates the Rust code and the descriptor set of all files under `proto/` into `out`.
///
/// # Errors
/// When a proto file does not compile or `out` cannot be written.
pub fn generate(out: &Path) -> Result<()> {
    let proto = root().join("proto");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(proto.join("vedette/v1")).context("listing proto/vedette/v1")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    files.sort();
    let descriptors = protox::compile(&files, [&proto]).context("compiling proto/")?;
    let mut for_reflection = descriptors.clone();
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
        .compile_fds(descriptors)
        .context("generating code from proto/")
}
