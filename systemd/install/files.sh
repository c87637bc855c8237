# Files put in place as a whole, and only when they differ. Provides: put_file, point_link, remove, remove_if_empty.
#
# Rules: a file is complete or not there: it is written beside its place and renamed. Owners are set by root only, and
# in a staged root only where the name is known there, which is root alone.
# shellcheck shell=bash

# put_file MODE OWNER:GROUP SOURCE DESTINATION
put_file() {
  local mode="$1" owner="$2" source="$3" destination="$4" file="$ROOT$4"
  if [[ -f "$file" && ! -L "$file" ]] && cmp -s -- "$source" "$file" && has_mode "$mode" "$owner" "$file"; then
    say "unchanged: $destination"
    return
  fi
  act "write $destination" replace_file "$mode" "$owner" "$source" "$file"
}

has_mode() {
  [[ "$(stat -c %a -- "$3")" == "${1#0}" ]] || return 1
  ! may_own "$2" || [[ "$(stat -c %U:%G -- "$3")" == "$2" ]]
}

may_own() { [[ $EUID -eq 0 && (-z "$ROOT" || "$1" == root:root) ]]; }

replace_file() {
  local mode="$1" owner="$2" source="$3" file="$4" part
  mkdir -p -- "$(dirname -- "$file")"
  part="$(mktemp -- "$(dirname -- "$file")/.$(basename -- "$file").XXXXXX")"
  cat -- "$source" >"$part"
  ! may_own "$owner" || chown -- "$owner" "$part"
  chmod -- "$mode" "$part"
  mv -fT -- "$part" "$file"
}

# point_link TARGET LINK: make LINK, or change it in one step.
point_link() {
  local target="$1" link="$ROOT$2"
  [[ "$(readlink -- "$link" 2>/dev/null)" != "$target" ]] || return 0
  act "point $2 to $target" switch_link "$target" "$link"
}

switch_link() {
  ln -sfn -- "$1" "$2.new"
  mv -fT -- "$2.new" "$2"
}

# remove PATH…: whatever of it exists.
remove() {
  local path
  for path in "$@"; do
    [[ ! -e "$ROOT$path" && ! -L "$ROOT$path" ]] || act "remove $path" rm -rf -- "$ROOT$path"
  done
}

# remove_if_empty FOLDER…
remove_if_empty() {
  local folder
  for folder in "$@"; do
    [[ -d "$ROOT$folder" ]] || continue
    ((DRY_RUN)) || rmdir --ignore-fail-on-non-empty -- "$ROOT$folder"
  done
}
