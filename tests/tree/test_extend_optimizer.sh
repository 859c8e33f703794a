#!/usr/bin/env bash
# An optimizer is added by the files that docs/extending.md lists, and no others: it plans, splits, trains, is suggested.
#   test_extend_optimizer.sh SOURCE_DIR BINARY_DIR
set -u
. "$(dirname "$0")/extend_lib.sh" "$1" "$2"

cat > "$copy/compiler/optimizer/signum.c" <<'C'
// signum: the sign of a moment (Bernstein et al., 2018).
#include "compiler/optimizer/step_priv.h"

static void build(xlm_step *s) {
  xlm_val m = xlm_step_state_like(s, "signum.m");
  xlm_val next = xlm_op2(s->b, XLM_OP_ADD, xlm_scale(s->b, m, xlm_step_setting(s, "signum_beta")), xlm_step_gradient(s));
  xlm_step_descend(s, xlm_op1(s->b, XLM_OP_SIGN, next));
  xlm_step_store(s, m, next);
}

const xlm_optimizer xlm_optimizer_signum = {.name = "signum",
                                            .settings = {{"signum_beta", 0.9, 0, 1, "share of the moment that stays"}},
                                            .build = build,
                                            .doc = "m = beta m + g; p = p - lr (sign(m) + decay p)."};
C
echo 'XLM_OPTIMIZER(signum)' >> "$copy/compiler/optimizer/optimizers.def"
cat >> "$copy/tools/common/settings.def" <<'C'
XLM_SETTING(signum_beta, FLOAT, "train", "signum_beta", "signum-beta", "0.9", 0, 1, "", "tbp", "signum: share of the moment that stays")
C
extend_files compiler/optimizer/signum.c compiler/optimizer/optimizers.def tools/common/settings.def
for file in compiler/optimizer/NAME.c compiler/optimizer/optimizers.def tools/common/settings.def tests/train/test_optimizers.c; do
  sed -n '/^## An optimizer/,/^## [^A]/p' "$source_dir/docs/extending.md" | grep -qF "$file" || complain "docs/extending.md does not name $file"
done
extend_build xlmc xlmrun test_optimizers

cd "$work" || exit 1
nano=("$source_dir/models/llama.xlm" --preset nano --hidden 32 --layers 2 --intermediate-size 48 --num-attention-heads 2
  --num-key-value-heads 2 --seq-length 16 --threads 1)
"$programs/xlmc" plan "${nano[@]}" --optimizer signum --signum-beta 0.5 > plan.txt || complain "no plan: $(cat plan.txt)"
grep -Eq '^ +default +signum +[0-9]+ ' plan.txt || complain "the plan does not say who updates: $(cat plan.txt)"
"$programs/xlmc" plan "${nano[@]}" --optimizer signun > wrong.txt 2>&1 && complain 'a misspelt optimizer is accepted'
grep -q "did you mean 'signum'" wrong.txt || complain "no suggestion: $(cat wrong.txt)"

train() { # NAME FLAGS: the losses of three steps
  "$programs/xlmrun" train "${nano[@]}" --data "$source_dir/docs" --optimizer signum --max-steps 3 --global-batch-size 4 --micro-batch-size 2 \
    --eval-interval 0 --save-interval 0 --log-interval 1 --output-dir "$1" "${@:2}" > "$1.txt" 2>&1 || complain "$1: $(tail -n 5 "$1.txt")"
  grep -o '"loss": *[0-9.]*' "$1/metrics.jsonl" > "$1.loss"
  [ "$(wc -l < "$1.loss")" = 3 ] || complain "$1: not three losses: $(cat "$1/metrics.jsonl")"
}
train whole --dp 2
train pieces --dp 2 --zero 2
cmp -s whole.loss pieces.loss || complain "with --zero 2 other losses: $(paste whole.loss pieces.loss)"

# the formula that test_optimizers asks for is missing: it says so
"$programs/test_optimizers" > formulas.txt 2>&1 && complain 'test_optimizers misses no formula'
grep -q 'no formula for signum' formulas.txt || complain "test_optimizers: $(cat formulas.txt)"
