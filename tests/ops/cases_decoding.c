// Cases of decoding: caches, and attention over them.
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
};
const op_cases cases_decoding = {table, sizeof table / sizeof *table};
