#!/usr/bin/env bash
# Installs, upgrades or removes the trading service on a host with systemd 252 or newer: install.sh --help
#
# Rules: what runs is asked before anything changes, and stays as it is until the new release is complete. A second run
# changes nothing. A file below /etc is replaced as a whole, and only by a different one; configuration and state are
# never replaced. It asks no questions; whatever cannot be done is one sentence, with exit code 1, or 2 for a wrong option.
set -euo pipefail
umask 022
export LC_ALL=C

HERE="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)"
# shellcheck source=install/say.sh
source "$HERE/install/say.sh"
# shellcheck source=install/options.sh
source "$HERE/install/options.sh"
# shellcheck source=install/names.sh
source "$HERE/install/names.sh"
# shellcheck source=install/files.sh
source "$HERE/install/files.sh"
# shellcheck source=install/yaml.sh
source "$HERE/install/yaml.sh"
# shellcheck source=install/preflight.sh
source "$HERE/install/preflight.sh"
# shellcheck source=install/python.sh
source "$HERE/install/python.sh"
# shellcheck source=install/render.sh
source "$HERE/install/render.sh"
# shellcheck source=install/release.sh
source "$HERE/install/release.sh"
# shellcheck source=install/accounts.sh
source "$HERE/install/accounts.sh"
# shellcheck source=install/configuration.sh
source "$HERE/install/configuration.sh"
# shellcheck source=install/units.sh
source "$HERE/install/units.sh"
# shellcheck source=install/running.sh
source "$HERE/install/running.sh"
# shellcheck source=install/switch.sh
source "$HERE/install/switch.sh"
# shellcheck source=install/uninstall.sh
source "$HERE/install/uninstall.sh"

main() {
  parse_options "$@"
  settle_names
  if ((UNINSTALL)); then
    [[ -n "$ROOT" ]] || require_root_and_systemd
    take_lock
    uninstall
    return
  fi
  preflight
  take_lock
  plan_release
  require_leave_to_restart
  install_release
  install_accounts
  install_secrets
  install_configurations
  check_configurations
  switch_and_start
  remove_old_releases
  summarize
}

main "$@"
