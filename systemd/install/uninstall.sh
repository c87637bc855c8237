# Removes what was installed. Provides: uninstall.
#
# Rules: the account comes first: a service that holds something is not removed unless told. State, logs, configuration
# and secrets stay unless --purge; so does what somebody else put beside ours.
# shellcheck shell=bash

uninstall() {
  step 'Looking at what runs'
  require_leave_to_remove
  step 'Removing'
  stop_everything
  remove_units
  if [[ -f "$WRAPPER" ]] && grep -q 'ibkr-trading' -- "$WRAPPER"; then remove "$WRAPPER"; fi
  remove "$PREFIX/current" "$PREFIX/previous" "$PREFIX/releases" "$BASE/scripts"
  remove_if_empty "$PREFIX"
  remove /run/ibkr-backoff
  if ((PURGE)); then purge; fi
  remove_accounts_files
  if ((!PURGE)); then say "kept: $BASE and $ETC; --purge removes them"; fi
}

# Paths and timers first, so that nothing is started again meanwhile.
stop_everything() {
  local pattern units
  for pattern in 'ibkr-*.timer' 'ibkr-*.path' 'ibkr-trading*.service' 'ibkr-*.service'; do
    mapfile -t units < <(systemctl list-units --all --plain --no-legend "$pattern" | cut -d ' ' -f 1)
    mapfile -t units < <(ours "${units[@]}")
    ((${#units[@]} == 0)) || act "stop ${units[*]}" systemctl stop "${units[@]}" || warn "not all of them could be stopped"
  done
}

# ours UNIT…: those among them that this product ships.
ours() {
  local unit
  for unit in "$@"; do
    [[ ! "$unit" =~ ^ibkr-(trading|panic|calendar|alert|gateway|simulator|maintenance)[@.-] ]] || printf '%s\n' "$unit"
  done
}

remove_units() {
  local file unit enabled
  mapfile -t enabled < <(systemctl list-unit-files --state=enabled --plain --no-legend 'ibkr-*' | cut -d ' ' -f 1)
  mapfile -t enabled < <(ours "${enabled[@]}")
  ((${#enabled[@]} == 0)) || act "disable ${enabled[*]}" systemctl --quiet disable "${enabled[@]}"
  for file in "$UNITS"/ibkr-*.{service,path,timer}; do
    unit="$(basename -- "$file")"
    [[ -z "$(ours "$unit")" ]] || remove "$UNITS/$unit"
  done
  for file in "$UNITS"/ibkr-*.d; do
    [[ -d "$file" && -n "$(ours "$(basename -- "$file")")" ]] || continue
    remove "$file/10-restart.conf" "$file/10-instances.conf"
    if ((PURGE)); then remove "$file"; else remove_if_empty "$file"; fi
    if [[ -d "$file" ]] && ((!DRY_RUN)); then say "kept, because it is not ours: $(echo "$file"/*)"; fi
  done
  act 'reload systemd' systemctl daemon-reload
  systemctl reset-failed 'ibkr-*' 2>/dev/null || true
}

remove_accounts_files() {
  local file
  for file in /etc/sysusers.d/ibkr-trading.conf /etc/tmpfiles.d/ibkr-trading.conf /etc/tmpfiles.d/ibkr-trading-*.conf; do
    remove "$file"
  done
}

purge() {
  local folder="$BASE" user
  remove "$BASE" "$ETC" /var/lib/ibkr-simulator
  while [[ "$folder" == /home/*/* ]]; do
    folder="$(dirname -- "$folder")"
    remove_if_empty "$folder"
  done
  for user in "$SERVICE_USER" ibgateway; do
    if getent passwd "$user" >/dev/null; then act "remove the user $user" remove_user "$user"; fi
  done
}

remove_user() {
  userdel "$1" || fail "the user $1 could not be removed; its message is above"
}
