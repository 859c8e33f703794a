// The operations of a NCCL link; see nccl_priv.h.
#include "runtime/device/cuda/nccl_priv.h"

static const char what[] = "communicating between GPUs";

static cuda *of(xlm_link *l) {
  return cuda_of(&((xlm_cuda_host_link *)l)->device->device);
}

static xlm_status check(const cuda *c, int rc, xlm_error *err) {
  return xlm_cuda_check(cuda_calls(c), rc, what, err);
}

// ---- what is under way ----

static xlm_status note(cuda *c, xlm_queue queue, uint32_t number, xlm_error *err) {
  cuda_nccl *n = c->nccl;
  uint32_t *to = (uint32_t *)(uintptr_t)&n->under_way[queue];
  return check(
      c, cuda_calls(c)->copy(to, n->numbers + number, sizeof *to, XLM_CUDA_TO_HOST, c->open.queue[queue]),
      err);
}

static xlm_status begin(cuda *c, xlm_queue queue, xlm_error *err) {
  cuda_nccl *n = c->nccl;
  if (n->dead) return cuda_nccl_check(c, NCCL_OK, NULL, what, err);
  if (!c->capturing && n->operations >= NCCL_AHEAD)
    XLM_TRY(cuda_reach(c, n->ended[n->operations % NCCL_AHEAD], what, err));
  return note(c, queue, c->running == XLM_NO_INSTR ? c->n_marks + 1 : c->running + 1, err);
}

static xlm_status end(cuda *c, xlm_queue queue, xlm_error *err) {
  cuda_nccl *n = c->nccl;
  XLM_TRY(note(c, queue, 0, err));
  if (c->capturing) return XLM_OK;
  return check(c, cuda_calls(c)->record(n->ended[n->operations++ % NCCL_AHEAD], c->open.queue[queue]), err);
}

// ---- groups ----

static nccl_comm comm_of(const cuda *c, const xlm_link *l, uint32_t axes) {
  uint32_t mask = 0;
  for (int i = 0; i < l->mesh.n; i++)
    if (axes >> i & 1 && l->mesh.size[i] > 1) mask |= 1u << i;
  return c->nccl->groups[mask];
}

// The outermost axis of the group: what is sent counts for it, as on the control plane.
static void count(cuda *c, const xlm_link *l, uint32_t axes, const size_t *bytes, int64_t n, int64_t me) {
  for (int i = 0; i < l->mesh.n; i++) {
    if (!(axes >> i & 1) || l->mesh.size[i] < 2) continue;
    for (int64_t k = 0; k < n; k++)
      if (k != me) c->nccl->comm->bytes_sent[i] += bytes[k];
    return;
  }
}

static int post(const xlm_nccl *calls, xlm_cuda_queue q, nccl_comm comm, int64_t n, int64_t me,
                const void *const *out, const size_t *out_bytes, void *const *in, const size_t *in_bytes) {
  int rc = calls->group_start();
  if (rc) return rc;
  for (int64_t k = 0; k < n; k++) {
    if (k == me) continue;
    if (!rc && out_bytes[k]) rc = calls->send(out[k], out_bytes[k], NCCL_UINT8, (int)k, comm, q);
    if (!rc && in_bytes[k]) rc = calls->recv(in[k], in_bytes[k], NCCL_UINT8, (int)k, comm, q);
  }
  int ended = calls->group_end();
  return rc ? rc : ended;
}

static bool moves(const size_t *out_bytes, const size_t *in_bytes, int64_t n, int64_t me) {
  for (int64_t k = 0; k < n; k++)
    if (k != me && (out_bytes[k] || in_bytes[k])) return true;
  return false;
}

xlm_status cuda_nccl_exchange(cuda *c, xlm_cuda_queue q, nccl_comm comm, int64_t n, int64_t me,
                              const void *const *out, const size_t *out_bytes, void *const *in,
                              const size_t *in_bytes, xlm_error *err) {
  if (in_bytes[me] && in[me] != out[me])
    XLM_TRY(check(c, cuda_calls(c)->copy(in[me], out[me], in_bytes[me], XLM_CUDA_ON_CARD, q), err));
  if (!moves(out_bytes, in_bytes, n, me)) return XLM_OK;
  XLM_ASSERT(comm, "a group of %lld ranks has no communicator", (long long)n);
  int rc = post(c->nccl->calls, q, comm, n, me, out, out_bytes, in, in_bytes);
  XLM_TRY(cuda_nccl_check(c, rc, comm, what, err));
  return cuda_nccl_settle(c, comm, what, err);
}

static xlm_status exchange(xlm_link *l, xlm_queue queue, uint32_t axes, const void *const *out,
                           const size_t *out_bytes, void *const *in, const size_t *in_bytes, xlm_error *err) {
  cuda *c = of(l);
  int64_t n = xlm_mesh_group(&l->mesh, axes), me = xlm_mesh_member(&l->mesh, axes, l->coord);
  XLM_TRY(begin(c, queue, err));
  XLM_TRY(cuda_nccl_exchange(c, c->open.queue[queue], comm_of(c, l, axes), n, me, out, out_bytes, in,
                             in_bytes, err));
  count(c, l, axes, out_bytes, n, me);
  return end(c, queue, err);
}

static xlm_status gather(xlm_link *l, xlm_queue queue, uint32_t axes, const void *mine, void *const *in,
                         const size_t *bytes, xlm_error *err) {
  xlm_cuda_host_link *h = (xlm_cuda_host_link *)l;
  cuda *c = of(l);
  int64_t n = xlm_mesh_group(&l->mesh, axes), me = xlm_mesh_member(&l->mesh, axes, l->coord);
  for (int64_t k = 0; k < n; k++) h->host_out[k] = mine, h->host_bytes[k] = bytes[me];
  XLM_TRY(begin(c, queue, err));
  XLM_TRY(cuda_nccl_exchange(c, c->open.queue[queue], comm_of(c, l, axes), n, me, h->host_out, h->host_bytes,
                             in, bytes, err));
  count(c, l, axes, h->host_bytes, n, me);
  return end(c, queue, err);
}

// ---- messages ----

static int pipeline_axis(const xlm_link *l) {
  int pp = xlm_mesh_axis(&l->mesh, "pp");
  XLM_ASSERT(pp >= 0, "a message in a mesh without stages");
  return pp;
}

static nccl_route *route_of(cuda *c, const xlm_link *l, int64_t peer, int32_t tag, bool sends) {
  int32_t coord[XLM_MAX_AXES];
  int pp = pipeline_axis(l);
  xlm_mesh_coord(&l->mesh, peer, coord);
  int64_t there = coord[pp], here = l->coord[pp];
  const xlm_route *r = xlm_route_find(c->nccl->routes, sends ? here : there, sends ? there : here, tag);
  for (uint32_t i = 0; i < c->nccl->n; i++)
    if (c->nccl->at[i].route == r && r) return &c->nccl->at[i];
  XLM_ASSERT(false, "a message of tag %d with rank %lld, which the plan does not have", tag, (long long)peer);
  return NULL;
}

static bool is_own(const nccl_route *r) { // to itself
  return r->route->from == r->route->to;
}

// The message leaves its queue as a copy.
static xlm_status keep(cuda *c, nccl_route *r, xlm_queue queue, uint32_t place, const void *data,
                       size_t bytes, xlm_error *err) {
  const xlm_cuda_runtime *calls = cuda_calls(c);
  xlm_cuda_queue q = c->open.queue[queue];
  if (r->used[place]) XLM_TRY(check(c, calls->wait(q, r->sent[place]), err));
  XLM_TRY(check(c, calls->copy(r->at + place * r->bytes, data, bytes, XLM_CUDA_ON_CARD, q), err));
  XLM_TRY(check(c, calls->record(r->copied, q), err));
  return is_own(r) ? XLM_OK : check(c, calls->wait(r->queue, r->copied), err);
}

// From its place; what was copied there before it was sent later is waited for as well.
static xlm_status take_own(cuda *c, nccl_route *r, xlm_queue queue, void *data, size_t bytes,
                           xlm_error *err) {
  const xlm_cuda_runtime *calls = cuda_calls(c);
  xlm_cuda_queue q = c->open.queue[queue];
  uint32_t place = r->taken;
  r->taken = (place + 1) % r->route->room;
  if (!bytes) return XLM_OK;
  XLM_TRY(check(c, calls->wait(q, r->copied), err));
  XLM_TRY(check(c, calls->copy(data, r->at + place * r->bytes, bytes, XLM_CUDA_ON_CARD, q), err));
  r->used[place] = true;
  return check(c, calls->record(r->sent[place], q), err);
}

static xlm_status send(xlm_link *l, xlm_queue queue, int64_t peer, int32_t tag, const void *data,
                       size_t bytes, xlm_error *err) {
  cuda *c = of(l);
  nccl_route *r = route_of(c, l, peer, tag, true);
  XLM_ASSERT(bytes <= r->route->bytes, "a message of %zu bytes, planned are %llu", bytes,
             (unsigned long long)r->route->bytes);
  uint32_t place = r->next;
  const void *out[] = {NULL, r->at + place * r->bytes};
  const size_t out_bytes[] = {0, bytes}, none[] = {0, 0};
  void *in[] = {NULL, NULL};
  r->next = (place + 1) % r->route->room;
  XLM_TRY(begin(c, queue, err));
  if (!bytes) return end(c, queue, err);
  XLM_TRY(keep(c, r, queue, place, data, bytes, err));
  XLM_TRY(end(c, queue, err));
  if (is_own(r)) return XLM_OK;
  c->nccl->comm->bytes_sent[pipeline_axis(l)] += bytes;
  XLM_TRY(cuda_nccl_exchange(c, r->queue, r->comm, 2, 0, out, out_bytes, in, none, err));
  r->used[place] = true;
  return check(c, cuda_calls(c)->record(r->sent[place], r->queue), err);
}

static xlm_status recv(xlm_link *l, xlm_queue queue, int64_t peer, int32_t tag, void *data, size_t bytes,
                       xlm_error *err) {
  cuda *c = of(l);
  nccl_route *r = route_of(c, l, peer, tag, false);
  const void *out[] = {NULL, NULL};
  const size_t none[] = {0, 0}, in_bytes[] = {bytes, 0};
  void *in[] = {data, NULL};
  XLM_TRY(begin(c, queue, err));
  if (is_own(r))
    XLM_TRY(take_own(c, r, queue, data, bytes, err));
  else
    XLM_TRY(cuda_nccl_exchange(c, c->open.queue[queue], r->comm, 2, 1, out, none, in, in_bytes, err));
  return end(c, queue, err);
}

const xlm_link_kind cuda_nccl_link = {exchange, gather, send, recv};
