# Sourced by the scripts beside it. Provides: ROOT, note, fail, prepare.
#
# `prepare run` or `prepare dev` makes .venv in the checkout and installs what is needed into it. It needs bash
# and Python 3.11 or newer, uses pip's own configuration and proxies, and does nothing (and needs no network)
# when neither pyproject.toml nor the Python has changed since the last time.

set -euo pipefail

ROOT="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
VENV="$ROOT/.venv"
export PIP_DISABLE_PIP_VERSION_CHECK=1
export PIP_NO_INPUT=1

if [[ -t 2 && -z "${NO_COLOR:-}" && "${TERM:-dumb}" != dumb ]]; then
  BOLD=$'\e[1m' RED=$'\e[31m' GREEN=$'\e[32m' PLAIN=$'\e[0m'
else
  BOLD='' RED='' GREEN='' PLAIN=''
fi

note() { printf '%s%s%s\n' "$BOLD" "$*" "$PLAIN" >&2; }
fail() { printf '%s%s%s\n' "$RED" "$*" "$PLAIN" >&2; exit 1; }

is_suitable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

# The first Python >= 3.11 of: $PYTHON, the versions the product is tried with, whatever python3 is.
find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3.13 python3.12 python3.11 python3 python; do
    if command -v "$candidate" >/dev/null && is_suitable "$candidate"; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  fail "Python 3.11 or newer is needed and was not found; install it (Debian, Ubuntu: apt install python3 python3-venv), or name one: PYTHON=/path/to/python3 $0"
}

can_make_venv() { "$1" -c 'import venv, ensurepip' >/dev/null 2>&1; }

# Debian and Ubuntu ship Python without ensurepip.
require_venv_module() {
  local python="$1" package
  can_make_venv "$python" && return
  package="python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
  if [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
    note "Installing $package, which $python lacks …"
    if DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package" >/dev/null 2>&1 ||
      { apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package" >/dev/null; }; then
      can_make_venv "$python" && return
    fi
  fi
  fail "$python cannot make virtual environments; type: sudo apt install $package"
}

# What the installation depends on, as one line.
fingerprint() {
  "$1" - "$ROOT/pyproject.toml" <<'PYTHON'
import hashlib, pathlib, sys
print(hashlib.sha256(pathlib.Path(sys.argv[1]).read_bytes()).hexdigest(), sys.version.split()[0], sys.prefix)
PYTHON
}

make_venv() {
  local python
  python="$(find_python)"
  require_venv_module "$python"
  if [[ -e "$VENV" ]]; then
    [[ -f "$VENV/pyvenv.cfg" ]] || fail "$VENV exists and is not a virtual environment; move it away"
    rm -rf -- "$VENV"
  fi
  note "Making .venv with $("$python" --version) …"
  "$python" -m venv "$VENV" || fail "$python could not make $VENV; see the message above"
  printf '%s\n' "$VENV" >"$VENV/.made-in"
}

# The programs in a virtual environment name its folder, so it does not survive a move of the checkout.
was_moved() { [[ -f "$VENV/.made-in" && "$(<"$VENV/.made-in")" != "$VENV" ]]; }

is_installed() { [[ -f "$VENV/.installed-$1" && "$(<"$VENV/.installed-$1")" == "$2" ]]; }

# prepare run: the service and its report. prepare dev: what the tests need, too.
prepare() {
  local level="$1" extra='[report]' print
  [[ "$level" == run ]] || extra="[$level]"
  mkdir -p "$ROOT/.cache"
  exec 9>"$ROOT/.cache/setup.lock"
  ! command -v flock >/dev/null || flock 9
  if was_moved || ! is_suitable "$VENV/bin/python"; then make_venv; fi
  print="$(fingerprint "$VENV/bin/python")"
  if ! is_installed "$level" "$print" && ! is_installed dev "$print"; then
    note "Installing what pyproject.toml asks for (once; a minute or two) …"
    "$VENV/bin/python" -m pip install --quiet --editable "$ROOT$extra" 9>&- ||
      fail "pip could not install the dependencies; see its message above (is there a network, a proxy, an index?)"
    printf '%s\n' "$print" >"$VENV/.installed-$level"
  fi
  exec 9>&-
}
