// Messages between threads: a copy in the receiver's inbox, so that a send never waits and two stages can
// send to each other at once. Buffers are reused; a schedule has a bounded number of messages in flight, so
// nothing is allocated after the first step.
#include <stdlib.h>
#include <string.h>

#include "runtime/comm/local_priv.h"

static message *take_spare(inbox *box, size_t bytes) { // the smallest that fits; NULL: none
  message **best = NULL;
  for (message **m = &box->spare; *m; m = &(*m)->next)
    if ((*m)->room >= bytes && (!best || (*m)->room < (*best)->room)) best = m;
  if (!best) return NULL;
  message *found = *best;
  *best = found->next;
  return found;
}

static message *new_message(inbox *box, size_t bytes) {
  pthread_mutex_lock(&box->lock);
  message *m = take_spare(box, bytes);
  pthread_mutex_unlock(&box->lock);
  if (m) return m;
  m = malloc(sizeof *m + bytes);
  if (m) m->room = bytes;
  return m;
}

xlm_status xlm_local_send(xlm_comm *base, int64_t peer, int32_t tag, const void *data, size_t bytes) {
  local *c = (local *)base;
  XLM_ASSERT(peer >= 0 && peer < c->world->n, "send to rank %lld of %lld", (long long)peer,
             (long long)c->world->n);
  XLM_TRY(xlm_local_check(c));
  inbox *box = &c->world->inboxes[peer];
  message *m = new_message(box, bytes);
  if (!m)
    return xlm_local_fail(c, "rank %lld has no memory for a message of %zu bytes in %s",
                          (long long)base->rank, bytes, xlm_comm_where(base));
  m->next = NULL, m->src = base->rank, m->tag = tag, m->bytes = bytes;
  memcpy(m->data, data, bytes);
  pthread_mutex_lock(&box->lock);
  message **end = &box->first;
  while (*end) end = &(*end)->next;
  *end = m;
  xlm_local_set(&box->arrivals, atomic_load(&box->arrivals.value) + 1);
  pthread_mutex_unlock(&box->lock);
  if (peer != base->rank) base->bytes_sent[xlm_comm_peer_axis(base, peer)] += bytes;
  return XLM_OK;
}

static message *take_message(inbox *box, int64_t src, int32_t tag) {
  pthread_mutex_lock(&box->lock);
  message **m = &box->first;
  while (*m && ((*m)->src != src || (*m)->tag != tag)) m = &(*m)->next;
  message *found = *m;
  if (found) *m = found->next;
  pthread_mutex_unlock(&box->lock);
  return found;
}

static void give_back(inbox *box, message *m) {
  pthread_mutex_lock(&box->lock);
  m->next = box->spare;
  box->spare = m;
  pthread_mutex_unlock(&box->lock);
}

xlm_status xlm_local_recv(xlm_comm *base, int64_t peer, int32_t tag, void *data, size_t bytes) {
  local *c = (local *)base;
  XLM_ASSERT(peer >= 0 && peer < c->world->n, "receive from rank %lld of %lld", (long long)peer,
             (long long)c->world->n);
  inbox *box = &c->world->inboxes[base->rank];
  for (;;) {
    XLM_TRY(xlm_local_check(c));
    unsigned seen = atomic_load(&box->arrivals.value);
    message *m = take_message(box, peer, tag);
    if (!m) {
      XLM_TRY(xlm_local_wait(c, &box->arrivals, seen, NULL, 0, peer));
      continue;
    }
    size_t got = m->bytes;
    if (got == bytes) memcpy(data, m->data, bytes);
    give_back(box, m);
    if (got == bytes) return XLM_OK;
    return xlm_local_fail(c, "rank %lld sent %zu bytes with tag %d and rank %lld expects %zu in %s",
                          (long long)peer, got, tag, (long long)base->rank, bytes, xlm_comm_where(base));
  }
}

static void free_list(message *m) {
  while (m) {
    message *next = m->next;
    free(m);
    m = next;
  }
}

void xlm_local_mail_free(inbox *box) {
  free_list(box->first);
  free_list(box->spare);
  pthread_mutex_destroy(&box->lock);
}
