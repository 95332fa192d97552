#!/usr/bin/env bash
# Brings a machine to where this repository builds (`build`) and tests (`test`). Installs what is
# missing and nothing else, says what and why, and needs neither network nor root when nothing is.
#
#   build   Rust, a C and C++ compiler, libclang (RocksDB's bindings are made from its headers)
#   test    besides: prometheus-node-exporter (the agent's host metrics are compared with it),
#           promtool and Python's prometheus-api-client (they query the coordinator unchanged),
#           prometheus and vmagent (they remote-write to it), prometheus-alertmanager and Python's
#           aiosmtpd (they take our alerts and our mail), Python's prometheus-client (pages are
#           read back with it), numpy and cramjam (the bench kit makes loads with them),
#           systemd-analyze (it judges the units in deploy/systemd)
#
# What only tests need goes into the cache folder and not onto the system, but for systemd-analyze,
# whose libraries are systemd's own: the Debian package of node_exporter would start a service.
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${VEDETTE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vedette}"
PATH="$PATH:$HOME/.cargo/bin"

say() { echo "setup: $*" >&2; }
fail() { say "$@"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root, or not at all.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

can_apt() {
  have apt-get && { [ "$(id -u)" -eq 0 ] || { have sudo && sudo -n true 2>/dev/null; }; }
}

apt_updated=no
apt_update() {
  [ "$apt_updated" = yes ] && return
  as_root apt-get update -qq >&2
  apt_updated=yes
}

# apt REASON PACKAGE…
apt() {
  local reason=$1
  shift
  can_apt || fail "$reason is missing. Run as root: apt-get install $*"
  say "installing $* (apt): $reason"
  apt_update
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "$@" >&2
}

rust() {
  local wanted found
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  have cargo && have rustc ||
    fail "Rust is missing. Install $wanted or newer with rustup (https://rustup.rs)"
  found=$(rustc --version | cut -d ' ' -f 2)
  [ "$(printf '%s\n' "$wanted" "${found%%-*}" | sort -V | head -n 1)" = "$wanted" ] ||
    fail "rustc is $found, $wanted or newer is needed. Run: rustup update stable"
}

rust_tools() {
  local tool component
  for tool in cargo-fmt:rustfmt cargo-clippy:clippy; do
    component=${tool#*:}
    if ! "${tool%:*}" --version >/dev/null 2>&1; then
      have rustup || fail "$component is missing and there is no rustup to add it with"
      say "adding $component (rustup): make lint runs it"
      rustup component add "$component" >&2
    fi
  done
}

compilers() {
  have cc || apt "a C compiler (zstd and ring are built with it)" gcc libc6-dev
  have "${CXX:-c++}" || apt "a C++ compiler (RocksDB is built with it)" g++
  have flock || apt "flock (one build of RocksDB at a time)" util-linux
}

# Where clang-sys, and so bindgen, looks without being told. libclang-cpp is another library, which
# comes with the compiler and does not do.
libclang_is_there() {
  [ -n "${LIBCLANG_PATH:-}" ] && return 0
  compgen -G "$cache/venv/lib/python3*/site-packages/clang/native/libclang*.so*" >/dev/null && return 0
  local found
  found=$(compgen -G '/usr/lib/llvm-*/lib/libclang[.-]*so*'; compgen -G '/usr/lib/*-linux-gnu/libclang[.-]*so*'
    compgen -G '/usr/lib64/libclang[.-]*so*') || true
  grep -v 'libclang-cpp' <<<"$found" | grep -q libclang
}

libclang() {
  libclang_is_there && return 0
  local reason="libclang (bindgen reads RocksDB's C header with it)" package
  if can_apt; then
    apt_update
    # 14 is what the archive was first built with; a system without it has a newer one.
    package=$(apt-cache search --names-only '^libclang1-[0-9]+$' | cut -d ' ' -f 1 |
      sort -V | awk '$0 == "libclang1-14" { found = $0 } { last = $0 }
        END { print found ? found : last }')
    if [ -n "$package" ]; then
      apt "$reason" "$package"
      return 0
    fi
  fi
  venv
  say "installing libclang 18.1.1 (PyPI) into $cache/venv: $reason"
  "$cache/venv/bin/pip" install --quiet --no-input libclang==18.1.1 >&2
}

venv() {
  # Both: after an upgrade of the system's Python the links in it lead nowhere.
  [ -x "$cache/venv/bin/python3" ] && [ -x "$cache/venv/bin/pip" ] && return 0
  have python3 || apt "python3 (tests and tools from PyPI)" python3 python3-venv
  python3 -c 'import ensurepip' 2>/dev/null ||
    apt "Python's venv (keeps PyPI packages off the system)" python3-venv
  say "making a Python environment in $cache/venv"
  python3 -m venv --clear "$cache/venv" >&2
}

# in_venv FILE-PATTERN REASON PIP-ARGUMENTS…
in_venv() {
  local pattern=$1 reason=$2
  shift 2
  [ -x "$cache/venv/bin/python3" ] &&
    compgen -G "$cache/venv/lib/python3*/site-packages/$pattern" >/dev/null &&
    return 0
  venv
  say "installing $* (PyPI) into $cache/venv: $reason"
  "$cache/venv/bin/pip" install --quiet --no-input "$@" >&2
}

# debian_program PACKAGE PROGRAM REASON: unpacks one program of a Debian package into the cache.
# The package is not installed, so no service of it starts.
debian_program() {
  local package=$1 program=$2 reason="$2 ($3)" work
  have "$program" && return 0
  [ -x "$cache/tools/bin/$program" ] && return 0
  have apt-get && have dpkg-deb ||
    fail "$reason is missing and this is no Debian; put it on the PATH under that name"
  say "unpacking $reason into $cache/tools; it is not installed and no service starts"
  # apt's own user downloads, so the folder must be one that it can write to.
  work=$(mktemp -d)
  chmod 755 "$work"
  if ! (cd "$work" && apt-get download -qq "$package" >&2 2>/dev/null); then
    can_apt || fail "apt-get download failed; run as root: apt-get update"
    apt_update
    (cd "$work" && apt-get download -qq "$package" >&2)
  fi
  dpkg-deb -x "$work/$package"_*.deb "$work/unpacked"
  mkdir -p "$cache/tools/bin"
  install -m 755 "$work/unpacked/usr/bin/$program" "$cache/tools/bin/"
  rm -rf "$work"
}

# Installed as a whole, which starts nothing: the package brings no init (systemd-sysv does). Where that
# cannot be, the test says that it has not checked.
systemd_analyze() {
  have systemd-analyze && return 0
  local reason="systemd-analyze (it judges the units in deploy/systemd)"
  if can_apt; then
    apt "$reason" --no-remove systemd
  else
    say "$reason is missing; the test goes without"
  fi
}

what=${1:-test}
case "$what" in build | test) ;; *) fail "usage: tools/setup.sh [build|test]" ;; esac
mkdir -p "$cache"
exec 8>"$cache/setup.lock"
flock 8 2>/dev/null || true
rust
compilers
libclang
if [ "$what" = test ]; then
  rust_tools
  debian_program prometheus-node-exporter prometheus-node-exporter \
    "host metrics are compared with it"
  debian_program prometheus promtool "it queries the coordinator's HTTP API"
  debian_program prometheus prometheus "it remote-writes to the coordinator"
  debian_program prometheus-alertmanager prometheus-alertmanager "it takes our alerts"
  debian_program victoria-metrics vmagent "it remote-writes to the coordinator"
  systemd_analyze
  in_venv prometheus_client/parser.py "reads our metrics pages back" prometheus-client==0.22.1
  in_venv aiosmtpd/__init__.py "it takes our mail" aiosmtpd==1.4.6
  # Without its dependencies: those are for plotting, but for these three.
  in_venv requests/api.py "for prometheus-api-client" requests dateparser httmock
  in_venv prometheus_api_client/__init__.py "queries the coordinator's HTTP API" \
    --no-deps prometheus-api-client==0.7.2
  in_venv numpy/__init__.py "the bench kit makes loads with it" numpy==2.4.6
  in_venv cramjam/__init__.py "the bench kit makes loads with it" cramjam==2.14.0
fi
