// See moe_priv.h.
#include "ops/cpu/moe_priv.h"

enum {
  SMALL = 1 << 14,
  CHUNK = VEC_RUN
}; // elements moved below which one worker does everything; elements of a row at a time

static size_t cursors_bytes(int64_t experts, int workers) {
  size_t n = (size_t)experts * (size_t)workers * sizeof(int32_t);
  return (n + 63) / 64 * 64;
}

size_t XLM_ISA_NAME(xlm_moe_workspace)(const xlm_call *c, const xlm_target *t) {
  int64_t experts = c->dims[xlm_call_dim(c, XLM_A_experts, 0)].size,
          active = c->dims[xlm_call_dim(c, XLM_A_active, 0)].size;
  return cursors_bytes(experts, t->threads) + (size_t)active * (size_t)t->threads * sizeof(int64_t);
}

xlm_type XLM_ISA_NAME(xlm_moe_tokens)(const xlm_call *c, int e_operand) {
  const xlm_type *e = c->in_type[e_operand];
  xlm_type t = {.dtype = e->dtype};
  for (int i = 0; i < e->rank; i++)
    if (e->dim[i] != xlm_call_dim(c, XLM_A_active, 0)) t.dim[t.rank++] = e->dim[i];
  return t;
}

static void count(void *arg, int worker, int workers) {
  const moe *m = arg;
  int32_t *n = m->cursor + worker * m->experts;
  int64_t begin, end;
  memset(n, 0, (size_t)m->experts * sizeof *n);
  xlm_pool_range(m->tokens, worker, workers, &begin, &end);
  for (int64_t t = begin; t < end; t++)
    for (int64_t s = 0; s < m->active; s++) {
      int64_t i = (int64_t)m->e[moe_choice(m, t, s)] - m->first;
      if (i >= 0 && i < m->experts) n[i]++;
    }
}

moe XLM_ISA_NAME(xlm_moe_start)(const xlm_call *c, int e_operand, int64_t width) {
  const xlm_dim_info *experts = &c->dims[xlm_call_dim(c, XLM_A_experts, 0)];
  xlm_type tokens = XLM_ISA_NAME(xlm_moe_tokens)(c, e_operand);
  xlm_dim active = xlm_call_dim(c, XLM_A_active, 0);
  moe m = {.e = c->in[e_operand],
           .token = places_over(c, c->in_type[e_operand], tokens.dim, tokens.rank),
           .slot = xlm_call_stride(c, c->in_type[e_operand], active),
           .active = c->dims[active].size,
           .experts = experts->size,
           .first = (int32_t)experts->offset,
           .cursor = c->workspace};
  m.tokens = m.token.count;
  m.pool = m.tokens * m.active * width < SMALL ? NULL : xlm_cpu_pool(c);
  int workers = xlm_pool_size(m.pool);
  m.picked = (int64_t *)((char *)c->workspace + cursors_bytes(m.experts, workers));
  xlm_pool_run(m.pool, count, &m);
  for (int64_t i = 0; i < m.experts; i++)
    for (int w = 0; w < workers; w++) { // counts become first rows
      int32_t n = m.cursor[w * m.experts + i];
      m.cursor[w * m.experts + i] = (int32_t)m.rows;
      m.rows += n;
    }
  return m;
}

typedef struct gathering {
  moe m;
  const void *x, *w; // packed rows; weights, NULL: ones
  void *y;
  xlm_dtype dtype, w_dtype;
  places at_w; // offset of a token in w
  int64_t w_slot, width;
} gathering;

static float weight_of(const gathering *j, int64_t token, int64_t slot) {
  return j->w ? vec_read_one(j->w_dtype, j->w, places_at(&j->at_w, token) + slot * j->w_slot) : 1;
}

static void add_piece(const gathering *j, float *sum, int64_t row, int64_t at, int64_t n, float weight) {
  float buffer[CHUNK];
  const float *x = buffer;
  if (j->dtype == XLM_F32)
    x = (const float *)j->x + row * j->width + at;
  else
    vec_read(j->dtype, j->x, row * j->width + at, n, buffer);
  for (int64_t i = 0; i < n; i++) sum[i] += weight * x[i];
}

static void gather_token(const gathering *j, int64_t t, const int64_t *picked) {
  float sum[CHUNK];
  for (int64_t at = 0; at < j->width; at += CHUNK) {
    int64_t n = j->width - at < CHUNK ? j->width - at : CHUNK;
    memset(sum, 0, (size_t)n * sizeof *sum);
    for (int64_t s = 0; s < j->m.active; s++)
      if (picked[s] >= 0) add_piece(j, sum, picked[s], at, n, weight_of(j, t, s));
    vec_write(j->dtype, j->y, t * j->width + at, n, sum);
  }
}

static void gather(void *arg, int worker, int workers) {
  const gathering *j = arg;
  int64_t begin, end, *picked = j->m.picked + worker * j->m.active;
  xlm_pool_range(j->m.tokens, worker, workers, &begin, &end);
  for (int64_t t = begin; t < end; t++) {
    for (int64_t s = 0; s < j->m.active; s++) picked[s] = moe_take(&j->m, worker, t, s);
    gather_token(j, t, picked);
  }
}

void XLM_ISA_NAME(xlm_moe_gather)(const xlm_call *c, int w_operand, int e_operand) {
  const xlm_type *ys = c->in_type[0];
  gathering j = {.x = c->in[0], .y = c->out[0], .dtype = ys->dtype, .width = xlm_call_inner(c, ys, 1)};
  if (w_operand >= 0) {
    const xlm_type *w = c->in_type[w_operand];
    xlm_type tokens = XLM_ISA_NAME(xlm_moe_tokens)(c, e_operand);
    j.w = c->in[w_operand], j.w_dtype = w->dtype;
    j.at_w = places_over(c, w, tokens.dim, tokens.rank);
    j.w_slot = xlm_call_stride(c, w, xlm_call_dim(c, XLM_A_active, 0));
  }
  j.m = XLM_ISA_NAME(xlm_moe_start)(c, e_operand, j.width);
  xlm_pool_run(j.m.pool, gather, &j);
}
