# What has to be so before anything is changed. Provides: preflight, require_root_and_systemd, take_lock.
#
# Rules: what makes an installation impossible fails with the command that mends it; what makes it worse is a warning.
# shellcheck shell=bash

SYSTEMD_MIN=252
DISK_MIN_MB=600

preflight() {
  step 'Looking at this host'
  require_source
  settle_python
  require_disk
  [[ -z "$ROOT" ]] || { say "staging into $ROOT"; return; }
  require_root_and_systemd
  require_wrapper_is_ours
  look_at_clock
  look_at_user
}

require_root_and_systemd() {
  local version
  [[ $EUID -eq 0 ]] || fail 'has to be run by root: sudo systemd/install.sh …; --root DIR stages into a folder without'
  [[ -d /run/systemd/system ]] || fail 'systemd does not run here, so nothing can be started; --root DIR stages into a folder'
  version="$(systemd_version)"
  ((version >= SYSTEMD_MIN)) ||
    fail "systemd $version runs here and $SYSTEMD_MIN or newer is needed: upgrade to Debian 12, Ubuntu 23.04 or newer"
  say "systemd $version"
}

# The version that will run the units; a staged root's own is told by the name of its library, 0 when it has none.
systemd_version() {
  local found=''
  if [[ -z "$ROOT" ]]; then
    found="$(systemctl --version)"
    found="${found#systemd }"
  else
    found="$(find "$ROOT"/usr/lib "$ROOT"/lib -maxdepth 4 -name 'libsystemd-shared-*.so' 2>/dev/null | sed -n '1s/.*-shared-//p')"
  fi
  [[ "$found" =~ ^[0-9]+ ]] || found=0
  printf '%s\n' "${found%%[!0-9]*}"
}

# The product comes from --wheel, else from its wheel among --wheels, else from the checkout.
require_source() {
  if [[ -z "$WHEEL" && -n "$WHEELS" ]]; then WHEEL="$(newest_wheel ibkr_trading)"; fi
  [[ -n "$WHEEL" || -f "$HERE/../pyproject.toml" ]] ||
    fail "$HERE does not lie in a checkout; name the product's wheel: --wheel FILE"
  [[ -z "$WHEELS" || -n "$WHEEL" || -n "$(newest_wheel setuptools)" ]] ||
    fail "$WHEELS has no wheel of ibkr-trading, nor of setuptools to build it with: pip download --dest $WHEELS setuptools"
}

require_disk() {
  local folder="$ROOT$PREFIX" free_mb
  while [[ ! -d "$folder" ]]; do folder="$(dirname -- "$folder")"; done
  free_mb="$(df --output=avail --block-size=1M -- "$folder" | tail -n 1)"
  ((free_mb >= DISK_MIN_MB)) ||
    fail "$folder has ${free_mb// /} MB left and a release needs $DISK_MIN_MB: remove something, or name another place with --prefix"
}

require_wrapper_is_ours() {
  [[ ! -e "$WRAPPER" ]] || grep -q 'ibkr-trading' -- "$WRAPPER" ||
    fail "$WRAPPER exists and is another program; move it away"
}

look_at_clock() {
  local synchronized
  synchronized="$(timedatectl show --property=NTPSynchronized --value 2>/dev/null)" || synchronized=unknown
  [[ "$synchronized" == yes ]] ||
    warn 'the clock is not known to be synchronised, and order times come from it: apt install chrony'
}

look_at_user() {
  local group
  id -u "$SERVICE_USER" >/dev/null 2>&1 || return 0
  for group in sudo wheel adm docker; do
    if [[ " $(id -nG "$SERVICE_USER") " == *" $group "* ]]; then
      warn "the user $SERVICE_USER is in the group $group, which the service does not need: gpasswd --delete $SERVICE_USER $group"
    fi
  done
}

# One installation at a time, because two would take turns at `current`. A folder is locked, so that no file stays.
take_lock() {
  ((DRY_RUN)) && return
  exec 9<"${ROOT:-$UNITS}"
  flock --nonblock 9 || fail 'another install.sh is at work here; wait for it'
}
