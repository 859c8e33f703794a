// See collect_priv.h: groups, exchanges, pieces.
#include "ops/cpu/communicate/collect_priv.h"

enum { SERIAL = 1 << 16 }; // bytes below which one worker copies everything

// ---- the group

size_t collect_tables(int64_t n) {
  return ((size_t)n * 6 * sizeof(int64_t) + 63) / 64 * 64;
}

collect collect_start(const xlm_call *c) {
  uint32_t axes = (uint32_t)xlm_attr_int(&c->instr->attrs, XLM_A_axes, 0);
  collect g = {.call = c, .link = c->link, .axes = axes, .n = xlm_call_members(c)};
  XLM_ASSERT(g.n == 1 || g.link, "%s over %lld members without a link", xlm_op_name(c->instr->op),
             (long long)g.n);
  if (c->link) g.me = xlm_mesh_member(&c->link->mesh, axes, c->link->coord);
  size_t tables = collect_tables(g.n);
  XLM_ASSERT(c->instr->workspace >= tables, "%s over %lld members", xlm_op_name(c->instr->op),
             (long long)g.n);
  memset(c->workspace, 0, tables);
  g.size = c->workspace;
  g.begin = g.size + g.n;
  g.out = (const void **)(g.begin + g.n);
  g.in = (void **)(g.out + g.n);
  g.out_bytes = (size_t *)(g.in + g.n);
  g.in_bytes = g.out_bytes + g.n;
  g.room = (char *)c->workspace + tables;
  g.room_bytes = c->instr->workspace - tables;
  return g;
}

size_t collect_room(int64_t n, int64_t piece, size_t elem, int copies) {
  size_t one = (size_t)n * elem * (size_t)copies, all = one * (size_t)piece;
  size_t room = all < COLLECT_ROOM ? all : COLLECT_ROOM;
  return room > one ? room : one;
}

void collect_sizes(const xlm_call *c, int list, int64_t n, int64_t *size, int64_t *begin) {
  xlm_ints sizes = xlm_collect_sizes(c, list);
  int64_t sum = 0;
  XLM_ASSERT(sizes.n == n, "%s: %u sizes for %lld members", xlm_op_name(c->instr->op), sizes.n, (long long)n);
  for (int64_t i = 0; i < n; i++) size[i] = sizes.at[i], begin[i] = sum, sum += size[i];
}

xlm_status collect_exchange(const collect *g) {
  if (g->link)
    return g->link->kind->exchange(g->link, g->call->queue, g->axes, g->out, g->out_bytes, g->in, g->in_bytes,
                                   g->call->err);
  if (g->in[0] != g->out[0]) memcpy(g->in[0], g->out[0], g->in_bytes[0]);
  return XLM_OK;
}

xlm_status collect_gather(const collect *g, const void *mine) {
  if (g->link)
    return g->link->kind->gather(g->link, g->call->queue, g->axes, mine, g->in, g->in_bytes, g->call->err);
  if (g->in[0] != mine) memcpy(g->in[0], mine, g->in_bytes[0]);
  return XLM_OK;
}

// ---- pieces

static int64_t rows_in_use(const xlm_call *c) { // the last of the offsets, which are operand 1
  const int32_t *offsets = c->in[1];
  return offsets[xlm_call_elements(c, c->in_type[1]) - 1];
}

collect_piece collect_piece_of(const xlm_call *c, const xlm_type *t, xlm_dim d, bool used) {
  return xlm_collect_whole(c, t, d, used && xlm_collect_ragged(c, t) ? rows_in_use(c) : -1);
}

int64_t collect_elements(const xlm_call *c, const xlm_type *t, bool used) {
  return used && xlm_collect_ragged(c, t) ? rows_in_use(c) * xlm_call_inner(c, t, 1)
                                          : xlm_call_elements(c, t);
}

void collect_clear_tail(const xlm_call *c, const xlm_type *t, void *data) {
  if (!xlm_collect_ragged(c, t)) return;
  size_t elem = xlm_dtype_bytes(t->dtype), used = (size_t)collect_elements(c, t, true) * elem;
  memset((char *)data + used, 0, (size_t)xlm_call_elements(c, t) * elem - used);
}

typedef struct job {
  const collect_piece *p;
  char *tensor, *dense;
  int64_t first, n;
  size_t elem;
  bool pack;
} job;

static void copy_range(const job *j, int64_t begin, int64_t end) { // elements of the dense side
  const collect_piece *p = j->p;
  int64_t row = p->size * p->inner, run = (p->size - p->tail) * p->inner;
  for (int64_t i = begin; i < end;) {
    int64_t outer = (j->first + i) / row, at = (j->first + i) % row, until = at < run ? run : row;
    int64_t n = until - at < end - i ? until - at : end - i;
    int64_t place = at < run ? p->begin * p->inner + at : p->tail_begin * p->inner + (at - run);
    char *t = j->tensor + (size_t)(outer * p->whole * p->inner + place) * j->elem;
    char *d = j->dense + (size_t)i * j->elem;
    memcpy(j->pack ? d : t, j->pack ? t : d, (size_t)n * j->elem);
    i += n;
  }
}

static void work(void *arg, int worker, int workers) {
  const job *j = arg;
  int64_t begin, end;
  xlm_pool_range(j->n, worker, workers, &begin, &end);
  copy_range(j, begin, end);
}

static void run_job(job *j, xlm_pool *pool) {
  if (j->n > 0) xlm_pool_run((size_t)j->n * j->elem < SERIAL ? NULL : pool, work, j);
}

void collect_pack(const collect_piece *p, const void *tensor, int64_t first, int64_t n, size_t elem,
                  void *dense, xlm_pool *pool) {
  job j = {p, (char *)(uintptr_t)tensor, dense, first, n, elem, true};
  run_job(&j, pool);
}

void collect_unpack(const collect_piece *p, void *tensor, int64_t first, int64_t n, size_t elem,
                    const void *dense, xlm_pool *pool) {
  job j = {p, tensor, (char *)(uintptr_t)dense, first, n, elem, false};
  run_job(&j, pool);
}
