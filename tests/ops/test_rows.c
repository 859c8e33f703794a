// Bits do not depend on the number of rows: what an operation gives for a token is the same whether the call
// has 1, 7, 64 or all of the tokens, wherever the token is among them, and on any number of threads. So what
// is computed token by token has the bits of what is computed at once. On every instruction set.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/ops/each_isa.h"
#include "tests/ops/run_graph.h"
#include "tests/ops/run_op.h"

// ---- the graphs; `rows` are the tokens

static void product(op_test *t, const char *x, const char *w, const char *over, const char *result) {
  xlm_val a = op_leaf(t, x), b = op_leaf(t, w);
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_over, over);
  if (result) op_put_dims(t, &l, XLM_A_dims, result);
  op_out_const(t, xlm_emit(&t->b, XLM_OP_CONTRACT, (xlm_val[]){a, b}, 2, &l));
}

static void one_sum(op_test *t) {
  product(t, "x[rows, hidden 1]", "w[hidden, ffn 3]", "hidden", NULL);
}
static void odd(op_test *t) {
  product(t, "x[rows, hidden 37]", "w[hidden, ffn 5]", "hidden", NULL);
}
static void wide(op_test *t) {
  product(t, "x[rows, hidden 768]", "w[hidden, ffn 257]", "hidden", NULL);
}
static void wide_transposed(op_test *t) {
  product(t, "x[rows, hidden 768]", "w[ffn 257, hidden]", "hidden", NULL);
}
static void deep(op_test *t) {
  product(t, "x[rows, hidden 1201]", "w[hidden, ffn 70]", "hidden", NULL);
}
static void deep_transposed(op_test *t) {
  product(t, "x[rows, hidden 1201]", "w[ffn 70, hidden]", "hidden", NULL);
}
static void page_apart(op_test *t) { // columns of w are a page of memory apart
  product(t, "x[rows, hidden 1024]", "w[ffn 41, hidden]", "hidden", NULL);
}
static void one_column(op_test *t) {
  product(t, "x[rows, hidden 385]", "w[hidden, ffn 1]", "hidden", NULL);
}
static void vector(op_test *t) {
  product(t, "x[rows, hidden 385]", "w[hidden]", "hidden", NULL);
}
static void by_columns(op_test *t) { // rows innermost, before and after
  product(t, "x[hidden 400, rows]", "w[ffn 33, hidden]", "hidden", "ffn rows");
}
static void to_heads(op_test *t) {
  product(t, "x[rows, hidden 96]", "w[hidden, heads 3, head 40]", "hidden", "heads rows head");
}
static void from_heads(op_test *t) {
  product(t, "x[heads 3, rows, head 40]", "w[heads, head, hidden 70]", "heads head", "rows hidden");
}
static void from_heads_apart(op_test *t) {
  product(t, "x[rows, heads 3, head 40]", "w[head, heads, hidden 70]", "heads head", "rows hidden");
}
static void per_head(op_test *t) {
  product(t, "x[rows, heads 5, head 24]", "w[heads, head, out 24]", "head", "rows heads out");
}
static void vocabulary(op_test *t) {
  product(t, "x[rows, hidden 24]", "w[vocab 50257, hidden]", "hidden", NULL);
}
static void vocabulary_untied(op_test *t) {
  product(t, "x[rows, hidden 24]", "w[hidden, vocab 50257]", "hidden", NULL);
}

static void f32_weight(op_test *t) {
  xlm_val x = op_leaf(t, "x[rows, hidden 401]"), w = op_leaf_f32(t, "w[hidden, ffn 50]", -1, 1);
  op_out_const(t, xlm_op2(&t->b, XLM_OP_CONTRACT, x, w));
}

static void f32_result(op_test *t) {
  xlm_val x = op_leaf(t, "x[rows, hidden 770]"), w = op_leaf(t, "w[ffn 50, hidden]");
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_over, "hidden");
  xlm_attr_put_enum(&l, XLM_A_dtype, XLM_F32);
  op_out_const(t, xlm_emit(&t->b, XLM_OP_CONTRACT, (xlm_val[]){x, w}, 2, &l));
}

static void with_bias(op_test *t, const char *w) { // and the residual stream
  xlm_val in[] = {op_leaf(t, "x[rows, hidden 790]"), op_leaf(t, w), op_leaf(t, "bias[ffn]"),
                  op_leaf(t, "r[rows, ffn]")};
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_over, "hidden");
  op_out_const(t, xlm_emit(&t->b, XLM_OP_CONTRACT_BIAS, in, 3, &l));
  op_out_const(t, xlm_emit(&t->b, XLM_OP_CONTRACT_BIAS, in, 4, &l));
}
static void bias(op_test *t) {
  with_bias(t, "w[hidden, ffn 75]");
}
static void bias_transposed(op_test *t) {
  with_bias(t, "w[ffn 75, hidden]");
}

static xlm_val over(op_test *t, xlm_op_id op, xlm_val x, const char *dims) {
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_over, dims);
  return xlm_emit(&t->b, op, &x, 1, &l);
}

static void along(op_test *t, const char *decl, const char *dims) {
  static const xlm_op_id ops[] = {XLM_OP_SUM,     XLM_OP_MEAN,      XLM_OP_AMAX,     XLM_OP_SOFTMAX,
                                  XLM_OP_RMSNORM, XLM_OP_LAYERNORM, XLM_OP_LOGSUMEXP};
  xlm_val x = op_leaf(t, decl);
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) op_out_const(t, over(t, ops[i], x, dims));
}
static void along_short(op_test *t) {
  along(t, "x[rows, hidden 5]", "hidden");
}
static void along_hidden(op_test *t) {
  along(t, "x[rows, hidden 769]", "hidden");
}
static void along_long(op_test *t) {
  along(t, "x[rows, hidden 2100]", "hidden");
}
static void along_first(op_test *t) {
  along(t, "x[heads 70, rows]", "heads");
}
static void along_middle(op_test *t) {
  along(t, "x[rows, heads 70, head 6]", "heads");
}
static void along_outer(op_test *t) {
  along(t, "x[heads 70, rows, head 6]", "heads");
}
static void along_two(op_test *t) {
  along(t, "x[heads 7, rows, head 66]", "heads head");
}

static void tokens(op_test *t) {
  xlm_val table = op_leaf(t, "table[vocab 200, hidden 77]"), id = op_ints(t, "id[rows]", 0, 200);
  op_out_const(t, xlm_op2(&t->b, XLM_OP_LOOKUP, table, id));
  xlm_val logits = op_leaf(t, "logits[rows, vocab]");
  op_out_const(t, over(t, XLM_OP_ARGMAX, logits, "vocab"));
}

static void angles(op_test *t) {
  xlm_val in[] = {op_leaf(t, "x[rows, heads 3, head 40]"), op_ints(t, "p[rows]", 0, 90000)};
  op_out_const(t, xlm_emit(&t->b, XLM_OP_ROPE, in, 2, NULL));
}

static void chain(op_test *t) { // functions of elements
  xlm_val x = op_leaf(t, "x[rows, hidden 67]"), s = op_leaf(t, "scale[hidden]");
  x = xlm_op2(&t->b, XLM_OP_MUL, xlm_op1(&t->b, XLM_OP_SILU, x), s);
  op_out_const(t, xlm_op1(&t->b, XLM_OP_TANH, x));
  op_out_const(t, xlm_op2(&t->b, XLM_OP_ADD, xlm_op1(&t->b, XLM_OP_SIGMOID, x), x));
}

static void keys_apart(op_test *t) { // attention to keys that are not the rows'
  xlm_val in[] = {op_leaf(t, "q[rows, heads 4, head 40]"), op_leaf(t, "k[kv_seq 150, kv_heads 2, head]"),
                  op_leaf(t, "v[kv_seq, kv_heads, head]")};
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_seq, "rows");
  op_put_dims(t, &l, XLM_A_kv_seq, "kv_seq");
  op_put_dims(t, &l, XLM_A_kv_heads, "kv_heads");
  op_out_const(t, xlm_emit(&t->b, XLM_OP_ATTEND, in, 3, &l));
}

static xlm_val of_experts(op_test *t, xlm_op_id op, const xlm_val *in, int n) {
  xlm_attr_list l = op_attrs(t);
  if (op != XLM_OP_COMBINE) op_put_dims(t, &l, XLM_A_experts, "experts");
  return xlm_emit(&t->b, op, in, n, &l);
}

static void experts(op_test *t) { // router, choice, two products by expert, combination
  xlm_val x = op_leaf(t, "x[rows, hidden 100]"), route = op_leaf(t, "route[hidden, experts 6]");
  xlm_val up = op_leaf(t, "up[experts, hidden, ffn 410]"), down = op_leaf(t, "down[experts, out 90, ffn]");
  xlm_val scores = over(t, XLM_OP_SOFTMAX, xlm_op2(&t->b, XLM_OP_CONTRACT, x, route), "experts");
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_experts, "experts");
  op_put_dims(t, &l, XLM_A_active, "active 2");
  xlm_val w = xlm_emit(&t->b, XLM_OP_TOP_K, &scores, 1, &l), e = w + 1;
  op_out_const(t, w), op_out_const(t, e);
  xlm_val y = of_experts(t, XLM_OP_DISPATCH, (xlm_val[]){x, e}, 2);
  xlm_dim hidden = op_dim(t, "hidden"), ffn = op_dim(t, "ffn");
  y = xlm_contract(&t->b, y, up, &hidden, 1, NULL, -1);
  y = xlm_contract(&t->b, y, down, &ffn, 1, NULL, -1);
  op_out_const(t, of_experts(t, XLM_OP_COMBINE, (xlm_val[]){y, w, e}, 3));
}

typedef struct shape {
  const char *name;
  void (*build)(op_test *t);
  int64_t rows;
} shape;

static const shape shapes[] = {
    {"one_sum", one_sum, 512},
    {"odd", odd, 512},
    {"wide", wide, 300},
    {"wide_transposed", wide_transposed, 300},
    {"deep", deep, 130},
    {"deep_transposed", deep_transposed, 130},
    {"page_apart", page_apart, 130},
    {"one_column", one_column, 512},
    {"vector", vector, 512},
    {"by_columns", by_columns, 130},
    {"to_heads", to_heads, 130},
    {"from_heads", from_heads, 130},
    {"from_heads_apart", from_heads_apart, 130},
    {"per_head", per_head, 130},
    {"vocabulary", vocabulary, 30},
    {"vocabulary_untied", vocabulary_untied, 30},
    {"f32_weight", f32_weight, 130},
    {"f32_result", f32_result, 130},
    {"bias", bias, 130},
    {"bias_transposed", bias_transposed, 130},
    {"along_short", along_short, 512},
    {"along_hidden", along_hidden, 130},
    {"along_long", along_long, 120},
    {"along_first", along_first, 130},
    {"along_middle", along_middle, 130},
    {"along_outer", along_outer, 130},
    {"along_two", along_two, 130},
    {"tokens", tokens, 512},
    {"angles", angles, 130},
    {"chain", chain, 512},
    {"keys_apart", keys_apart, 130},
    {"experts", experts, 300},
};

// ---- running a graph on some of the rows

typedef struct cut { // a tensor as [outer, rows, inner]; rows 0: it has none
  int64_t outer, rows, inner;
} cut;

static cut cut_of(const op_test *t, xlm_val v) {
  const xlm_graph *g = t->b.g;
  const xlm_type *y = xlm_val_type(g, v);
  int at = xlm_type_find(y, xlm_graph_dim_find(g, "rows", 0));
  cut c = {1, 0, 1};
  for (int i = 0; i < y->rank; i++) {
    int64_t *to = i == at ? &c.rows : at < 0 || i < at ? &c.outer : &c.inner;
    *to = i == at ? g->dims[y->dim[i]].size : *to * g->dims[y->dim[i]].size;
  }
  return c;
}

static op_test built(const shape *s, xlm_dtype dtype, int64_t rows, xlm_arena *a) {
  op_test t = {.b = xlm_build_new(xlm_graph_new(a, NULL, "rows")), .dtype = dtype};
  xlm_graph_dim(t.b.g, "rows", rows);
  s->build(&t);
  const char *wrong = xlm_graph_verify(t.b.g, a);
  if (wrong) fail_msg("%s: %s", s->name, wrong);
  return t;
}

// Rows [first, first + the part's rows) of the operands of `whole`.
static void take_rows(op_test *part, const op_test *whole, int64_t first) {
  for (int i = 0; i < part->n_leaves; i++) {
    cut p = cut_of(part, part->leaf[i].val), w = cut_of(whole, whole->leaf[i].val);
    for (int64_t o = 0; o < p.outer && p.rows; o++)
      memcpy(part->leaf[i].values + o * p.rows * p.inner,
             whole->leaf[i].values + (o * w.rows + first) * w.inner,
             (size_t)(p.rows * p.inner) * sizeof(double));
  }
}

static run_graph *run(const shape *s, const op_test *t, int threads) {
  run_graph *r = run_graph_new(t->b.g, (run_options){.backend = xlm_backend_find("cpu"), .threads = threads});
  for (int i = 0; i < t->n_leaves; i++) run_graph_set(r, t->leaf[i].val, t->leaf[i].values);
  run_graph_run(r, 1, t->b.g->n_nodes);
  if (run_graph_error(r)) fail_msg("%s: %s", s->name, run_graph_error(r));
  return r;
}

static void compare(const shape *s, const op_test *part, const run_graph *got, const op_test *whole,
                    const run_graph *all, int64_t first) {
  for (int i = 0; i < part->n_outs; i++) {
    cut p = cut_of(part, part->out[i].val), w = cut_of(whole, whole->out[i].val);
    size_t n, size = xlm_dtype_bytes(xlm_val_type(part->b.g, part->out[i].val)->dtype);
    const char *x = run_graph_bytes(got, part->out[i].val, &n),
               *y = run_graph_bytes(all, whole->out[i].val, &n);
    size_t run = (size_t)(p.rows * p.inner) * size;
    assert_true(p.rows > 0);
    for (int64_t o = 0; o < p.outer; o++)
      if (memcmp(x + (size_t)o * run, y + (size_t)((o * w.rows + first) * w.inner) * size, run))
        fail_msg("%s: result %d of rows %ld to %ld of %ld has other bits than in the whole", s->name, i,
                 (long)first, (long)(first + p.rows - 1), (long)w.rows);
  }
}

static void check(const shape *s, xlm_dtype dtype) {
  static const struct {
    int64_t rows, first; // from the end: negative
    int threads;
  } parts[] = {{1, 0, 1},  {1, 37, 3}, {1, -1, 2}, {2, 11, 1},
               {7, 20, 3}, {16, 5, 2}, {64, 9, 1}, {64, -64, 3}};
  xlm_arena *a = xlm_arena_new(0);
  assert_non_null(a);
  op_test whole = built(s, dtype, s->rows, a);
  run_graph *all = run(s, &whole, 2);
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    if (parts[i].first + parts[i].rows > s->rows || parts[i].first + s->rows < 0) continue;
    int64_t first = parts[i].first < 0 ? s->rows + parts[i].first : parts[i].first;
    op_test part = built(s, dtype, parts[i].rows, a);
    take_rows(&part, &whole, first);
    run_graph *some = run(s, &part, parts[i].threads);
    compare(s, &part, some, &whole, all, first);
    run_graph_free(some);
  }
  run_graph_free(all);
  xlm_arena_free(a);
}

static void same_bits(void **state) {
  check(*state, XLM_F32);
}
static void same_bits_bf16(void **state) {
  check(*state, XLM_BF16);
}

static int run_all(void) {
  enum { N = sizeof shapes / sizeof *shapes };
  struct CMUnitTest tests[2 * N];
  char names[N][64];
  for (int i = 0; i < N; i++) {
    snprintf(names[i], sizeof names[i], "%s bf16", shapes[i].name);
    tests[2 * i] = (struct CMUnitTest){shapes[i].name, same_bits, NULL, NULL, (void *)&shapes[i]};
    tests[2 * i + 1] = (struct CMUnitTest){names[i], same_bits_bf16, NULL, NULL, (void *)&shapes[i]};
  }
  return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
  return each_isa(run_all);
}
