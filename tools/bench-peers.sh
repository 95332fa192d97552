#!/usr/bin/env bash
# The same load to the coordinator and to its peers, and a page of ratios in benches/baselines.
#
#   BENCH_KIT   the bench kit [default: ../shared/bench]
#   LOADS       of medium, wide, real, paced, loss [default: all five]
#   PEERS       of victoria, prometheus [default: both]
#   REPEATS     [default: 3]
#
# Peers come as Debian packages, unpacked into the cache and not installed: no service starts.
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${VEDETTE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vedette}"
# To our programs every VEDETTE_ variable is a setting.
export -n VEDETTE_CACHE
kit="${BENCH_KIT:-../shared/bench}"
work="$cache/peers"
fail() { echo "bench-peers: $*" >&2; exit 1; }

[ -f "$kit/measure.py" ] || fail "there is no bench kit in $kit; say where it is with BENCH_KIT=DIR"
mkdir -p "$work"
for package in victoria-metrics prometheus; do
  [ -x "$work/unpacked/usr/bin/$package" ] && continue
  folder=$(mktemp -d)
  chmod 755 "$folder"
  (cd "$folder" && apt-get download -qq "$package" >&2) ||
    fail "cannot download $package; run as root: apt-get update"
  dpkg-deb -x "$folder/$package"_*.deb "$work/unpacked"
  rm -rf "$folder"
done
[ -x "$work/venv/bin/python3" ] || python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-input -r "$kit/requirements.txt"

revision=$(git describe --always --dirty)
PATH="$work/unpacked/usr/bin:$PATH" "$work/venv/bin/python3" benches/peers/peers.py \
  --kit "$(realpath "$kit")" --cache "$work" --revision "$revision" \
  --coordinator "$CARGO_TARGET_DIR/dist/vedette-coordinator" \
  --loads "${LOADS:-medium,wide,real,paced,loss}" --peers "${PEERS-victoria,prometheus}" \
  --repeats "${REPEATS:-3}" --page "benches/baselines/peers-$(date +%Y-%m-%d)-$revision.md"
