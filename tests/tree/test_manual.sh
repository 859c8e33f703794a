#!/usr/bin/env bash
# The man pages render without warnings and have every flag that --help lists; help fits 80 columns.
#   test_manual.sh SOURCE_DIR BINARY_DIR
set -u
binary_dir=$(cd "$2" && pwd)
export LC_ALL=C.UTF-8
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2
failed=0
fail() {
  echo "FAILED: $*"
  failed=1
}

for tool in xlmc xlmrun; do
  mkdir $tool
  "$binary_dir/$tool" manual $tool || fail "$tool manual"
  "$binary_dir/$tool" --help > help
  commands=$(sed -n 's/^  \([a-z]*\) .*/\1/p' help)
  [ -n "$commands" ] || fail "no commands of $tool"
  for command in $commands; do
    page=$tool/$tool-$command.1
    [ -s "$page" ] || { fail "no page of $tool $command"; continue; }
    grep -qF "$tool\\-$command" $tool/$tool.1 || fail "$tool.1 does not name $command"
    "$binary_dir/$tool" $command --help > help || fail "$tool $command --help"
    "$binary_dir/$tool" help $command | cmp -s - help || fail "$tool help $command is not $tool $command --help"
    awk -v c="$tool $command" 'length > 80 && / / && !/^ *[^ ]*$/ { print "FAILED: --help of " c ": " length " columns: " $0; bad = 1 } END { exit bad }' help || failed=1
    for flag in $(grep -oE '(^|[ |[])--[a-z0-9-]+' help | tr -d ' |[' | sort -u); do
      case $flag in --config | --print-config | --no-* | --help) continue ;; esac
      sed 's/\\-/-/g' "$page" | grep -qF -e "$flag" || fail "$page does not have $flag"
    done
  done
done
if command -v mandoc > /dev/null; then
  mandoc -T lint -W warning xlm*/*.1 || fail 'mandoc'
fi
if command -v groff > /dev/null; then
  for page in xlm*/*.1; do
    groff -ww -man -Tutf8 -rLL=200n "$page" 2> warnings > /dev/null
    [ -s warnings ] && fail "$page: $(head -n 3 warnings)"
  done
fi
exit $failed
