// Ranks as threads of one process; see local_priv.h.
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/comm/local_priv.h"

enum { SPIN = 2000, MAX_LOCAL = 1024 };

// ---- exchanges

static group *group_of(local *c, const comm_group *g) { // groups of a mask are numbered by the coordinates
                                                        // along the other axes
  return &c->world->groups[g->axes][xlm_mesh_member(&c->base.mesh, ~g->axes, c->base.coord)];
}

static xlm_status meet(local *c, group *g, int64_t me) {
  unsigned seen = atomic_load(&g->generation.value);
  atomic_fetch_add(&g->entries[me].entered, 1);
  if (atomic_fetch_add(&g->arrived, 1) + 1 < (unsigned)g->n)
    return xlm_local_wait(c, &g->generation, seen, g, me, -1);
  atomic_store(&g->arrived, 0);
  xlm_local_set(&g->generation, seen + 1);
  return XLM_OK;
}

static bool somebody_copies(const group *g) {
  for (int64_t i = 0; i < g->n; i++)
    if (atomic_load(&g->entries[i].copying)) return true;
  return false;
}

static xlm_status give_up(local *c, group *g, int64_t me) {
  atomic_store(&g->entries[me].copying, false);
  while (somebody_copies(g)) usleep(50);
  return xlm_local_check(c);
}

static xlm_status enter(local *c, group *g, int64_t me, const char *what) {
  entry *mine = &g->entries[me];
  mine->what = what;
  atomic_store(&mine->copying, true);
  xlm_status s = xlm_local_check(c);
  if (s == XLM_OK) s = meet(c, g, me);
  for (int64_t k = 0; s == XLM_OK && k < g->n; k++)
    if (g->entries[k].what != what)
      s = xlm_local_fail(c, "rank %lld is in %s (%s) and rank %lld in %s (%s)", (long long)c->base.rank,
                         xlm_comm_where(&c->base), what, (long long)g->entries[k].rank,
                         xlm_comm_where(&c->world->ranks[g->entries[k].rank].base), g->entries[k].what);
  return s == XLM_OK ? s : give_up(c, g, me);
}

static xlm_status leave(local *c, group *g, int64_t me) {
  atomic_store(&g->entries[me].copying, false);
  return meet(c, g, me) == XLM_OK ? XLM_OK : give_up(c, g, me);
}

static void copy(void *to, const void *from, size_t n) {
  if (n && to != from) memcpy(to, from, n);
}

static xlm_status copy_from(local *c, const entry *from, void *to, const void *data, size_t sent,
                            size_t expected) {
  if (sent != expected)
    return xlm_local_fail(c, "rank %lld sends %zu bytes and rank %lld expects %zu in %s",
                          (long long)from->rank, sent, (long long)c->base.rank, expected,
                          xlm_comm_where(&c->base));
  copy(to, data, sent);
  return XLM_OK;
}

static xlm_status all_to_all(xlm_comm *base, uint32_t axes, const void *const *out, const size_t *out_bytes,
                             void *const *in, const size_t *in_bytes) {
  static const char what[] = "all-to-all";
  local *c = (local *)base;
  comm_group cg = xlm_comm_group(base, axes);
  group *g = group_of(c, &cg);
  entry *mine = &g->entries[cg.me];
  mine->out = out, mine->out_bytes = out_bytes;
  XLM_TRY(enter(c, g, cg.me, what));
  for (int64_t i = 0; i < g->n; i++) {
    int64_t k = (cg.me + i) % g->n; // start with different members
    const entry *from = &g->entries[k];
    if (copy_from(c, from, in[k], from->out[cg.me], from->out_bytes[cg.me], in_bytes[k]) != XLM_OK)
      return give_up(c, g, cg.me);
  }
  for (int64_t k = 0; k < g->n; k++)
    if (k != cg.me) base->bytes_sent[cg.axis] += out_bytes[k];
  return leave(c, g, cg.me);
}

static xlm_status all_gather(xlm_comm *base, uint32_t axes, const void *data, void *const *in,
                             const size_t *bytes) {
  static const char what[] = "all-gather";
  local *c = (local *)base;
  comm_group cg = xlm_comm_group(base, axes);
  group *g = group_of(c, &cg);
  entry *mine = &g->entries[cg.me];
  mine->mine = data, mine->bytes = bytes[cg.me];
  XLM_TRY(enter(c, g, cg.me, what));
  for (int64_t i = 0; i < g->n; i++) {
    int64_t k = (cg.me + i) % g->n;
    const entry *from = &g->entries[k];
    if (copy_from(c, from, in[k], from->mine, from->bytes, bytes[k]) != XLM_OK) return give_up(c, g, cg.me);
  }
  base->bytes_sent[cg.axis] += bytes[cg.me] * (size_t)(g->n - 1);
  return leave(c, g, cg.me);
}

static xlm_status barrier(xlm_comm *base) {
  static const char what[] = "barrier";
  local *c = (local *)base;
  comm_group cg = xlm_comm_group(base, UINT32_MAX);
  group *g = group_of(c, &cg);
  XLM_TRY(enter(c, g, cg.me, what));
  return leave(c, g, cg.me);
}

static xlm_status check(xlm_comm *base) {
  return xlm_local_check((local *)base);
}

static void fail(xlm_comm *base, const char *why) {
  local *c = (local *)base;
  (void)xlm_local_fail(c, "rank %lld failed in %s: %s", (long long)base->rank, xlm_comm_where(base), why);
}

// ---- open and close

static void free_world(world *w) {
  for (int mask = 0; mask < 1 << XLM_MAX_AXES; mask++) {
    free(w->groups[mask]);
    free(w->entries[mask]);
  }
  for (int64_t i = 0; w->inboxes && i < w->n; i++) xlm_local_mail_free(&w->inboxes[i]);
  free(w->inboxes);
  free(w->ranks);
  pthread_mutex_destroy(&w->lock);
  free(w);
}

static void close_rank(xlm_comm *base) {
  local *c = (local *)base;
  world *w = c->world;
  atomic_store(&c->closed, true);
  for (int mask = 0; mask < 1 << XLM_MAX_AXES; mask++) { // wakes ranks that wait for this one
    if (!w->groups[mask]) continue;
    comm_group g = xlm_comm_group(base, (uint32_t)mask);
    xlm_local_wake(&group_of(c, &g)->generation);
  }
  if (atomic_fetch_sub(&w->open, 1) == 1) free_world(w);
}

static const xlm_comm_backend backend = {.name = "local",
                                         .all_to_all = all_to_all,
                                         .all_gather = all_gather,
                                         .send = xlm_local_send,
                                         .recv = xlm_local_recv,
                                         .barrier = barrier,
                                         .check = check,
                                         .fail = fail,
                                         .close = close_rank};

static void *zeroed(size_t n, size_t size) {
  void *p = NULL;
  size_t bytes = n * size;
  if (posix_memalign(&p, LINE, bytes ? bytes : 1)) return NULL;
  return memset(p, 0, bytes);
}

static bool make_groups(world *w, uint32_t axes) {
  int64_t n = xlm_mesh_group(&w->mesh, axes);
  group *groups = w->groups[axes] = zeroed((size_t)(w->n / n), sizeof *groups);
  entry *entries = w->entries[axes] = zeroed((size_t)w->n, sizeof *entries);
  if (!groups || !entries) return false;
  for (int64_t rank = 0; rank < w->n; rank++) {
    const int32_t *coord = w->ranks[rank].base.coord;
    group *g = &groups[xlm_mesh_member(&w->mesh, ~axes, coord)];
    g->n = n;
    g->entries = &entries[(g - groups) * n];
    g->entries[xlm_mesh_member(&w->mesh, axes, coord)].rank = rank;
  }
  return true;
}

static int spin_for(int64_t ranks) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set)) return 0;
  return ranks <= CPU_COUNT(&set) ? SPIN : 0;
}

static world *new_world(const xlm_mesh *mesh, double timeout_s) {
  world *w = calloc(1, sizeof *w);
  if (!w) return NULL;
  w->mesh = *mesh;
  w->n = xlm_mesh_ranks(mesh);
  w->spin = spin_for(w->n);
  pthread_mutex_init(&w->lock, NULL);
  w->ranks = zeroed((size_t)w->n, sizeof *w->ranks);
  w->inboxes = zeroed((size_t)w->n, sizeof *w->inboxes);
  bool ok = w->ranks && w->inboxes;
  for (int64_t i = 0; i < w->n && w->inboxes; i++) pthread_mutex_init(&w->inboxes[i].lock, NULL);
  for (int64_t i = 0; i < w->n && ok; i++) {
    xlm_comm_start(&w->ranks[i].base, &backend, mesh, i, timeout_s);
    w->ranks[i].base.second_thread = w->ranks[i].base.any_thread = true;
    w->ranks[i].world = w;
  }
  for (uint32_t mask = 0; mask < 1u << mesh->n && ok; mask++)
    if (xlm_comm_group(&w->ranks[0].base, mask).axes == mask) ok = make_groups(w, mask);
  if (ok) return w;
  free_world(w);
  return NULL;
}

xlm_status xlm_comm_local(const xlm_mesh *mesh, double timeout_s, xlm_comm **comms, xlm_error *err) {
  int64_t n = xlm_mesh_ranks(mesh);
  if (n > MAX_LOCAL)
    return xlm_fail(err, XLM_USER, "%lld ranks are too many for one process (at most %d); run them under MPI",
                    (long long)n, MAX_LOCAL);
  world *w = new_world(mesh, timeout_s);
  if (!w) return xlm_fail(err, XLM_ENV, "no memory for the communication of %lld ranks", (long long)n);
  atomic_store(&w->open, (int)n);
  for (int64_t i = 0; i < n; i++) comms[i] = &w->ranks[i].base;
  return XLM_OK;
}
