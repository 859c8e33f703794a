#!/usr/bin/env bash
# The layering of folders: prints every include that violates it, and fails.
set -eu
cd "$1"
bad=0

# only DIR ALLOWED...: files of DIR include headers of these folders only (and of DIR itself)
only() {
  local dir=$1
  shift
  local found
  found=$(grep -rnE '^#include "' --include='*.[chlyu]' --include='*.cu' "$dir" || true)
  local f
  for f in "$dir" "$@"; do found=$(printf '%s\n' "$found" | grep -vE "#include \"${f%/}/[a-z_0-9]+\.[a-z.]+\"" || true); done
  found=$(printf '%s\n' "$found" | grep -vE '#include "[a-z_]+\.def"' | sed '/^$/d' || true)
  if [ -n "$found" ]; then
    printf '%s\n' "$found"
    echo "  ^ $dir may include only: $*" >&2
    bad=1
  fi
}

base="runtime/base" plan="runtime/base runtime/plan"
only runtime/base
only runtime/plan $base ops # ops.def: the numbers of operations
only runtime/device $plan runtime/comm runtime/device/cuda
only runtime/comm $plan
only runtime/exec $plan runtime/device runtime/comm
only runtime/decode $plan runtime/device runtime/comm runtime/exec
only runtime/documents runtime/base
only runtime/tokenize runtime/base runtime/documents runtime/tokenizer runtime/data
only runtime/data $plan runtime/interchange runtime/documents # safetensors: records
only runtime/tokenizer runtime/base
only runtime/evaluate $plan runtime/device runtime/comm runtime/exec runtime/documents runtime/tokenizer
only runtime/state $plan runtime/comm
only runtime/interchange $plan runtime/state runtime/tokenizer
only runtime/checkpoint $plan runtime/state runtime/interchange
only runtime/train $plan runtime/device runtime/comm runtime/exec runtime/data runtime/state runtime/interchange runtime/checkpoint
only compiler/ir $plan ops
only compiler/diagnose $plan
only compiler/parse $plan compiler/diagnose grammar compiler/ir
only grammar compiler/parse
only compiler/format $plan compiler/diagnose compiler/parse
only compiler/elaborate $plan compiler/ir compiler/diagnose compiler/parse ops
only compiler/optimizer $plan compiler/ir compiler/diagnose ops
only compiler/pass $plan compiler/ir compiler/optimizer ops
only compiler/schedule $plan
only compiler/verify $plan compiler/ir compiler/schedule
only compiler/cost $plan compiler/ir compiler/schedule
only compiler/planner $plan compiler/ir compiler/diagnose compiler/optimizer compiler/pass compiler/schedule
only compiler/inspect $plan compiler/ir compiler/diagnose compiler/parse compiler/elaborate compiler/optimizer
only compiler/driver $plan compiler/ir compiler/diagnose compiler/parse compiler/elaborate compiler/optimizer compiler/pass compiler/schedule compiler/planner compiler/verify
only compiler/search $plan compiler/ir compiler/diagnose compiler/parse compiler/elaborate compiler/optimizer compiler/pass compiler/schedule compiler/planner compiler/driver compiler/cost
only compiler/report $plan compiler/ir compiler/diagnose compiler/parse compiler/elaborate compiler/optimizer compiler/pass compiler/schedule compiler/planner compiler/driver compiler/cost compiler/search compiler/verify
only tools/lsp $plan compiler/ir compiler/diagnose compiler/parse compiler/elaborate compiler/inspect
only tools/watching $plan runtime/state runtime/checkpoint
only ops/cuda $plan runtime/device runtime/device/cuda runtime/comm ops tests/emulate
only ops/cpu $plan runtime/device ops ops/cpu/gemm ops/cpu/attend ops/cpu/communicate
only ops/ref $plan runtime/device ops
only ops/backend $plan runtime/device ops
for f in ops/*.c ops/*.h; do
  if grep -nE '^#include "(runtime/(device|exec|comm|data|state|interchange|checkpoint|train)|compiler/(parse|elaborate|diagnose|format|optimizer|pass|schedule|verify|cost|planner|driver|search|report)|ops/(cpu|ref))' "$f"; then
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
        grammar/*:compiler/parse/*) ;; # the grammar's actions are part of the front end
        *)
          echo "$file includes the private header $header" >&2
          bad=1
          ;;
      esac
      ;;
  esac
done < <(grep -rE '^#include "[a-z_/]+_priv\.h"' --include='*.[chly]' compiler runtime ops tools grammar)

# what an operation is stands in its own file, as facts: nobody recognises one by its number
if grep -rnE '([=!]=|case) *XLM_OP_[A-Z]' --include='*.[ch]' compiler runtime tools | grep -vE 'XLM_OP_(NONE|COUNT)'; then
  echo "  ^ ask for a fact (runtime/plan/op.h) instead" >&2
  bad=1
fi

# libraries never print, exit or abort on their own
if grep -rnE '\b(printf|puts|exit|abort)\(' --include='*.c' compiler runtime ops | grep -vE 'runtime/base/status\.c|snprintf|_printf|text_printf|arena_printf|^[^:]*:[0-9]+: *//'; then
  echo "  ^ libraries do not print, exit or abort" >&2
  bad=1
fi
# every folder has a README
for room in compiler/*/ runtime/*/ ops/ ops/cpu/*/ tools/*/; do
  ls "$room"*.[ch] >/dev/null 2>&1 && [ ! -f "$room/README.md" ] && echo "$room has no README.md" >&2 && bad=1
done
exit $bad
