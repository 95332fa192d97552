#!/usr/bin/env bash
# What ten thousand rules cost the coordinator over a load of the bench kit, as a page in benches/baselines.
#
#   BENCH_KIT   the bench kit [default: ../shared/bench]
#   LOAD        a load that its make_load.py wrote [default: medium, which is made]
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${VEDETTE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vedette}"
# To our programs every VEDETTE_ variable is a setting.
export -n VEDETTE_CACHE
kit="${BENCH_KIT:-../shared/bench}"
work="$cache/peers"
fail() { echo "bench-rules: $*" >&2; exit 1; }

[ -f "$kit/make_load.py" ] || fail "there is no bench kit in $kit; say where it is with BENCH_KIT=DIR"
mkdir -p "$work"
[ -x "$work/venv/bin/python3" ] || python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-input -r "$kit/requirements.txt"
load="${LOAD:-$work/medium.rw}"
[ -f "$load.json" ] || "$work/venv/bin/python3" "$kit/make_load.py" "$load" --preset medium

revision=$(git describe --always --dirty)
"$work/venv/bin/python3" benches/rules/rules.py --kit "$kit" --load "$load" --revision "$revision" \
  --coordinator "$CARGO_TARGET_DIR/release/vedette-coordinator" \
  --page "benches/baselines/rules-$(date +%Y-%m-%d)-$revision.md"
