// Cases of the ops of a training step: accumulators, norms, updates.
#include "tests/ops/run_op.h"

static void accumulate(op_test *t, bool store) {
  xlm_val in[] = {op_state(t, "acc[rows 37, cols 211]", -1, 1), op_leaf(t, "g[rows, cols]")};
  xlm_attr_list l = op_attrs(t);
  if (store) xlm_attr_put_int(&l, XLM_A_store, 1);
  op_out_const(t, xlm_emit(&t->b, XLM_OP_ACCUMULATE, in, 2, &l));
}

static void accumulate_first(op_test *t) {
  accumulate(t, true);
}

static void accumulate_next(op_test *t) {
  accumulate(t, false);
}

static void accumulate_scalar(op_test *t) {
  op_out_const(t, xlm_op2(&t->b, XLM_OP_ACCUMULATE, op_state(t, "acc[]", -1, 1), op_leaf(t, "g[]")));
}

static void assign(op_test *t) {
  xlm_val s = op_state(t, "s[rows 3, cols 5]", -1, 1), x = op_fixed(t, "x[rows, cols]", -1, 1);
  op_out_const(t, xlm_op2(&t->b, XLM_OP_ASSIGN, s, x));
}

// The limbs of a squared norm are the backend's own: what clip_scale makes of them is compared.
static void norm_of(op_test *t, const xlm_val *in, int n) {
  xlm_val sq = xlm_emit(&t->b, XLM_OP_NORM_SQ, in, n, NULL);
  op_out_const(t, xlm_emit(&t->b, XLM_OP_CLIP_SCALE, &sq, 1, NULL) + 1);
}

static void norm_sq_one(op_test *t) {
  norm_of(t, (xlm_val[]){op_leaf(t, "x[rows 3]")}, 1);
}

static void norm_sq_few(op_test *t) {
  xlm_val a = op_leaf(t, "a[rows 3, cols 7]"), b = op_leaf(t, "b[]");
  norm_of(t, (xlm_val[]){a, b}, 2);
}

static void norm_sq_many(op_test *t) { // several blocks, sizes that are no multiple of anything
  xlm_val in[] = {op_leaf(t, "a[n 30011]"), op_fixed(t, "b[rows 3, cols 7]", -1, 1), op_leaf(t, "c[]"),
                  op_fixed(t, "d[m 8192]", -3, 3)};
  norm_of(t, in, 4);
}

static void clip_to(op_test *t, double most) {
  xlm_val n1 = xlm_op1(&t->b, XLM_OP_NORM_SQ, op_leaf(t, "a[rows 30]"));
  xlm_val n2 = xlm_op1(&t->b, XLM_OP_NORM_SQ, op_leaf(t, "b[rows]"));
  xlm_attr_list l = op_attrs(t);
  if (most > 0) xlm_attr_put_float(&l, XLM_A_value, most);
  xlm_val scale = xlm_emit(&t->b, XLM_OP_CLIP_SCALE, (xlm_val[]){n1, n2}, 2, &l);
  op_out_const(t, scale);
  op_out_const(t, scale + 1);
}

static void clip_smaller(op_test *t) {
  clip_to(t, 0.5);
}
static void clip_larger(op_test *t) {
  clip_to(t, 500);
}
static void clip_never(op_test *t) {
  clip_to(t, 0);
}

static void adamw_step(op_test *t, double step, double decay) {
  xlm_val in[] = {op_state(t, "p[rows 41, cols 103]", -1, 1),
                  op_state(t, "m[rows, cols]", -0.1, 0.1),
                  op_state(t, "v[rows, cols]", 0, 0.1),
                  op_leaf(t, "g[rows, cols]"),
                  op_data(t, "scale[]", (double[]){0.25}),
                  op_data(t, "lr[]", (double[]){0.01}),
                  op_data(t, "step[]", &step)};
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_float(&l, XLM_A_beta1, 0.8);
  xlm_attr_put_float(&l, XLM_A_beta2, 0.97);
  xlm_attr_put_float(&l, XLM_A_eps, 1e-3);
  xlm_attr_put_float(&l, XLM_A_decay, decay);
  xlm_val first = xlm_emit(&t->b, XLM_OP_ADAMW, in, 7, &l);
  for (xlm_val i = 0; i < 3; i++) op_out_const(t, first + i);
}

static void adamw_first(op_test *t) {
  adamw_step(t, 1, 0);
}
static void adamw_later(op_test *t) {
  adamw_step(t, 700, 0.1);
}

static void adamw_defaults(op_test *t) {
  xlm_val in[] = {op_state(t, "p[rows 5]", -1, 1),      op_state(t, "m[rows]", -0.1, 0.1),
                  op_state(t, "v[rows]", 0, 0.1),       op_leaf(t, "g[rows]"),
                  op_data(t, "scale[]", (double[]){1}), op_data(t, "lr[]", (double[]){0.001}),
                  op_data(t, "step[]", (double[]){2})};
  xlm_val first = xlm_emit(&t->b, XLM_OP_ADAMW, in, 7, NULL);
  for (xlm_val i = 0; i < 3; i++) op_out_const(t, first + i);
}

static void sgd_step(op_test *t, bool nesterov) {
  xlm_val in[] = {op_state(t, "p[rows 41, cols 103]", -1, 1), op_state(t, "m[rows, cols]", -0.1, 0.1),
                  op_leaf(t, "g[rows, cols]"), op_data(t, "scale[]", (double[]){0.5}),
                  op_data(t, "lr[]", (double[]){0.01})};
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_float(&l, XLM_A_beta1, 0.9);
  xlm_attr_put_float(&l, XLM_A_decay, 0.1);
  if (nesterov) xlm_attr_put_int(&l, XLM_A_nesterov, 1);
  xlm_val first = xlm_emit(&t->b, XLM_OP_SGD, in, 5, &l);
  for (xlm_val i = 0; i < 2; i++) op_out_const(t, first + i);
}

static void sgd_momentum(op_test *t) {
  sgd_step(t, false);
}
static void sgd_nesterov(op_test *t) {
  sgd_step(t, true);
}

static const op_case table[] = {
    {"first", XLM_OP_ACCUMULATE, accumulate_first, .bf16 = true, .no_grad = true},
    {"next", XLM_OP_ACCUMULATE, accumulate_next, .bf16 = true, .no_grad = true},
    {"scalar", XLM_OP_ACCUMULATE, accumulate_scalar, .bf16 = true, .no_grad = true},
    {"state", XLM_OP_ASSIGN, assign, .no_grad = true},
    {"one", XLM_OP_NORM_SQ, norm_sq_one, .bf16 = true, .no_grad = true, .tol = 1e-7, .tol_bf16 = 1e-7},
    {"few", XLM_OP_NORM_SQ, norm_sq_few, .no_grad = true, .tol = 1e-7},
    {"many", XLM_OP_NORM_SQ, norm_sq_many, .bf16 = true, .no_grad = true, .tol = 1e-7, .tol_bf16 = 1e-7},
    {"smaller", XLM_OP_CLIP_SCALE, clip_smaller, .no_grad = true},
    {"larger", XLM_OP_CLIP_SCALE, clip_larger, .no_grad = true},
    {"never", XLM_OP_CLIP_SCALE, clip_never, .no_grad = true},
    {"first", XLM_OP_ADAMW, adamw_first, .bf16 = true, .no_grad = true},
    {"later", XLM_OP_ADAMW, adamw_later, .bf16 = true, .no_grad = true},
    {"defaults", XLM_OP_ADAMW, adamw_defaults, .no_grad = true},
    {"momentum", XLM_OP_SGD, sgd_momentum, .bf16 = true, .no_grad = true},
    {"nesterov", XLM_OP_SGD, sgd_nesterov, .bf16 = true, .no_grad = true},
};
const op_cases cases_training = {table, sizeof table / sizeof *table};
