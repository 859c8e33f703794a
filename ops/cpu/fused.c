// fused: a program of functions of elements and rows in one pass over memory.
//
// The space is cut into blocks of FUSED_BLOCK elements; where there are functions of rows, into blocks of one
// or more whole rows. For each block the whole program runs function by function on registers as long as the
// block, which stay in the cache (fused_program.c). Contiguous f32 operands are read and results written in
// place; everything else (bf16, broadcast, other orders, ends of blocks) is copied through a register; what
// all blocks share (numbers, a bias of short rows) is loaded once. Blocks are independent and every function
// computes whole vectors: bits depend neither on the threads nor on an element's position in its block.
//
// Sums are in the order of `sum` (reduce_priv.h): each worker has whole tiles of rows and adds their blocks
// to the tiles' partial sums, in order; these are joined at the end.
#include "ops/cpu/fused_fn_priv.h"
#include "ops/cpu/fused_priv.h"
#include "ops/cpu/fused_program_priv.h"
#include "ops/cpu/kernel_priv.h"
#include "ops/cpu/rows_priv.h"

enum { SERIAL = 1 << 14, LINE = 64, IN_CACHE = 8 << 20 }; // the last in bytes: no need to prefetch

// ---- memory: partial sums, [results][tiles][len], then the registers of each worker

static int64_t partial_len(const fused_program *p) {
  return vec_pad(p->sums.tiles * p->sums.len);
}

static float *partial_of(const xlm_call *c, const fused_program *p, int out) {
  return (float *)c->workspace + (out - p->n_whole) * partial_len(p);
}

static float *slots_of(const xlm_call *c, const fused_program *p, int worker) {
  return partial_of(c, p, p->n_out) + worker * p->n_slots * p->slot_len;
}

size_t XLM_ISA_NAME(fused_workspace)(const xlm_call *c, const xlm_target *t) {
  fused_program p;
  XLM_ISA_NAME(fused_compile)(c, &p);
  int64_t sums = (p.n_out - p.n_whole) * partial_len(&p), slots = t->threads * p.n_slots * p.slot_len;
  return (size_t)(sums + slots) * sizeof(float);
}

xlm_status XLM_ISA_NAME(fused_prepare)(const xlm_call *c, xlm_arena *a, void **prepared, xlm_error *err) {
  (void)err;
  fused_program *p = XLM_NEW(a, fused_program);
  XLM_ISA_NAME(fused_compile)(c, p);
  *prepared = p;
  return XLM_OK;
}

// ---- running

typedef struct block {
  int64_t at, n;               // elements of the result
  int64_t index[XLM_MAX_RANK]; // of its first element
} block;

typedef struct lane { // state of one worker
  const xlm_call *c;
  const fused_program *p;
  float *slots;
  float *value[FUSED_MAX_VALUES]; // address of each value of the current block
  bool direct[XLM_CODE_MAX_OUT];  // result i is written directly
  int n_read, n_streams; // dense operands, then whole results: element i of the space is at stream + i size
  int64_t ahead;         // elements of the space up to here were requested from memory
  const char *stream[XLM_CODE_MAX_IN + XLM_CODE_MAX_OUT];
  int64_t size[XLM_CODE_MAX_IN + XLM_CODE_MAX_OUT];
} lane;

static void locate(const fused_program *p, int64_t at, int64_t *index) {
  for (int d = p->n_dims - 1; d >= 0; d--) index[d] = at % p->size[d], at /= p->size[d];
}

static int64_t operand_at(const fused_program *p, int k, const int64_t *index) {
  int64_t at = 0;
  for (int d = 0; d < p->n_dims; d++) at += index[d] * p->stride[k][d];
  return at;
}

// n elements along the innermost dim.
static void load_run(const lane *l, int k, int64_t at, int64_t n, float *dst) {
  xlm_dtype t = l->c->in_type[k]->dtype;
  int64_t stride = l->p->stride[k][l->p->n_dims - 1];
  if (stride == 1) {
    vec_read(t, l->c->in[k], at, n, dst);
  } else if (stride == 0) {
    float x = vec_read_one(t, l->c->in[k], at);
    for (int64_t i = 0; i < n; i++) dst[i] = x;
  } else {
    for (int64_t i = 0; i < n; i++) dst[i] = vec_read_one(t, l->c->in[k], at + i * stride);
  }
}

static void load(lane *l, int k, const block *b) {
  const fused_program *p = l->p;
  xlm_dtype t = l->c->in_type[k]->dtype;
  int last = p->n_dims - 1;
  bool within = p->dense[k] || b->index[last] + b->n <= p->size[last];
  int64_t at = p->dense[k] ? b->at : operand_at(p, k, b->index), index[XLM_MAX_RANK];
  if (within && p->stride[k][last] == 1 && t == XLM_F32 && b->n % VEC_PAD == 0) {
    l->value[k] = (float *)l->c->in[k] + at;
    return;
  }
  float *dst = l->value[k] = l->slots + p->slot[k] * p->slot_len;
  if (within) {
    load_run(l, k, at, b->n, dst);
    return;
  }
  memcpy(index, b->index, sizeof index);
  for (int64_t done = 0; done < b->n;) {
    int64_t left = b->n - done, run = p->size[last] - index[last] < left ? p->size[last] - index[last] : left;
    load_run(l, k, operand_at(p, k, index), run, dst + done);
    done += run;
    index[last] += run;
    for (int d = last; d > 0 && index[d] == p->size[d]; d--) index[d] = 0, index[d - 1]++;
  }
}

static void point_results(lane *l, const block *b) {
  const fused_program *p = l->p;
  for (int v = p->n_in; v < p->first_number; v++) {
    int i = p->stored_by[v];
    bool direct = i >= 0 && l->direct[i] && b->n % VEC_PAD == 0;
    l->value[v] = direct ? (float *)l->c->out[i] + b->at : l->slots + p->slot[v] * p->slot_len;
  }
}

static row_fn *const row_fns[XLM_FN_COUNT] = {
#define XLM_ROW_FN(name, NAME, arity, attribute) [XLM_FN_##NAME] = XLM_ISA_NAME(row_##name),
#include "ops/rows.def"
#undef XLM_ROW_FN
};

static bool is_row_fn(const fused_step *s) {
  return s->fn != FUSED_TO_BF16 && xlm_fn_is_row(s->fn);
}

static void run_rows(const lane *l, const fused_step *s, int64_t n) {
  for (int64_t i = 0; i < n; i += l->p->len)
    row_fns[s->fn](l->value[s->out] + i, l->value[s->a[0]] + i, l->value[s->a[1]] + i, l->p->len,
                   s->attribute);
}

static void add_to_sums(const lane *l, const block *b) {
  const fused_program *p = l->p;
  const reduce_tiles *sums = &p->sums;
  for (int i = p->n_whole; i < p->n_out; i++) {
    const float *x = l->value[p->out[i]];
    for (int64_t done = 0, n; done < b->n; done += n) {
      int64_t row = (b->at + done) / p->len, column = (b->at + done) % p->len;
      n = p->len - column < b->n - done ? p->len - column : b->n - done;
      float *sum = partial_of(l->c, p, i) + row / sums->tile_rows * p->len + column;
      if (row % sums->tile_rows)
        XLM_ISA_NAME(reduce_sum).merge(sum, x + done, n);
      else
        memcpy(sum, x + done, (size_t)n * sizeof *sum);
    }
  }
}

// Requests a share of the next block with each step of this one: memory would be idle during functions of
// rows, and the processor wherever the next row begins. (Storing `ahead` also keeps the calls: gcc drops
// those of functions that only prefetch.)
static void prefetch(lane *l, const block *b, int step) {
  int64_t at = b->at + b->n, left = l->p->total - at, n = left < b->n ? left : b->n;
  int64_t begin = l->ahead > at ? l->ahead : at, end = at + n * (step + 1) / l->p->n_steps;
  for (int i = 0; i < l->n_read; i++)
    for (int64_t k = begin * l->size[i]; k < end * l->size[i]; k += LINE)
      __builtin_prefetch(l->stream[i] + k, 0);
  for (int i = l->n_read; i < l->n_streams; i++)
    for (int64_t k = begin * l->size[i]; k < end * l->size[i]; k += LINE)
      __builtin_prefetch(l->stream[i] + k, 1);
  l->ahead = end;
}

static void run_block(lane *l, const block *b) {
  const fused_program *p = l->p;
  int64_t n = vec_pad(b->n);
  point_results(l, b);
  for (int k = 0; k < p->n_steps; k++) {
    const fused_step *s = &p->steps[k];
    if (l->n_streams) prefetch(l, b, k);
    if (s->load)
      load(l, s->a[0], b);
    else if (is_row_fn(s))
      run_rows(l, s, b->n);
    else
      fused_fns[s->fn](l->value[s->out], l->value[s->a[0]], l->value[s->a[1]], l->value[s->a[2]], n);
  }
  add_to_sums(l, b);
  // After all loads, and result 0 last: it may use the memory of an operand, which may be another result.
  for (int i = p->n_whole - 1; i >= 0; i--) {
    const float *src = l->value[p->out[i]];
    bool is_there = l->c->out_type[i]->dtype == XLM_F32 && src == (float *)l->c->out[i] + b->at;
    if (!is_there) vec_write(l->c->out_type[i]->dtype, l->c->out[i], b->at, b->n, src);
  }
}

static void fill_fixed(lane *l) { // what all blocks have in common
  const fused_program *p = l->p;
  const block first = {.n = p->cut.block < p->total ? p->cut.block : p->total};
  for (int k = 0; k < p->n_in; k++)
    if (p->fixed[k]) load(l, k, &first);
  for (int v = p->first_number; v < p->n_values; v++) {
    l->value[v] = l->slots + p->slot[v] * p->slot_len;
    for (int64_t i = 0; i < p->slot_len; i++) l->value[v][i] = p->number[v - p->first_number];
  }
}

static void add_stream(lane *l, const void *at, xlm_dtype t) {
  l->size[l->n_streams] = (int64_t)xlm_dtype_bytes(t);
  l->stream[l->n_streams++] = at;
}

static void find_streams(lane *l) {
  const xlm_call *c = l->c;
  for (int k = 0; k < l->p->n_in; k++)
    if (l->p->dense[k]) add_stream(l, c->in[k], c->in_type[k]->dtype);
  l->n_read = l->n_streams;
  for (int i = 0; i < l->p->n_whole; i++) add_stream(l, c->out[i], c->out_type[i]->dtype);
  int64_t bytes = 0;
  for (int i = 0; i < l->n_streams; i++) bytes += l->p->total * l->size[i];
  if (bytes < IN_CACHE) l->n_read = l->n_streams = 0;
}

static bool shares_memory(const xlm_call *c, int out) {
  for (int k = 0; k < c->instr->n_in; k++)
    if (c->in[k] == c->out[out]) return true;
  return false;
}

static block block_at(const fused_program *p, int64_t i) {
  const fused_cut *cut = &p->cut;
  int64_t before = i % cut->per_run * cut->block;
  block b = {.at = i / cut->per_run * cut->run + before};
  int64_t left = cut->run - before < p->total - b.at ? cut->run - before : p->total - b.at;
  b.n = left < cut->block ? left : cut->block;
  if (p->walks) locate(p, b.at, b.index);
  return b;
}

static void work(void *arg, int worker, int workers) {
  const xlm_call *c = arg;
  const fused_program *p = c->prepared;
  int64_t begin, end;
  xlm_pool_range((p->cut.count + p->cut.unit - 1) / p->cut.unit, worker, workers, &begin, &end);
  if (begin == end) return;
  lane l = {.c = c, .p = p, .slots = slots_of(c, p, worker)};
  for (int i = 0; i < p->n_whole; i++) l.direct[i] = !shares_memory(c, i);
  fill_fixed(&l);
  if (p->whole_rows) find_streams(&l);
  end = end * p->cut.unit < p->cut.count ? end * p->cut.unit : p->cut.count;
  for (int64_t i = begin * p->cut.unit; i < end; i++) {
    block b = block_at(p, i);
    if (b.n > 0) run_block(&l, &b);
  }
}

static void join_sums(void *arg, int worker, int workers) {
  const xlm_call *c = arg;
  const fused_program *p = c->prepared;
  int64_t begin, end, strips = (p->len + REDUCE_STRIP - 1) / REDUCE_STRIP;
  xlm_pool_range((p->n_out - p->n_whole) * strips, worker, workers, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    int64_t column = i % strips * REDUCE_STRIP, left = p->len - column;
    int out = p->n_whole + (int)(i / strips);
    XLM_ISA_NAME(reduce_join)
    (&p->sums, &XLM_ISA_NAME(reduce_sum), partial_of(c, p, out), column,
     left < REDUCE_STRIP ? left : REDUCE_STRIP, c->out[out]);
  }
}

xlm_status XLM_ISA_NAME(fused_run)(const xlm_call *c) {
  const fused_program *p = c->prepared;
  xlm_pool *pool = p->total * (p->n_steps + 1) < SERIAL ? NULL : xlm_cpu_pool(c);
  if (p->total > 0)
    xlm_pool_run(pool, work, (void *)c);
  else // sums of no rows
    for (int i = p->n_whole; i < p->n_out; i++) memset(c->out[i], 0, (size_t)p->len * sizeof(float));
  if (p->total > 0 && p->n_whole < p->n_out) xlm_pool_run(pool, join_sums, (void *)c);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(fused) = {.op = XLM_OP_FUSED,
                                      .workspace = XLM_ISA_NAME(fused_workspace),
                                      .prepare = XLM_ISA_NAME(fused_prepare),
                                      .run = XLM_ISA_NAME(fused_run)};
