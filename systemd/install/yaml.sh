# Reads and changes single values of our own configuration template. Provides: yaml_value, yaml_with.
#
# Rules: knows what the template looks like, one section, then keys indented by two spaces, and nothing else of YAML.
# Whatever it makes is checked by the product before it is used.
# shellcheck shell=bash

# yaml_value SECTION KEY FILE: the value without comment and quotes; nothing when it is not there.
yaml_value() {
  awk -v section="$1" -v key="$2" '
    /^[^ #]/ { inside = ($0 ~ "^" section ":") }
    inside && $0 ~ "^  " key ":" {
      sub("^  " key ":[ \t]*", ""); sub(/[ \t]+#.*$/, ""); gsub(/^["'\'']|["'\'']$/, ""); print; exit
    }' "$3"
}

# yaml_with SECTION KEY VALUE: stdin with that value in place of the old one.
yaml_with() {
  awk -v section="$1" -v key="$2" -v value="$3" '
    /^[^ #]/ { inside = ($0 ~ "^" section ":") }
    inside && $0 ~ "^  " key ":" { print "  " key ": " value; next }
    { print }'
}
