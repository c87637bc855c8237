# Configurations and secrets. Provides: install_secrets, install_configurations, check_configurations.
#
# Rules: what exists is somebody's work and is never replaced; a shipped default that changed is put beside it as
# config.yaml.new. A secret is made once, read by root alone and never printed.
# shellcheck shell=bash

POLICY_TOKEN="$ETC/secrets/policy-token"
METRICS_PORT=9464
GATEWAY_PORT=4002

install_secrets() {
  step 'Secrets and configuration'
  if [[ -s "$ROOT$POLICY_TOKEN" ]]; then
    say "kept: $POLICY_TOKEN"
  else
    (umask 077; od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$WORK/token")
    put_file 0600 root:root "$WORK/token" "$POLICY_TOKEN"
  fi
}

install_configurations() {
  local name
  for name in "${ALL[@]}"; do
    if [[ -e "$ROOT$(config_of "$name")" ]]; then
      keep_configuration "$name"
    else
      new_configuration "$name" >"$WORK/config.yaml"
      put_file 0640 "root:$SERVICE_USER" "$WORK/config.yaml" "$(config_of "$name")"
    fi
  done
  printf 'USER=%s\nPREFIX=%s\nBASE=%s\nEXTRAS=%s\n' "$SERVICE_USER" "$PREFIX" "$BASE" "$EXTRAS" >"$WORK/record"
  put_file 0644 root:root "$WORK/record" "$RECORD"
}

# The template as it is; an instance gets its socket, and ids and ports that no other configuration has: one account is
# behind one gateway, which listens on one port.
new_configuration() {
  local name="$1" template="$WORK/extra/share/config.yaml"
  if [[ -z "$name" ]]; then
    cat -- "$template"
    return
  fi
  yaml_with control socket "/run/ibkr-trading-$name/control.sock" <"$template" |
    yaml_with metrics port "$(free_port metrics "$METRICS_PORT")" |
    yaml_with gateway port "$(free_port gateway "$GATEWAY_PORT")" |
    yaml_with gateway client_id "$(($(highest gateway client_id 1) + 1))" |
    yaml_with gateway panic_client_id "$(($(highest gateway panic_client_id 999) + 1))"
}

# highest SECTION KEY DEFAULT: the highest value in the configurations that exist.
highest() {
  local name value top="$3"
  for name in "${ALL[@]}"; do
    [[ -r "$ROOT$(config_of "$name")" ]] || continue
    value="$(yaml_value "$1" "$2" "$ROOT$(config_of "$name")")"
    if [[ "$value" =~ ^[0-9]+$ ]] && ((value > top)); then top="$value"; fi
  done
  printf '%s\n' "$top"
}

# free_port SECTION DEFAULT: the next one above all configurations' where nobody listens.
free_port() {
  local port
  port="$(highest "$1" port "$2")"
  for ((port = port + 1; port < 65536; port++)); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  printf '%s\n' "$port"
}

# The shipped default is worth a look only when it is not the one that the configuration was made from.
keep_configuration() {
  local config template="$WORK/extra/share/config.yaml" before
  config="$(config_of "$1")"
  before="$ROOT$PREFIX/releases/$CURRENT_ID/share/config.yaml"
  say "kept: $config"
  [[ -z "$1" ]] || return 0
  if cmp -s -- "$template" "$ROOT$config" || { [[ -n "$CURRENT_ID" ]] && cmp -s -- "$template" "$before"; }; then return; fi
  put_file 0640 "root:$SERVICE_USER" "$template" "$config.new"
}

# The new release reads every configuration before the old one is stopped.
check_configurations() {
  local name config modules
  ((!DRY_RUN)) && [[ -z "$ROOT" ]] || return 0
  for name in "${ALL[@]}"; do
    config="$(config_of "$name")"
    mapfile -t modules < <(python_path_of "$name")
    as_user "${modules[@]}" "$RELEASE/bin/trader" check "$config" >"$WORK/check" 2>&1 || {
      tail -n 12 "$WORK/check" | sed 's/^/  /' >&2
      fail "release $RELEASE_ID cannot use $config, as said above; what runs was not touched"
    }
    say "checked: $config"
  done
}

# python_path_of NAME: PYTHONPATH=… as a drop-in gives it to the service, for a strategy of one's own; or nothing.
python_path_of() {
  local word words
  read -ra words < <(systemctl show --property=Environment --value "$(trader_unit "$1")") || true # it may have none
  for word in "${words[@]}"; do
    [[ "$word" != PYTHONPATH=* ]] || printf '%s\n' "$word"
  done
}

# as_user [VARIABLE=VALUE…] PROGRAM…: as the service's user, with nothing of root's environment.
as_user() {
  setpriv --reuid "$SERVICE_USER" --regid "$SERVICE_USER" --init-groups --inh-caps=-all -- \
    env -i "HOME=/home/$SERVICE_USER" PATH=/usr/bin:/bin LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 "$@"
}
