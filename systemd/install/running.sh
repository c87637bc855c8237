# What runs now, and whether it may be interrupted. Provides: require_leave_to_restart, require_leave_to_remove, is_up, …
#
# Rules: a service that runs and cannot be asked is refused, because unknown is not empty. A service that is down is not
# asked: its start compares its books with the broker's in any case.
# shellcheck shell=bash

ANSWER_TIMEOUT_S=8 # below the watchdog's 10 s, which would end a service that is stuck

# The state of a unit as systemd says it: active, inactive, failed, activating, …
state_of() { systemctl show --property=ActiveState --value "$1" 2>/dev/null || printf 'unknown\n'; }

is_up() { [[ "$(state_of "$1")" =~ ^(active|reloading)$ ]]; }

# Not running, and not about to by itself, either.
is_down() { [[ "$(state_of "$1")" =~ ^(inactive|failed|unknown)$ ]]; }

# Asked before anything changes, and only where a running trader would be restarted.
require_leave_to_restart() {
  local name
  [[ -z "$ROOT" && -n "$CURRENT_ID" && "$CURRENT_ID" != "$RELEASE_ID" ]] || return 0
  ((!NO_START && !EVEN_IN_SESSION)) || return 0
  for name in "${ALL[@]}"; do
    refuse_in_panic "$name"
    is_up "$(trader_unit "$name")" || continue
    refuse_in_session "$name"
  done
}

require_leave_to_remove() {
  local name
  ((!EVEN_IN_SESSION)) || return 0
  for name in "${ALL[@]}"; do
    refuse_in_panic "$name"
    if is_up "$(trader_unit "$name")"; then
      refuse_with_positions "$name"
    else
      warn "$(trader_unit "$name") does not run, so nobody looked whether its account holds anything"
    fi
  done
}

refuse_in_panic() {
  local flag
  flag="$(flag_of "$1")"
  if [[ ! -e "$flag" ]] && is_down "$(panic_unit "$1" service)"; then return; fi
  fail "the panic flag $flag is up, and the account may not be flat: deal with that first (trader${1:+ @$1} resume), or give --even-in-session"
}

# The flag that the path unit watches.
flag_of() { printf '%s\n' "$ROOT$(base_of "$1")/panic.flag"; }

refuse_in_session() {
  local open orders positions unit
  unit="$(trader_unit "$1")"
  read -r open orders positions < <(holdings "$1") || true # no line is no answer
  [[ -n "$open" ]] ||
    fail "$unit runs and cannot be asked what it holds; look at: trader status; give --even-in-session to restart it all the same"
  [[ "$open" != True || "$orders" == 0 ]] ||
    fail "$unit is in session with open orders ($orders) and positions ($positions): wait for the close, or give --even-in-session"
}

refuse_with_positions() {
  local open orders positions unit
  unit="$(trader_unit "$1")"
  read -r open orders positions < <(holdings "$1") || true # no line is no answer
  [[ -n "$open" ]] ||
    fail "$unit runs and cannot be asked what it holds; look at: trader status; give --even-in-session to remove it all the same"
  [[ "$orders $positions" == '0 0' ]] ||
    fail "$unit has open orders ($orders) and positions ($positions) that nobody would look after: trader panic makes it flat; or give --even-in-session"
}

# holdings NAME: "session_open orders positions"; nothing when the service does not answer.
holdings() {
  as_user timeout "$ANSWER_TIMEOUT_S" "$PREFIX/current/bin/trader" status --json --config "$(config_of "$1")" 2>/dev/null |
    "$PREFIX/current/bin/python" -I -c '
import json, sys
told = json.load(sys.stdin)
print(told["session_open"], len(told["open_orders"]) + told["orders_unknown"],
      sum(float(position["quantity"]) != 0 for position in told["positions"]))' 2>/dev/null || true
}
