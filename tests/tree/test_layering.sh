#!/usr/bin/env bash
# Who may include whom (DESIGN: rooms). Prints every include that breaks the rule, and fails.
set -eu
cd "$1"
bad=0

# check DIR FORBIDDEN...: no file under DIR includes a header from a FORBIDDEN folder
check() {
  local dir=$1
  shift
  local f
  for f in "$@"; do
    if grep -rnE "^#include \"$f" --include='*.[chly]' $dir; then
      echo "  ^ $dir must not include $f" >&2
      bad=1
    fi
  done
}

check runtime compiler/ ops/[a-z_]*/ tools/ tests/
check runtime/base runtime/plan runtime/device runtime/exec runtime/comm runtime/data runtime/checkpoint runtime/train
check runtime/plan runtime/device runtime/exec runtime/comm runtime/data runtime/checkpoint runtime/train
check compiler runtime/device runtime/exec runtime/comm runtime/data runtime/checkpoint runtime/train ops/cpu ops/ref tools/
check compiler/ir compiler/front compiler/pass compiler/planner compiler/report
check compiler/pass compiler/front compiler/planner compiler/report
check ops/cpu compiler/ tools/
check ops/ref compiler/ tools/ ops/cpu
for f in ops/*.c ops/*.h; do
  if grep -nE '^#include "(runtime/(device|exec|comm|data|checkpoint|train)|compiler/(front|pass|planner|report)|ops/(cpu|ref))' "$f"; then
    echo "  ^ op rules ($f) use compiler/ir only" >&2
    bad=1
  fi
done

# a _priv header stays in its own folder
while IFS=: read -r file line; do
  header=$(printf '%s' "$line" | sed 's/.*"\(.*\)".*/\1/')
  case "$(dirname "$file")" in
    "$(dirname "$header")" | "$(dirname "$header")"/*) ;;
    *)
      case "$file:$header" in
        grammar/*:compiler/front/*) ;; # the grammar's actions are part of the front end
        *)
          echo "$file includes the private header $header" >&2
          bad=1
          ;;
      esac
      ;;
  esac
done < <(grep -rE '^#include "[a-z_/]+_priv\.h"' --include='*.[chly]' compiler runtime ops tools grammar)

# libraries never print, exit or abort on their own
if grep -rnE '\b(printf|puts|exit|abort)\(' --include='*.c' compiler runtime ops | grep -vE 'runtime/base/status\.c|snprintf|_printf|text_printf|arena_printf|^[^:]*:[0-9]+: *//'; then
  echo "  ^ libraries do not print, exit or abort" >&2
  bad=1
fi
exit $bad
