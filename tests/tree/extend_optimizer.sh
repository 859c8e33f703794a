# An optimizer by the files that docs/extending.md lists: `signum`, the sign of a moment.
add_optimizer() {
  cat > "$copy/compiler/optimizer/signum.c" <<'C'
// signum: the sign of a moment (Bernstein et al., 2018).
#include "compiler/optimizer/step_priv.h"

static void build(xlm_step *s) {
  xlm_val m = xlm_step_state_like(s, "signum.m");
  xlm_val scaled = xlm_scale(s->b, m, xlm_step_setting(s, "signum_beta"));
  xlm_val next = xlm_op2(s->b, XLM_OP_ADD, scaled, xlm_step_gradient(s));
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
  insert tests/train/test_optimizers.c before '^static double root_mean_square' <<'C'
static void signum(double *p, const double *g, memory *s, int rows, int cols, int t, double lr, double decay) {
  (void)t;
  for (int i = 0; i < rows * cols; i++) {
    s->a[i] = 0.9 * s->a[i] + g[i];
    p[i] -= lr * ((s->a[i] > 0) - (s->a[i] < 0) + decay * p[i]);
  }
}
C
  insert tests/train/test_optimizers.c before '^ *[{]"adafactor",' <<< '    {"signum", {{0}}, signum, signum},'
  echo '`signum`: the sign of a moment.' >> "$copy/docs/optimizers.md"
}

check_optimizer() {
  "$programs/xlmc" plan "$source_dir/models/llama.xlm" "${nano[@]}" --optimizer signum --signum-beta 0.5 > plan.txt || complain "no plan: $(cat plan.txt)"
  grep -Eq '^ +default +signum +[0-9]+ ' plan.txt || complain "the plan does not say who updates: $(cat plan.txt)"
  "$programs/xlmc" plan "$source_dir/models/llama.xlm" "${nano[@]}" --optimizer signun > wrong.txt 2>&1 && complain 'a misspelt optimizer is accepted'
  grep -q "did you mean 'signum'" wrong.txt || complain "no suggestion: $(cat wrong.txt)"
  train signum --optimizer signum --dp 2
  train signum.zero --optimizer signum --dp 2 --zero 2
  same_losses signum signum.zero
  "$programs/tests/test_optimizers" > formulas.txt 2>&1 || complain "test_optimizers: $(tail -n 5 formulas.txt)"

  # without its formula the test says so
  sed -i '/{"signum", {{0}}, signum, signum}/d' "$copy/tests/train/test_optimizers.c"
  sed -i 's/^static void signum(/__attribute__((unused)) &/' "$copy/tests/train/test_optimizers.c"
  extend_build test_optimizers
  "$programs/tests/test_optimizers" > formulas.txt 2>&1 && complain 'test_optimizers misses no formula'
  grep -q 'no formula for signum' formulas.txt || complain "test_optimizers: $(cat formulas.txt)"
}
