#!/usr/bin/env bash
# Golden tests of the command line.
#
#   run_golden.sh SOURCE_DIR BINARY_DIR [--accept] [PATTERN]
#
# Runs every tests/golden/**/*.golden whose path contains PATTERN, shows differences between actual and
# expected output, and exits with 1 if there are any. --accept writes the actual output to the files instead;
# review the diff before committing it. A golden file:
#
#   # run: xlmc check input.xlm        one or more; bash runs each in the file's own directory, BINARY_DIR first in PATH
#   --- input                          becomes input.xlm
#   model x
#   --- file other.yaml                becomes other.yaml; any number of these, with or without directories
#   ...
#   --- expect                         stdout and stderr together, then `exit N`, for each command
#   exit 0
#
# The directory also holds `models`, a link to SOURCE_DIR/models. Bytes that are not text are made by the command itself
# (printf). To add a test: write the header and the input, run with --accept, check the result.
set -u
[ $# -ge 2 ] || { sed -n '2,19s/^# \{0,1\}//p' "$0"; exit 2; }
source_dir=$(cd "$1" && pwd) binary_dir=$(cd "$2" && pwd)
shift 2
accept=no pattern=
for argument in "$@"; do
  if [ "$argument" = --accept ]; then accept=yes; else pattern=$argument; fi
done
# Plans are of one machine, wherever the tests run.
export PATH="$binary_dir:$PATH" LC_ALL=C NO_COLOR=1 TERM=dumb XLM_CPU_ISA=base
unset XLM_SEED OMP_NUM_THREADS

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Splits a golden file into $work/dir (its files), $work/head (all before the expectation) and $work/expect.
split_file() {
  rm -rf "$work/dir" && mkdir "$work/dir" && : > "$work/head" && : > "$work/expect"
  ln -s "$source_dir/models" "$work/dir/models"
  grep -E '^--- file [^/ ]+/' "$1" | sed 's/^--- file //' | while read -r name; do mkdir -p "$work/dir/$(dirname "$name")"; done
  awk -v work="$work" '
    part != "expect" && $0 == "--- input"  { part = "file"; out = work "/dir/input.xlm"; printf "" > out; print > (work "/head"); next }
    part != "expect" && /^--- file [^ ]+$/ { part = "file"; out = work "/dir/" $3; printf "" > out; print > (work "/head"); next }
    part != "expect" && $0 == "--- expect" { part = "expect"; print > (work "/head"); next }
    part == "expect" { print > (work "/expect"); next }
    part == "file"   { print > out }
                     { print > (work "/head") }' "$1"
}

run_commands() {
  sed '/^--- /,$d' "$work/head" | sed -n 's/^# run: //p' | while IFS= read -r command; do
    (cd "$work/dir" && timeout 300 bash -c "$command") > "$work/output" 2>&1 < /dev/null
    status=$?
    cat "$work/output"
    [ -z "$(tail -c 1 "$work/output" | tr -d '\n')" ] || echo
    echo "exit $status"
  done > "$work/actual"
}

passed=0 failed=0 accepted=0
while IFS= read -r file; do
  name=${file#"$source_dir"/}
  split_file "$file"
  run_commands
  if [ -s "$work/actual" ] && cmp -s "$work/expect" "$work/actual"; then
    passed=$((passed + 1))
  elif [ $accept = yes ] && [ -s "$work/actual" ]; then
    grep -qx -e '--- expect' "$work/head" || echo '--- expect' >> "$work/head"
    cat "$work/head" "$work/actual" > "$file"
    accepted=$((accepted + 1))
    echo "accepted $name"
  else
    failed=$((failed + 1))
    echo "FAILED $name"
    [ -s "$work/actual" ] || echo "no '# run:' line before the first section"
    diff -u --label "$name (expected)" --label "$name (now)" "$work/expect" "$work/actual"
  fi
done < <(find "$source_dir/tests/golden" -name '*.golden' -path "*$pattern*" | sort)

echo "golden: $passed passed, $failed failed, $accepted accepted"
[ $failed = 0 ] && [ $((passed + accepted)) != 0 ]
