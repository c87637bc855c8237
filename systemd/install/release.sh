# A release: a virtual environment with everything that belongs to it. Provides: plan_release, install_release, RELEASE, …
#
# Rules: a release is named by its version and by what it is made of, so the same input is the same release and is not
# made twice. It belongs to root, is never changed once complete, and is compiled here because the service cannot write.
# shellcheck shell=bash

RELEASES_KEPT=3
PRODUCT=(pyproject.toml README.md LICENSE trader observability)

# Names the release and renders what goes into it, in a temporary folder.
plan_release() {
  WORK="$(mktemp -d)"
  trap 'rm -rf -- "$WORK"' EXIT
  render_share "$WORK/extra"
  RELEASE_ID="$(product_version)-$(release_digest | sha256sum | cut -c 1-12)"
  RELEASE="$PREFIX/releases/$RELEASE_ID"
  CURRENT_ID="$(release_of current)"
}

product_version() {
  local name
  if [[ -n "$WHEEL" ]]; then
    name="$(basename -- "$WHEEL")"
    name="${name#*-}"
    printf '%s\n' "${name%%-*}"
  else
    sed -n 's/^version = "\(.*\)"/\1/p' "$HERE/../pyproject.toml"
  fi
}

# Everything that the release is made of, as text.
release_digest() {
  "$PYTHON" --version
  printf '%s\n' "$PYTHON" "$PREFIX" "$SERVICE_USER" "$EXTRAS"
  tree_digest "$WORK/extra" .
  if [[ -n "$WHEEL" ]]; then sha256sum <"$WHEEL"; else tree_digest "$HERE/.." "${PRODUCT[@]}"; fi
  [[ -z "$WHEELS" ]] || find "$WHEELS" -name '*.whl' -printf '%f\n' | sort
}

install_release() {
  step "Release $RELEASE_ID"
  if [[ -e "$ROOT$RELEASE/.complete" ]]; then
    say "unchanged: $RELEASE"
    return
  fi
  act "make $RELEASE" make_release "$ROOT$RELEASE"
}

make_release() {
  local release="$1" began=$SECONDS
  rm -rf -- "$release"
  "$PYTHON" -m venv --without-pip -- "$release" || fail "$PYTHON could not make a virtual environment in $release"
  install_packages "$release"
  # --no-preserve: a checkout's owner and modes mean nothing here.
  cp -R --no-preserve=ownership -- "$WORK/extra/." "$release/"
  [[ -z "$ROOT" ]] || unstage_paths "$release"
  "$release/bin/python" -I -m compileall -q -j 0 -s "$ROOT" "$release/lib" >"$WORK/compileall" ||
    warn "not everything could be compiled: $(head -n 1 "$WORK/compileall")"
  chmod -R go-w,a+rX -- "$release"
  : >"$release/.complete"
  say "made in $((SECONDS - began)) s, $(du -sm -- "$release" | cut -f 1) MB"
}

# pip is not part of a release: nothing is installed into it later.
install_packages() {
  local release="$1" product="$WORK/product" pip pip_wheel options=(--quiet --no-compile --no-warn-script-location)
  export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
  [[ -z "$WHEELS" ]] || options+=(--isolated --no-index --find-links "$(cd -- "$WHEELS" && pwd -P)")
  pip_wheel=''
  [[ -z "$WHEELS" ]] || pip_wheel="$(newest_wheel pip)"
  if [[ -n "$pip_wheel" ]]; then
    "$PYTHON" -m zipfile -e "$pip_wheel" "$WORK/pip"
    pip=("$release/bin/python" "$WORK/pip/pip")
  else
    "$PYTHON" -m venv -- "$WORK/pip"
    pip=("$WORK/pip/bin/python" -m pip --python "$release/bin/python")
  fi
  if [[ -n "$WHEEL" ]]; then product="$(realpath -- "$WHEEL")"; else copy_product "$product"; fi
  "${pip[@]}" install "${options[@]}" "$product${EXTRAS:+[$EXTRAS]}" ||
    { forget_release "$release"; fail 'pip could not install the packages; what it says above is why, and nothing that runs was touched'; }
}

# forget_release FOLDER: as if it had never been begun.
forget_release() {
  rm -rf -- "$1"
  remove_if_empty "$PREFIX/releases" "$PREFIX"
}

# Building writes into the folder that it builds, and the checkout may be read-only and is not ours.
copy_product() {
  local part
  mkdir -p -- "$1"
  for part in "${PRODUCT[@]}"; do cp -R --no-preserve=ownership -- "$HERE/../$part" "$1/"; done
  find "$1" \( -name __pycache__ -o -name '*.egg-info' \) -prune -exec rm -rf {} +
}

# Programs and pyvenv.cfg name the folder that they were made in; where its name was too long for the kernel, pip made
# three lines of shell of the first one.
unstage_paths() {
  { grep -rlIF -- "$ROOT$PREFIX" "$1/bin" "$1/pyvenv.cfg" || true; } | xargs -r sed -i \
    -e "1{/^#!\/bin\/sh\$/{N;N;s#.*#\#!$RELEASE/bin/python#}}" -e "s#$ROOT$PREFIX#$PREFIX#g"
}

# The one that runs and the one before it stay, and the newest others up to RELEASES_KEPT in all.
remove_old_releases() {
  local name kept=0 folder="$ROOT$PREFIX/releases"
  [[ -d "$folder" ]] || return 0
  while read -r name; do
    kept=$((kept + 1))
    if ((kept > RELEASES_KEPT)) && ! release_is_in_use "$folder/$name"; then
      act "remove the old release $name" rm -rf -- "${folder:?}/$name"
    fi
  done < <(releases_by_worth "$folder")
}

releases_by_worth() {
  local current previous
  current="$(release_of current)" previous="$(release_of previous)"
  {
    printf '%s\n' "$current" "$previous"
    find "$1" -mindepth 1 -maxdepth 1 -type d -printf '%T@ %f\n' | sort -rn | cut -d ' ' -f 2
  } | awk 'NF && !seen[$0]++'
}

release_is_in_use() { grep -qsaF -- "$1/" /proc/[0-9]*/cmdline; }
