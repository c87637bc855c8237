# Stop, switch, start, and back again when that did not work. Provides: switch_and_start, summarize.
#
# Rules: `current` is changed in one step while the traders are down. The new release has to be up, and as ready as the
# old one was, within READY_WAIT_S; else the old one gets its link and its units back and is started. With a panic flag
# up no trader is started: flattening is ibkr-panic's, and ending a panic is a person's.
# shellcheck shell=bash

START_WAIT_S=150 # longer than TimeoutStartSec= of any unit of ours
READY_WAIT_S=30
JOURNAL_LINES=15
TO_START=() # names of the traders that are to run
HAVE_TO_BE_READY=()
NOT_STARTED=0 UNHEALTHY=0 FAILED_UNIT=''

switch_and_start() {
  local old="$CURRENT_ID" older
  older="$(release_of previous)"
  note_what_is_healthy
  [[ "$old" == "$RELEASE_ID" ]] || switch_release "$old"
  install_files_of "$(release_folder)" "${old:+$ROOT$PREFIX/releases/$old}"
  enable_new_units
  if ((NO_START || DRY_RUN)) || [[ -n "$ROOT" ]]; then return; fi
  step 'Starting'
  BEGAN=$EPOCHSECONDS
  note_what_is_to_start
  if start_all && wait_until_ready; then return; fi
  roll_back "$old" "$older"
}

# install_files_of RELEASE_FOLDER [OLD_RELEASE_FOLDER]: what lies outside of a release and belongs to it.
install_files_of() {
  step 'Commands and units'
  install_account_files "$1"
  install_programs "$1"
  install_units "$@"
}

# What was not made, with --dry-run, is shown from where it would be made of.
release_folder() {
  if ((DRY_RUN)); then printf '%s\n' "$WORK/extra"; else printf '%s\n' "$ROOT$RELEASE"; fi
}

note_what_is_healthy() {
  local name
  [[ -z "$ROOT" ]] || return 0
  for name in "${ALL[@]}"; do
    if is_up "$(trader_unit "$name")" && health_of "$name" >/dev/null; then HAVE_TO_BE_READY+=("$name"); fi
  done
  # With the simulated gateway nothing else is missing. An upgrade is held to what the old release achieved.
  if ((SIMULATOR)) && [[ -z "$CURRENT_ID" || "$CURRENT_ID" == "$RELEASE_ID" ]]; then HAVE_TO_BE_READY=("${ALL[@]}"); fi
}

switch_release() {
  local old="$1"
  if [[ -z "$ROOT" ]] && ((!NO_START)); then stop_running; fi
  [[ -z "$old" ]] || point_link "releases/$old" "$PREFIX/previous"
  point_link "releases/$RELEASE_ID" "$PREFIX/current"
}

# The traders first, so that they can cancel their orders.
stop_running() {
  local unit name up=()
  for name in "${ALL[@]}"; do
    unit="$(trader_unit "$name")"
    is_down "$unit" || up+=("$unit")
  done
  ((${#up[@]} == 0)) || act "stop ${up[*]}" systemctl stop "${up[@]}"
  for unit in $(simulator_units); do
    if is_up "$unit"; then act "stop $unit" systemctl stop "$unit"; fi
  done
}

note_what_is_to_start() {
  local name unit flag
  for name in "${ALL[@]}"; do
    unit="$(trader_unit "$name")" flag="$(flag_of "$name")"
    is_enabled "$unit" || continue
    if [[ -e "$flag" ]] && ! is_up "$unit"; then
      warn "the panic flag $flag is up: $(panic_unit "$name" path) sees to it, and $unit is not started; when it is dealt with: rm $flag, systemctl start $unit, trader${name:+ @$name} resume"
      NOT_STARTED=1
    else
      TO_START+=("$name")
    fi
  done
}

start_all() {
  local name unit
  for unit in $(simulator_units) $(unit_names path) $(unit_names timer); do
    if is_enabled "$unit" && ! is_up "$unit"; then start_unit "$unit" || return; fi
  done
  publish_sessions
  for name in "${TO_START[@]}"; do
    unit="$(trader_unit "$name")"
    is_up "$unit" || start_unit "$unit" || return
  done
}

# The timer's first turn is a moment later, and health is asked about now.
publish_sessions() {
  [[ -e "$METRICS_FOLDER/ibkr-session.prom" ]] || ! is_enabled ibkr-calendar.timer ||
    act 'publish the session' systemctl start ibkr-calendar.service || warn 'the session is not published: systemctl status ibkr-calendar'
}

# unit_names SUFFIX: our path or timer units, those of the instances among them.
unit_names() {
  local file name
  for file in "$UNITS"/ibkr-*."$1"; do
    [[ "$file" == *@.* ]] || basename -- "$file"
  done
  [[ "$1" != path ]] || for name in "${INSTANCES[@]}"; do panic_unit "$name" path; done
}

# Blocks until the unit is up, or failed for the first time. `systemctl start` by itself would wait for as long as systemd
# tries again, which with RestartMode=direct is for ever.
start_unit() {
  systemctl reset-failed "$1" 2>/dev/null || true
  if act "start $1" systemctl start --no-block "$1" 2>"$WORK/start" && comes_up "$1"; then return; fi
  FAILED_UNIT="$1"
  return 1
}

comes_up() {
  local until=$((SECONDS + START_WAIT_S)) seen
  while ((SECONDS < until)); do
    seen="$(systemctl show --property=ActiveState,SubState,NRestarts,Job "$1")"
    case "$seen" in
      *ActiveState=active*) return ;;
      *SubState=auto-restart* | *NRestarts=[1-9]* | *ActiveState=failed*) return 1 ;;
      *ActiveState=inactive*) [[ "$seen" == *Job=[1-9]* ]] || return 1 ;;
    esac
    sleep 0.2
  done
  return 1
}

wait_until_ready() {
  local name
  for name in "${TO_START[@]}"; do
    if [[ " ${HAVE_TO_BE_READY[*]/#/:} " != *" :$name "* ]]; then continue; fi
    becomes_ready "$name" || {
      FAILED_UNIT="$(trader_unit "$name")"
      return 1
    }
    say "ready: $(trader_unit "$name")"
  done
}

becomes_ready() {
  local until=$((SECONDS + READY_WAIT_S))
  while ((SECONDS < until)); do
    if health_of "$1" >"$WORK/health" 2>&1; then return; fi
    sleep 0.2
  done
  return 1
}

health_of() { "$BASE/scripts/health_check.sh" --base "$BASE" ${1:+--instance "$1"}; }

# roll_back OLD_RELEASE_ID ID_BEFORE_THAT: what ran before runs again; ends with exit code 1.
roll_back() {
  local old="$1" older="$2"
  printf '\n' >&2
  warn "$FAILED_UNIT did not become ready with release $RELEASE_ID:"
  explain_failure >&2
  if [[ -z "$old" || "$old" == "$RELEASE_ID" ]]; then
    fail "$FAILED_UNIT is installed and not ready; when the cause is mended: systemctl restart $FAILED_UNIT"
  fi
  step "Going back to release $old"
  stop_running
  point_link "releases/$old" "$PREFIX/current"
  if [[ -n "$older" ]]; then point_link "releases/$older" "$PREFIX/previous"; else remove "$PREFIX/previous"; fi
  install_files_of "$ROOT$PREFIX/releases/$old" "$ROOT$RELEASE"
  start_all || fail "release $RELEASE_ID did not become ready, and $FAILED_UNIT does not start with $old either: journalctl --unit=$FAILED_UNIT"
  wait_until_ready || fail "release $RELEASE_ID did not become ready; $old runs again and is not ready: $(tail -n 1 "$WORK/health")"
  fail "release $RELEASE_ID did not become ready; $old runs again"
}

explain_failure() {
  local file
  for file in "$WORK/start" "$WORK/health"; do
    if [[ -s "$file" ]]; then sed 's/^/  /' "$file"; fi
  done
  journalctl --quiet --no-pager --output=cat --unit="$FAILED_UNIT" --since="@$BEGAN" --lines="$JOURNAL_LINES" | cut -c 1-300 | sed 's/^/  | /'
}

summarize() {
  local name
  if ((DRY_RUN)); then say "nothing was changed (--dry-run)"; return; fi
  if ((!CHANGES)); then say 'nothing had to be changed'; fi
  if ((NO_START)) || [[ -n "$ROOT" ]]; then return; fi
  step 'Health'
  for name in "${ALL[@]}"; do
    is_enabled "$(trader_unit "$name")" || continue
    say "$(trader_unit "$name"): $(state_of "$(trader_unit "$name")")"
    health_of "$name" | sed 's/^/  /' || UNHEALTHY=1
  done
  if ((NOT_STARTED)); then exit 1; fi
  if ((UNHEALTHY)); then warn 'installed, and not healthy yet, as said above'; fi
}
