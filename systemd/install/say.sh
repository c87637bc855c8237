# What the installer says, and the one way to change something. Provides: step, say, warn, fail, act, CHANGES.
#
# Rules: what happens goes to stdout, what is wrong to stderr. Everything that changes the host goes through `act`,
# which only says it with --dry-run.
# shellcheck shell=bash

CHANGES=0

if [[ -t 1 && -z "${NO_COLOR:-}" && "${TERM:-dumb}" != dumb ]]; then
  BOLD=$'\e[1m' RED=$'\e[31m' YELLOW=$'\e[33m' PLAIN=$'\e[0m'
else
  BOLD='' RED='' YELLOW='' PLAIN=''
fi

step() { printf '%s%s%s\n' "$BOLD" "$*" "$PLAIN"; }
say() { printf '  %s\n' "$*"; }
warn() { printf '  %swarning: %s%s\n' "$YELLOW" "$*" "$PLAIN" >&2; }

# fail SENTENCE [EXIT_CODE]
fail() {
  printf '%sinstall.sh: %s%s\n' "$RED" "$1" "$PLAIN" >&2
  exit "${2:-1}"
}

# act SENTENCE COMMAND [ARGUMENT…]: say what is done and do it; its exit code is the command's.
act() {
  local sentence="$1"
  shift
  CHANGES=$((CHANGES + 1))
  if ((DRY_RUN)); then
    say "would $sentence"
    return 0
  fi
  say "$sentence"
  "$@"
}
