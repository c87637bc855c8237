# Removes what was installed. Provides: uninstall.
#
# Rules: the account comes first: a service that holds something is not removed unless told. State, logs, configuration
# and secrets stay unless --purge; so does what somebody else put beside ours.
# shellcheck shell=bash

uninstall() {
  if [[ -z "$ROOT" ]]; then
    step 'Looking at what runs'
    require_leave_to_remove
  fi
  step 'Removing'
  if [[ -z "$ROOT" ]]; then stop_everything; fi
  remove_units
  if [[ -f "$ROOT$WRAPPER" ]] && grep -q 'ibkr-trading' -- "$ROOT$WRAPPER"; then remove "$WRAPPER"; fi
  remove "$PREFIX/current" "$PREFIX/previous" "$PREFIX/releases" "$BASE/scripts"
  remove_if_empty "$PREFIX"
  remove /run/ibkr-backoff
  remove_matching "$METRICS_FOLDER/ibkr-*.prom"
  if ((PURGE)); then purge; fi
  remove_accounts_files
  if ((!PURGE)); then say "kept: $BASE and $ETC; --purge removes them"; fi
}

# Paths and timers first, so that nothing is started again meanwhile.
stop_everything() {
  local pattern units
  for pattern in 'ibkr-*.timer' 'ibkr-*.path' 'ibkr-trading*.service' 'ibkr-*.service'; do
    mapfile -t units < <(systemctl list-units --state=active,activating,reloading,deactivating --plain --no-legend "$pattern" | cut -d ' ' -f 1)
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
  local file unit
  if [[ -z "$ROOT" ]]; then disable_all; fi
  for file in "$ROOT$UNITS"/ibkr-*.{service,path,timer}; do
    unit="$(basename -- "$file")"
    [[ -z "$(ours "$unit")" ]] || remove "$UNITS/$unit"
  done
  for file in "$ROOT$UNITS"/ibkr-*.d; do
    [[ -d "$file" && -n "$(ours "$(basename -- "$file")")" ]] || continue
    remove_drop_ins "${file#"$ROOT"}"
  done
  [[ -z "$ROOT" ]] || return 0
  act 'reload systemd' systemctl daemon-reload
  ((DRY_RUN)) || systemctl reset-failed 'ibkr-*' 2>/dev/null || true
}

# By the links that enabling made, because systemd does not list the instances of a template.
disable_all() {
  local enabled
  mapfile -t enabled < <(find "$UNITS" -path '*.wants/ibkr-*' -type l -printf '%f\n')
  mapfile -t enabled < <(ours "${enabled[@]}")
  ((${#enabled[@]} == 0)) || act "disable ${enabled[*]}" systemctl --quiet disable "${enabled[@]}"
}

# remove_drop_ins FOLDER: ours; a host's own stay unless --purge.
remove_drop_ins() {
  remove "$1/10-restart.conf" "$1/10-instances.conf"
  if ((PURGE)); then remove "$1"; else remove_if_empty "$1"; fi
  if [[ -d "$ROOT$1" ]] && ((!DRY_RUN)); then say "kept, because it is not ours: $(echo "$ROOT$1"/*)"; fi
}

# remove_matching PATTERN: every file that it matches.
remove_matching() {
  local file
  # shellcheck disable=SC2231 # the pattern is meant
  for file in "$ROOT"$1; do remove "${file#"$ROOT"}"; done
}

remove_accounts_files() {
  remove /etc/sysusers.d/ibkr-trading.conf /etc/tmpfiles.d/ibkr-trading.conf
  remove_matching '/etc/tmpfiles.d/ibkr-trading-*.conf'
}

purge() {
  local folder="$BASE"
  remove "$BASE" "$ETC" /var/lib/ibkr-simulator
  remove_matching '/var/lib/ibkr-simulator-*'
  while [[ "$folder" == /home/*/* ]]; do
    folder="$(dirname -- "$folder")"
    remove_if_empty "$folder"
  done
  # Its group goes, and node_exporter may go on using it.
  remove_if_empty "$METRICS_FOLDER" "$(dirname -- "$METRICS_FOLDER")"
  if [[ -z "$ROOT" ]]; then remove_users; fi
}

remove_users() {
  local user
  [[ ! -d "$METRICS_FOLDER" ]] || act "give $METRICS_FOLDER to root" chgrp -- root "$METRICS_FOLDER"
  for user in "$SERVICE_USER" ibgateway; do
    if getent passwd "$user" >/dev/null; then act "remove the user $user" remove_user "$user"; fi
  done
}

remove_user() {
  userdel "$1" || fail "the user $1 could not be removed; its message is above"
}
