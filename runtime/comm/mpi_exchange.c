// See mpi_priv.h: exchanges and messages.
#include <stdlib.h>
#include <string.h>

#include "runtime/comm/mpi_priv.h"

static void copy(void *to, const void *from, size_t n) {
  if (n && to != from) memcpy(to, from, n);
}

// ---- exchanges

// Posts receives first, then sends, each starting with the next member, so that members do not all address
// the same one at once.
static xlm_status exchange(mpi_comm *c, const comm_group *g, const void *const *out, const size_t *out_bytes,
                           void *const *in, const size_t *in_bytes, const void *same, size_t same_bytes) {
  int tag = (int)g->axes;
  xlm_status s = xlm_mpi_check(c);
  for (int64_t i = 1; s == XLM_OK && i < g->n; i++) {
    int64_t k = (g->me + g->n - i) % g->n;
    s = xlm_mpi_post_recv(c, c->exchanges, xlm_comm_member(&c->base, g, k), tag, in[k], in_bytes[k]);
  }
  for (int64_t i = 1; s == XLM_OK && i < g->n; i++) {
    int64_t k = (g->me + i) % g->n;
    size_t bytes = out ? out_bytes[k] : same_bytes;
    s = xlm_mpi_post_send(c, c->exchanges, xlm_comm_member(&c->base, g, k), tag, out ? out[k] : same, bytes);
    c->base.bytes_sent[g->axis] += bytes;
  }
  xlm_status finished = xlm_mpi_finish(c);
  return s == XLM_OK ? finished : s;
}

xlm_status xlm_mpi_all_to_all(xlm_comm *base, uint32_t axes, const void *const *out, const size_t *out_bytes,
                              void *const *in, const size_t *in_bytes) {
  mpi_comm *c = (mpi_comm *)base;
  comm_group g = xlm_comm_group(base, axes);
  if (out_bytes[g.me] != in_bytes[g.me])
    return xlm_mpi_fail(c, "rank %lld sends %zu bytes to itself and expects %zu in %s", (long long)base->rank,
                        out_bytes[g.me], in_bytes[g.me], xlm_comm_where(base));
  copy(in[g.me], out[g.me], in_bytes[g.me]);
  return exchange(c, &g, out, out_bytes, in, in_bytes, NULL, 0);
}

xlm_status xlm_mpi_all_gather(xlm_comm *base, uint32_t axes, const void *mine, void *const *in,
                              const size_t *bytes) {
  mpi_comm *c = (mpi_comm *)base;
  comm_group g = xlm_comm_group(base, axes);
  copy(in[g.me], mine, bytes[g.me]);
  return exchange(c, &g, NULL, NULL, in, bytes, mine, bytes[g.me]);
}

// ---- messages

static bool has_left(outgoing *o) {
  int done = 1;
  if (o->n && MPI_Testall(o->n, o->requests, &done, MPI_STATUSES_IGNORE) == MPI_SUCCESS && done) o->n = 0;
  return o->n == 0;
}

// The smallest idle buffer of at least `bytes`, else a new one. NULL: out of memory.
static outgoing *free_buffer(mpi_comm *c, size_t bytes) {
  outgoing *best = NULL;
  for (outgoing *o = c->out; o; o = o->next)
    if (has_left(o) && o->room >= bytes && (!best || o->room < best->room)) best = o;
  if (best) return best;
  best = calloc(1, sizeof *best);
  if (!best) return NULL;
  best->room = bytes;
  best->data = malloc(bytes ? bytes : 1);
  best->requests = calloc(bytes / MPI_PIECE + 1, sizeof *best->requests);
  best->next = c->out;
  c->out = best;
  return best->data && best->requests ? best : NULL;
}

xlm_status xlm_mpi_send(xlm_comm *base, int64_t peer, int32_t tag, const void *data, size_t bytes) {
  mpi_comm *c = (mpi_comm *)base;
  XLM_ASSERT(peer >= 0 && peer < base->n_ranks && tag >= 0, "send to rank %lld, tag %d", (long long)peer,
             tag);
  XLM_TRY(xlm_mpi_check(c));
  if (tag > c->tag_limit)
    return xlm_mpi_fail(c, "message tag %d is above the %d that this MPI allows", tag, c->tag_limit);
  outgoing *o = free_buffer(c, bytes);
  if (!o)
    return xlm_mpi_fail(c, "rank %lld has no memory for a message of %zu bytes in %s", (long long)base->rank,
                        bytes, xlm_comm_where(base));
  copy(o->data, data, bytes);
  size_t at = 0;
  do { // at least one message, even if empty
    int n = bytes - at < MPI_PIECE ? (int)(bytes - at) : MPI_PIECE;
    int rc = MPI_Isend(o->data + at, n, MPI_BYTE, (int)peer, tag, c->messages, &o->requests[o->n]);
    XLM_TRY(xlm_mpi_call(c, rc, "a send"));
    o->n++;
    at += (size_t)n;
  } while (at < bytes);
  if (peer != base->rank) base->bytes_sent[xlm_comm_peer_axis(base, peer)] += bytes;
  return XLM_OK;
}

static xlm_status recv_empty(mpi_comm *c, int64_t peer, int32_t tag) {
  MPI_Request r;
  char none[1];
  XLM_TRY(xlm_mpi_call(c, MPI_Irecv(none, 0, MPI_BYTE, (int)peer, tag, c->messages, &r), "a receive"));
  if (xlm_mpi_wait_one(c, &r, c->base.timeout_s)) return XLM_OK;
  return xlm_mpi_fail(c, "rank %lld waited %.1f s in %s for rank %lld", (long long)c->base.rank,
                      c->base.timeout_s, xlm_comm_where(&c->base), (long long)peer);
}

xlm_status xlm_mpi_recv(xlm_comm *base, int64_t peer, int32_t tag, void *data, size_t bytes) {
  mpi_comm *c = (mpi_comm *)base;
  XLM_ASSERT(peer >= 0 && peer < base->n_ranks && tag >= 0, "receive from rank %lld, tag %d", (long long)peer,
             tag);
  XLM_TRY(xlm_mpi_check(c));
  if (bytes == 0) return recv_empty(c, peer, tag);
  xlm_status s = xlm_mpi_post_recv(c, c->messages, peer, tag, data, bytes);
  xlm_status finished = xlm_mpi_finish(c);
  return s == XLM_OK ? finished : s;
}

bool xlm_mpi_drain(mpi_comm *c, double seconds) {
  for (outgoing *o = c->out; o; o = o->next)
    for (int i = 0; i < o->n; i++)
      if (!xlm_mpi_wait_one(c, &o->requests[i], seconds)) return false;
  return true;
}

void xlm_mpi_free_outgoing(mpi_comm *c) {
  while (c->out) {
    outgoing *next = c->out->next;
    free(c->out->data);
    free(c->out->requests);
    free(c->out);
    c->out = next;
  }
}
