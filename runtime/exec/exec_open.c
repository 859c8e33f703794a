// Opens an executor: the device, the arena, and every instruction bound to its kernel and operands.
#include <stdlib.h>

#include "runtime/exec/exec_priv.h"

static void bind_operands(xlm_exec *e, const uint32_t *list, int n, const xlm_type **types, void **data,
                          uint32_t *slotted, uint16_t *n_slotted, uint32_t first) {
  for (int i = 0; i < n; i++) {
    const xlm_tensor *t = &e->rank->tensors[list[i]];
    types[i] = &t->type;
    data[i] = exec_address(e, list[i]);
    if (xlm_area_has_slots(t->area)) slotted[(*n_slotted)++] = first + (uint32_t)i;
  }
}

static void bind_call(xlm_exec *e, const xlm_instr *in, exec_bound *b) {
  int n = in->n_in + in->n_out;
  const xlm_type **types = XLM_NEW_N(e->tables, const xlm_type *, n);
  void **data = XLM_NEW_N(e->tables, void *, n);
  uint32_t *slotted = XLM_NEW_N(e->tables, uint32_t, n);
  bind_operands(e, in->in, in->n_in, types, data, slotted, &b->n_slotted, 0);
  bind_operands(e, in->out, in->n_out, types + in->n_in, data + in->n_in, slotted, &b->n_slotted, in->n_in);
  b->slotted = slotted;
  b->call = (xlm_call){.instr = in,
                       .dims = e->rank->dims,
                       .in_type = types,
                       .out_type = types + in->n_in,
                       .in = data,
                       .out = data + in->n_in,
                       .device = e->device,
                       .env = &e->env,
                       .queue = in->stream,
                       .mesh = &e->plan->mesh,
                       .link = e->device->link,
                       .err = &e->device->err[in->stream],
                       .workspace = e->arena + e->rank->area_begin[XLM_AREA_TEMP] + in->workspace_at};
}

// Can the kernel read the parameters that the plan stores in panels? Nothing else may be.
static xlm_status check_panels(const xlm_exec *e, const exec_bound *b, xlm_error *err) {
  const xlm_instr *in = b->call.instr;
  for (int i = 0; i < in->n_in + in->n_out; i++) {
    xlm_panels p = b->call.in_type[i]->panels; // the results' types follow
    if (!p.width) continue;
    bool may = i < in->n_in && b->kernel->panels &&
               b->kernel->panels(&b->call, &e->plan->target, i, &p) != XLM_PANELS_NEVER;
    if (!may)
      return xlm_fail(err, XLM_USER,
                      "it cannot take operand %d in the panels of the plan; make the plan again", i);
  }
  return XLM_OK;
}

// Finds the kernel variant that the plan names and checks its workspace.
static xlm_status bind_variant(const xlm_exec *e, exec_bound *b, xlm_error *err) {
  const xlm_instr *in = b->call.instr;
  const xlm_kernel *k = b->kernel;
  const xlm_target *t = &e->plan->target;
  int variant = b->call.variant = xlm_kernel_variant(k, in->variant);
  if (variant < 0)
    return xlm_fail(err, XLM_USER, "the %s backend has no kernel variant `%.100s` of it", t->backend,
                    in->variant ? in->variant : "");
  if (k->variants && !k->applicable(&b->call, t, variant))
    return xlm_fail(err, XLM_USER, "the kernel variant `%s` cannot be taken here on %s", in->variant,
                    t->arch);
  uint64_t needs = k->workspace ? k->workspace(&b->call, t) : 0;
  if (needs <= in->workspace) return XLM_OK;
  return xlm_fail(err, XLM_USER,
                  "it needs %llu bytes of workspace and the plan gives %llu; make the plan again",
                  (unsigned long long)needs, (unsigned long long)in->workspace);
}

static xlm_status bind(xlm_exec *e, const xlm_instr *in, exec_bound *b, const xlm_backend *backend,
                       xlm_error *err) {
  b->kernel = backend->find(e->plan->target.arch, in->op);
  if (!b->kernel) return xlm_fail(err, XLM_USER, "the %s backend has no such kernel", backend->info.name);
  if (in->stream == XLM_STREAM_COMM && !e->comm)
    return xlm_fail(err, XLM_USER, "the plan is for %u ranks and this run has one", e->plan->n_ranks);
  bind_call(e, in, b);
  XLM_TRY(check_panels(e, b, err));
  return bind_variant(e, b, err);
}

static void request(xlm_exec *e) {
  xlm_arena *a = xlm_arena_new(0);
  if (a && XLM_ARENA_TRY(a)) // without memory `prepare` alone does it
    for (uint32_t i = 0; i < e->rank->n_instrs; i++) {
      const exec_bound *b = &e->bound[i];
      if (b->kernel->request) b->kernel->request(&b->call, a);
    }
  xlm_arena_free(a);
}

static xlm_status prepare(xlm_exec *e, exec_bound *b, xlm_error *err) {
  if (!b->kernel->prepare) return XLM_OK;
  return b->kernel->prepare(&b->call, e->tables, &b->call.prepared, err);
}

// The work that can be done between communication i and the first instruction that waits for it.
static void look_beside(const xlm_exec *e, const xlm_segment *s, uint32_t i, xlm_work *w) {
  for (uint32_t k = i + 1; k < s->first + s->n; k++) {
    const xlm_instr *in = &e->rank->instrs[k];
    if (in->after > i) break;
    if (in->stream == XLM_STREAM_KERNELS) w->flops_beside += in->flops, w->bytes_beside += in->bytes;
  }
}

static const char *name_of(xlm_exec *e, const xlm_instr *in) {
  xlm_model_line at = xlm_plan_model_line(e->plan, in->line);
  return xlm_arena_printf(e->tables, "%s of %s (%.*s:%u)", xlm_op_name(in->op),
                          *in->scope ? in->scope : "model", at.n, at.path, at.line);
}

static void plan_work(xlm_exec *e, uint32_t rank) {
  for (uint32_t s = 0; s < e->rank->n_segments; s++)
    for (uint32_t k = 0; k < e->rank->segments[s].n; k++) {
      uint32_t i = e->rank->segments[s].first + k;
      const xlm_instr *in = &e->rank->instrs[i];
      e->bound[i].own = &e->bound[i].call;
      e->bound[i].work =
          (xlm_work){.run = exec_run, .arg = e, .instr = i, .calls = &e->bound[i].own, .n_calls = 1};
      if (in->after) e->bound[in->after - 1].marked = true;
      if (in->stream != XLM_STREAM_COMM) continue;
      e->communicates[s] = true;
      e->bound[i].work.where = name_of(e, in);
      look_beside(e, &e->rank->segments[s], i, &e->bound[i].work);
    }
  for (uint32_t s = 0; s < e->rank->n_segments; s++)
    e->together[s] = xlm_plan_runs_together(e->plan, rank, s);
}

// Places for the losses and metrics of the step in a box.
static xlm_status open_boxes(xlm_exec *e, xlm_error *err) {
  enum { ALIGN = 8 };
  size_t n = 0;
  e->box_at = XLM_NEW_N(e->tables, size_t, e->rank->n_outputs);
  for (uint32_t i = 0; i < e->rank->n_outputs; i++) {
    if (e->rank->outputs[i].role == XLM_OUTPUT_OUTPUT) continue;
    e->box_at[i] = n;
    n += (e->rank->tensors[e->rank->outputs[i].tensor].bytes + ALIGN - 1) / ALIGN * ALIGN;
  }
  if (n > XLM_BOX_BYTES)
    return xlm_fail(err, XLM_USER,
                    "the metrics of the model have %zu bytes, and there is room for %d: shorten its lists", n,
                    XLM_BOX_BYTES);
  for (int i = 0; i < XLM_BOXES; i++) e->boxes[i] = XLM_NEW_N(e->tables, char, n + ALIGN);
  return XLM_OK;
}

static xlm_status bind_all(xlm_exec *e, uint32_t rank, const xlm_backend *backend, xlm_error *err) {
  if (!XLM_ARENA_TRY(e->tables)) return xlm_fail(err, XLM_ENV, "no memory for the executor's tables");
  xlm_dim_info *dims = XLM_NEW_N(e->tables, xlm_dim_info, e->rank->n_dims);
  xlm_mesh_rank_dims(e->plan, rank, dims);
  e->own.dims = dims;
  e->bound = XLM_NEW_N(e->tables, exec_bound, e->rank->n_instrs);
  e->communicates = XLM_NEW_N(e->tables, bool, e->rank->n_segments);
  e->together = XLM_NEW_N(e->tables, bool, e->rank->n_segments);
  XLM_TRY(open_boxes(e, err));
  for (uint32_t i = 0; i < e->rank->n_instrs; i++)
    if (bind(e, &e->rank->instrs[i], &e->bound[i], backend, err) != XLM_OK) return exec_name(e, i, err);
  exec_find_rows(e);
  request(e);
  for (uint32_t i = 0; i < e->rank->n_instrs; i++)
    if (prepare(e, &e->bound[i], err) != XLM_OK) return exec_name(e, i, err);
  plan_work(e, rank);
  exec_find_ahead(e);
  exec_find_series(e);
  return XLM_OK;
}

static xlm_status open_device(xlm_exec *e, const xlm_device_kind *kind, int threads, xlm_error *err) {
  xlm_device_options o = {.threads = threads, .n_marks = e->rank->n_instrs, .comm = e->comm};
  for (uint32_t s = 0; s < e->rank->n_segments; s++)
    if (e->rank->segments[s].n > o.room) o.room = e->rank->segments[s].n;
  void *arena;
  XLM_TRY(kind->open(&o, &e->device, err));
  if (kind->alloc(e->device, e->rank->arena_bytes, &arena, err) != XLM_OK)
    return xlm_fail_in(err, "an arena of %llu bytes", (unsigned long long)e->rank->arena_bytes);
  e->arena = (char *)arena;
  e->poison = kind->checked;
  return XLM_OK;
}

xlm_status xlm_exec_connect(xlm_exec *e, xlm_error *err) {
  const xlm_device_kind *on = e->device->kind;
  if (!e->comm || !on->connect) return XLM_OK;
  if (!XLM_ARENA_TRY(e->tables)) return xlm_fail(err, XLM_ENV, "no memory for the executor's tables");
  e->routes = xlm_plan_routes(e->plan, e->tables);
  return on->connect(e->device, &e->routes, err);
}

void xlm_exec_close(xlm_exec *e) {
  if (!e) return;
  if (e->device) e->device->kind->close(e->device);
  xlm_arena_free(e->tables);
  free(e);
}

xlm_status xlm_exec_open(const xlm_plan *plan, uint32_t rank, const xlm_backend *backend, int threads,
                         xlm_comm *comm, xlm_exec **out, xlm_error *err) {
  *out = NULL;
  if (threads > plan->target.threads)
    return xlm_fail(err, XLM_USER, "the plan was made for %d threads and %d are asked for",
                    plan->target.threads, threads);
  xlm_exec *e = calloc(1, sizeof *e);
  if (!e) return xlm_fail(err, XLM_ENV, "no memory for an executor");
  e->plan = plan;
  e->comm = comm;
  e->own = *plan->rank_plans[plan->rank_plan_of[rank]];
  e->rank = &e->own;
  e->tables = xlm_arena_new((size_t)4 << 30);
  xlm_status s = e->tables ? open_device(e, backend->device, threads, err)
                           : xlm_fail(err, XLM_ENV, "no memory for an executor");
  if (s == XLM_OK) s = bind_all(e, rank, backend, err);
  if (s != XLM_OK)
    xlm_exec_close(e);
  else
    *out = e;
  return s;
}
