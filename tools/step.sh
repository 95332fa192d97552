#!/usr/bin/env bash
# Runs one step of a check: says what, runs it, says how long it took. Usage: step.sh NAME COMMAND…
set -euo pipefail
name=$1
shift
printf '\n== %s: %s\n' "$name" "$*"
started=$SECONDS
rc=0
"$@" || rc=$?
if [ "$rc" -eq 0 ]; then
  printf '== %s: done in %d s\n' "$name" $((SECONDS - started))
else
  printf '== %s: FAILED with %d after %d s\n' "$name" "$rc" $((SECONDS - started)) >&2
fi
exit "$rc"
