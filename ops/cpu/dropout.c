// dropout and its gradient on the CPU: the same function with the same mask. ops/dropout.c defines the
// counter; here runs of neighbours draw several counters at once, in lanes that the compiler vectorises.
#include <math.h>

#include "ops/cpu/places_priv.h"
#include "runtime/base/philox.h"

enum { DRAWS = 4 * XLM_PHILOX_BATCH, CHUNK = 4096, SMALL = 1 << 12 };

typedef struct job {
  const void *x;
  void *y;
  xlm_dtype dtype;
  xlm_philox key;
  uint32_t threshold; // values below it are dropped
  float scale;
  int outer; // dims before the run, and their weights in the index
  const xlm_dim_info *dim[XLM_MAX_RANK];
  int64_t weight[XLM_MAX_RANK]; // 0: the samples
  int64_t run, run_at;          // elements of a run of neighbours; what its offset adds to the index
  int64_t parts, units;
  int64_t first_row;
} job;

// Draws words, in the order of their elements.
static void draw(xlm_philox key, uint64_t hi, uint64_t lo, uint32_t out[DRAWS]) {
  uint32_t word[4][XLM_PHILOX_BATCH];
  xlm_philox_batch(key, hi, lo, word);
  for (int i = 0; i < XLM_PHILOX_BATCH; i++)
    for (int w = 0; w < 4; w++) out[4 * i + w] = word[w][i];
}

// Masks elements [at, at + n) of memory, whose global index begins at `index` of `sample`.
static void mask(const job *j, int64_t at, int64_t n, uint64_t sample, uint64_t index) {
  uint32_t bits[DRAWS];
  float x[DRAWS];
  while (n > 0) {
    int64_t skip = (int64_t)(index % 4), m = DRAWS - skip < n ? DRAWS - skip : n;
    draw(j->key, sample, index / 4, bits);
    vec_read(j->dtype, j->x, at, m, x);
    for (int64_t i = 0; i < m; i++) x[i] = bits[i + skip] < j->threshold ? 0 : x[i] * j->scale;
    vec_write(j->dtype, j->y, at, m, x);
    at += m, n -= m, index += (uint64_t)m;
  }
}

static void work(void *arg, int worker, int workers) {
  const job *j = arg;
  int64_t begin, end;
  xlm_pool_range(j->units, worker, workers, &begin, &end);
  for (int64_t u = begin; u < end; u++) {
    int64_t outer = u / j->parts, from = u % j->parts * CHUNK, sample = 0, index = j->run_at + from;
    int64_t n = j->run - from < CHUNK ? j->run - from : CHUNK, rest = outer;
    for (int i = j->outer - 1; i >= 0; i--) {
      int64_t k = xlm_dim_global(j->dim[i], rest % j->dim[i]->size);
      rest /= j->dim[i]->size;
      if (j->weight[i])
        index += k * j->weight[i];
      else
        sample = k + j->first_row;
    }
    mask(j, outer * j->run + from, n, (uint64_t)sample, (uint64_t)index);
  }
}

// Splits the dims into the longest run of neighbours in memory that are also neighbours globally, and those
// before it.
static void set_shape(job *j, const xlm_call *c, const xlm_type *t) {
  int64_t weight = 1;
  bool running = true;
  j->run = 1;
  j->outer = t->rank;
  for (int i = t->rank - 1; i >= 0; i--) {
    const xlm_dim_info *d = &c->dims[t->dim[i]];
    bool batch = !strcmp(d->name, "batch");
    running = running && !batch && !d->tail;
    if (running) j->run *= d->size, j->run_at += d->offset * weight, j->outer = i;
    running = running && d->size == d->full; // a part of this dim leaves gaps before the next index
    j->dim[i] = d, j->weight[i] = batch ? 0 : weight;
    if (!batch) weight *= d->full;
  }
}

static xlm_status run(const xlm_call *c) {
  double p = xlm_attr_float(&c->instr->attrs, XLM_A_p, 0);
  uint64_t name = xlm_hash_mix(xlm_hash_text(xlm_attr_text(&c->instr->attrs, XLM_A_name, "")));
  double threshold = ceil(p * 0x1p32 - 0.5);
  job j = {.x = c->in[0],
           .y = c->out[0],
           .dtype = c->out_type[0]->dtype,
           .scale = (float)(1 / (1 - p)),
           .threshold = threshold < 0x1p32 ? (uint32_t)threshold : UINT32_MAX,
           .first_row = c->env->first_row,
           .key = xlm_philox_key(c->env->seed, name + (uint64_t)c->env->step)};
  int64_t n = xlm_call_elements(c, c->out_type[0]);
  if (n == 0) return XLM_OK;
  set_shape(&j, c, c->out_type[0]);
  j.parts = (j.run + CHUNK - 1) / CHUNK;
  j.units = n / j.run * j.parts;
  xlm_pool_run(n < SMALL ? NULL : xlm_cpu_pool(c), work, &j);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(dropout) = {.op = XLM_OP_DROPOUT, .run = run};
const xlm_kernel XLM_KERNEL(dropout_bwd) = {.op = XLM_OP_DROPOUT_BWD, .run = run};
