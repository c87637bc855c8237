#!/usr/bin/env bash
# Is the trading service healthy? One line a check, exit code 0 when all of them pass, 1 when not, 2 for a wrong option.
#
#   health_check.sh [--instance NAME] [--base DIR] [--quiet]
#
# Rules: for root or the service's user; needs bash and systemctl and no Python, so it works when the release does not.
# What cannot be told is a failure, never a pass. --quiet prints failures only. --base is the folder of the service,
# by default the one that install.sh noted; $IBKR_SESSION_METRICS the file of the sessions, where it is not the usual one.
set -uo pipefail
export LC_ALL=C

RECORD=/etc/ibkr-trading/installed
SESSION_METRICS="${IBKR_SESSION_METRICS:-/var/lib/prometheus/node-exporter/ibkr-session.prom}"
MEMORY_MAX_PERCENT=80 # of the limit, as in the success metrics
HTTP_TIMEOUT_S=5
HEALTHY=1 QUIET=0 INSTANCE='' BASE=''

wrong() {
  printf 'health_check.sh: %s; usage: health_check.sh [--instance NAME] [--base DIR] [--quiet]\n' "$1" >&2
  exit 2
}

parse_options() {
  while (($#)); do
    case "$1" in
      --quiet) QUIET=1; shift ;;
      --instance | --base)
        [[ -n "${2:-}" ]] || wrong "$1 needs a value"
        if [[ "$1" == --base ]]; then BASE="$2"; else INSTANCE="$2"; fi
        shift 2
        ;;
      *) wrong "$1 is not an option" ;;
    esac
  done
  [[ -z "$INSTANCE" || "$INSTANCE" =~ ^[a-z][a-z0-9_-]{0,30}$ ]] || wrong "--instance $INSTANCE: no instance is called that"
}

# Where the service's folder is: as told, as installed, or around this script.
settle_names() {
  local here
  if [[ -z "$BASE" && -r "$RECORD" ]]; then BASE="$(sed -n 's/^BASE=//p' "$RECORD")"; fi
  if [[ -z "$BASE" ]]; then
    here="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)"
    BASE="$(dirname -- "$here")"
  fi
  UNIT="ibkr-trading${INSTANCE:+@$INSTANCE}.service"
  FOLDER="$BASE${INSTANCE:+/instances/$INSTANCE}"
  CONFIG="$FOLDER/config/config.yaml"
}

passed() { ((QUIET)) || printf 'ok      %-12s %s\n' "$1" "$2"; }
failed() {
  printf 'FAILED  %-12s %s\n' "$1" "$2"
  HEALTHY=0
}

# setting SECTION KEY DEFAULT: a single value of the configuration.
setting() {
  local value
  value="$(awk -v section="$1" -v key="$2" '
    /^[^ #]/ { inside = ($0 ~ "^" section ":") }
    inside && $0 ~ "^ +" key ":" {
      sub("^ +" key ":[ \t]*", ""); sub(/[ \t]+#.*$/, ""); gsub(/^["'\'']|["'\'']$/, ""); print; exit
    }' "$CONFIG" 2>/dev/null)"
  printf '%s\n' "${value:-$3}"
}

property() { systemctl show --property="$1" --value "$UNIT" 2>/dev/null; }

check_service() {
  local state
  state="$(property ActiveState)"
  case "$state" in
    active | reloading) passed service "$UNIT is $state" ;;
    *) failed service "$UNIT is ${state:-not to be asked about}: journalctl --unit=$UNIT" ;;
  esac
}

check_panic_flag() {
  local flag
  flag="$(setting panic flag ../panic.flag)"
  [[ "$flag" == /* ]] || flag="$(realpath -m -- "$FOLDER/config/$flag")"
  if [[ ! -r "$CONFIG" || ! -x "$(dirname -- "$flag")" ]]; then
    failed 'panic flag' "$(id -un) cannot see $CONFIG and $flag: run this as root or as the service's user"
  elif [[ -e "$flag" ]]; then
    failed 'panic flag' "$flag is up; when the cause is dealt with: trader resume"
  else
    passed 'panic flag' "$flag is not there"
  fi
}

# A number of bytes that means something; neither "[not set]" nor "infinity" nor 2^64-1.
is_size() { [[ "$1" =~ ^[0-9]{1,18}$ ]]; }

# The lowest limit that holds for the unit, in bytes: its own, a slice's above it, or the host's memory.
memory_limit() {
  local value limit
  limit=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo) * 1024))
  for value in "$(property MemoryMax)" "$(property EffectiveMemoryMax)" "$(property MemoryLimit)"; do
    if is_size "$value" && ((value < limit)); then limit="$value"; fi
  done
  printf '%s\n' "$limit"
}

# File cache that the kernel gives back before it kills, by cgroup version.
memory_cache() {
  local group file
  group="$(property ControlGroup)"
  for file in "/sys/fs/cgroup/memory$group/memory.stat" "/sys/fs/cgroup$group/memory.stat"; do
    [[ -n "$group" && -r "$file" ]] || continue
    sed -n -e 's/^total_inactive_file //p' -e 's/^inactive_file //p' "$file" | tail -n 1
    return
  done
  printf '0\n'
}

check_memory() {
  local used cache limit percent
  used="$(property MemoryCurrent)"
  if ! is_size "$used"; then
    failed memory "systemd does not know how much $UNIT uses"
    return
  fi
  cache="$(memory_cache)"
  if is_size "$cache" && ((cache < used)); then used=$((used - cache)); fi
  limit="$(memory_limit)"
  percent=$((used * 100 / limit))
  if ((percent < MEMORY_MAX_PERCENT)); then
    passed memory "$((used >> 20)) MB of $((limit >> 20)) MB, $percent %"
  else
    failed memory "$((used >> 20)) MB of $((limit >> 20)) MB, $percent %, is $MEMORY_MAX_PERCENT % or more"
  fi
}

# http_get PATH: status line and body of the service's answer; fails when nobody answers.
http_get() {
  local host port
  host="$(setting metrics host 127.0.0.1)" port="$(setting metrics port 9464)"
  [[ "$port" =~ ^[0-9]+$ && "$port" != 0 ]] || return 1
  {
    exec 3<>"/dev/tcp/$host/$port" || return 1
    printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$1" >&3
    timeout "$HTTP_TIMEOUT_S" cat <&3
    exec 3>&-
  } 2>/dev/null
}

check_readiness() {
  local answer status body
  answer="$(http_get /readyz)"
  status="${answer%%$'\r\n'*}" body="${answer##*$'\r\n'}"
  case "$status" in
    HTTP/1.?\ 200*) passed readiness 'ready' ;;
    HTTP/1.?\ *) failed readiness "not ready: $body" ;;
    *) failed readiness "nobody answers on metrics.port $(setting metrics port 9464) of $CONFIG" ;;
  esac
}

# session_time WORD: when the current or next session opens or closes, whole Unix seconds; nothing when unknown.
session_time() {
  awk -v name="trader_session_$1_timestamp_seconds" -v label="calendar=\"$(setting session calendar XNYS)\"" '
    index($0, name "{") == 1 && index($0, label) { printf "%d\n", $NF; exit }' "$SESSION_METRICS" 2>/dev/null
}

check_last_tick() {
  local now opens closes ticked limit
  now="$(date +%s)" opens="$(session_time open)" closes="$(session_time close)"
  limit="$(setting market_data stale_after_s 15)"
  limit="${limit%%.*}"
  if [[ -z "$opens" || -z "$closes" ]] || ((closes < now)); then
    failed 'market data' "whether a session is open is not known: systemctl status ibkr-calendar.timer ibkr-calendar.service"
  elif ((now < opens + limit)); then
    passed 'market data' "nothing is due outside of the session, which opens $(date -d "@$opens" '+%F %R %Z')"
  else
    ticked="$(http_get /metrics | awk '$1 == "trader_market_data_last_tick_timestamp_seconds" { printf "%d\n", $2 }')"
    if [[ -z "$ticked" ]]; then
      failed 'market data' 'in session, and no tick has arrived yet'
    elif ((now - ticked > limit)); then
      failed 'market data' "in session, and the last tick is $((now - ticked)) s old, more than $limit s"
    else
      passed 'market data' "in session, the last tick is $((now - ticked)) s old"
    fi
  fi
}

main() {
  parse_options "$@"
  settle_names
  check_service
  check_panic_flag
  check_memory
  check_readiness
  check_last_tick
  ((HEALTHY))
}

main "$@"
