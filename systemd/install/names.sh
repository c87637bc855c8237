# Every path and name, decided once. Provides: settle_names, SERVICE_USER, PREFIX, BASE, INSTANCES, base_of, trader_unit, …
#
# Rules: what an earlier installation chose holds until another choice is made. Paths are those of the installed host;
# "$ROOT" is put before them where a file is touched.
# shellcheck shell=bash

ETC=/etc/ibkr-trading
UNITS=/etc/systemd/system
WRAPPER=/usr/local/bin/trader
RECORD="$ETC/installed"
METRICS_FOLDER=/var/lib/prometheus/node-exporter
SIMULATOR_UNIT=ibkr-simulator.service

settle_names() {
  [[ -z "$ROOT" ]] || ROOT="$(cd -- "$ROOT" && pwd -P)"
  [[ "$ROOT" != / ]] || ROOT=''
  SERVICE_USER="${OPTION_USER:-$(recorded USER trader)}"
  PREFIX="${OPTION_PREFIX:-$(recorded PREFIX /opt/ibkr-trading)}"
  EXTRAS="${OPTION_EXTRAS:-$(recorded EXTRAS '')}"
  BASE="/home/$SERVICE_USER/secure/trader/IBKR_trading"
  require_prefix
  require_same_choice --user USER "$SERVICE_USER"
  require_same_choice --prefix PREFIX "$PREFIX"
  find_instances
}

# recorded KEY DEFAULT: what the last installation chose.
recorded() {
  local key value
  if [[ -r "$ROOT$RECORD" ]]; then
    while IFS='=' read -r key value; do
      [[ "$key" != "$1" ]] || { printf '%s\n' "$value"; return; }
    done <"$ROOT$RECORD"
  fi
  printf '%s\n' "$2"
}

require_prefix() {
  [[ "$PREFIX" =~ ^(/[A-Za-z0-9._-]+){2,}$ && "$PREFIX/" != */../* && "$PREFIX/" != */./* ]] ||
    wrong "--prefix $PREFIX: an absolute path of at least two plain folder names is needed, like /opt/ibkr-trading"
  case "$PREFIX/" in
    /home/* | /root/* | /run/* | /tmp/* | /var/tmp/* | /proc/* | /sys/* | /dev/*)
      wrong "--prefix $PREFIX: the service cannot read what lies there; take a folder below /opt or /srv" ;;
  esac
}

# Another user or prefix would be a second installation that shares the first one's units.
require_same_choice() {
  local option="$1" key="$2" wanted="$3" before
  before="$(recorded "$key" "$wanted")"
  [[ "$before" == "$wanted" ]] ||
    wrong "$option $wanted: the installed service has $before; install.sh --uninstall first, which keeps its books"
}

# Instances that exist already, and those that are asked for.
find_instances() {
  local folder name
  INSTANCES=()
  for folder in "$ROOT$BASE"/instances/*/config; do
    [[ -d "$folder" ]] || continue
    name="${folder%/config}"
    INSTANCES+=("${name##*/}")
  done
  for name in "${OPTION_INSTANCES[@]}"; do
    [[ " ${INSTANCES[*]} " == *" $name "* ]] || INSTANCES+=("$name")
  done
  ALL=('' "${INSTANCES[@]}") # '' is the plain service
}

base_of() { printf '%s\n' "$BASE${1:+/instances/$1}"; }
trader_unit() { printf '%s\n' "ibkr-trading${1:+@$1}.service"; }
panic_unit() { printf '%s\n' "ibkr-panic${1:+@$1}.$2"; }
config_of() { printf '%s\n' "$(base_of "$1")/config/config.yaml"; }

# release_of LINK: the release that `current` or `previous` names; empty when there is none.
release_of() {
  local target
  target="$(readlink -- "$ROOT$PREFIX/$1" 2>/dev/null)" || return 0
  [[ ! -d "$ROOT$PREFIX/$target" ]] || printf '%s\n' "${target#releases/}"
}
