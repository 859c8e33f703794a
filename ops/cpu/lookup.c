// lookup on the CPU. The table is [a, vocab, b] (dimensions before and after the vocabulary); a row consists
// of `a` pieces of b.
//
// lookup_bwd: every worker owns a block of columns of the table's gradient and adds the rows of dy to it in
// the order of the tokens. So the order of an element's sum does not depend on the number of workers, without
// sorting or atomics. The table is zeroed first, unless the gradient is added to what it holds.
#include <string.h>

#include "ops/cpu/places_priv.h"

enum {
  COLUMNS = 16,
  SMALL = 1 << 14
}; // elements: granularity of a worker's block; below SMALL one worker does everything

typedef struct job {
  const int32_t *tokens;
  const char *src;
  char *dst;
  xlm_dtype dtype;               // of the rows read
  int64_t n, a, vocab, b, first; // tokens; table shape; global index of the first row here
} job;

// The rows read are operand `rows`, the tokens follow.
static job job_of(const xlm_call *c, const xlm_type *table, int rows) {
  xlm_dim vocab = xlm_call_dim(c, XLM_A_vocab, 0);
  int at = xlm_type_find(table, vocab);
  const xlm_dim_info *v = &c->dims[vocab];
  return (job){.tokens = c->in[rows + 1],
               .src = c->in[rows],
               .dst = c->out[0],
               .dtype = c->in_type[rows]->dtype,
               .n = xlm_call_elements(c, c->in_type[rows + 1]),
               .a = xlm_call_outer(c, table, at),
               .vocab = v->size,
               .b = xlm_call_inner(c, table, at),
               .first = v->offset};
}

static void gather(void *arg, int worker, int workers) {
  const job *j = arg;
  size_t piece = (size_t)j->b * xlm_dtype_bytes(j->dtype);
  int64_t begin, end;
  xlm_pool_range(j->n, worker, workers, &begin, &end);
  for (int64_t t = begin; t < end; t++) {
    int64_t row = j->tokens[t] - j->first;
    bool inside = row >= 0 && row < j->vocab;
    char *to = j->dst + (size_t)(t * j->a) * piece;
    if (!inside) memset(to, 0, (size_t)j->a * piece);
    for (int64_t i = 0; inside && i < j->a; i++)
      memcpy(to + (size_t)i * piece, j->src + (size_t)(i * j->vocab + row) * piece, piece);
  }
}

static xlm_status run(const xlm_call *c) {
  job j = job_of(c, c->in_type[0], 0);
  xlm_pool_run(j.n * j.a * j.b < SMALL ? NULL : xlm_cpu_pool(c), gather, &j);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(lookup) = {.op = XLM_OP_LOOKUP, .run = run};

static void clear(void *arg, int worker, int workers) {
  const job *j = arg;
  int64_t begin, end;
  xlm_pool_range(j->vocab * j->b, worker, workers, &begin, &end);
  memset((float *)j->dst + begin, 0, (size_t)(end - begin) * sizeof(float));
}

static void add_row(float *to, const job *j, int64_t at, int64_t n) {
  if (j->dtype == XLM_F32) {
    const float *from = (const float *)j->src + at;
    for (int64_t i = 0; i < n; i++) to[i] += from[i];
  } else {
    const uint16_t *from = (const uint16_t *)j->src + at;
    for (int64_t i = 0; i < n; i++) to[i] += xlm_bf16_to_f32(from[i]);
  }
}

static void scatter(void *arg, int worker, int workers) {
  const job *j = arg;
  int64_t begin, end;
  xlm_pool_range((j->b + COLUMNS - 1) / COLUMNS, worker, workers, &begin, &end);
  begin *= COLUMNS;
  end = end * COLUMNS < j->b ? end * COLUMNS : j->b;
  for (int64_t t = 0; begin < end && t < j->n; t++) {
    int64_t row = j->tokens[t] - j->first;
    if (row >= 0 && row < j->vocab)
      add_row((float *)j->dst + row * j->b + begin, j, t * j->b + begin, end - begin);
  }
}

static void add_gradient(const xlm_call *c, int rows, bool clears) {
  job j = job_of(c, c->out_type[0], rows); // the vocabulary comes first: a = 1
  if (clears) xlm_pool_run(j.vocab * j.b < SMALL ? NULL : xlm_cpu_pool(c), clear, &j);
  xlm_pool_run(j.n * j.b < SMALL ? NULL : xlm_cpu_pool(c), scatter, &j);
}

static xlm_status run_bwd(const xlm_call *c) {
  add_gradient(c, 0, true);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(lookup_bwd) = {.op = XLM_OP_LOOKUP_BWD, .run = run_bwd};

static xlm_status run_bwd_acc(const xlm_call *c) {
  add_gradient(c, 1, xlm_attr_int(&c->instr->attrs, XLM_A_store, 0));
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(lookup_bwd_acc) = {.op = XLM_OP_LOOKUP_BWD_ACC, .run = run_bwd_acc};
