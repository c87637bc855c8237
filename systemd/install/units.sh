# Units, drop-ins and the programs beside the release. Provides: install_units, enable_new_units, install_programs.
#
# Rules: units come from the release that `current` names, so going back to a release brings its units back. A unit is
# enabled when it is installed for the first time and never again: disabling it is somebody's decision.
# shellcheck shell=bash

NATIVE_DELAYS_SINCE=254
NEW_UNITS=()

# install_units RELEASE_FOLDER [OLD_RELEASE_FOLDER]: that release's units; what only the old one had goes.
install_units() {
  local share="$1/share" old="${2:-}" file unit before=$CHANGES
  for file in "$share"/units/*; do
    unit="$(basename -- "$file")"
    [[ -e "$ROOT$UNITS/$unit" ]] || NEW_UNITS+=("$unit")
    put_file 0644 root:root "$file" "$UNITS/$unit"
  done
  file="$share/drop-ins/$(restart_drop_in)"
  for unit in ibkr-trading.service ibkr-trading@.service; do
    put_file 0644 root:root "$file" "$UNITS/$unit.d/10-restart.conf"
  done
  install_calendars_of_instances "$share"
  install_simulators_of_instances "$share"
  [[ -z "$old" ]] || remove_units_without_successor "$old" "$share"
  if ((CHANGES != before)) && [[ -z "$ROOT" ]]; then act 'reload systemd' systemctl daemon-reload; fi
}

# The sessions of all accounts are published by one service, which has to read all configurations.
install_calendars_of_instances() {
  local name configs='' binds=''
  for name in "${INSTANCES[@]}"; do
    configs+=" --config $(config_of "$name")"
    binds+=" $(base_of "$name")/config"
  done
  [[ -n "$configs" ]] || return 0
  {
    printf '# The instances of this host beside the plain service; written by install.sh.
[Service]
'
    printf 'BindReadOnlyPaths=%s\nExecStart=\n' "${binds# }"
    sed -n "/^ExecStart=/s# --out #$configs&#p" "$1/units/ibkr-calendar.service"
  } >"$WORK/calendars"
  put_file 0644 root:root "$WORK/calendars" "$UNITS/ibkr-calendar.service.d/10-instances.conf"
}

# An instance has an account of its own, so trying it out takes a simulated gateway of its own, on its port.
install_simulators_of_instances() {
  local name port unit
  for name in "${INSTANCES[@]}"; do
    unit="ibkr-simulator-$name.service"
    ((SIMULATOR)) || [[ -e "$ROOT$UNITS/$unit" ]] || continue
    port="$GATEWAY_PORT"
    if [[ -r "$ROOT$(config_of "$name")" ]]; then port="$(yaml_value gateway port "$ROOT$(config_of "$name")")"; fi
    sed -e "s/--port [0-9]*/--port $port/" -e "/^\(ExecStart\|StateDirectory\|SyslogIdentifier\)=/s/ibkr-simulator/&-$name/" \
      -e "s/^Description=.*/& of $name/" "$1/units/$SIMULATOR_UNIT" >"$WORK/simulator"
    put_file 0644 root:root "$WORK/simulator" "$UNITS/$unit"
  done
}

# Every simulated gateway that is installed.
simulator_units() {
  local file
  for file in "$ROOT$UNITS"/ibkr-simulator*.service; do
    [[ ! -e "$file" ]] || basename -- "$file"
  done
}

restart_drop_in() {
  if (($(systemd_version) >= NATIVE_DELAYS_SINCE)); then printf 'restart-native.conf\n'; else printf 'restart-helper.conf\n'; fi
}

remove_units_without_successor() {
  local file unit
  for file in "$1"/share/units/*; do
    unit="$(basename -- "$file")"
    [[ -e "$2/units/$unit" || ! -e "$ROOT$UNITS/$unit" ]] || remove_unit "$unit"
  done
}

# remove_unit UNIT: stopped and disabled first; the instances of a template are the caller's.
remove_unit() {
  if [[ "$1" != *@.* && -z "$ROOT" ]]; then
    act "stop and disable $1" systemctl --quiet disable --now "$1" || warn "$1 could not be stopped"
  fi
  remove "$UNITS/$1"
}

# What belongs to every installation runs from now on; the rest waits for its option, or for somebody.
enable_new_units() {
  local unit wanted=() name
  [[ -z "$ROOT" ]] || { say "not enabled, because this root does not run: systemctl enable ibkr-trading ibkr-panic.path ibkr-calendar.timer"; return; }
  for unit in "${NEW_UNITS[@]}"; do
    case "$unit" in ibkr-trading.service | ibkr-panic.path | ibkr-*.timer) wanted+=("$unit") ;; esac
  done
  for name in "${OPTION_INSTANCES[@]}"; do wanted+=("$(trader_unit "$name")" "$(panic_unit "$name" path)"); done
  if ((SIMULATOR)); then mapfile -t -O "${#wanted[@]}" wanted < <(simulator_units); fi
  for unit in "${wanted[@]}"; do
    if ! is_enabled "$unit"; then act "enable $unit" systemctl --quiet enable "$unit"; fi
  done
}

is_enabled() { systemctl --quiet is-enabled "$1" 2>/dev/null; }

# install_programs RELEASE_FOLDER
install_programs() {
  local script
  put_file 0755 root:root "$1/share/wrapper.sh" "$WRAPPER"
  for script in "$1"/share/scripts/*; do
    put_file 0755 root:root "$script" "$BASE/scripts/$(basename -- "$script")"
  done
}
