# The Python that a release is made with. Provides: settle_python, PYTHON, PYTHON_HOME, newest_wheel.
#
# Rules: the service runs it as another user, without /home and /root, so it has to be readable to everybody on its
# whole path. It is named with its version, because a release does not survive a change of that.
# shellcheck shell=bash

PYTHON='' PYTHON_HOME=''

settle_python() {
  local candidate
  if [[ -n "$OPTION_PYTHON" ]]; then
    candidate="$(command -v -- "$OPTION_PYTHON")" || fail "--python $OPTION_PYTHON: no such program"
    is_recent_python "$candidate" || fail "--python $OPTION_PYTHON: not a Python 3.11 or newer"
  else
    candidate="$(first_python)" || fail 'no Python 3.11 or newer is in /usr/bin or /usr/local/bin: apt install python3 python3-venv, or name one: --python PATH'
  fi
  IFS='|' read -r PYTHON PYTHON_HOME < <(describe_python "$candidate")
  require_readable "$PYTHON"
  require_readable "$PYTHON_HOME"
  require_venv
  say "$("$PYTHON" --version) at $PYTHON"
}

is_recent_python() { "$1" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

first_python() {
  local folder name
  for folder in /usr/bin /usr/local/bin; do
    for name in python3 python3.13 python3.12 python3.11; do
      if is_recent_python "$folder/$name"; then
        printf '%s\n' "$folder/$name"
        return
      fi
    done
  done
  return 1
}

# Its program, without the links, and its home, as one line. A virtual environment stands for the Python it was made of.
describe_python() {
  "$1" -I -c 'import os, sys; print(os.path.realpath(sys._base_executable), os.path.realpath(sys.base_prefix), sep="|")'
}

require_readable() {
  local path="$1" part="$1"
  case "$path/" in
    /home/* | /root/* | /run/* | /tmp/* | /var/tmp/*)
      fail "the Python $PYTHON lies where the service cannot read (${path}): name another one: --python /usr/bin/python3" ;;
  esac
  while [[ "$part" != / ]]; do
    [[ "$(stat -Lc %A -- "$part")" == *[xt] ]] ||
      fail "the service cannot read $path, because $part is closed to others; name another Python: --python /usr/bin/python3"
    part="$(dirname -- "$part")"
  done
}

require_venv() {
  local needed='venv, ssl, sqlite3, ctypes'
  [[ -n "$WHEELS" && -n "$(newest_wheel pip)" ]] || needed+=', ensurepip'
  "$PYTHON" -I -c "import $needed" 2>/dev/null ||
    fail "$PYTHON cannot make virtual environments: apt install python3-venv (or put the wheel of pip into --wheels DIR)"
}

# newest_wheel NAME: that package's wheel of the highest version in $WHEELS; nothing when there is none.
newest_wheel() {
  find "$WHEELS" -maxdepth 1 -name "$1-[0-9]*.whl" | sort -V | tail -n 1
}
