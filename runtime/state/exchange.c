// States in several processes. All processes have the plan, so they know which ranks have which parts: every
// process announces the box each of them requests, and one all-to-all delivers the parts. A process does not
// request parts it has; if several have the same part, different requests go to different ones.
#include <stdlib.h>
#include <string.h>

#include "runtime/state/store.h"
#include "runtime/state/store_priv.h"

typedef struct packing { // runs of a box, consecutively
  size_t bytes;
  char *box, *packed; // NULL: only counted
  int64_t n;
  bool pack;
} packing;

static xlm_status pack_run(void *arg, int64_t local, int64_t box, int64_t n, xlm_error *err) {
  packing *p = arg;
  (void)local, (void)err;
  if (p->packed) {
    char *in_box = p->box + (size_t)box * p->bytes, *there = p->packed + (size_t)p->n * p->bytes;
    memcpy(p->pack ? there : in_box, p->pack ? in_box : there, (size_t)n * p->bytes);
  }
  p->n += n;
  return XLM_OK;
}

static size_t run_packing(const xlm_part *part, const xlm_want *w, char *box, char *packed, bool pack) {
  packing p = {xlm_dtype_bytes(w->state->dtype), box, packed, 0, pack};
  xlm_status s = xlm_view_runs(&part->view, &w->box, pack_run, &p, NULL);
  XLM_ASSERT(s == XLM_OK, "packing cannot fail");
  return (size_t)p.n * p.bytes;
}

// The sender of `part` to `asker`; -1: it has the part.
static int64_t sender_of(const xlm_part *part, int64_t asker) {
  return xlm_part_held_by(part, asker) ? -1 : part->holders[asker % part->n_holders];
}

typedef struct exchange {
  const xlm_store *s;
  xlm_comm *c;
  const xlm_want *wants;
  const void **out;
  void **in;
  size_t *out_bytes, *in_bytes;
  char *block; // of the arrays
} exchange;

static bool open_exchange(exchange *x, const xlm_store *s, const xlm_want *wants) {
  size_t n = (size_t)s->peers->n_ranks;
  char *block = calloc(n, 4 * sizeof(void *));
  *x = (exchange){.s = s, .c = s->peers, .wants = wants, .block = block};
  if (!block) return false;
  x->out = (const void **)block, x->in = (void **)(block + n * sizeof(void *));
  x->out_bytes = (size_t *)(block + 2 * n * sizeof(void *)),
  x->in_bytes = (size_t *)(block + 3 * n * sizeof(void *));
  return true;
}

static void close_exchange(exchange *x) {
  for (int64_t k = 0; x->block && k < x->c->n_ranks; k++) free((void *)(uintptr_t)x->out[k]), free(x->in[k]);
  free(x->block);
}

static xlm_status no_memory(const xlm_want *w, xlm_error *err) {
  return xlm_fail(err, XLM_ENV, "no memory to collect state '%s'", w->state->name);
}

// Packs what this process sends to k.
static xlm_status pack_for(exchange *x, int64_t k, xlm_error *err) {
  const xlm_want *w = &x->wants[k];
  size_t bytes = 0, box_bytes;
  for (int i = 0; i < w->state->n_parts; i++)
    if (sender_of(&w->state->parts[i], k) == x->c->rank)
      bytes += run_packing(&w->state->parts[i], w, NULL, NULL, true);
  if (!bytes) return XLM_OK;
  box_bytes = (size_t)xlm_box_elements(w->state, &w->box) * xlm_dtype_bytes(w->state->dtype);
  char *packed = malloc(bytes), *box = malloc(box_bytes);
  xlm_status status = packed && box ? xlm_store_get(x->s, w->state, &w->box, box, err) : no_memory(w, err);
  x->out[k] = packed, x->out_bytes[k] = bytes;
  for (int i = 0; i < w->state->n_parts && status == XLM_OK; i++)
    if (sender_of(&w->state->parts[i], k) == x->c->rank)
      packed += run_packing(&w->state->parts[i], w, box, packed, true);
  free(box);
  return status;
}

static xlm_status make_room(exchange *x, xlm_error *err) {
  const xlm_want *w = &x->wants[x->c->rank];
  for (int i = 0; w->state && i < w->state->n_parts; i++) {
    int64_t from = sender_of(&w->state->parts[i], x->c->rank);
    if (from >= 0) x->in_bytes[from] += run_packing(&w->state->parts[i], w, NULL, NULL, false);
  }
  for (int64_t k = 0; k < x->c->n_ranks; k++)
    if (x->in_bytes[k] && !(x->in[k] = malloc(x->in_bytes[k]))) return no_memory(w, err);
  return XLM_OK;
}

static void unpack(const exchange *x) {
  const xlm_want *w = &x->wants[x->c->rank];
  size_t *used = x->in_bytes; // recounted from 0
  memset(used, 0, (size_t)x->c->n_ranks * sizeof *used);
  for (int i = 0; w->state && i < w->state->n_parts; i++) {
    int64_t from = sender_of(&w->state->parts[i], x->c->rank);
    if (from >= 0 && x->in[from]) // nothing comes from other processes
      used[from] += run_packing(&w->state->parts[i], w, w->out, (char *)x->in[from] + used[from], false);
  }
}

static uint32_t everybody(const xlm_comm *c) {
  return (1u << c->mesh.n) - 1;
}

static xlm_status swap(exchange *x, xlm_error *err) {
  uint64_t counts[XLM_MAX_AXES];
  xlm_comm *c = x->c;
  memcpy(counts, c->bytes_sent, sizeof counts);
  xlm_status status = c->backend->all_to_all(c, everybody(c), x->out, x->out_bytes, x->in, x->in_bytes);
  memcpy(c->bytes_sent, counts, sizeof counts);
  if (status != XLM_OK) *err = c->err;
  return status;
}

static xlm_status collect(exchange *x, xlm_error *err) {
  for (int64_t k = 0; k < x->c->n_ranks; k++)
    if (k != x->c->rank && x->wants[k].state) XLM_TRY(pack_for(x, k, err));
  XLM_TRY(make_room(x, err));
  XLM_TRY(swap(x, err));
  unpack(x);
  return XLM_OK;
}

xlm_status xlm_store_exchange(const xlm_store *s, const xlm_want *wants, xlm_error *err) {
  const xlm_want *mine = &wants[s->peers ? s->peers->rank : 0];
  if (mine->state) XLM_TRY(xlm_store_get(s, mine->state, &mine->box, mine->out, err));
  if (!s->peers) return XLM_OK;
  exchange x;
  xlm_status status =
      open_exchange(&x, s, wants) ? collect(&x, err) : xlm_fail(err, XLM_ENV, "no memory to collect states");
  close_exchange(&x);
  return status;
}

static xlm_status share(xlm_comm *c, const void *mine, size_t bytes, void *all, void **in, size_t *sizes,
                        xlm_error *err) {
  uint64_t counts[XLM_MAX_AXES];
  for (int64_t k = 0; k < c->n_ranks; k++) in[k] = (char *)all + (size_t)k * bytes, sizes[k] = bytes;
  memcpy(counts, c->bytes_sent, sizeof counts);
  xlm_status status = c->backend->all_gather(c, everybody(c), mine, in, sizes);
  memcpy(c->bytes_sent, counts, sizeof counts);
  if (status != XLM_OK) *err = c->err;
  return status;
}

xlm_status xlm_store_share(const xlm_store *s, const void *mine, size_t bytes, void *all, xlm_error *err) {
  xlm_comm *c = s->peers;
  if (!c) {
    memcpy(all, mine, bytes);
    return XLM_OK;
  }
  void **in = calloc((size_t)c->n_ranks, sizeof *in);
  size_t *sizes = calloc((size_t)c->n_ranks, sizeof *sizes);
  xlm_status status = in && sizes ? share(c, mine, bytes, all, in, sizes, err)
                                  : xlm_fail(err, XLM_ENV, "no memory to communicate with the other processes");
  free(in);
  free(sizes);
  return status;
}
