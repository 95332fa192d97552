#!/usr/bin/env bash
# Builds the fuzz targets and runs each for some seconds; stops at the first input that makes one
# fail. `make fuzz` calls it.
#
#   fuzz/run.sh --seconds N [--target TARGET] [--input FILE]
#
# With --input the target runs that one file, such as one that made it fail, and nothing else.
# What a run finds new stays in fuzz/corpus, and the next run starts from there.
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${VEDETTE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vedette}"
version=0.13.2

say() { echo "fuzz: $*" >&2; }
fail() { say "$@"; exit 1; }

seconds=60 target= input=
while [ $# -gt 0 ]; do
  case "$1" in
    --seconds) seconds=$2 ;;
    --target) target=$2 ;;
    --input) input=$2 ;;
    *) fail "usage: fuzz/run.sh --seconds N [--target TARGET] [--input FILE]" ;;
  esac
  shift 2
done
[ -z "$input" ] || [ -n "$target" ] || fail "which target is the input for?"

export PATH="$cache/tools/bin:$PATH"
if ! command -v cargo-fuzz >/dev/null 2>&1; then
  say "installing cargo-fuzz $version (crates.io) into $cache/tools: it builds and runs the targets"
  cargo install --quiet --locked --root "$cache/tools" --version "$version" cargo-fuzz
fi

# Beside the other builds: it has flags of its own.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}/fuzz"
# The sanitizer and its coverage are options that only a nightly compiler takes otherwise.
export RUSTC_BOOTSTRAP=1
# As for codec's and store's own numbers: a few more units cost little speed and save minutes.
flags=(--codegen-units 16)

targets=$(cargo fuzz list)
if [ -n "$target" ]; then
  grep -qx "$target" <<<"$targets" || fail "there is no target $target, only:" $targets
  targets=$target
fi
cargo run --quiet --locked --manifest-path fuzz/Cargo.toml --example seeds -- fuzz/corpus
cargo fuzz build "${flags[@]}" ${target:+"$target"}

for name in $targets; do
  # A dictionary of label sets may take 400 MiB, and the sanitizer keeps what was freed for a while.
  options=(-rss_limit_mb=3072 -timeout=30)
  # Opening RocksDB leaves a byte behind (rocksdb_list_column_families), which is no leak of ours.
  if [ "$name" = http_request ]; then
    options+=(-detect_leaks=0)
    export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
  fi
  if [ -n "$input" ]; then
    cargo fuzz run "${flags[@]}" "$name" "$input" -- "${options[@]}"
    continue
  fi
  [ ! -e "fuzz/dictionaries/$name.dict" ] || options+=("-dict=fuzz/dictionaries/$name.dict")
  say "$name for $seconds s"
  options+=("-max_total_time=$seconds" -print_final_stats=1)
  log="$CARGO_TARGET_DIR/$name.log"
  if ! cargo fuzz run "${flags[@]}" "$name" -- "${options[@]}" >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    found=$(sed -n 's/.*Test unit written to \(.*\)/\1/p' "$log" | tail -n 1)
    [ -n "$found" ] || fail "$name did not run; all of its output is in $log"
    found=${found#"$PWD/"}
    say "$name failed. The input lies in $found, all output in $log. Once more with:"
    fail "  make fuzz TARGET=$name INPUT=$found"
  fi
  grep -E '^#[0-9]+.*cov: ' "$log" | tail -n 1 | sed "s/^/fuzz: $name: /" >&2
done
