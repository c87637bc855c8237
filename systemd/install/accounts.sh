# Users and folders, as sysusers.d and tmpfiles.d declare them. Provides: install_accounts, install_account_files.
#
# Rules: systemd makes them; a staged root gets the folders with their modes, and its owners when it boots.
# shellcheck shell=bash

install_accounts() {
  local name
  step 'Users and folders'
  install_account_files "$WORK/extra"
  for name in "${INSTANCES[@]}"; do
    instance_folders "$name" >"$WORK/folders-$name"
    put_file 0644 root:root "$WORK/folders-$name" "/etc/tmpfiles.d/ibkr-trading-$name.conf"
  done
  ((!DRY_RUN)) || return 0
  if [[ -n "$ROOT" ]]; then stage_folders; else make_accounts; fi
}

# install_account_files RELEASE_FOLDER
install_account_files() {
  put_file 0644 root:root "$1/share/sysusers.d/ibkr-trading.conf" /etc/sysusers.d/ibkr-trading.conf
  put_file 0644 root:root "$1/share/tmpfiles.d/ibkr-trading.conf" /etc/tmpfiles.d/ibkr-trading.conf
}

# The same folders as the plain service's, below instances/NAME.
instance_folders() {
  local own="$BASE/instances/$1"
  printf '# The folders of the instance %s, as ibkr-trading.conf has them for the plain service.\n' "$1"
  printf 'd %s 0750 %s %s -\n' "$own" "$SERVICE_USER" "$SERVICE_USER"
  awk -v base="$BASE" -v own="$own" '
    $1 == "d" && ($2 == base "/config" || $2 == base "/state" || $2 == base "/logs") { sub(base, own, $2); print }
  ' "$WORK/extra/share/tmpfiles.d/ibkr-trading.conf"
}

make_accounts() {
  systemd-sysusers /etc/sysusers.d/ibkr-trading.conf || fail 'systemd-sysusers could not make the users; its message is above'
  systemd-tmpfiles --create /etc/tmpfiles.d/ibkr-trading*.conf || fail 'systemd-tmpfiles could not make the folders; its message is above'
  say "users and folders are as declared"
}

stage_folders() {
  local type path mode
  while read -r type path mode _; do
    [[ "$type" == d ]] || continue
    mkdir -p -- "$ROOT$path"
    chmod -- "$mode" "$ROOT$path"
  done < <(cat -- "$ROOT"/etc/tmpfiles.d/ibkr-trading*.conf)
}
