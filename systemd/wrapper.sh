#!/usr/bin/env bash
# trader: the command line of ibkr-trading as installed by its install.sh, for root and for the service's user.
#
#   trader status              the plain service
#   trader @NAME status        the instance NAME, which is ibkr-trading@NAME.service
#
# Rules: root becomes the service's user, so that no file of the service ever belongs to root; only `doctor`, which looks
# at what only root can see and writes nothing, stays root. A configuration that is named already ($TRADER_CONFIG,
# --config) is the one that is used.
set -eu

user=trader
base=/home/trader/secure/trader/IBKR_trading
program=/opt/ibkr-trading/current/bin/trader

case "${1:-}" in
  @*)
    [[ "$1" =~ ^@[a-z][a-z0-9_-]*$ ]] || { echo "trader: $1 is not an instance; write @ and its name" >&2; exit 2; }
    base="$base/instances/${1#@}"
    unset TRADER_CONFIG
    shift
    ;;
esac
export TRADER_CONFIG="${TRADER_CONFIG:-$base/config/config.yaml}"

export PYTHONDONTWRITEBYTECODE=1

if [[ $EUID -eq 0 && "${1:-}" != doctor ]]; then
  exec setpriv --reuid "$user" --regid "$user" --init-groups --inh-caps=-all -- \
    env HOME="${base%%/secure/*}" USER="$user" LOGNAME="$user" "$program" "$@"
fi
[[ $EUID -eq 0 || "$(id -un)" == "$user" || -r "$TRADER_CONFIG" ]] ||
  { echo "trader: $TRADER_CONFIG is closed to $(id -un); type: sudo trader $*" >&2; exit 1; }
exec "$program" "$@"
