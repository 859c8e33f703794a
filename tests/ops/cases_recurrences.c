// Cases of cumsum, scan and linear_attend. For linear_attend a row of a table is one configuration; `small`
// ones are also checked by finite differences, the others span several chunks and compare linear_attend_bwd
// with the reference.
#include <math.h>
#include <string.h>

#include "tests/ops/run_op.h"

static void cumsum(op_test *t, const char *decl, const char *over, bool reverse) {
  xlm_val x = op_leaf(t, decl);
  xlm_attr_list l = op_attrs(t);
  if (over) op_put_dims(t, &l, XLM_A_seq, over);
  if (reverse) xlm_attr_put_int(&l, XLM_A_inverse, 1);
  op_out(t, xlm_emit(&t->b, XLM_OP_CUMSUM, &x, 1, &l));
}

static void sum_middle(op_test *t) {
  cumsum(t, "x[batch 2, seq 5, hidden 7]", NULL, false);
}
static void sum_last(op_test *t) {
  cumsum(t, "x[batch 3, seq 9]", NULL, false);
}
static void sum_first(op_test *t) {
  cumsum(t, "x[heads 4, head 3]", "heads", false);
}
static void sum_reverse(op_test *t) {
  cumsum(t, "x[batch 2, seq 5, hidden 3]", NULL, true);
}
static void sum_single(op_test *t) {
  cumsum(t, "x[seq 1]", NULL, false);
}
static void sum_nothing(op_test *t) {
  cumsum(t, "x[batch 2, seq 0]", NULL, false);
}
static void sum_long(op_test *t) {
  cumsum(t, "x[seq 5003]", NULL, false);
}
static void sum_long_reverse(op_test *t) {
  cumsum(t, "x[batch 3, seq 301, hidden 35]", NULL, true);
}
static void sum_wide(op_test *t) {
  cumsum(t, "x[batch 2, seq 130, hidden 300]", NULL, false);
}
static void sum_rows(op_test *t) {
  cumsum(t, "x[batch 150, seq 70]", NULL, false);
}

static void scan(op_test *t, const char *a, const char *b, bool reverse) {
  xlm_val in[2];
  in[1] = op_leaf(t, b);
  in[0] = op_leaf_range(t, a, -0.9, 0.99);
  xlm_attr_list l = op_attrs(t);
  if (reverse) xlm_attr_put_int(&l, XLM_A_inverse, 1);
  op_out(t, xlm_emit(&t->b, XLM_OP_SCAN, in, 2, &l));
}

static void scan_plain(op_test *t) {
  scan(t, "a[batch, seq, hidden]", "b[batch 2, seq 5, hidden 7]", false);
}
static void scan_reverse(op_test *t) {
  scan(t, "a[batch, seq, hidden]", "b[batch 2, seq 5, hidden 7]", true);
}
static void scan_constant(op_test *t) {
  scan(t, "a[hidden]", "b[batch 2, seq 5, hidden 7]", false);
}
static void scan_constant_reverse(op_test *t) {
  scan(t, "a[batch]", "b[batch 2, seq 5, hidden 7]", true);
}
static void scan_number(op_test *t) {
  scan(t, "a[]", "b[seq 6, hidden 3]", false);
}
static void scan_shared(op_test *t) {
  scan(t, "a[batch, seq]", "b[batch 2, seq 5, hidden 7]", false);
}
static void scan_orders(op_test *t) {
  scan(t, "a[hidden, seq, batch]", "b[batch 3, seq 4, hidden 5]", false);
}
static void scan_last(op_test *t) {
  scan(t, "a[hidden]", "b[batch 3, hidden 2, seq 5]", false);
}
static void scan_mixed(op_test *t) { // factors in f32, terms of the case's type
  xlm_val in[2] = {op_leaf_f32(t, "a[seq 4]", 0, 1)};
  in[1] = op_leaf(t, "b[seq, hidden 5]");
  op_out(t, xlm_emit(&t->b, XLM_OP_SCAN, in, 2, NULL));
}
static void scan_long(op_test *t) {
  scan(t, "a[seq, hidden]", "b[batch 2, seq 300, hidden 37]", false);
}
static void scan_long_reverse(op_test *t) {
  scan(t, "a[batch, seq, hidden]", "b[batch 2, seq 263, hidden 300]", true);
}
static void scan_long_rows(op_test *t) {
  scan(t, "a[batch, seq]", "b[batch 131, seq 77]", false);
}

// ---- linear_attend

typedef struct setting {
  const char *name, *q, *k, *v, *decay;
  double least; // log_decay is in [least, 0]
} setting;

static const setting settings[] = {
    {"retention", "q[batch 2, seq 5, heads 2, state 3]", "k[batch, seq, heads, state]",
     "v[batch, seq, heads, head 4]", "g[heads]", -1},
    {"state_space", "q[batch 2, seq 5, state 3]", "k[batch, seq, state]", "v[batch, seq, heads 3, head 2]",
     "g[batch, seq, heads]", -2},
    {"plain", "q[seq 6, state 3]", "k[seq, state]", "v[seq, head 4]", NULL},
    {"shared", "q[batch 2, seq 4, state 3]", "k[batch, seq, state]", "v[batch, seq, heads 2, head 2]", NULL},
    {"one_decay", "q[batch 2, seq 4, heads 2, state 2]", "k[batch, seq, heads, state]",
     "v[batch, seq, heads, head 3]", "g[]", -1},
    {"by_position", "q[seq 5, state 2]", "k[seq, state]", "v[seq, heads 2, head 3]", "g[seq]", -1},
    {"groups", "q[seq 4, groups 2, state 2]", "k[seq, groups, state]", "v[seq, groups, heads 3, head 2]",
     "g[seq, groups, heads]", -1},
    {"orders", "q[state 3, seq 4, batch 2]", "k[batch, state, seq]", "v[head 2, heads 3, seq, batch]",
     "g[heads, seq, batch]", -1},
    {"channels", "q[batch 2, seq 5, heads 2, state 3]", "k[batch, seq, heads, state]",
     "v[batch, seq, heads, head 4]", "g[batch, seq, heads, state]", -2},
    {"channels_shared", "q[batch 2, seq 4, state 3]", "k[batch, seq, state]",
     "v[batch, seq, heads 2, head 2]", "g[batch, seq, heads, state]", -2},
    {"channels_constant", "q[seq 6, heads 2, state 3]", "k[seq, heads, state]", "v[seq, heads, head 2]",
     "g[heads, state]", -1},
    {"channels_alone", "q[batch 2, seq 5, state 3]", "k[batch, seq, state]", "v[batch, seq, heads 2, head 2]",
     "g[state]", -1},
    {"channels_of_entry", "q[seq 5, groups 2, state 2]", "k[seq, groups, state]",
     "v[seq, groups, heads 3, head 2]", "g[seq, groups, state]", -1},
    {"channels_orders", "q[state 3, seq 4, batch 2]", "k[batch, state, seq]",
     "v[head 2, heads 3, seq, batch]", "g[state, heads, seq, batch]", -1},
    {"channels_parts", "q[seq 37, state 2]", "k[seq, state]", "v[seq, head 3]", "g[seq, state]", -0.5},
    // several chunks of 64
    {"tiles", "q[batch 2, seq 140, heads 2, state 24]", "k[batch, seq, heads, state]",
     "v[batch, seq, heads, head 20]", "g[heads]", -0.1},
    {"tiles_shared", "q[batch 2, seq 200, state 33]", "k[batch, seq, state]",
     "v[batch, seq, heads 3, head 16]", "g[batch, seq, heads]", -0.3},
    {"tiles_fast", "q[seq 130, state 16]", "k[seq, state]", "v[seq, heads 2, head 8]", "g[seq, heads]", -20},
    {"tiles_slow", "q[seq 320, state 8]", "k[seq, state]", "v[seq, heads 2, head 8]", "g[seq, heads]",
     -0.001},
    {"tiles_plain", "q[batch 3, seq 129, state 17]", "k[batch, seq, state]", "v[batch, seq, head 70]", NULL},
    {"tiles_orders", "q[state 20, seq 70, batch 2]", "k[seq, batch, state]",
     "v[head 18, seq, heads 2, batch]", "g[heads, batch, seq]", -0.2},
    {"tiles_whole", "q[batch 1, seq 192, state 64]", "k[batch, seq, state]",
     "v[batch, seq, heads 2, head 64]", "g[batch, seq, heads]", -0.1},
    {"tiles_channels", "q[batch 2, seq 140, heads 2, state 24]", "k[batch, seq, heads, state]",
     "v[batch, seq, heads, head 20]", "g[batch, seq, heads, state]", -0.3},
    {"tiles_channels_shared", "q[batch 2, seq 200, state 33]", "k[batch, seq, state]",
     "v[batch, seq, heads 3, head 16]", "g[batch, seq, heads, state]", -0.2},
    {"tiles_channels_fast", "q[seq 150, state 16]", "k[seq, state]", "v[seq, heads 2, head 8]",
     "g[seq, heads, state]", -40},
    {"tiles_channels_slow", "q[seq 320, state 8]", "k[seq, state]", "v[seq, heads 2, head 8]",
     "g[seq, state]", -0.001},
    {"tiles_channels_orders", "q[state 20, seq 70, batch 2]", "k[seq, batch, state]",
     "v[head 18, seq, heads 2, batch]", "g[heads, state, batch, seq]", -0.2},
    {"tiles_channels_whole", "q[batch 1, seq 128, state 64]", "k[batch, seq, state]",
     "v[batch, seq, heads 2, head 32]", "g[heads, state]", -0.1},
    {"tiles_channels_wide", "q[seq 66, state 72]", "k[seq, state]", "v[seq, heads 1, head 70]",
     "g[seq, heads, state]", -0.1},
    {"tiles_wide_keys", "q[seq 70, state 136]", "k[seq, state]", "v[seq, heads 2, head 8]", "g[seq, heads]",
     -0.1},
};

static const setting *setting_of(const op_test *t) {
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
    if (!strcmp(settings[i].name, t->the_case->name)) return &settings[i];
  XLM_ASSERT(false, "no setting %s", t->the_case->name);
  return NULL;
}

static int operands(op_test *t, const setting *s, xlm_val in[4]) {
  in[0] = op_leaf(t, s->q), in[1] = op_leaf(t, s->k), in[2] = op_leaf(t, s->v);
  if (s->decay) in[3] = op_leaf_f32(t, s->decay, s->least, 0);
  return s->decay ? 4 : 3;
}

static void small(op_test *t) {
  xlm_val in[4];
  int n = operands(t, setting_of(t), in);
  op_out(t, xlm_emit(&t->b, XLM_OP_LINEAR_ATTEND, in, n, NULL));
}

static void direct(op_test *t) { // linear_attend_bwd as a node of its own
  const setting *s = setting_of(t);
  xlm_val in[4], back[5];
  int n = operands(t, s, in);
  char decl[128] = "d";
  op_out_const(t, xlm_emit(&t->b, XLM_OP_LINEAR_ATTEND, in, n, NULL));
  memcpy(back, in, 3 * sizeof *in);
  back[3] = op_leaf(t, strcat(decl, s->v)), back[4] = in[3];
  xlm_val first = xlm_emit(&t->b, XLM_OP_LINEAR_ATTEND_BWD, back, n + 1, NULL);
  for (xlm_val i = 0; i < (xlm_val)n; i++) op_out_const(t, first + i);
}

static void mixed(op_test *t) { // values and decays in f32, queries and keys of the case's type
  xlm_val in[4] = {op_leaf(t, "q[seq 66, state 3]")};
  in[1] = op_leaf(t, "k[seq, state]"), in[2] = op_leaf_f32(t, "v[seq, heads 2, head 2]", -1, 1);
  in[3] = op_leaf_f32(t, "g[heads]", -0.2, 0);
  op_out(t, xlm_emit(&t->b, XLM_OP_LINEAR_ATTEND, in, 4, NULL));
}

static void nothing(op_test *t) {
  xlm_val in[4] = {op_leaf(t, "q[seq 0, state 3]")};
  in[1] = op_leaf(t, "k[seq, state]"), in[2] = op_leaf(t, "v[seq, heads 2, head 2]");
  in[3] = op_leaf_f32(t, "g[seq, heads]", -1, 0);
  op_out(t, xlm_emit(&t->b, XLM_OP_LINEAR_ATTEND, in, 4, NULL));
}

// A very negative log_decay ends what came before: the second part is as if it stood alone.
static void documents(op_test *t) {
  double decay[100] = {0};
  decay[70] = -1e30;
  xlm_val in[4] = {op_leaf(t, "q[seq 100, state 5]")};
  in[1] = op_leaf(t, "k[seq, state]"), in[2] = op_leaf(t, "v[seq, head 3]");
  in[3] = op_data(t, "g[seq]", decay);
  op_out(t, xlm_emit(&t->b, XLM_OP_LINEAR_ATTEND, in, 4, NULL));
}

// The same for each channel at another position, with the slowest decays around.
static void channel_documents(op_test *t) {
  double decay[100 * 5] = {0};
  for (int i = 0; i < 5; i++) decay[(66 + i) * 5 + i] = i % 2 ? -1e30 : -INFINITY;
  xlm_val in[4] = {op_leaf(t, "q[seq 100, state 5]")};
  in[1] = op_leaf(t, "k[seq, state]"), in[2] = op_leaf(t, "v[seq, head 3]");
  in[3] = op_data(t, "g[seq, state]", decay);
  op_out(t, xlm_emit(&t->b, XLM_OP_LINEAR_ATTEND, in, 4, NULL));
}

static const op_case table[] = {
    {"middle", XLM_OP_CUMSUM, sum_middle, .bf16 = true},
    {"last", XLM_OP_CUMSUM, sum_last, .bf16 = true},
    {"first", XLM_OP_CUMSUM, sum_first, .bf16 = true},
    {"reverse", XLM_OP_CUMSUM, sum_reverse, .bf16 = true},
    {"single", XLM_OP_CUMSUM, sum_single, .bf16 = true},
    {"nothing", XLM_OP_CUMSUM, sum_nothing},
    {"long", XLM_OP_CUMSUM, sum_long, .no_grad = true},
    {"long_reverse", XLM_OP_CUMSUM, sum_long_reverse, .bf16 = true, .no_grad = true},
    {"wide", XLM_OP_CUMSUM, sum_wide, .bf16 = true, .no_grad = true},
    {"rows", XLM_OP_CUMSUM, sum_rows, .bf16 = true, .no_grad = true},
    {"plain", XLM_OP_SCAN, scan_plain, .bf16 = true},
    {"reverse", XLM_OP_SCAN, scan_reverse, .bf16 = true},
    {"constant", XLM_OP_SCAN, scan_constant, .bf16 = true},
    {"constant_reverse", XLM_OP_SCAN, scan_constant_reverse},
    {"number", XLM_OP_SCAN, scan_number},
    {"shared", XLM_OP_SCAN, scan_shared, .bf16 = true},
    {"orders", XLM_OP_SCAN, scan_orders},
    {"last", XLM_OP_SCAN, scan_last},
    {"mixed", XLM_OP_SCAN, scan_mixed, .bf16 = true},
    {"long", XLM_OP_SCAN, scan_long, .bf16 = true, .no_grad = true},
    {"long_reverse", XLM_OP_SCAN, scan_long_reverse, .bf16 = true, .no_grad = true},
    {"long_rows", XLM_OP_SCAN, scan_long_rows, .bf16 = true, .no_grad = true},
    {"retention", XLM_OP_LINEAR_ATTEND, small, .bf16 = true},
    {"state_space", XLM_OP_LINEAR_ATTEND, small, .bf16 = true},
    {"plain", XLM_OP_LINEAR_ATTEND, small, .bf16 = true},
    {"shared", XLM_OP_LINEAR_ATTEND, small},
    {"one_decay", XLM_OP_LINEAR_ATTEND, small},
    {"by_position", XLM_OP_LINEAR_ATTEND, small},
    {"groups", XLM_OP_LINEAR_ATTEND, small},
    {"orders", XLM_OP_LINEAR_ATTEND, small, .bf16 = true},
    {"channels", XLM_OP_LINEAR_ATTEND, small, .bf16 = true},
    {"channels_shared", XLM_OP_LINEAR_ATTEND, small, .bf16 = true},
    {"channels_constant", XLM_OP_LINEAR_ATTEND, small},
    {"channels_alone", XLM_OP_LINEAR_ATTEND, small},
    {"channels_of_entry", XLM_OP_LINEAR_ATTEND, small},
    {"channels_orders", XLM_OP_LINEAR_ATTEND, small, .bf16 = true},
    {"channels_parts", XLM_OP_LINEAR_ATTEND, small},
    {"documents", XLM_OP_LINEAR_ATTEND, documents, .no_grad = true},
    {"channel_documents", XLM_OP_LINEAR_ATTEND, channel_documents, .no_grad = true},
    {"tiles", XLM_OP_LINEAR_ATTEND_BWD, direct, .bf16 = true, .no_grad = true},
    {"tiles_shared", XLM_OP_LINEAR_ATTEND_BWD, direct, .bf16 = true, .no_grad = true},
    {"tiles_fast", XLM_OP_LINEAR_ATTEND_BWD, direct, .no_grad = true},
    {"tiles_slow", XLM_OP_LINEAR_ATTEND_BWD, direct, .no_grad = true},
    {"tiles_plain", XLM_OP_LINEAR_ATTEND_BWD, direct, .no_grad = true},
    {"tiles_orders", XLM_OP_LINEAR_ATTEND_BWD, direct, .bf16 = true, .no_grad = true},
    {"tiles_whole", XLM_OP_LINEAR_ATTEND_BWD, direct, .bf16 = true, .no_grad = true},
    {"tiles_wide_keys", XLM_OP_LINEAR_ATTEND_BWD, direct, .bf16 = true, .no_grad = true},
    {"tiles_channels", XLM_OP_LINEAR_ATTEND_BWD, direct, .bf16 = true, .no_grad = true},
    {"tiles_channels_shared", XLM_OP_LINEAR_ATTEND_BWD, direct, .bf16 = true, .no_grad = true},
    {"tiles_channels_fast", XLM_OP_LINEAR_ATTEND_BWD, direct, .no_grad = true},
    {"tiles_channels_slow", XLM_OP_LINEAR_ATTEND_BWD, direct, .no_grad = true},
    {"tiles_channels_orders", XLM_OP_LINEAR_ATTEND_BWD, direct, .bf16 = true, .no_grad = true},
    {"tiles_channels_whole", XLM_OP_LINEAR_ATTEND_BWD, direct, .bf16 = true, .no_grad = true},
    {"tiles_channels_wide", XLM_OP_LINEAR_ATTEND_BWD, direct, .bf16 = true, .no_grad = true},
    {"mixed", XLM_OP_LINEAR_ATTEND, mixed, .bf16 = true},
    {"nothing", XLM_OP_LINEAR_ATTEND, nothing},
};
const op_cases cases_recurrences = {table, sizeof table / sizeof *table};
