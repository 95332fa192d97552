//! Writes what the targets start from into a folder, one folder for each target:
//! `cargo run --example seeds -- FOLDER`.
//!
//! Seeds are made from the golden bytes and by the encoders, so none are kept in the repository.

mod columns;
mod files;
mod messages;
mod remote;
mod rows;
mod state;
mod text;

use std::path::{Path, PathBuf};

/// Inputs of one target.
type Seeds = Vec<Vec<u8>>;

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| PathBuf::from("corpus"));
    let targets = [
        ("agent_certificate", files::identities()),
        ("agent_page", text::pages()),
        ("agent_rules", files::rules()),
        ("agent_targets", text::targets()),
        ("agent_thin", files::batches()),
        (
            "certificate_request",
            vec![
                golden("coordinator/certificate-request.der"),
                golden("coordinator/rsa-request.der"),
            ],
        ),
        (
            "client_certificate",
            vec![golden("coordinator/client-certificate.der")],
        ),
        ("codec_block", columns::blocks()),
        ("codec_column", columns::columns()),
        ("codec_times", columns::times()),
        ("codec_labels", vec![golden("codec/labels.bin")]),
        ("codec_labels_list", columns::dictionaries()),
        ("codec_samples", columns::samples()),
        ("codec_frame", columns::frames()),
        ("codec_round_trip", columns::round_trips()),
        ("remote_snappy", remote::snappy()),
        ("remote_write", remote::remote_writes()),
        ("store_open", rows::store_rows()),
        ("store_chunk", rows::store_chunks()),
        ("wire_messages", messages::messages()),
        ("spool_open", files::spools()),
        ("query_text", text::queries()),
        ("series_matcher", text::matchers()),
        ("spec_load", text::documents()),
        ("rule_file", text::rule_files()),
        ("rule_template", text::templates()),
        ("http_request", text::requests()),
        ("outside_alerts", text::outside_alerts()),
        ("token_file", text::tokens()),
        ("centre_rows", state::centre()),
        ("state_rows", state::rows()),
    ];
    for (target, seeds) in targets {
        write(&folder.join(target), &seeds)?;
    }
    Ok(())
}

fn write(folder: &Path, seeds: &Seeds) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (number, seed) in seeds.iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number:03}")), seed)?;
    }
    Ok(())
}

fn golden(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden");
    std::fs::read(Path::new(folder).join(name)).expect("golden bytes are in the repository")
}
