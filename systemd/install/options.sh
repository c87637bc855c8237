# The command line. Provides: parse_options, and what was asked for as DRY_RUN, ROOT, OPTION_*, WHEELS, … below.
#
# Rules: a wrong option is one sentence and exit code 2, before anything is looked at.
# shellcheck shell=bash

DRY_RUN=0 ROOT='' NO_START=0 EVEN_IN_SESSION=0 UNINSTALL=0 PURGE=0 SIMULATOR=0
OPTION_USER='' OPTION_PREFIX='' OPTION_EXTRAS='' OPTION_PYTHON='' WHEELS='' WHEEL=''
OPTION_INSTANCES=()

usage() {
  cat <<'USAGE'
install.sh: install or upgrade the trading service on this host, as root

  --simulator         also install and start a simulated IB Gateway on port 4002, for trying out
  --instance NAME     add the instance ibkr-trading@NAME with folders and a configuration of its own; repeatable
  --wheels DIR        take every package from the wheels in DIR and nothing from an index
  --wheel FILE        install this wheel of the product; default: the checkout that install.sh lies in
  --extras NAMES      optional parts to install, separated by commas: tracing, report, parquet
  --python PATH       make the release with this Python, 3.11 or newer; default: the one in /usr/bin
  --user NAME         the service's user; default: trader
  --prefix DIR        where releases lie; default: /opt/ibkr-trading
  --root DIR          stage everything into DIR: no users, no systemctl, no need to be root
  --no-start          install and enable only; what runs goes on as it is until its next start
  --even-in-session   restart, or remove, although orders are open or the service cannot be asked
  --dry-run           say what would be done and do nothing
  --uninstall         remove the service; keeps state, logs and configuration
  --purge             with --uninstall: removes these and the users, too
  --help

Upgrades in place: a release that does not become ready is taken back. Details: docs/deployment.md
USAGE
}

wrong() { fail "$1; install.sh --help lists the options" 2; }

parse_options() {
  while (($#)); do
    if [[ "$1" == --*=* ]]; then set -- "${1%%=*}" "${1#*=}" "${@:2}"; fi
    case "$1" in
      --simulator | --no-start | --even-in-session | --dry-run | --uninstall | --purge | --help)
        take_flag "$1"
        shift
        ;;
      --instance | --wheels | --wheel | --extras | --python | --user | --prefix | --root)
        [[ $# -ge 2 && -n "$2" && "$2" != --* ]] || wrong "$1 needs a value"
        take_value "$1" "$2"
        shift 2
        ;;
      *) wrong "$1 is not an option" ;;
    esac
  done
  require_sense
}

take_flag() {
  case "$1" in
    --simulator) SIMULATOR=1 ;;
    --no-start) NO_START=1 ;;
    --even-in-session) EVEN_IN_SESSION=1 ;;
    --dry-run) DRY_RUN=1 ;;
    --uninstall) UNINSTALL=1 ;;
    --purge) PURGE=1 ;;
    --help)
      usage
      exit 0
      ;;
  esac
}

take_value() {
  case "$1" in
    --instance) OPTION_INSTANCES+=("$2") ;;
    --wheels) WHEELS="$2" ;;
    --wheel) WHEEL="$2" ;;
    --extras) OPTION_EXTRAS="$2" ;;
    --python) OPTION_PYTHON="$2" ;;
    --user) OPTION_USER="$2" ;;
    --prefix) OPTION_PREFIX="$2" ;;
    --root) ROOT="$2" ;;
  esac
}

require_sense() {
  local name
  for name in "${OPTION_INSTANCES[@]}"; do
    [[ "$name" =~ ^[a-z][a-z0-9_-]{0,30}$ ]] ||
      wrong "--instance $name: a name is lower-case letters, digits, - and _, and begins with a letter"
  done
  [[ -z "$OPTION_USER" || "$OPTION_USER" =~ ^[a-z_][a-z0-9_-]{0,30}$ ]] || wrong "--user $OPTION_USER: no user can be called that"
  [[ "$OPTION_USER" != root ]] || wrong '--user root: the service never runs as root; name an ordinary user'
  [[ -z "$OPTION_EXTRAS" || "$OPTION_EXTRAS" =~ ^[a-z]+(,[a-z]+)*$ ]] || wrong "--extras $OPTION_EXTRAS: names separated by commas are needed"
  [[ -z "$ROOT" || -d "$ROOT" ]] || wrong "--root $ROOT: no such folder"
  [[ -z "$WHEELS" || -d "$WHEELS" ]] || wrong "--wheels $WHEELS: no such folder"
  [[ -z "$WHEEL" || "$WHEEL" =~ (^|/)ibkr_trading-[^/]*\.whl$ && -f "$WHEEL" ]] ||
    wrong "--wheel $WHEEL: not a wheel of ibkr-trading, as 'pip wheel --no-deps .' in a checkout makes it"
  ((UNINSTALL || !PURGE)) || wrong '--purge only goes with --uninstall'
  ((!UNINSTALL)) || [[ -z "$WHEEL$WHEELS$OPTION_PYTHON$OPTION_EXTRAS${OPTION_INSTANCES[*]}" ]] ||
    wrong '--uninstall goes with --purge, --even-in-session, --dry-run, --root, --user and --prefix only'
}
