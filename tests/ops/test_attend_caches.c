// Attention over caches has the bits of attention over the whole sequence: a few queries or many, whatever
// place a sequence is at, with rings as long as the window or longer, and every optional operand. What the
// caches hold of other places is NaN: it must not be used. On every instruction set.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/ops/each_isa.h"
#include "tests/ops/run_graph.h"
#include "tests/ops/run_op.h"

enum { BATCH = 2, SEQ = 230 };

typedef struct setting {
  const char *name;
  int heads, kv_heads, head, value, window, ring; // ring 0: SEQ
  double softcap;
  int terms; // 1 << XLM_OPERAND_..
  xlm_dtype dtype;
} setting;

static const setting settings[] = {
    {"plain", 4, 4, 64, 64},
    {"bf16", 4, 4, 64, 64, .dtype = XLM_BF16},
    {"grouped", 6, 2, 40, 40},
    {"one_key_head", 5, 1, 24, 24},
    {"many_heads", 70, 70, 8, 8},
    {"large_groups", 63, 3, 8, 16},
    {"long_values", 2, 2, 16, 130},
    {"window", 4, 2, 32, 32, 70, 70},
    {"window_of_tiles", 4, 2, 32, 32, 64, 64},
    {"small_window", 3, 3, 16, 16, 5, 5},
    {"longer_ring", 3, 3, 16, 16, 20, 33},
    {"window_bf16", 4, 2, 32, 32, 70, 70, .dtype = XLM_BF16},
    {"softcap", 2, 2, 33, 33, 0, 0, 2.5},
    {"sink", 4, 2, 16, 16, 50, 50, 0, 1 << XLM_OPERAND_SINK},
    {"slopes", 4, 2, 16, 16, 0, 0, 0, 1 << XLM_OPERAND_SLOPES},
    {"bias", 4, 2, 16, 16, 0, 0, 0, 1 << XLM_OPERAND_BIAS},
    {"mask", 4, 2, 16, 16, 0, 0, 0, 1 << XLM_OPERAND_MASK},
    {"prefix", 4, 2, 16, 16, 30, 0, 0, 1 << XLM_OPERAND_PREFIX},
    {"all", 6, 3, 24, 40, 100, 100, 3,
     1 << XLM_OPERAND_SINK | 1 << XLM_OPERAND_SLOPES | 1 << XLM_OPERAND_BIAS | 1 << XLM_OPERAND_MASK},
};

// ---- both graphs

typedef struct place { // of one dimension in a tensor: [outer, size, inner]
  int64_t outer, size, inner;
} place;

static place place_of(const op_test *t, xlm_val v, const char *dim) {
  const xlm_graph *g = t->b.g;
  const xlm_type *y = xlm_val_type(g, v);
  int at = xlm_type_find(y, xlm_graph_dim_find(g, dim, 0));
  place p = {1, at < 0 ? 0 : g->dims[y->dim[at]].size, 1};
  for (int i = 0; i < y->rank && at >= 0; i++)
    if (i != at) *(i < at ? &p.outer : &p.inner) *= g->dims[y->dim[i]].size;
  return p;
}

static void sizes(op_test *t, const setting *s) {
  xlm_graph *g = t->b.g;
  xlm_graph_dim(g, "batch", BATCH), xlm_graph_dim(g, "heads", s->heads);
  xlm_graph_dim(g, "kv_heads", s->kv_heads), xlm_graph_dim(g, "head", s->head);
  if (s->value != s->head) xlm_graph_dim(g, "value", s->value);
  xlm_graph_dim(g, "keys", SEQ);
}

static xlm_val leaf(op_test *t, const char *format, const char *rows) {
  return op_leaf(t, xlm_arena_printf(t->b.g->arena, format, rows));
}

// Operands q, k, v and the terms; queries have the dimension `seq`, keys `kv_seq`.
static int operands(op_test *t, const setting *s, const char *seq, const char *kv_seq, xlm_val *in,
                    int64_t *given, uint32_t *n) {
  xlm_arena *a = t->b.g->arena;
  in[0] = leaf(t, "q[batch, %s, heads, head]", seq), in[1] = leaf(t, "k[batch, %s, kv_heads, head]", kv_seq);
  in[2] =
      leaf(t, s->value == s->head ? "v[batch, %s, kv_heads, head]" : "v[batch, %s, kv_heads, value]", kv_seq);
  int at = 3;
  for (int what = 0; what < XLM_OPERANDS; what++) {
    if (!(s->terms >> what & 1)) continue;
    given[(*n)++] = what;
    in[at++] = what == XLM_OPERAND_BIAS     ? leaf(t, "bias[batch, heads, %s, keys]", seq)
               : what == XLM_OPERAND_SLOPES ? op_leaf_range(t, "slopes[heads]", 0.01, 0.2)
               : what == XLM_OPERAND_SINK   ? op_leaf(t, "sink[heads]")
               : what == XLM_OPERAND_MASK
                   ? op_ints(t, xlm_arena_printf(a, "mask[batch, %s, keys]", seq), 0, 2)
                   : op_int_data(t, "prefix[batch]", (int[BATCH]){41, 3});
  }
  return at;
}

static void emit(op_test *t, const setting *s, const char *seq, const char *kv_seq, const xlm_val *in,
                 int n_in, const int64_t *given, uint32_t n) {
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_int(&l, XLM_A_causal, 1);
  if (s->window) xlm_attr_put_int(&l, XLM_A_window, s->window);
  if (s->softcap) xlm_attr_put_float(&l, XLM_A_softcap, s->softcap);
  op_put_dims(t, &l, XLM_A_seq, seq), op_put_dims(t, &l, XLM_A_kv_seq, kv_seq);
  op_put_dims(t, &l, XLM_A_feature, "head");
  if (n) xlm_attr_put_ints(&l, XLM_A_operands, given, n);
  xlm_val y = xlm_emit(&t->b, XLM_OP_ATTEND, in, n_in, &l);
  op_out_const(t, y), op_out_const(t, y + 1);
}

static op_test whole_of(const setting *s, xlm_arena *a) {
  op_test t = {.b = xlm_build_new(xlm_graph_new(a, NULL, "whole")), .dtype = s->dtype};
  xlm_val in[16];
  int64_t given[XLM_OPERANDS];
  uint32_t n = 0;
  sizes(&t, s);
  xlm_graph_dim(t.b.g, "seq", SEQ);
  int n_in = operands(&t, s, "seq", "keys", in, given, &n);
  emit(&t, s, "seq", "keys", in, n_in, given, n);
  return t;
}

static op_test step_of(const setting *s, int queries, const int *start, xlm_arena *a) {
  op_test t = {.b = xlm_build_new(xlm_graph_new(a, NULL, "step")), .dtype = s->dtype};
  xlm_val in[16];
  int64_t given[XLM_OPERANDS];
  uint32_t n = 0;
  sizes(&t, s);
  xlm_graph_dim(t.b.g, "chunk", queries), xlm_graph_dim(t.b.g, "past", s->ring ? s->ring : SEQ);
  int at = operands(&t, s, "chunk", "chunk", in, given, &n);
  in[at++] = op_leaf(&t, "past_k[batch, past, kv_heads, head]");
  in[at++] = op_leaf(&t, s->value == s->head ? "past_v[batch, past, kv_heads, head]"
                                             : "past_v[batch, past, kv_heads, value]");
  in[at++] = op_int_data(&t, "start[batch]", start);
  given[n++] = XLM_OPERAND_PAST_K, given[n++] = XLM_OPERAND_PAST_V, given[n++] = XLM_OPERAND_START;
  emit(&t, s, "chunk", "chunk", in, at, given, n);
  return t;
}

// ---- operands of a step, from those of the whole

static const char *name_of(const op_test *t, xlm_val v) {
  return xlm_attr_text(&xlm_val_node(t->b.g, v)->attrs, XLM_A_name, "");
}

static const op_leaf_info *leaf_named(const op_test *t, const char *name) {
  for (int i = 0; i < t->n_leaves; i++)
    if (!strcmp(name_of(t, t->leaf[i].val), name)) return &t->leaf[i];
  return NULL;
}

// Rows of a sample; the first dimension of all these tensors is the batch.
static double *row_of(const op_leaf_info *x, place p, int64_t batch, int64_t outer, int64_t row) {
  return x->values + ((batch * p.outer / BATCH + outer) * p.size + row) * p.inner;
}

static void take_rows(const op_test *step, const op_leaf_info *to, const op_test *whole,
                      const op_leaf_info *from, const char *along, const int *start) {
  place p = place_of(step, to->val, "chunk"), w = place_of(whole, from->val, along);
  for (int64_t b = 0; b < BATCH && p.size; b++)
    for (int64_t o = 0; o < p.outer / BATCH; o++)
      for (int64_t i = 0; i < p.size; i++)
        memcpy(row_of(to, p, b, o, i), row_of(from, w, b, o, start[b] + i), (size_t)p.inner * sizeof(double));
}

static void fill_cache(const op_test *step, const char *cache, const op_test *whole, const char *name,
                       const int *start) {
  const op_leaf_info *to = leaf_named(step, cache), *from = leaf_named(whole, name);
  place p = place_of(step, to->val, "past"), w = place_of(whole, from->val, "keys");
  for (int64_t i = 0; i < p.outer * p.size * p.inner; i++) to->values[i] = NAN;
  for (int64_t b = 0; b < BATCH; b++)
    for (int64_t at = start[b] > p.size ? start[b] - p.size : 0; at < start[b]; at++)
      memcpy(row_of(to, p, b, 0, at % p.size), row_of(from, w, b, 0, at), (size_t)p.inner * sizeof(double));
}

static run_graph *run(const op_test *t, int threads) {
  run_graph *r = run_graph_new(t->b.g, (run_options){.backend = xlm_backend_find("cpu"), .threads = threads});
  for (int i = 0; i < t->n_leaves; i++) run_graph_set(r, t->leaf[i].val, t->leaf[i].values);
  run_graph_run(r, 1, t->b.g->n_nodes);
  if (run_graph_error(r)) fail_msg("%s", run_graph_error(r));
  return r;
}

static void compare(const setting *s, const op_test *step, const run_graph *got, const op_test *whole,
                    const run_graph *all, const int *start) {
  for (int i = 0; i < 2; i++) {
    xlm_val x = step->out[i].val, y = whole->out[i].val;
    place p = place_of(step, x, "chunk"), w = place_of(whole, y, "seq");
    size_t n, size = xlm_dtype_bytes(xlm_val_type(step->b.g, x)->dtype), run = (size_t)p.inner * size;
    const char *g = run_graph_bytes(got, x, &n), *e = run_graph_bytes(all, y, &n);
    for (int64_t b = 0; b < BATCH; b++)
      for (int64_t q = 0; q < p.size; q++)
        if (memcmp(g + (size_t)(b * p.size + q) * run, e + (size_t)(b * w.size + start[b] + q) * run, run))
          fail_msg("%s: result %d of the query at %ld of %ld from %d has other bits", s->name, i,
                   (long)(start[b] + q), (long)p.size, start[b]);
  }
}

static void check(void **state) {
  static const struct {
    int queries, start[BATCH], threads;
  } steps[] = {{1, {0, 1}, 2},    {1, {63, 64}, 1},   {1, {65, 229}, 3},  {1, {100, 228}, 1},
               {7, {0, 60}, 2},   {7, {121, 64}, 3},  {64, {0, 64}, 2},   {64, {7, 130}, 1},
               {66, {128, 3}, 3}, {130, {0, 100}, 2}, {3, {127, 190}, 2}, {16, {48, 210}, 1}};
  const setting *s = *state;
  xlm_arena *a = xlm_arena_new(0);
  assert_non_null(a);
  op_test whole = whole_of(s, a);
  run_graph *all = run(&whole, 2);
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    const int *start = steps[i].start;
    if (s->terms >> XLM_OPERAND_PREFIX & 1 && (start[0] < 41 || start[1] < 3)) continue; // it would be ahead
    op_test step = step_of(s, steps[i].queries, start, a);
    const char *names[] = {"q", "k", "v", "bias", "mask"};
    for (int n = 0; n < 5; n++)
      if (leaf_named(&step, names[n]))
        take_rows(&step, leaf_named(&step, names[n]), &whole, leaf_named(&whole, names[n]),
                  n == 1 || n == 2 ? "keys" : "seq", start);
    fill_cache(&step, "past_k", &whole, "k", start), fill_cache(&step, "past_v", &whole, "v", start);
    run_graph *some = run(&step, steps[i].threads);
    compare(s, &step, some, &whole, all, start);
    run_graph_free(some);
  }
  run_graph_free(all);
  xlm_arena_free(a);
}

static int run_all(void) {
  enum { N = sizeof settings / sizeof *settings };
  struct CMUnitTest tests[N];
  for (int i = 0; i < N; i++)
    tests[i] = (struct CMUnitTest){settings[i].name, check, NULL, NULL, (void *)&settings[i]};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
  return each_isa(run_all);
}
