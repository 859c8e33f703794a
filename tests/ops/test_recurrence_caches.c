// Recurrences of decoding have the bits of those over whole sequences, in pieces of any lengths, each
// sequence of the batch at a place of its own, and padding behind what counts. What is kept goes from one
// piece to the next; before the first it is NaN: it must not be used. On every instruction set.
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

enum { BATCH = 2, SEQ = 215, KEPT = 4 };

typedef struct setting {
  const char *name;
  xlm_op_id op;
  const char *operand[4]; // of the operation, along `rows`; one without them is the same at all places
  const char *state, *over;
  int ring;
  xlm_dtype dtype;
} setting;

#define RETENTION                                                                                            \
  "retention", XLM_OP_LINEAR_ATTEND,                                                                         \
      {"q[batch, rows, heads 3, state 40]", "k[batch, rows, heads, state]",                                  \
       "v[batch, rows, heads, head 56]", "g[heads]"},                                                        \
      "s[batch, heads, state, head]", "head", 64
#define STATE_SPACE                                                                                          \
  "state_space", XLM_OP_LINEAR_ATTEND,                                                                       \
      {"q[batch, rows, state 13]", "k[batch, rows, state]", "v[batch, rows, heads 5, head 9]",               \
       "g[batch, rows, heads]"},                                                                             \
      "s[batch, heads, state, head]", "heads head", 64
#define CHANNELS                                                                                             \
  "channels", XLM_OP_LINEAR_ATTEND,                                                                          \
      {"q[batch, rows, heads 2, state 19]", "k[batch, rows, heads, state]",                                  \
       "v[batch, rows, heads, head 24]", "g[batch, rows, heads, state]"},                                    \
      "s[batch, heads, state, head]", "head", 64
#define SCAN "scan", XLM_OP_SCAN, {"g[batch, rows, hidden 37]", "x[batch, rows, hidden]"}, NULL, NULL, 1
#define CUMSUM "cumsum", XLM_OP_CUMSUM, {"x[batch, rows, hidden 150]"}, NULL, NULL, 1

static const setting settings[] = {
    {RETENTION},
    {RETENTION, .dtype = XLM_BF16},
    {STATE_SPACE},
    {STATE_SPACE, .dtype = XLM_BF16},
    {CHANNELS},
    {CHANNELS, .dtype = XLM_BF16},
    {"shared_channels",
     XLM_OP_LINEAR_ATTEND,
     {"q[batch, rows, state 16]", "k[batch, rows, state]", "v[batch, rows, heads 3, head 16]",
      "g[batch, rows, heads, state]"},
     "s[batch, heads, state, head]",
     "heads head",
     90},
    {"plain",
     XLM_OP_LINEAR_ATTEND,
     {"q[batch, rows, state 32]", "k[batch, rows, state]", "v[batch, rows, head 32]"},
     "s[batch, state, head]",
     "head",
     63},
    {SCAN},
    {SCAN, .dtype = XLM_BF16},
    {"scan_rows", XLM_OP_SCAN, {"g[]", "x[batch, rows]"}, NULL, NULL, 3},
    {CUMSUM},
    {CUMSUM, .dtype = XLM_BF16},
};

// ---- both graphs

typedef struct kept { // from one piece to the next
  int n;
  op_leaf_info leaf[KEPT];
  xlm_val after[KEPT]; // its value after the piece
  double *value[KEPT];
} kept;

static op_test begin(const setting *s, int64_t rows, xlm_val *in, int *n, xlm_arena *a) {
  op_test t = {.b = xlm_build_new(xlm_graph_new(a, NULL, s->name)), .dtype = s->dtype};
  bool scan = s->op == XLM_OP_SCAN; // g are its factors, else logarithms of decays
  xlm_graph_dim(t.b.g, "batch", BATCH), xlm_graph_dim(t.b.g, "rows", rows);
  for (*n = 0; *n < 4 && s->operand[*n]; ++*n)
    in[*n] = s->operand[*n][0] == 'g' ? op_leaf_range(&t, s->operand[*n], scan ? 0.5 : -0.3, scan)
                                      : op_leaf(&t, s->operand[*n]);
  return t;
}

static xlm_attr_list attrs_of(op_test *t, const setting *s) {
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_seq, "rows");
  if (s->over) op_put_dims(t, &l, XLM_A_feature, "state"), op_put_dims(t, &l, XLM_A_over, s->over);
  return l;
}

static op_test whole_of(const setting *s, xlm_arena *a) {
  xlm_val in[4];
  int n;
  op_test t = begin(s, SEQ, in, &n, a);
  xlm_attr_list l = attrs_of(&t, s);
  op_out_const(&t, xlm_emit(&t.b, s->op, in, n, &l));
  return t;
}

static void keep(op_test *t, kept *k, xlm_val leaf, xlm_val after) {
  for (int i = 0; i < t->n_leaves; i++)
    if (t->leaf[i].val == leaf) k->leaf[k->n] = t->leaf[i];
  k->after[k->n++] = after;
}

// A cache of rows of v; it is named by the number.
static xlm_val ring_of(op_test *t, const setting *s, xlm_val v, xlm_dtype dtype, int number) {
  xlm_graph *g = t->b.g;
  const xlm_type *type = xlm_val_type(g, v);
  char decl[128];
  int at = snprintf(decl, sizeof decl, "ring%d[", number);
  for (int i = 0; i < type->rank; i++) {
    const char *name = g->dims[type->dim[i]].name;
    at += snprintf(decl + at, sizeof decl - (size_t)at, "%s%s", i ? ", " : "",
                   strcmp(name, "rows") ? name : "past");
  }
  snprintf(decl + at, sizeof decl - (size_t)at, "]");
  xlm_graph_dim(g, "past", s->ring);
  return dtype == XLM_F32 ? op_leaf_f32(t, decl, -1, 1) : op_leaf(t, decl);
}

static void put_rows(op_test *t, kept *k, xlm_val ring, xlm_val rows, xlm_val start, xlm_val count) {
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_seq, "rows");
  keep(t, k, ring, xlm_emit(&t->b, XLM_OP_CACHE_PUT, (xlm_val[]){ring, rows, start, count}, 4, &l));
}

static void linear_step(op_test *t, const setting *s, const xlm_val *in, int n, xlm_val start, xlm_val count,
                        kept *k) {
  xlm_attr_list l = attrs_of(t, s);
  xlm_val state = op_state(t, s->state, -1, 1), ring[3] = {0};
  int last = 0;
  for (int i = 1; i < n; i++) // keys, values, decays
    if (strstr(s->operand[i], "rows")) ring[last++] = ring_of(t, s, in[i], s->dtype, i);
  xlm_val decay = n > 3 ? in[3] : 0,
          from[] = {state, in[0], in[1], in[2], start, ring[0], ring[1], decay, ring[2]};
  xlm_val put[] = {state, in[1], in[2], start, count, ring[0], ring[1], decay, ring[2]};
  int operands = 7 + (n > 3) + (last > 2);
  op_out_const(t, xlm_emit(&t->b, XLM_OP_LINEAR_ATTEND_FROM, from, operands, &l));
  keep(t, k, state, xlm_emit(&t->b, XLM_OP_LINEAR_ATTEND_PUT, put, operands, &l));
  for (int i = 0; i < last; i++) put_rows(t, k, ring[i], in[i + 1], start, count);
}

static void scan_step(op_test *t, const setting *s, const xlm_val *in, xlm_val start, xlm_val count,
                      kept *k) {
  xlm_attr_list l = attrs_of(t, s);
  xlm_val ring = ring_of(t, s, in[1], XLM_F32, 0);
  xlm_val h = xlm_emit(&t->b, XLM_OP_SCAN_FROM, (xlm_val[]){ring, in[0], in[1], start}, 4, &l);
  op_out_const(t, xlm_cast_to(&t->b, h, s->dtype));
  put_rows(t, k, ring, h, start, count);
}

static void cumsum_step(op_test *t, const setting *s, const xlm_val *in, xlm_val start, xlm_val count,
                        kept *k) {
  xlm_attr_list l = attrs_of(t, s);
  xlm_val sums = ring_of(t, s, in[0], XLM_F32, 0), runs = ring_of(t, s, in[0], XLM_F32, 1);
  xlm_val y = xlm_emit(&t->b, XLM_OP_CUMSUM_FROM, (xlm_val[]){sums, runs, in[0], start}, 4, &l);
  op_out_const(t, xlm_op2(&t->b, XLM_OP_ADD, y, y + 1));
  put_rows(t, k, sums, y, start, count), put_rows(t, k, runs, y + 1, start, count);
}

static op_test step_of(const setting *s, int rows, const int *start, const int *count, kept *k,
                       xlm_arena *a) {
  xlm_val in[4];
  int n;
  op_test t = begin(s, rows, in, &n, a);
  xlm_val at = op_int_data(&t, "start[batch]", start), valid = op_int_data(&t, "count[batch]", count);
  k->n = 0;
  if (s->op == XLM_OP_LINEAR_ATTEND) linear_step(&t, s, in, n, at, valid, k);
  if (s->op == XLM_OP_SCAN) scan_step(&t, s, in, at, valid, k);
  if (s->op == XLM_OP_CUMSUM) cumsum_step(&t, s, in, at, valid, k);
  return t;
}

// ---- running them

static int64_t row_size(const op_test *t, xlm_val v) { // all are [batch, rows, ..]
  const xlm_type *type = xlm_val_type(t->b.g, v);
  int64_t n = 1;
  for (int i = 2; i < type->rank; i++) n *= t->b.g->dims[type->dim[i]].size;
  return n;
}

static void take_rows(const op_test *step, const op_test *whole, int64_t rows, const int *start,
                      const int *count) {
  for (int i = 0; i < whole->n_leaves; i++) { // the first ones of both
    const op_leaf_info *to = &step->leaf[i], *from = &whole->leaf[i];
    if (xlm_type_find(xlm_val_type(whole->b.g, from->val), xlm_graph_dim_find(whole->b.g, "rows", 0)) < 0)
      continue;
    int64_t n = row_size(whole, from->val);
    for (int64_t b = 0; b < BATCH; b++)
      for (int64_t r = 0; r < count[b]; r++) // those behind stay as they are
        memcpy(to->values + (b * rows + r) * n, from->values + (b * SEQ + start[b] + r) * n,
               (size_t)n * sizeof(double));
  }
}

static run_graph *run(const op_test *t, int threads) {
  run_graph *r = run_graph_new(t->b.g, (run_options){.backend = xlm_backend_find("cpu"), .threads = threads});
  for (int i = 0; i < t->n_leaves; i++) run_graph_set(r, t->leaf[i].val, t->leaf[i].values);
  run_graph_run(r, 1, t->b.g->n_nodes);
  if (run_graph_error(r)) fail_msg("%s", run_graph_error(r));
  return r;
}

static void compare(const setting *s, const op_test *step, const run_graph *got, const op_test *whole,
                    const run_graph *all, int64_t rows, const int *start, const int *count) {
  xlm_val x = step->out[0].val, y = whole->out[0].val;
  size_t n, size = xlm_dtype_bytes(xlm_val_type(step->b.g, x)->dtype), row = (size_t)row_size(step, x) * size;
  const char *g = run_graph_bytes(got, x, &n), *e = run_graph_bytes(all, y, &n);
  assert_int_equal(xlm_val_type(step->b.g, x)->dtype, xlm_val_type(whole->b.g, y)->dtype);
  for (int64_t b = 0; b < BATCH; b++)
    for (int64_t r = 0; r < count[b]; r++)
      if (memcmp(g + (size_t)(b * rows + r) * row, e + (size_t)(b * SEQ + start[b] + r) * row, row))
        fail_msg("%s: place %ld has other bits in a piece of %d from %d on", s->name, (long)(start[b] + r),
                 count[b], start[b]);
}

static void keep_values(const kept *k, const run_graph *r, double **values, xlm_arena *a) {
  for (int i = 0; i < k->n; i++) {
    int64_t n = run_graph_elements(r, k->after[i]);
    if (!values[i]) values[i] = XLM_NEW_N(a, double, n);
    run_graph_get(r, k->after[i], values[i]);
  }
}

static void check(void **state) {
  static const struct {
    int rows, count[BATCH], threads;
  } pieces[] = {{1, {1, 0}, 1},    {1, {1, 1}, 2},    {7, {7, 3}, 3}, {64, {64, 50}, 2}, {1, {0, 1}, 1},
                {16, {2, 9}, 1},   {70, {70, 1}, 3},  {1, {1, 1}, 1}, {9, {0, 9}, 2},    {1, {1, 1}, 3},
                {64, {37, 64}, 1}, {64, {30, 64}, 2}, {20, {1, 8}, 1}};
  const setting *s = *state;
  xlm_arena *a = xlm_arena_new(0);
  assert_non_null(a);
  op_test whole = whole_of(s, a);
  run_graph *all = run(&whole, 2);
  double *values[KEPT] = {NULL};
  for (int round = 0; round < 2; round++) { // the second over what the first has left
    int start[BATCH] = {0};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
      kept k;
      int64_t rows = pieces[i].rows;
      op_test step = step_of(s, pieces[i].rows, start, pieces[i].count, &k, a);
      take_rows(&step, &whole, rows, start, pieces[i].count);
      for (int j = 0; j < k.n; j++) {
        int64_t n = xlm_type_elements(xlm_val_type(step.b.g, k.leaf[j].val), step.b.g->dims);
        for (int64_t e = 0; e < n; e++) k.leaf[j].values[e] = values[j] ? values[j][e] : NAN;
      }
      run_graph *some = run(&step, pieces[i].threads);
      compare(s, &step, some, &whole, all, rows, start, pieces[i].count);
      keep_values(&k, some, values, a);
      run_graph_free(some);
      for (int b = 0; b < BATCH; b++) start[b] += pieces[i].count[b];
    }
    for (int b = 0; b < BATCH; b++) assert_int_equal(start[b], b ? 212 : SEQ);
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
