// See run_graph.h. A scalar function of the fused family is wrapped into a `fused` instruction of one line.
#include "tests/ops/run_graph.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/device/cpu.h"
#include "runtime/plan/streams.h"

#ifdef XLM_SANITIZED
enum { GUARD = 0 }; // the sanitizer guards reads too, if nothing lies behind the buffer
#else
enum { GUARD = 256 };
#endif
enum { POISON = 0xFF, FENCE = 0xA5 };

typedef struct buffer {
  unsigned char *at;
  void *there; // the same for kernels: `at`, or memory of the device
  size_t n;
  bool owned;
} buffer;

typedef struct step { // one node, ready to run
  xlm_instr instr;
  xlm_call call;
  const xlm_kernel *kernel;
  buffer workspace;
  xlm_error err; // why it failed
} step;

struct run_graph {
  const xlm_graph *g;
  run_options o;
  xlm_arena *arena;
  xlm_device *device;  // NULL: one thread
  xlm_tensor *tensors; // index = value
  buffer *values;
  step *steps; // index = node
  const char *error;
};

static void *on_device(const run_graph *r, size_t n, void *here) {
  if (!r->o.device) return here;
  void *there;
  xlm_error err;
  xlm_status s = r->device->kind->alloc(r->device, n, &there, &err);
  XLM_ASSERT(s == XLM_OK, "%s", err.text);
  return there;
}

static buffer buffer_new(const run_graph *r, size_t n) {
  void *p = NULL;
  int failed = posix_memalign(&p, 64, n + GUARD ? n + GUARD : 1);
  XLM_ASSERT(!failed, "test buffer of %zu bytes", n);
  memset(p, POISON, n);
  memset((char *)p + n, FENCE, GUARD);
  if (r->o.watch) r->o.watch(p, n, true);
  return (buffer){p, on_device(r, n + GUARD, p), n, true};
}

static void buffer_free(const run_graph *r, buffer *b) {
  if (!b->owned) return;
  if (r->o.watch) r->o.watch(b->at, b->n, false);
  free(b->at);
  b->owned = false;
}

static bool buffer_intact(const buffer *b) {
  for (size_t i = b->n; i < b->n + GUARD; i++)
    if (b->at[i] != FENCE) return false;
  return true;
}

static void report(run_graph *r, xlm_node n, const char *what) {
  if (r->error) return;
  const char *op = xlm_op_at(r->g->nodes[n].op)->name;
  r->error = xlm_arena_printf(r->arena, "node %u, `%s` on %s with %d threads: %s", n, op,
                              r->o.backend->info.name, r->o.threads, what);
}

// The node as one line of elementwise code: operands in registers 0.., result in the next.
static xlm_attrs wrap_function(run_graph *r, const xlm_node_info *n, const xlm_type *out) {
  xlm_code_instr *at = XLM_NEW(r->arena, xlm_code_instr);
  *at = (xlm_code_instr){.fn = (uint16_t)xlm_fn_of(n->op), .a = {0, 1, 2}};
  xlm_code *code = XLM_NEW(r->arena, xlm_code);
  *code = (xlm_code){.n_in = n->n_in, .n = 1, .n_out = 1, .at = at, .out = {n->n_in}};
  xlm_attr_list l = xlm_attr_list_new(r->arena);
  xlm_attr_put(&l, (xlm_attr){.key = XLM_A_code, .code = code});
  xlm_attr_put_dims(&l, XLM_A_dims, out->dim, out->rank);
  xlm_attr_put_enum(&l, XLM_A_dtype, out->dtype);
  return xlm_attr_freeze(&l);
}

// As lowering makes it for the first microbatch.
static xlm_attrs stored(run_graph *r, const xlm_attrs *as) {
  xlm_attr_list l = xlm_attr_list_new(r->arena);
  for (int i = 0; i < as->n; i++) xlm_attr_put(&l, as->at[i]);
  xlm_attr_put_int(&l, XLM_A_store, 1);
  return xlm_attr_freeze(&l);
}

static uint32_t *value_ids(run_graph *r, const xlm_val *vals, xlm_val first, int n) {
  uint32_t *ids = XLM_NEW_N(r->arena, uint32_t, n + 1);
  for (int i = 0; i < n; i++) ids[i] = vals ? vals[i] : first + (uint32_t)i;
  return ids;
}

static void **data_of(run_graph *r, const uint32_t *ids, int n) {
  void **data = XLM_NEW_N(r->arena, void *, n + 1);
  for (int i = 0; i < n; i++) data[i] = r->values[ids[i]].there;
  return data;
}

static const xlm_type **types_of(run_graph *r, const uint32_t *ids, int n) {
  const xlm_type **types = XLM_NEW_N(r->arena, const xlm_type *, n + 1);
  for (int i = 0; i < n; i++) types[i] = &r->tensors[ids[i]].type;
  return types;
}

// Buffers of a node's outputs: shared with the operand for views and aliases, otherwise its own.
static void place_outputs(run_graph *r, const xlm_node_info *n, const xlm_op *op) {
  for (int i = 0; i < n->n_out; i++) {
    buffer *b = &r->values[n->out + (xlm_val)i];
    bool shared = i < op->n_alias || (i == 0 && (op->flags & XLM_OPF_VIEW));
    if (shared)
      *b = r->values[n->in[i]], b->owned = false;
    else
      *b = buffer_new(r, xlm_type_bytes(&r->tensors[n->out + (xlm_val)i].type, r->g->dims));
  }
}

static void plan_call(run_graph *r, xlm_node id, const xlm_node_info *n, const xlm_op *op) {
  step *s = &r->steps[id];
  bool fn = op->flags & XLM_OPF_ELEMENTWISE;
  s->instr = (xlm_instr){.op = fn ? XLM_OP_FUSED : n->op, .n_in = n->n_in, .n_out = n->n_out, .scope = ""};
  s->instr.in = value_ids(r, n->in, 0, n->n_in);
  s->instr.out = value_ids(r, NULL, n->out, n->n_out);
  s->instr.attrs = fn ? wrap_function(r, n, xlm_val_type(r->g, n->out)) : n->attrs;
  if (r->o.store && op->facts.sums) s->instr.attrs = stored(r, &s->instr.attrs);
  const xlm_backend *backend = r->o.backend;
  s->kernel = backend->find(NULL, s->instr.op);
  if (!s->kernel && r->o.others && !r->o.device) {
    backend = r->o.others;
    s->kernel = backend->find(NULL, s->instr.op);
  }
  if (!s->kernel || !s->kernel->run) {
    report(r, id, "there is no such kernel");
    return;
  }
  xlm_kernel_choice choice = {0};
  xlm_target target = xlm_backend_target(backend, backend->here(), r->o.threads);
  bool has_library = backend->has_attention && backend->has_attention(target.arch);
  target.own_attention = r->o.own_attention || !has_library;
  if (backend->info.plan(&s->instr, r->tensors, r->g->dims, NULL, &target, &choice) != XLM_PLANNED)
    report(r, id, "the backend cannot plan it");
  s->instr.workspace = choice.workspace;
  s->instr.variant = choice.variant;
  s->workspace = buffer_new(r, choice.workspace);
  s->call = (xlm_call){.instr = &s->instr,
                       .variant = xlm_kernel_variant(s->kernel, choice.variant),
                       .dims = r->g->dims,
                       .device = r->device,
                       .env = &r->o.env,
                       .err = &s->err};
  s->call.in_type = types_of(r, s->instr.in, n->n_in);
  s->call.out_type = types_of(r, s->instr.out, n->n_out);
  s->call.in = XLM_NEW_N(r->arena, void *, n->n_in + 1);
  s->call.out = XLM_NEW_N(r->arena, void *, n->n_out + 1);
  if (s->kernel->prepare)
    if (s->kernel->prepare(&s->call, r->arena, &s->call.prepared, NULL) != XLM_OK) // no data here
      report(r, id, "it cannot prepare");
  s->call.in = data_of(r, s->instr.in, n->n_in);
  s->call.out = data_of(r, s->instr.out, n->n_out);
  s->call.workspace = s->workspace.there;
}

static void set_types(run_graph *r) {
  for (xlm_val v = 1; v < r->g->n_values; v++) {
    xlm_type t = *xlm_val_type(r->g, v);
    if (r->o.f64 && xlm_dtype_is_float(t.dtype)) t.dtype = XLM_F64;
    r->tensors[v] = (xlm_tensor){.name = "", .type = t, .bytes = xlm_type_bytes(&t, r->g->dims)};
  }
}

run_graph *run_graph_new(const xlm_graph *g, run_options o) {
  xlm_arena *a = xlm_arena_new(0);
  XLM_ASSERT(a, "test arena");
  run_graph *r = XLM_NEW(a, run_graph);
  *r = (run_graph){.g = g, .o = o, .arena = a};
  if (o.threads > 1 || o.device) {
    xlm_error err;
    xlm_device_options d = {.threads = o.threads, .n_marks = 1, .room = 1};
    xlm_status s = (o.device ? o.device : &xlm_device_cpu)->open(&d, &r->device, &err);
    XLM_ASSERT(s == XLM_OK, "%s", err.text);
  }
  r->tensors = XLM_NEW_N(a, xlm_tensor, g->n_values + 1);
  r->values = XLM_NEW_N(a, buffer, g->n_values + 1);
  r->steps = XLM_NEW_N(a, step, g->n_nodes + 1);
  set_types(r);
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_node_info *n = &g->nodes[id];
    const xlm_op *op = xlm_op_at(n->op);
    place_outputs(r, n, op);
    if (!op->facts.leaf && !(op->flags & XLM_OPF_VIEW)) plan_call(r, id, n, op);
  }
  return r;
}

void run_graph_free(run_graph *r) {
  for (xlm_node id = 1; id < r->g->n_nodes; id++) buffer_free(r, &r->steps[id].workspace);
  for (xlm_val v = 1; v < r->g->n_values; v++) buffer_free(r, &r->values[v]);
  if (r->device) r->device->kind->close(r->device);
  xlm_arena_free(r->arena);
}

const char *run_graph_error(const run_graph *r) {
  return r->error;
}

int64_t run_graph_elements(const run_graph *r, xlm_val v) {
  return xlm_type_elements(&r->tensors[v].type, r->g->dims);
}

const void *run_graph_bytes(const run_graph *r, xlm_val v, size_t *n) {
  *n = r->values[v].n;
  return r->values[v].at;
}

static void store(xlm_dtype t, void *at, int64_t i, double x) {
  if (t == XLM_F64) ((double *)at)[i] = x;
  if (t == XLM_F32) ((float *)at)[i] = (float)x;
  if (t == XLM_I32) ((int32_t *)at)[i] = (int32_t)x;
  if (t == XLM_BF16) ((uint16_t *)at)[i] = xlm_f32_to_bf16((float)x);
}

static double load(xlm_dtype t, const void *at, int64_t i) {
  if (t == XLM_F64) return ((const double *)at)[i];
  if (t == XLM_F32) return ((const float *)at)[i];
  if (t == XLM_I32) return ((const int32_t *)at)[i];
  return xlm_bf16_to_f32(((const uint16_t *)at)[i]);
}

void run_graph_set(run_graph *r, xlm_val v, const double *values) {
  int64_t n = run_graph_elements(r, v);
  for (int64_t i = 0; i < n; i++) store(r->tensors[v].type.dtype, r->values[v].at, i, values[i]);
}

void run_graph_get(const run_graph *r, xlm_val v, double *values) {
  int64_t n = run_graph_elements(r, v);
  for (int64_t i = 0; i < n; i++) values[i] = load(r->tensors[v].type.dtype, r->values[v].at, i);
}

static uint64_t checksum(const buffer *b) {
  uint64_t h = 1469598103934665603u;
  for (size_t i = 0; i < b->n; i++) h = (h ^ b->at[i]) * 1099511628211u;
  return h;
}

static bool is_aliased(const xlm_op *op, const xlm_node_info *n, int operand) {
  for (int i = 0; i < op->n_alias; i++)
    if (n->in[i] == n->in[operand]) return true;
  return false;
}

// ---- on a device: operands go there before a kernel runs, everything it may write comes back

static void check_device(xlm_status s, const xlm_error *err) {
  XLM_ASSERT(s == XLM_OK, "%s", err->text);
}

static void put(const run_graph *r, const buffer *b) {
  xlm_error err;
  check_device(r->device->kind->put(r->device, b->there, b->at, b->n + GUARD, &err), &err);
}

static void get_back(const run_graph *r, const buffer *b) {
  xlm_error err;
  check_device(r->device->kind->get(r->device, b->at, b->there, b->n + GUARD, &err), &err);
}

typedef struct run_work {
  const xlm_kernel *kernel;
  const xlm_call *call;
} run_work;

static xlm_status run_there(void *arg, uint32_t instr) {
  const run_work *w = arg;
  (void)instr;
  return w->kernel->run(w->call);
}

// The call of node `id`; `moved` is in place of its operand and output 0, if it is given.
static xlm_status run_call(run_graph *r, xlm_node id, const xlm_call *call, const buffer *moved) {
  step *s = &r->steps[id];
  const xlm_node_info *n = &r->g->nodes[id];
  if (!r->o.device) return s->kernel->run(call);
  xlm_call c = *call;
  c.queue = XLM_STREAM_KERNELS, c.err = &r->device->err[XLM_STREAM_KERNELS];
  run_work w = {s->kernel, &c};
  const xlm_call *only = &c;
  xlm_work work = {.run = run_there, .arg = &w, .calls = &only, .n_calls = 1};
  const xlm_device_segment segment = {.segment = id, .env = &r->o.env};
  bool known = false;
  for (int i = 0; i < n->n_in; i++) put(r, &r->values[n->in[i]]);
  for (int i = 0; i < n->n_out; i++) put(r, &r->values[n->out + (xlm_val)i]);
  put(r, &s->workspace);
  if (moved) put(r, moved);
  if (r->device->kind->begin) check_device(r->device->kind->begin(r->device, &segment, &known, &s->err), &s->err);
  r->device->kind->enqueue(r->device, XLM_STREAM_KERNELS, &work);
  XLM_TRY(r->device->kind->sync(r->device, NULL, &s->err));
  for (int i = 0; i < n->n_in; i++) get_back(r, &r->values[n->in[i]]);
  for (int i = 0; i < n->n_out; i++) get_back(r, &r->values[n->out + (xlm_val)i]);
  get_back(r, &s->workspace);
  if (moved) get_back(r, moved);
  return XLM_OK;
}

// Runs the node once more with output 0 in a copy of operand `i`: as the placement pass may arrange it.
static void run_in_place(run_graph *r, xlm_node id, int i) {
  step *s = &r->steps[id];
  const xlm_node_info *n = &r->g->nodes[id];
  if (i >= n->n_in || memcmp(&r->tensors[n->in[i]].type, &r->tensors[n->out].type, sizeof(xlm_type))) return;
  buffer copy = buffer_new(r, r->values[n->out].n);
  memcpy(copy.at, r->values[n->in[i]].at, copy.n);
  xlm_call c = s->call;
  c.in = data_of(r, s->instr.in, n->n_in);
  c.out = data_of(r, s->instr.out, n->n_out);
  for (int j = 0; j < n->n_in; j++)
    if (n->in[j] == n->in[i]) ((void **)c.in)[j] = copy.there;
  ((void **)c.out)[0] = copy.there;
  memset(s->workspace.at, POISON, s->workspace.n);
  if (run_call(r, id, &c, &copy) != XLM_OK)
    report(r, id, xlm_arena_printf(r->arena, "in place: %s", s->err.text));
  if (memcmp(copy.at, r->values[n->out].at, copy.n))
    report(r, id, xlm_arena_printf(r->arena, "in place of operand %d it gives other bits", i));
  buffer_free(r, &copy);
}

static void check_after(run_graph *r, xlm_node id, const xlm_op *op, const uint64_t *before) {
  const xlm_node_info *n = &r->g->nodes[id];
  if (!buffer_intact(&r->steps[id].workspace)) report(r, id, "wrote behind its workspace");
  for (int i = 0; i < n->n_out; i++)
    if (!buffer_intact(&r->values[n->out + (xlm_val)i])) report(r, id, "wrote behind an output");
  for (int i = 0; i < n->n_in; i++)
    if (!is_aliased(op, n, i) && checksum(&r->values[n->in[i]]) != before[i])
      report(r, id, "changed an operand");
}

static void run_node(run_graph *r, xlm_node id) {
  const xlm_node_info *n = &r->g->nodes[id];
  const xlm_op *op = xlm_op_at(n->op);
  step *s = &r->steps[id];
  if (op->facts.leaf) {
    double value = xlm_attr_float(&n->attrs, XLM_A_value, 0);
    if (xlm_node_is(n, XLM_LEAF_CONSTANT))
      for (int64_t i = 0, k = run_graph_elements(r, n->out); i < k; i++)
        store(r->tensors[n->out].type.dtype, r->values[n->out].at, i, value);
    return;
  }
  if (!s->kernel || r->error) return;
  uint64_t before[64] = {0};
  if (r->o.in_place)
    for (int i = 0; i < n->n_in && i < 64; i++) before[i] = checksum(&r->values[n->in[i]]);
  for (int i = op->n_alias; i < n->n_out; i++)
    memset(r->values[n->out + (xlm_val)i].at, POISON, r->values[n->out + (xlm_val)i].n);
  memset(s->workspace.at, POISON, s->workspace.n);
  if (run_call(r, id, &s->call, NULL) != XLM_OK) report(r, id, s->err.text);
  if (!r->o.in_place) return;
  if (n->n_in <= 64) check_after(r, id, op, before);
  for (int i = 0; i < 32 && !r->error; i++)
    if (op->in_place & (1u << i)) run_in_place(r, id, i);
}

void run_graph_run(run_graph *r, xlm_node first, xlm_node end) {
  for (xlm_node id = first; id < end && !r->error; id++) run_node(r, id);
}
