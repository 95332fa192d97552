#!/usr/bin/env bash
# Prints the environment that every cargo call of this repository runs in, as lines for `eval`.
# The Makefile uses it for each recipe; in a shell of your own: eval "$(make -s env)".
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${VEDETTE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vedette}"

# rustup's folder last: it only helps a shell that never read ~/.cargo/env.
path="$PATH"
for folder in "$cache/tools/bin" "$cache/venv/bin"; do
  case ":$path:" in *":$folder:"*) ;; *) path="$folder:$path" ;; esac
done
case ":$path:" in *":$HOME/.cargo/bin:"*) ;; *) path="$path:$HOME/.cargo/bin" ;; esac
export PATH="$path"
printf 'export PATH=%q\n' "$path"

# Outside the checkout, so that all clones share one build and a clone can be deleted lightly.
printf 'export CARGO_TARGET_DIR=%q\n' "${CARGO_TARGET_DIR:-$cache/target}"

# libclang out of the PyPI wheel, where tools/setup.sh put it because the system has none.
for folder in "$cache"/venv/lib/python3*/site-packages/clang/native; do
  if [ -z "${LIBCLANG_PATH:-}" ] && [ -d "$folder" ]; then
    export LIBCLANG_PATH="$folder"
    printf 'export LIBCLANG_PATH=%q\n' "$folder"
  fi
done

rocksdb=$(tools/rocksdb.sh)
printf 'export ROCKSDB_LIB_DIR=%q\n' "$rocksdb"
echo 'export ROCKSDB_STATIC=1'
