// States that lie in several processes. Rank 0's process asks the owner of a box for a range of its elements,
// a few MiB at a time, and puts them where they belong; so neither side ever needs memory for more than a
// piece.
#include <stdlib.h>
#include <string.h>

#include "runtime/state/store.h"
#include "runtime/state/store_priv.h"

enum {
  TAG = 32000,
  PIECE = 4 << 20
}; // the tag: beside those of pipeline messages, which are all received by now

typedef struct request {
  int64_t state, first, n; // elements of the owner's box; state -1: no more
} request;

static xlm_status fetch(const xlm_store *s, const xlm_stored *t, const xlm_view *v, char *piece, char *out,
                        xlm_error *err) {
  size_t bytes = xlm_dtype_bytes(t->dtype);
  xlm_comm *c = s->peers;
  request q = {.state = t - s->at};
  for (; q.first < v->n; q.first += q.n) {
    int64_t most = (int64_t)(PIECE / bytes);
    q.n = v->n - q.first < most ? v->n - q.first : most;
    xlm_status status = c->backend->send(c, v->owner, TAG, &q, sizeof q);
    if (status == XLM_OK) status = c->backend->recv(c, v->owner, TAG, piece, (size_t)q.n * bytes);
    if (status != XLM_OK) return *err = c->err, status;
    xlm_view_scatter(v, bytes, q.first, q.n, piece, 0, out);
  }
  return XLM_OK;
}

// Not counted: bytes sent are those of the plan.
static void keep_counts(xlm_comm *c, uint64_t counts[XLM_MAX_AXES], bool back) {
  if (c && back)
    memcpy(c->bytes_sent, counts, sizeof c->bytes_sent);
  else if (c)
    memcpy(counts, c->bytes_sent, sizeof c->bytes_sent);
}

xlm_status xlm_store_read(const xlm_store *s, const xlm_stored *t, void *out, xlm_error *err) {
  uint64_t counts[XLM_MAX_AXES];
  XLM_TRY(xlm_store_get(s, t, 0, t->n, out, err));
  if (!t->n_away) return XLM_OK;
  XLM_ASSERT(s->peers, "a part of state '%s' is nowhere", t->name);
  char *piece = malloc(PIECE);
  if (!piece) return xlm_fail(err, XLM_ENV, "no memory to collect state '%s'", t->name);
  xlm_status status = XLM_OK;
  keep_counts(s->peers, counts, false);
  for (int i = 0; i < t->n_away && status == XLM_OK; i++) status = fetch(s, t, &t->away[i], piece, out, err);
  keep_counts(s->peers, counts, true);
  free(piece);
  return status;
}

static xlm_status answer(const xlm_store *s, xlm_comm *c, const request *q, char *piece, xlm_error *err) {
  XLM_ASSERT(q->state < s->n && s->at[q->state].n_views, "asked for state %lld", (long long)q->state);
  const xlm_stored *t = &s->at[q->state];
  size_t bytes = xlm_dtype_bytes(t->dtype);
  XLM_TRY(xlm_view_get(s, &t->views[0], bytes, q->first, q->n, piece, err));
  if (c->backend->send(c, 0, TAG, piece, (size_t)q->n * bytes) == XLM_OK) return XLM_OK;
  *err = c->err;
  return err->status;
}

static xlm_status answer_all(const xlm_store *s, char *piece, xlm_error *err) {
  xlm_comm *c = s->peers;
  request q;
  for (;;) {
    if (c->backend->recv(c, 0, TAG, &q, sizeof q) != XLM_OK) {
      *err = c->err;
      return err->status;
    }
    if (q.state < 0) return XLM_OK;
    XLM_TRY(answer(s, c, &q, piece, err));
  }
}

xlm_status xlm_store_serve(const xlm_store *s, xlm_error *err) {
  uint64_t counts[XLM_MAX_AXES];
  char *piece = malloc(PIECE);
  if (!piece) return xlm_fail(err, XLM_ENV, "no memory to hand out states");
  keep_counts(s->peers, counts, false);
  xlm_status status = answer_all(s, piece, err);
  keep_counts(s->peers, counts, true);
  free(piece);
  return status;
}

xlm_status xlm_store_release(const xlm_store *s, xlm_error *err) {
  xlm_comm *c = s->peers;
  request end = {.state = -1};
  uint64_t counts[XLM_MAX_AXES];
  xlm_status status = XLM_OK;
  keep_counts(c, counts, false);
  for (int64_t k = 1; c && k < c->n_ranks && status == XLM_OK; k++)
    status = c->backend->send(c, k, TAG, &end, sizeof end);
  keep_counts(c, counts, true);
  if (status != XLM_OK) *err = c->err;
  return status;
}
