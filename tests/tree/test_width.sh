#!/usr/bin/env bash
# Colours and widths: on a terminal, without one, with NO_COLOR and TERM=dumb; readers that close the pipe.
#   test_width.sh SOURCE_DIR BINARY_DIR
set -u
source_dir=$(cd "$1" && pwd)
PATH=$(cd "$2" && pwd):$PATH
export LC_ALL=C.UTF-8 XLM_CPU_ISA=base
command -v script > /dev/null || exit 77
unset NO_COLOR
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$source_dir" || exit 2
failed=0
fail() {
  echo "FAILED: $*"
  failed=1
}

on_terminal() { # COLUMNS COMMAND: its output on a terminal
  script -qec "stty cols $1 rows 40; $2" /dev/null < /dev/null | tr -d '\r'
}
longest() { awk '{ if (length > n) n = length } END { print n + 0 }'; }

export TERM=xterm
escape=$(printf '\033')
error='xlmc check models/llama.xlm --hidden-size 700'
on_terminal 80 "$error" | grep -q "$escape" || fail 'no colours on a terminal'
NO_COLOR=1 on_terminal 80 "$error" | grep -q "$escape" && fail 'colours with NO_COLOR'
NO_COLOR= on_terminal 80 "$error" | grep -q "$escape" || fail 'an empty NO_COLOR counts'
TERM=dumb on_terminal 80 "$error" | grep -q "$escape" && fail 'colours on a dumb terminal'
$error 2>&1 | grep -q "$escape" && fail 'colours in a pipe'

for columns in 60 100; do
  for command in 'xlmc plan --help' 'xlmrun train --help' 'xlmc --help' 'xlmc plan models/llama.xlm --preset nano --pp 2 --tp 2'; do
    n=$(on_terminal $columns "$command" | longest)
    [ "$n" -le $columns ] && [ "$n" -ge $((columns - 20)) ] || fail "$command on $columns columns: a line of $n"
  done
done
on_terminal 100 'COLUMNS=70 xlmc plan --help' | longest | grep -qx '[67][0-9]' || fail 'COLUMNS is ignored'
on_terminal 60 'xlmc plan models/llama.xlm --preset nano --pp 2 --tp 2' | grep -q '\.\.$' || fail 'a cut line does not show it'
on_terminal 60 'xlmc plan models/llama.xlm --preset nano --format json' | longest | grep -qx '[0-9][0-9]' && fail 'JSON is cut'
whole=$(xlmc plan models/llama.xlm --preset nano --pp 2 --tp 2 | longest)
[ "$whole" -gt 120 ] || fail "a piped plan is cut to $whole columns"

# a reader that has enough: no message, and no status but that of the signal
for command in 'xlmc ops' 'xlmc plan models/llama.xlm --preset nano --format json' 'xlmrun settings' \
  'xlmc graph models/llama.xlm --preset nano --format json --open'; do
  status=$( (bash -c "set -o pipefail; { $command; echo \$? >&3; } 2> '$work/err' | head -n 1 > /dev/null") 3>&1)
  [ "$status" = 141 ] || [ "$status" = 0 ] || fail "$command into head exits with $status"
  [ ! -s "$work/err" ] || fail "$command into head says: $(cat "$work/err")"
done
exit $failed
