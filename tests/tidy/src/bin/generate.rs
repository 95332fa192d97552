//! Writes the generated code of `proto/` to where `wire` keeps it.

fn main() -> anyhow::Result<()> {
    tidy::generate(&tidy::root().join("crates/wire/src/generated"))
}
