# An operation by the files that docs/extending.md lists: `center`, x minus its mean along some dimensions.
add_op() {
  cat > "$copy/ops/center.c" <<'C'
// center: x minus its mean along some dimensions. The map is symmetric, so the gradient is the same operation.
#include "ops/rules_priv.h"

static bool infer(xlm_infer *x) {
  if (!xlm_rule_over(x, false)) return false;
  x->out[0] = *xlm_infer_type(x, 0);
  return true;
}

static void grad(xlm_grad *g) {
  xlm_attr_list l = xlm_rule_over_of(g->b->g, g->node);
  g->din[0] = xlm_emit(g->b, XLM_OP_CENTER, g->dout, 1, &l);
}

static const xlm_param params[] = {
    {"x", XLM_P_TENSOR, 0, true}, {"over", XLM_P_OVER, XLM_A_over, false}, {0}};

const xlm_op xlm_op_center = {.name = "center",
                              .facts = {.linear = 1, .mixes = XLM_KEY(over)},
                              .min_in = 1,
                              .max_in = 1,
                              .n_out = 1,
                              .params = params,
                              XLM_TAKES({XLM_A_over, XLM_IN(0), 0, 8}),
                              .layout = "[* over] -> [* over] | over: whole",
                              .infer = infer,
                              .grad = grad,
                              .doc = "`center(x, over a)`: x minus its mean over the named dimensions."};
C
  cat > "$copy/ops/ref/center.c" <<'C'
// center, in float64.
#include "ops/ref/over_priv.h"

static xlm_status run(const xlm_call *c) {
  const xlm_type *t = c->in_type[0];
  ref_walk outer = ref_over_outer(c, t);
  while (ref_walk_next(&outer)) {
    double sum = 0, n = 0;
    ref_walk inner = ref_over_inner(c, t), again = ref_over_inner(c, t);
    while (ref_walk_next(&inner)) sum += ref_in(c, 0)[ref_over_at(c, t, &outer, &inner)], n++;
    while (ref_walk_next(&again)) {
      int64_t at = ref_over_at(c, t, &outer, &again);
      ref_out(c, 0)[at] = ref_in(c, 0)[at] - sum / n;
    }
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_center = {.op = XLM_OP_CENTER, .run = run};
C
  cat > "$copy/ops/cpu/center.c" <<'C'
// center on the CPU: a row per worker at a time.
#include "ops/cpu/kernel_priv.h"
#include "ops/cpu/over_priv.h"

static size_t workspace(const xlm_call *c, const xlm_target *t) {
  return (size_t)over_of(c, c->in_type[0]).len * sizeof(float) * (size_t)t->threads;
}

static void work(void *arg, int worker, int workers) {
  const xlm_call *c = arg;
  over_rows r = over_of(c, c->in_type[0]);
  float *row = (float *)c->workspace + worker * r.len;
  int64_t i, end;
  xlm_pool_range(r.count, worker, workers, &i, &end);
  for (; i < end; i++) {
    over_read(&r, c->in_type[0]->dtype, c->in[0], i, row);
    float mean = vec_sum(row, r.len) / (float)r.len;
    for (int64_t k = 0; k < r.len; k++) row[k] -= mean;
    over_write(&r, c->out_type[0]->dtype, c->out[0], i, row);
  }
}

static xlm_status run(const xlm_call *c) {
  xlm_pool_run(xlm_cpu_pool(c), work, (void *)c);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(center) = {.op = XLM_OP_CENTER, .workspace = workspace, .run = run};
C
  insert ops/ops.def before '^XLM_OP\(softmax,' <<< 'XLM_OP(center, CENTER, "reductions", kernel)'
  insert tests/ops/cases_reductions.c before '^static const op_case table' << 'C'
static void center(op_test *t, const char *decl, const char *over) {
  xlm_val x = op_leaf(t, decl);
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_over, over);
  op_out(t, xlm_emit(&t->b, XLM_OP_CENTER, &x, 1, &l));
}
static void center_rows(op_test *t) {
  center(t, "x[batch 5, hidden 37]", "hidden");
}
static void center_middle(op_test *t) {
  center(t, "x[batch 3, seq 9, hidden 4]", "seq");
}
C
  insert tests/ops/cases_reductions.c after '^static const op_case table' << 'C'
    {"rows", XLM_OP_CENTER, center_rows, .bf16 = true},
    {"middle", XLM_OP_CENTER, center_middle, .bf16 = true},
C
}

check_op() {
  local test
  "$programs/tests/test_ops" center. > ops.txt 2>&1 || complain "test_ops: $(tail -n 5 ops.txt)"
  for test in test_complete test_fact_sums test_fact_places; do
    "$programs/tests/$test" > "$test.txt" 2>&1 || complain "$test: $(tail -n 20 "$test.txt")"
  done

  # along the sequence, of what tp splits
  sed 's/silu(x @ gate)/center(silu(x @ gate), over seq)/' "$source_dir/models/blocks/swiglu.xlm" > swiglu.xlm
  sed 's|blocks/swiglu.xlm|swiglu.xlm|' "$source_dir/models/llama.xlm" > center.xlm
  grep -q 'center(silu' swiglu.xlm && grep -q '"swiglu.xlm"' center.xlm || complain 'the model is another: adapt this test'
  model=center.xlm train center
  model=center.xlm train center.tp --tp 2
  near_losses center center.tp
  train plain
  cmp -s center.loss plain.loss && complain 'center changes nothing'
  "$programs/xlmc" ops | grep -q "center(x, over a).*minus its mean" || complain "xlmc ops does not explain center"
}
