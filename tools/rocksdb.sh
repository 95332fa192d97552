#!/usr/bin/env bash
# Builds librocksdb.a once per RocksDB version and compiler, outside the checkout, and prints the
# folder it lies in. Its 342 C++ files take 16 minutes of two cores and depend on nothing of ours,
# so development, test, release and benchmark builds all link this one archive.
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${VEDETTE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vedette}"
version=$(grep -A1 '^name = "librocksdb-sys"' Cargo.lock | sed -n 's/^version = "\(.*\)"/\1/p')
[ -n "$version" ] || { echo "tools/rocksdb.sh: no librocksdb-sys in Cargo.lock" >&2; exit 1; }
compiler=$("${CXX:-c++}" -dumpfullversion -dumpversion)
place="$cache/rocksdb/$version-$(uname -m)-cxx$compiler"
if [ ! -s "$place/librocksdb.a" ]; then
  mkdir -p "$place"
  exec 9>"$place/lock"; flock 9
  if [ ! -s "$place/librocksdb.a" ]; then
    echo "building RocksDB $version once, into $place (about 16 minutes on two cores)" >&2
    unset ROCKSDB_LIB_DIR ROCKSDB_STATIC
    cargo build --release --locked -p librocksdb-sys --target-dir "$cache/rocksdb/build" >&2
    built=$(ls -t "$cache"/rocksdb/build/release/build/librocksdb-sys-*/out/librocksdb.a | head -n 1)
    cp "$built" "$place/librocksdb.a.part"
    mv "$place/librocksdb.a.part" "$place/librocksdb.a"
    rm -rf "$cache/rocksdb/build"
  fi
fi
echo "$place"
