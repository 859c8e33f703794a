// Cases of decoding: caches, attention over them, and recurrences from kept states on.
#include <string.h>

#include "tests/ops/run_op.h"

// ---- cache_put, cache_rows

static xlm_attr_list along(op_test *t, const char *seq) {
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_seq, seq);
  return l;
}

static void put(op_test *t, const char *cache, const char *x, const int *start, const int *count) {
  xlm_val in[4] = {op_state(t, cache, -1, 1)};
  in[1] = op_fixed(t, x, -1, 1);
  in[2] = op_int_data(t, "start[batch]", start), in[3] = op_int_data(t, "count[batch]", count);
  xlm_attr_list l = along(t, "chunk");
  op_out_const(t, xlm_emit(&t->b, XLM_OP_CACHE_PUT, in, 4, &l));
}

// Across the end of the ring; nothing; all; behind the last.
static void put_some(op_test *t) {
  put(t, "c[batch 4, past 7, kv_heads 2, head 3]", "x[batch, chunk 4, kv_heads, head]", (int[]){5, 9, 0, 100},
      (int[]){4, 0, 4, 1});
}
// More rows than the ring has.
static void put_many(op_test *t) {
  put(t, "c[batch 2, past 3, head 5]", "x[batch, chunk 8, head]", (int[]){4, 0}, (int[]){8, 5});
}
static void put_large(op_test *t) {
  put(t, "c[batch 3, past 64, head 96]", "x[batch, chunk 128, head]", (int[]){60, 0, 7},
      (int[]){128, 64, 65});
}

static void rows(op_test *t, const char *cache, const char *x, const int *start, int64_t by) {
  xlm_val in[3] = {op_state(t, cache, -1, 1)}, out = op_fixed(t, x, -1, 1);
  in[1] = op_int_data(t, "start[batch]", start), in[2] = out;
  xlm_attr_list l = along(t, "chunk");
  xlm_attr_put_int(&l, XLM_A_start, by);
  op_out_const(t, xlm_emit(&t->b, XLM_OP_CACHE_ROWS, in, 3, &l));
  if (by < t->b.g->dims[op_dim(t, "chunk")].size) return;
  op_put_dims(t, &l, XLM_A_past, "past"); // the same without x
  op_out_const(t, xlm_emit(&t->b, XLM_OP_CACHE_ROWS, in, 2, &l));
}

static void rows_one(op_test *t) {
  rows(t, "c[batch 3, past 4, head 5]", "x[batch, chunk 1, head]", (int[]){0, 3, 9}, 1);
}
static void rows_far(op_test *t) {
  rows(t, "c[batch 3, past 4, heads 2, head 5]", "x[batch, chunk 3, heads, head]", (int[]){0, 2, 10}, 4);
}
static void rows_within(op_test *t) {
  rows(t, "c[batch 2, past 3]", "x[batch, chunk 6]", (int[]){0, 5}, 2);
}
static void rows_none(op_test *t) {
  rows(t, "c[batch 2, past 3]", "x[batch, chunk 6]", (int[]){0, 5}, 0);
}
static void rows_large(op_test *t) {
  rows(t, "c[batch 3, past 64, head 96]", "x[batch, chunk 128, head]", (int[]){60, 0, 7}, 61);
}

// ---- attend over caches

typedef struct setting {
  const char *past, *q, *k, *v, *past_k, *past_v; // past: creates its dimension
  int start[3];
  int window;
  double softcap;
  const char *bias, *slopes, *sink, *mask; // declarations; NULL: none
} setting;

static void attend(op_test *t, const setting *s) {
  xlm_val in[16];
  int64_t given[XLM_OPERANDS];
  uint32_t n = 0;
  (void)op_dim(t, "batch 3"), (void)op_dim(t, s->past);
  in[0] = op_leaf(t, s->q), in[1] = op_leaf(t, s->k), in[2] = op_leaf(t, s->v);
  const struct {
    xlm_operand what;
    const char *decl;
  } terms[] = {{XLM_OPERAND_BIAS, s->bias}, {XLM_OPERAND_SLOPES, s->slopes}, {XLM_OPERAND_SINK, s->sink},
               {XLM_OPERAND_MASK, s->mask}, {XLM_OPERAND_PAST_K, s->past_k}, {XLM_OPERAND_PAST_V, s->past_v}};
  for (size_t i = 0; i < sizeof terms / sizeof *terms; i++) {
    if (!terms[i].decl) continue;
    in[3 + n] =
        terms[i].what == XLM_OPERAND_MASK ? op_ints(t, terms[i].decl, 0, 2) : op_leaf(t, terms[i].decl);
    given[n++] = terms[i].what;
  }
  in[3 + n] = op_int_data(t, "start[batch]", s->start), given[n++] = XLM_OPERAND_START;
  xlm_attr_list l = along(t, "chunk");
  op_put_dims(t, &l, XLM_A_kv_seq, "chunk"), op_put_dims(t, &l, XLM_A_feature, "head");
  xlm_attr_put_int(&l, XLM_A_causal, 1);
  if (s->window) xlm_attr_put_int(&l, XLM_A_window, s->window);
  if (s->softcap) xlm_attr_put_float(&l, XLM_A_softcap, s->softcap);
  xlm_attr_put_ints(&l, XLM_A_operands, given, n);
  xlm_val y = xlm_emit(&t->b, XLM_OP_ATTEND, in, 3 + (int)n, &l);
  op_out_const(t, y), op_out_const(t, y + 1);
}

#define GROUPED                                                                                              \
  "k[batch, chunk, kv_heads 2, head]", "v[batch, chunk, kv_heads, head]", "ck[batch, past, kv_heads, head]", \
      "cv[batch, past, kv_heads, head]"

static void attend_one(op_test *t) {
  attend(t, &(setting){"past 100", "q[batch, chunk 1, heads 4, head 24]", GROUPED, {0, 37, 99}});
}
static void attend_chunk(op_test *t) {
  attend(t, &(setting){"past 150", "q[batch, chunk 70, heads 4, head 16]", GROUPED, {0, 37, 80}});
}
static void attend_ring(op_test *t) { // behind the end of the ring
  attend(t, &(setting){"past 9", "q[batch, chunk 7, heads 4, head 8]", GROUPED, {3, 9, 100}, .window = 9});
}
static void attend_values(op_test *t) { // in other orders, of another size
  attend(t, &(setting){"past 20",
                       "q[chunk 3, heads 2, batch, head 5]",
                       "k[head, batch, chunk]",
                       "v[batch, chunk, value 300]",
                       "ck[batch, head, past]",
                       "cv[past, value, batch]",
                       {0, 8, 17}});
}
static void attend_terms(op_test *t) {
  attend(t, &(setting){"past 40",
                       "q[batch, chunk 5, heads 4, head 8]",
                       GROUPED,
                       {0, 13, 35},
                       .softcap = 2,
                       .bias = "bias[batch, heads, chunk, keys 40]",
                       .slopes = "slopes[heads]",
                       .sink = "sink[heads]",
                       .mask = "mask[batch, chunk, keys]"});
}

// ---- recurrences

static void scan_from(op_test *t, const char *past, const char *a, const char *b, const int *start) {
  xlm_val in[4] = {op_fixed(t, past, -1, 1)};
  in[2] = op_leaf(t, b), in[1] = op_leaf_range(t, a, -0.9, 0.99);
  in[3] = op_int_data(t, "start[batch]", start);
  xlm_attr_list l = along(t, "chunk");
  op_out_const(t, xlm_emit(&t->b, XLM_OP_SCAN_FROM, in, 4, &l));
}

static void scan_one(op_test *t) {
  scan_from(t, "h[batch 3, past 1, heads 2, head 70]", "a[heads, head]", "b[batch, chunk 1, heads, head]",
            (int[]){0, 1, 90});
}
static void scan_some(op_test *t) { // a cache of several places
  scan_from(t, "h[batch 3, past 4, hidden 37]", "a[batch, chunk, hidden]", "b[batch, chunk 9, hidden]",
            (int[]){5, 0, 63});
}
static void scan_rows(op_test *t) {
  scan_from(t, "h[batch 40, past 1]", "a[chunk]", "b[batch, chunk 7]", (int[40]){0, 3, 9, [39] = 2});
}

static void cumsum_from(op_test *t, const char *before, const char *run, const char *x, const int *start) {
  xlm_val in[4] = {op_fixed(t, before, -1, 1)};
  in[1] = op_fixed(t, run, -1, 1), in[2] = op_leaf(t, x), in[3] = op_int_data(t, "start[batch]", start);
  xlm_attr_list l = along(t, "chunk");
  xlm_val y = xlm_emit(&t->b, XLM_OP_CUMSUM_FROM, in, 4, &l);
  op_out_const(t, y), op_out_const(t, y + 1);
}

static void cumsum_one(op_test *t) {
  cumsum_from(t, "s[batch 3, past 1, hidden 70]", "r[batch, past, hidden]", "x[batch, chunk 1, hidden]",
              (int[]){0, 63, 64});
}
static void cumsum_some(op_test *t) { // across the ends of runs
  cumsum_from(t, "s[batch 4, past 3, hidden 150]", "r[batch, past, hidden]", "x[batch, chunk 130, hidden]",
              (int[]){0, 1, 64, 127});
}
static void cumsum_rows(op_test *t) {
  cumsum_from(t, "s[batch 5, past 1]", "r[batch, past]", "x[batch, chunk 9]", (int[]){0, 60, 64, 1, 127});
}

typedef struct recurrence {
  const char *name, *state, *q, *k, *v, *past_k, *past_v, *decay, *past_decay, *over;
  int start[3], count[3];
} recurrence;

static int linear_operands(op_test *t, const recurrence *s, xlm_val *last) {
  int n = 0;
  last[n++] = op_leaf(t, s->past_k), last[n++] = op_leaf(t, s->past_v);
  if (s->decay) last[n++] = op_leaf_range(t, s->decay, -1, 0);
  if (s->past_decay) last[n++] = op_leaf_range(t, s->past_decay, -1, 0);
  return n;
}

static xlm_attr_list linear_attrs(op_test *t, const recurrence *s) {
  xlm_attr_list l = along(t, "chunk");
  op_put_dims(t, &l, XLM_A_feature, "state"), op_put_dims(t, &l, XLM_A_over, s->over);
  return l;
}

#define RETENTION(rows)                                                                                      \
  "s[batch 3, heads 2, state 16, head 32]", "q[batch, chunk " rows ", heads, state]",                        \
      "k[batch, chunk, heads, state]", "v[batch, chunk, heads, head]", "ck[batch, past 64, heads, state]",   \
      "cv[batch, past, heads, head]", "g[heads]", NULL, "head"
// Heads share keys, whose sizes are not whole vectors; caches are of different lengths.
#define STATE_SPACE(rows)                                                                                    \
  "s[batch 3, heads 3, state 5, head 7]", "q[batch, chunk " rows ", state]", "k[batch, chunk, state]",       \
      "v[batch, chunk, heads, head]", "ck[batch, past 64, state]", "cv[batch, long 80, heads, head]",        \
      "g[batch, chunk, heads]", "cg[batch, past, heads]", "heads head"
#define CHANNELS(rows)                                                                                       \
  "s[batch 3, heads 2, state 17, head 8]", "q[batch, chunk " rows ", heads, state]",                         \
      "k[batch, chunk, heads, state]", "v[batch, chunk, heads, head]", "ck[batch, past 64, heads, state]",   \
      "cv[batch, past, heads, head]", "g[batch, chunk, heads, state]", "cg[batch, past, heads, state]",      \
      "head"
#define PLAIN(rows)                                                                                          \
  "s[batch 3, state 4, head 3]", "q[batch, chunk " rows ", state]", "k[batch, state, chunk]",                \
      "v[batch, head, chunk]", "ck[batch, state, past 63]", "cv[batch, head, past]", NULL, NULL, "head"

static const recurrence linear[] = {
    {"retention_one", RETENTION("1"), {0, 37, 127}, {1, 1, 1}},
    {"retention_many", RETENTION("70"), {0, 63, 190}, {70, 1, 2}},
    {"state_space_one", STATE_SPACE("1"), {0, 64, 191}, {1, 0, 1}},
    {"state_space_some", STATE_SPACE("9"), {60, 3, 127}, {3, 9, 9}},
    {"channels_one", CHANNELS("1"), {5, 63, 128}, {1, 1, 1}},
    {"channels_some", CHANNELS("7"), {58, 0, 122}, {7, 7, 5}},
    {"channels_many", CHANNELS("140"), {1, 0, 65}, {140, 127, 128}},
    {"plain", PLAIN("3"), {0, 62, 126}, {3, 2, 1}},
};

static const recurrence *recurrence_of(const op_test *t) { // that of the case's name
  for (size_t i = 0; i < sizeof linear / sizeof *linear; i++)
    if (!strcmp(linear[i].name, t->the_case->name)) return &linear[i];
  XLM_ASSERT(false, "no recurrence %s", t->the_case->name);
  return NULL;
}

static void linear_from(op_test *t) {
  const recurrence *s = recurrence_of(t);
  xlm_val in[9] = {op_state(t, s->state, -1, 1)};
  in[1] = op_leaf(t, s->q), in[2] = op_leaf(t, s->k), in[3] = op_leaf(t, s->v);
  in[4] = op_int_data(t, "start[batch]", s->start);
  int n = 5 + linear_operands(t, s, in + 5);
  xlm_attr_list l = linear_attrs(t, s);
  op_out_const(t, xlm_emit(&t->b, XLM_OP_LINEAR_ATTEND_FROM, in, n, &l));
}

static void linear_put(op_test *t) {
  const recurrence *s = recurrence_of(t);
  xlm_val in[9] = {op_state(t, s->state, -1, 1)};
  (void)op_leaf(t, s->q);
  in[1] = op_leaf(t, s->k), in[2] = op_leaf(t, s->v);
  in[3] = op_int_data(t, "start[batch]", s->start), in[4] = op_int_data(t, "count[batch]", s->count);
  int n = 5 + linear_operands(t, s, in + 5);
  xlm_attr_list l = linear_attrs(t, s);
  op_out_const(t, xlm_emit(&t->b, XLM_OP_LINEAR_ATTEND_PUT, in, n, &l));
}

static const op_case table[] = {
    {"caches_one", XLM_OP_ATTEND, attend_one, .bf16 = true, .no_grad = true},
    {"caches_chunk", XLM_OP_ATTEND, attend_chunk, .bf16 = true, .no_grad = true},
    {"caches_ring", XLM_OP_ATTEND, attend_ring, .no_grad = true},
    {"caches_values", XLM_OP_ATTEND, attend_values, .no_grad = true},
    {"caches_terms", XLM_OP_ATTEND, attend_terms, .no_grad = true},
    {"some", XLM_OP_CACHE_PUT, put_some, .no_grad = true},
    {"many", XLM_OP_CACHE_PUT, put_many, .no_grad = true},
    {"large", XLM_OP_CACHE_PUT, put_large, .no_grad = true},
    {"one", XLM_OP_CACHE_ROWS, rows_one, .no_grad = true},
    {"far", XLM_OP_CACHE_ROWS, rows_far, .no_grad = true},
    {"within", XLM_OP_CACHE_ROWS, rows_within, .no_grad = true},
    {"none", XLM_OP_CACHE_ROWS, rows_none, .no_grad = true},
    {"large", XLM_OP_CACHE_ROWS, rows_large, .no_grad = true},
    {"one", XLM_OP_SCAN_FROM, scan_one, .bf16 = true, .no_grad = true},
    {"some", XLM_OP_SCAN_FROM, scan_some, .bf16 = true, .no_grad = true},
    {"rows", XLM_OP_SCAN_FROM, scan_rows, .no_grad = true},
    {"one", XLM_OP_CUMSUM_FROM, cumsum_one, .bf16 = true, .no_grad = true},
    {"some", XLM_OP_CUMSUM_FROM, cumsum_some, .bf16 = true, .no_grad = true},
    {"rows", XLM_OP_CUMSUM_FROM, cumsum_rows, .no_grad = true},
    {"retention_one", XLM_OP_LINEAR_ATTEND_FROM, linear_from, .bf16 = true, .no_grad = true},
    {"retention_one", XLM_OP_LINEAR_ATTEND_PUT, linear_put, .bf16 = true, .no_grad = true},
    {"retention_many", XLM_OP_LINEAR_ATTEND_FROM, linear_from, .bf16 = true, .no_grad = true},
    {"retention_many", XLM_OP_LINEAR_ATTEND_PUT, linear_put, .bf16 = true, .no_grad = true},
    {"state_space_one", XLM_OP_LINEAR_ATTEND_FROM, linear_from, .bf16 = true, .no_grad = true},
    {"state_space_one", XLM_OP_LINEAR_ATTEND_PUT, linear_put, .bf16 = true, .no_grad = true},
    {"state_space_some", XLM_OP_LINEAR_ATTEND_FROM, linear_from, .bf16 = true, .no_grad = true},
    {"state_space_some", XLM_OP_LINEAR_ATTEND_PUT, linear_put, .bf16 = true, .no_grad = true},
    {"channels_one", XLM_OP_LINEAR_ATTEND_FROM, linear_from, .bf16 = true, .no_grad = true},
    {"channels_one", XLM_OP_LINEAR_ATTEND_PUT, linear_put, .bf16 = true, .no_grad = true},
    {"channels_some", XLM_OP_LINEAR_ATTEND_FROM, linear_from, .bf16 = true, .no_grad = true},
    {"channels_some", XLM_OP_LINEAR_ATTEND_PUT, linear_put, .bf16 = true, .no_grad = true},
    {"channels_many", XLM_OP_LINEAR_ATTEND_FROM, linear_from, .bf16 = true, .no_grad = true},
    {"channels_many", XLM_OP_LINEAR_ATTEND_PUT, linear_put, .bf16 = true, .no_grad = true},
    {"plain", XLM_OP_LINEAR_ATTEND_FROM, linear_from, .bf16 = true, .no_grad = true},
    {"plain", XLM_OP_LINEAR_ATTEND_PUT, linear_put, .bf16 = true, .no_grad = true},
};
const op_cases cases_decoding = {table, sizeof table / sizeof *table};
