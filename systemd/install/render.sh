# What is installed beside the Python packages, with this installation's names in it. Provides: render_share, tree_digest.
#
# Rules: the shipped files name the user `trader` and /opt/ibkr-trading; another user or prefix is put in their place
# here and nowhere else. A release keeps what was rendered, so that going back to it brings back its units, too.
# shellcheck shell=bash

SHIPPED_USER=trader
SHIPPED_PREFIX=/opt/ibkr-trading

# render_share FOLDER: units, drop-ins, accounts, template configuration, scripts, helpers and alerts below FOLDER.
render_share() {
  local share="$1/share" file
  mkdir -p -- "$share"/{units,drop-ins,sysusers.d,tmpfiles.d,scripts} "$1/libexec"
  for file in "$HERE"/ibkr-*.{service,path,timer}; do render_unit "$file" "$share/units"; done
  for file in "$HERE"/*.conf; do render_unit "$file" "$share/drop-ins"; done
  render_accounts 2 "$HERE/sysusers.d/ibkr-trading.conf" >"$share/sysusers.d/ibkr-trading.conf"
  render_accounts 4 "$HERE/tmpfiles.d/ibkr-trading.conf" >"$share/tmpfiles.d/ibkr-trading.conf"
  render_text <"$HERE/config.yaml" >"$share/config.yaml"
  render_text <"$HERE/wrapper.sh" | sed "s/^user=$SHIPPED_USER\$/user=$SERVICE_USER/" >"$share/wrapper.sh"
  for file in "$HERE"/libexec/*; do install -m 0755 -- "$file" "$1/libexec/"; done
  for file in "$HERE"/../scripts/health_check.sh; do render_text <"$file" >"$share/scripts/$(basename -- "$file")"; done
  if [[ -d "$HERE/../alerts" ]]; then cp -R -- "$HERE/../alerts" "$share/alerts"; fi
}

render_text() {
  sed -e "s#/home/$SHIPPED_USER\\b#/home/$SERVICE_USER#g" -e "s#$SHIPPED_PREFIX\\b#$PREFIX#g"
}

render_unit() {
  render_text <"$1" | sed -E "s/^(User|Group)=$SHIPPED_USER\$/\\1=$SERVICE_USER/" >"$2/$(basename -- "$1")"
}

# render_accounts COLUMN FILE: sysusers.d names users in one column, tmpfiles.d owners and groups in two.
render_accounts() {
  render_text <"$2" | awk -v first="$1" -v from="$SHIPPED_USER" -v to="$SERVICE_USER" '
    !/^#/ { for (i = first; i <= first + 1; i++) if ($i == from && from != to) $i = to }
    { print }'
}

# tree_digest FOLDER PATH…: one line that changes with the name or the content of any file in these paths.
tree_digest() {
  (
    cd -- "$1"
    find "${@:2}" -type f ! -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum
  )
}
