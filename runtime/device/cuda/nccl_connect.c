// Which link: every rank learns what all have, and all decide alike. Then, for NCCL, the communicators, in
// the same order on every rank, and a first exchange over each: it connects every pair, which would otherwise
// happen in the first step, where ranks wait for one another in ways that this would block; and it shows that
// the bytes arrive.
#include "runtime/device/cuda/nccl_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- the decision ----

typedef enum choice { CHOICE_NONE, CHOICE_HOST, CHOICE_NCCL } choice;

typedef struct offer { // of every rank, to all
  char card[16];
  int32_t version; // of NCCL; 0: none
  int32_t choice;
  nccl_id world; // of rank 0
  char missing[160];
} offer;

static xlm_status read_choice(choice *out, xlm_error *err) {
  const char *text = getenv("XLM_CUDA_LINK");
  *out = !text || !*text || !strcmp(text, "auto") ? CHOICE_NONE
         : !strcmp(text, "host")                  ? CHOICE_HOST
                                                  : CHOICE_NCCL;
  if (*out != CHOICE_NCCL || !strcmp(text, "nccl")) return XLM_OK;
  return xlm_fail(err, XLM_USER, "XLM_CUDA_LINK is '%.40s': it can be nccl, host or auto", text);
}

static void make_offer(cuda *c, choice w, const xlm_nccl **calls, offer *mine) {
  xlm_error missing = {0};
  int version = 0;
  memcpy(mine->card, c->open.properties.id, sizeof mine->card);
  mine->choice = (int32_t)w;
  if (w == CHOICE_HOST) return;
  xlm_status s = xlm_nccl_table(calls, &version, &missing);
  if (s == XLM_OK && c->link.comm->rank == 0) {
    int rc = (*calls)->unique_id(&mine->world);
    if (rc) s = xlm_fail(&missing, XLM_ENV, "NCCL cannot start: %s (%d)", (*calls)->text(rc), rc);
  }
  if (s == XLM_OK) mine->version = version;
  snprintf(mine->missing, sizeof mine->missing, "%.150s", missing.text);
}

static xlm_status share(xlm_comm *comm, const offer *mine, offer *all, xlm_error *err) {
  uint64_t sent[XLM_MAX_AXES];
  void **in = calloc((size_t)comm->n_ranks, sizeof *in);
  size_t *bytes = calloc((size_t)comm->n_ranks, sizeof *bytes);
  xlm_status s = in && bytes ? XLM_OK : xlm_fail(err, XLM_ENV, "no memory for a device");
  for (int64_t k = 0; s == XLM_OK && k < comm->n_ranks; k++) in[k] = &all[k], bytes[k] = sizeof *all;
  memcpy(sent, comm->bytes_sent, sizeof sent); // bytes sent are those of the plan
  if (s == XLM_OK && (s = comm->backend->all_gather(comm, UINT32_MAX, mine, in, bytes)) != XLM_OK && err)
    *err = comm->err;
  memcpy(comm->bytes_sent, sent, sizeof sent);
  free(in);
  free(bytes);
  return s;
}

static bool share_a_card(const offer *all, int64_t n, char *why, size_t room) {
  for (int64_t i = 0; i < n; i++)
    for (int64_t k = 0; k < i; k++) {
      if (memcmp(all[i].card, all[k].card, sizeof all[i].card)) continue;
      snprintf(why, room, "ranks %lld and %lld share a GPU", (long long)k, (long long)i);
      return true;
    }
  return false;
}

// Why NCCL is not used, from what all ranks said; false: it is.
static bool is_refused(const offer *all, int64_t n, char *why, size_t room) {
  for (int64_t i = 0; i < n; i++)
    if (all[i].choice == CHOICE_HOST) return snprintf(why, room, "XLM_CUDA_LINK=host"), true;
  if (share_a_card(all, n, why, room)) return true;
  for (int64_t i = 0; i < n; i++) {
    if (!all[i].version) return snprintf(why, room, "rank %lld: %s", (long long)i, all[i].missing), true;
    if (all[i].version == all[0].version) continue;
    snprintf(why, room, "ranks 0 and %lld have different versions of NCCL", (long long)i);
    return true;
  }
  return false;
}

// ---- communicators ----

static xlm_status make_world(cuda *c, const offer *all, xlm_error *err) {
  static const char what[] = "connecting all ranks";
  cuda_nccl *n = c->nccl;
  nccl_config config = NCCL_CONFIG;
  int rc = n->calls->init(&n->world, (int)n->comm->n_ranks, all[0].world, (int)n->comm->rank, &config);
  XLM_TRY(cuda_nccl_check(c, rc, NULL, what, err));
  return cuda_nccl_settle(c, n->world, what, err);
}

static xlm_status split(cuda *c, int64_t color, int64_t key, nccl_config *config, nccl_comm *out,
                        xlm_error *err) {
  static const char what[] = "connecting a group of ranks";
  cuda_nccl *n = c->nccl;
  int rc = n->calls->split(n->world, (int)color, (int)key, out, config);
  XLM_TRY(cuda_nccl_check(c, rc, n->world, what, err));
  XLM_TRY(cuda_nccl_settle(c, n->world, what, err)); // *out is set only then
  return *out ? cuda_nccl_settle(c, *out, what, err) : XLM_OK;
}

// Each byte arrives once, and from the right member.
static xlm_status try_exchange(cuda *c, nccl_comm comm, int64_t n, int64_t me, xlm_error *err) {
  cuda_nccl *l = c->nccl;
  xlm_cuda_host_link *h = &c->link;
  char *bytes = (char *)l->numbers + sizeof(uint32_t) * (c->n_marks + 2), *host = calloc((size_t)n, 2);
  if (!host) return xlm_fail(err, XLM_ENV, "no memory for a device");
  for (int64_t k = 0; k < n; k++) {
    host[k] = (char)(7 * me + k), h->host_out[k] = bytes + k, h->host_in[k] = bytes + n + k,
    h->host_bytes[k] = 1;
  }
  xlm_status s = cuda_put(&c->open.device, bytes, host, (size_t)n, err);
  if (s == XLM_OK)
    s = cuda_nccl_exchange(c, c->open.queue[XLM_STREAM_KERNELS], comm, n, me, h->host_out, h->host_bytes,
                           h->host_in, h->host_bytes, err);
  if (s == XLM_OK) s = cuda_get(&c->open.device, host, bytes + n, (size_t)n, err);
  for (int64_t k = 0; s == XLM_OK && k < n; k++)
    if (host[k] != (char)(7 * k + me))
      s = xlm_fail(err, XLM_ENV,
                   "NCCL: what member %lld of %lld sends does not arrive: set XLM_CUDA_LINK=host",
                   (long long)k, (long long)n);
  free(host);
  return s;
}

static xlm_status make_groups(cuda *c, xlm_error *err) {
  cuda_nccl *n = c->nccl;
  const xlm_comm *comm = n->comm;
  for (uint32_t i = 0; i < n->routes->n_axes; i++) {
    uint32_t axes = n->routes->axes[i];
    int64_t size = xlm_mesh_group(&comm->mesh, axes), me = xlm_mesh_member(&comm->mesh, axes, comm->coord);
    nccl_comm *out = &n->groups[axes];
    if (size == comm->n_ranks)
      *out = n->world;
    else
      XLM_TRY(split(c, xlm_mesh_member(&comm->mesh, ~axes, comm->coord), me, NULL, out, err));
    XLM_TRY(try_exchange(c, *out, size, me, err));
  }
  return XLM_OK;
}

// ---- routes ----

static xlm_status open_sender(cuda *c, nccl_route *r, xlm_error *err) {
  static const char why[] = "making room for messages";
  const xlm_cuda_runtime *calls = cuda_calls(c);
  uint32_t room = r->route->room;
  void *at;
  r->bytes = (size_t)(r->route->bytes + 255) / 256 * 256;
  r->sent = calloc(room, sizeof *r->sent), r->used = calloc(room, sizeof *r->used);
  if (!r->sent || !r->used) return xlm_fail(err, XLM_ENV, "no memory for a device");
  XLM_TRY(cuda_alloc(&c->open.device, room * r->bytes, &at, err));
  r->at = at;
  if (r->route->from != r->route->to)
    XLM_TRY(xlm_cuda_check(calls, calls->open_queue(&r->queue, true), why, err));
  XLM_TRY(xlm_cuda_check(calls, calls->open_event(&r->copied, false), why, err));
  for (uint32_t i = 0; i < room; i++)
    XLM_TRY(xlm_cuda_check(calls, calls->open_event(&r->sent[i], false), why, err));
  return XLM_OK;
}

// One split: of route i every pair of ranks, and of the routes behind it those whose stages are still free.
static xlm_status make_routes(cuda *c, int pp, uint32_t first, bool *made, xlm_error *err) {
  cuda_nccl *n = c->nccl;
  const xlm_comm *comm = n->comm;
  int64_t stages = comm->mesh.size[pp], others = comm->n_ranks / stages, mine = -1, color = NCCL_NO_COLOR;
  bool *taken = calloc((size_t)stages, sizeof *taken);
  if (!taken) return xlm_fail(err, XLM_ENV, "no memory for a device");
  for (uint32_t i = first; i < n->routes->n; i++) {
    const xlm_route *r = &n->routes->at[i];
    if (made[i] || taken[r->from] || taken[r->to]) continue;
    made[i] = taken[r->from] = taken[r->to] = true;
    if (r->from == comm->coord[pp] || r->to == comm->coord[pp]) mine = i;
  }
  free(taken);
  nccl_route *r = mine < 0 ? NULL : &n->at[n->n++];
  nccl_comm none = NULL;
  nccl_config config = NCCL_CONFIG;
  config.max_ctas = NCCL_ROUTE_CTAS;
  if (r) {
    *r = (nccl_route){.route = &n->routes->at[mine], .sends = n->routes->at[mine].from == comm->coord[pp]};
    color = mine * others + xlm_mesh_member(&comm->mesh, ~(1u << pp), comm->coord);
  }
  XLM_TRY(split(c, color, r && !r->sends, &config, r ? &r->comm : &none, err));
  if (r) XLM_TRY(try_exchange(c, r->comm, 2, !r->sends, err));
  return r && r->sends ? open_sender(c, r, err) : XLM_OK;
}

// From a stage to itself: without a communicator.
static xlm_status make_own_routes(cuda *c, int pp, bool *made, xlm_error *err) {
  cuda_nccl *n = c->nccl;
  for (uint32_t i = 0; i < n->routes->n; i++) {
    const xlm_route *r = &n->routes->at[i];
    if (r->from != r->to) continue;
    made[i] = true;
    if (r->from != n->comm->coord[pp]) continue;
    n->at[n->n] = (nccl_route){.route = r, .sends = true};
    XLM_TRY(open_sender(c, &n->at[n->n++], err));
  }
  return XLM_OK;
}

static xlm_status make_all_routes(cuda *c, xlm_error *err) {
  cuda_nccl *n = c->nccl;
  int pp = xlm_mesh_axis(&n->comm->mesh, "pp");
  xlm_status s = XLM_OK;
  bool *made = calloc((size_t)n->routes->n + 1, sizeof *made);
  n->at = calloc((size_t)n->routes->n + 1, sizeof *n->at);
  if (!made || !n->at) s = xlm_fail(err, XLM_ENV, "no memory for a device");
  if (s == XLM_OK) s = make_own_routes(c, pp, made, err);
  for (uint32_t i = 0; s == XLM_OK && i < n->routes->n; i++)
    if (!made[i]) s = make_routes(c, pp, i, made, err);
  free(made);
  return s;
}

// ---- open and close ----

static xlm_status make_numbers(cuda *c, xlm_error *err) {
  cuda_nccl *n = c->nccl;
  size_t count = (size_t)c->n_marks + 2, members = (size_t)n->comm->n_ranks;
  void *card, *pinned;
  uint32_t *host = calloc(count, sizeof *host);
  if (!host) return xlm_fail(err, XLM_ENV, "no memory for a device");
  for (uint32_t i = 0; i < count; i++) host[i] = i;
  xlm_status s = cuda_alloc(&c->open.device, count * sizeof *host + 2 * members, &card, err);
  if (s == XLM_OK) n->numbers = card;
  if (s == XLM_OK) s = cuda_put(&c->open.device, card, host, count * sizeof *host, err);
  free(host);
  XLM_TRY(s);
  const xlm_cuda_runtime *r = cuda_calls(c);
  XLM_TRY(xlm_cuda_check(r, r->alloc_pinned(&pinned, sizeof(uint32_t) * XLM_STREAMS),
                         "allocating pinned memory", err));
  memset(pinned, 0, sizeof(uint32_t) * XLM_STREAMS);
  n->under_way = pinned;
  for (int i = 0; i < NCCL_AHEAD; i++)
    XLM_TRY(xlm_cuda_check(r, r->open_event(&n->ended[i], false), "making an event", err));
  return XLM_OK;
}

static xlm_status open_nccl(cuda *c, const xlm_nccl *calls, const offer *all, const xlm_routes *routes,
                            xlm_error *err) {
  cuda_nccl *n = c->nccl = calloc(1, sizeof *n);
  if (!n) return xlm_fail(err, XLM_ENV, "no memory for a device");
  n->calls = calls, n->comm = c->link.comm, n->routes = routes, n->driver = pthread_self();
  uint64_t unused = cuda_unused(c);
  XLM_TRY(make_numbers(c, err));
  XLM_TRY(make_world(c, all, err));
  XLM_TRY(make_groups(c, err));
  XLM_TRY(make_all_routes(c, err));
  n->bytes = cuda_taken_since(c, unused);
  c->link.link.kind = &cuda_nccl_link;
  return XLM_OK;
}

static xlm_status connect(cuda *c, offer *all, const xlm_routes *routes, xlm_error *err) {
  const xlm_comm *comm = c->link.comm;
  const xlm_nccl *calls = NULL;
  offer mine = {0};
  choice w;
  char why[200];
  XLM_TRY(read_choice(&w, err));
  make_offer(c, w, &calls, &mine);
  XLM_TRY(share(c->link.comm, &mine, all, err));
  if (!is_refused(all, comm->n_ranks, why, sizeof why)) {
    int v = all[0].version;
    snprintf(c->how, sizeof c->how, "NCCL %d.%d.%d", v / 10000, v % 10000 / 100, v % 100);
    return open_nccl(c, calls, all, routes, err);
  }
  if (w == CHOICE_NCCL) return xlm_fail(err, XLM_ENV, "XLM_CUDA_LINK=nccl cannot be: %s", why);
  snprintf(c->how, sizeof c->how, "through host memory (%s)", why);
  return XLM_OK;
}

xlm_status cuda_connect(xlm_device *d, const xlm_routes *routes, xlm_error *err) {
  cuda *c = cuda_of(d);
  if (!c->link.comm || c->link.comm->n_ranks < 2) return XLM_OK;
  offer *all = calloc((size_t)c->link.comm->n_ranks, sizeof *all);
  if (!all) return xlm_fail(err, XLM_ENV, "no memory for a device");
  xlm_status s = cuda_enter(c, err);
  if (s == XLM_OK) s = connect(c, all, routes, err);
  cuda_leave(c);
  free(all);
  c->link.link.how = c->how;
  return s;
}

// Each waits for all ranks. A failure aborts them all.
static xlm_status finish_comm(cuda *c, nccl_comm comm) {
  static const char what[] = "closing the connection of GPUs";
  if (!comm || c->nccl->dead) return XLM_OK;
  XLM_TRY(cuda_nccl_check(c, c->nccl->calls->finalize(comm), comm, what, NULL));
  return cuda_nccl_settle(c, comm, what, NULL);
}

static void destroy_comm(const cuda *c, nccl_comm comm) {
  if (comm && !c->nccl->dead) (void)c->nccl->calls->destroy(comm);
}

static void close_comms(cuda *c) {
  cuda_nccl *n = c->nccl;
  xlm_status s = n->dead ? XLM_ENV : n->comm->backend->check(n->comm);
  for (uint32_t i = 0; s == XLM_OK && i < n->n; i++) s = finish_comm(c, n->at[i].comm);
  for (int i = 0; s == XLM_OK && i < 1 << XLM_MAX_AXES; i++)
    if (n->groups[i] != n->world) s = finish_comm(c, n->groups[i]);
  if (s == XLM_OK) s = finish_comm(c, n->world);
  if (s != XLM_OK && !n->dead) cuda_nccl_abort(c);
  for (uint32_t i = 0; i < n->n; i++) destroy_comm(c, n->at[i].comm);
  for (int i = 0; i < 1 << XLM_MAX_AXES; i++)
    if (n->groups[i] != n->world) destroy_comm(c, n->groups[i]);
  destroy_comm(c, n->world);
}

static void close_sender(cuda *c, nccl_route *r) {
  const xlm_cuda_runtime *calls = cuda_calls(c);
  for (uint32_t i = 0; r->sent && i < r->route->room; i++)
    if (r->sent[i]) (void)calls->close_event(r->sent[i]);
  if (r->copied) (void)calls->close_event(r->copied);
  if (r->queue) (void)calls->finish(r->queue), (void)calls->close_queue(r->queue);
  free(r->sent);
  free(r->used);
}

void cuda_nccl_capture_failed(cuda *c) {
  if (c->nccl && c->nccl->dead) cuda_nccl_abort(c);
}

void cuda_close_nccl(cuda *c) {
  cuda_nccl *n = c->nccl;
  if (!n) return;
  close_comms(c);
  for (int q = 0; q < XLM_STREAMS; q++)
    (void)cuda_calls(c)->finish(c->open.queue[q]); // what was left when it failed
  for (uint32_t i = 0; i < n->n; i++) close_sender(c, &n->at[i]);
  for (int i = 0; i < NCCL_AHEAD; i++)
    if (n->ended[i]) (void)cuda_calls(c)->close_event(n->ended[i]);
  if (n->under_way) (void)cuda_calls(c)->free_pinned((void *)(uintptr_t)n->under_way);
  free(n->at);
  free(n);
  c->nccl = NULL;
}

uint64_t cuda_nccl_bytes(const cuda *c) {
  return c->nccl ? c->nccl->bytes : 0;
}
