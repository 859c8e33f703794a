// The executor. Everything is resolved at open: per instruction a kernel, operand addresses and types; a step
// only walks the schedule and calls. Addresses in areas with slots move with the slots of the running
// microbatch.
//
// Communication that something can be computed beside goes to the courier, a second thread; whoever must not
// overtake it (`after` in the plan) waits for its ticket. The rest is run in place, when nothing is under
// way: handing it over and waiting at once would only cost time. Both ways the order of communication is the
// plan's.
#include "runtime/exec/exec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "runtime/device/cpu.h"
#include "runtime/exec/courier.h"

typedef struct bound { // one instruction, ready to run
  xlm_call call;
  const xlm_kernel *kernel;
  const uint32_t *slotted; // operand positions (inputs, then outputs) that lie in slots
  uint16_t n_slotted;
  bool communicates;
  bool posted;     // goes to the courier
  uint64_t ticket; // of the last time it did
} bound;

struct xlm_exec {
  const xlm_plan *plan;
  const xlm_rank_plan *rank; // own
  xlm_rank_plan own;         // the shared plan with this rank's offsets
  xlm_pool *pool;
  char *arena; // arena_bytes, 64-byte aligned
  size_t mapped;
  xlm_arena *tables; // bound instructions and what kernels prepared
  bound *bound;
  xlm_step_env env;
  xlm_comm *comm;
  xlm_cpu_link link;
  struct {
    xlm_status status;
    const xlm_instr *at;
    xlm_error err;
  } failed[XLM_STREAMS]; // of what ran here, and at the courier: the first failure
  xlm_courier *courier;  // NULL: nothing is posted
  double *seconds;
  xlm_record *record;
  int16_t chunk;       // of the segment that runs or is fed
  const int32_t *slot; // its slots; NULL = the first
  char where[256];     // see announce
  bool poison;
};

const xlm_plan *xlm_exec_plan(const xlm_exec *e) {
  return e->plan;
}
const xlm_rank_plan *xlm_exec_rank_plan(const xlm_exec *e) {
  return e->rank;
}
xlm_pool *xlm_exec_pool(xlm_exec *e) {
  return e->pool;
}
uint64_t xlm_exec_arena_bytes(const xlm_exec *e) {
  return e->rank->arena_bytes;
}
uint64_t xlm_exec_table_bytes(const xlm_exec *e) {
  return xlm_arena_used(e->tables);
}
void xlm_exec_profile(xlm_exec *e, double *seconds) {
  e->seconds = seconds;
}
void xlm_exec_record(xlm_exec *e, xlm_record *r) {
  e->record = r;
}
void xlm_exec_poison(xlm_exec *e, bool on) {
  e->poison = on;
}

static void *address(const xlm_exec *e, uint32_t tensor) {
  return xlm_plan_address(e->rank, &e->rank->tensors[tensor], e->arena, e->slot);
}

// ---- in and out ----

static void check_piece(const xlm_exec *e, uint32_t tensor, size_t at, size_t bytes) {
  const xlm_tensor *t = &e->rank->tensors[tensor];
  XLM_ASSERT(at <= t->bytes && bytes <= t->bytes - at, "bytes %zu .. %zu of `%s`, which has %llu", at,
             at + bytes, t->name ? t->name : "?", (unsigned long long)t->bytes);
}

static xlm_status put(xlm_exec *e, uint32_t tensor, size_t at, const void *from, size_t bytes,
                      xlm_error *err) {
  (void)err;
  check_piece(e, tensor, at, bytes);
  memcpy((char *)address(e, tensor) + at, from, bytes);
  return XLM_OK;
}

static xlm_status get(const xlm_exec *e, uint32_t tensor, size_t at, void *to, size_t bytes, xlm_error *err) {
  (void)err;
  check_piece(e, tensor, at, bytes);
  memcpy(to, (const char *)address(e, tensor) + at, bytes);
  return XLM_OK;
}

xlm_status xlm_exec_put_state(xlm_exec *e, uint32_t state, size_t at, const void *from, size_t bytes,
                              xlm_error *err) {
  return put(e, e->rank->states[state].tensor, at, from, bytes, err);
}

xlm_status xlm_exec_get_state(xlm_exec *e, uint32_t state, size_t at, void *to, size_t bytes,
                              xlm_error *err) {
  return get(e, e->rank->states[state].tensor, at, to, bytes, err);
}

static uint32_t input_tensor(const xlm_exec *e, uint32_t input, bool eval) { // 0: it is not there now
  const xlm_plan_input *in = &e->rank->inputs[input];
  if (eval) return in->eval_tensor;
  return in->chunk >= 0 && in->chunk != e->chunk ? 0 : in->tensor;
}

bool xlm_exec_has_input(const xlm_exec *e, uint32_t input, bool eval) {
  return input_tensor(e, input, eval) != 0;
}

xlm_status xlm_exec_put_input(xlm_exec *e, uint32_t input, bool eval, size_t at, const void *from,
                              size_t bytes, xlm_error *err) {
  uint32_t tensor = input_tensor(e, input, eval);
  XLM_ASSERT(tensor, "the input `%s` is not there now", e->rank->inputs[input].name);
  return put(e, tensor, at, from, bytes, err);
}

xlm_status xlm_exec_get_output(xlm_exec *e, uint32_t output, size_t at, void *to, size_t bytes,
                               xlm_error *err) {
  return get(e, e->rank->outputs[output].tensor, at, to, bytes, err);
}

static bool is_wide(const xlm_exec *e, uint32_t tensor) {
  const xlm_type *t = &e->rank->tensors[tensor].type;
  XLM_ASSERT(t->dtype == XLM_F32 || t->dtype == XLM_F64, "`%s` is no scalar of type f32 or f64",
             e->rank->tensors[tensor].name);
  return t->dtype == XLM_F64;
}

xlm_status xlm_exec_put_scalar(xlm_exec *e, uint32_t input, bool eval, double value, xlm_error *err) {
  float narrow = (float)value;
  bool wide = is_wide(e, input_tensor(e, input, eval));
  return wide ? xlm_exec_put_input(e, input, eval, 0, &value, sizeof value, err)
              : xlm_exec_put_input(e, input, eval, 0, &narrow, sizeof narrow, err);
}

xlm_status xlm_exec_get_scalar(xlm_exec *e, uint32_t output, double *value, xlm_error *err) {
  float narrow;
  if (is_wide(e, e->rank->outputs[output].tensor))
    return xlm_exec_get_output(e, output, 0, value, sizeof *value, err);
  XLM_TRY(xlm_exec_get_output(e, output, 0, &narrow, sizeof narrow, err));
  *value = narrow;
  return XLM_OK;
}

static bool is_here(void *arg, uint32_t rank) {
  (void)arg;
  return rank == 0;
}

static xlm_status put_here(void *arg, uint32_t rank, uint32_t state, size_t at, const void *from,
                           size_t bytes, xlm_error *err) {
  (void)rank;
  return xlm_exec_put_state((xlm_exec *)arg, state, at, from, bytes, err);
}

static xlm_status get_here(void *arg, uint32_t rank, uint32_t state, size_t at, void *to, size_t bytes,
                           xlm_error *err) {
  (void)rank;
  return xlm_exec_get_state((xlm_exec *)arg, state, at, to, bytes, err);
}

xlm_states xlm_exec_states(xlm_exec *e) {
  return (xlm_states){e, is_here, put_here, get_here};
}

// ---- open ----

static void bind_operands(xlm_exec *e, const uint32_t *list, int n, const xlm_type **types, void **data,
                          uint32_t *slotted, uint16_t *n_slotted, uint32_t first) {
  for (int i = 0; i < n; i++) {
    const xlm_tensor *t = &e->rank->tensors[list[i]];
    types[i] = &t->type;
    data[i] = address(e, list[i]);
    if (xlm_area_has_slots(t->area)) slotted[(*n_slotted)++] = first + (uint32_t)i;
  }
}

static xlm_status bind(xlm_exec *e, uint32_t index, const xlm_backend *backend, xlm_error *err) {
  const xlm_instr *in = &e->rank->instrs[index];
  bound *b = &e->bound[index];
  int n = in->n_in + in->n_out;
  const xlm_type **types = XLM_NEW_N(e->tables, const xlm_type *, n);
  void **data = XLM_NEW_N(e->tables, void *, n);
  uint32_t *slotted = XLM_NEW_N(e->tables, uint32_t, n);
  bind_operands(e, in->in, in->n_in, types, data, slotted, &b->n_slotted, 0);
  bind_operands(e, in->out, in->n_out, types + in->n_in, data + in->n_in, slotted, &b->n_slotted, in->n_in);
  b->slotted = slotted;
  b->kernel = backend->find(in->op);
  if (!b->kernel)
    return xlm_fail(err, XLM_USER, "the %s backend has no kernel for `%s` (model line %u)",
                    backend->info.name, in->op, in->line);
  b->call = (xlm_call){.instr = in,
                       .dims = e->rank->dims,
                       .in_type = types,
                       .out_type = types + in->n_in,
                       .in = data,
                       .out = data + in->n_in,
                       .pool = e->pool,
                       .env = &e->env,
                       .queue = in->stream,
                       .link = e->comm ? &e->link.link : NULL,
                       .err = &e->failed[XLM_STREAM_KERNELS].err,
                       .workspace = e->arena + e->rank->area_begin[XLM_AREA_TEMP] + in->workspace_at};
  uint64_t needs = b->kernel->workspace ? b->kernel->workspace(&b->call, xlm_pool_size(e->pool)) : 0;
  if (needs > in->workspace)
    return xlm_fail(err, XLM_USER,
                    "`%s` (model line %u) needs %llu bytes of workspace here and the plan gives %llu; "
                    "make the plan anew on this machine",
                    in->op, in->line, (unsigned long long)needs, (unsigned long long)in->workspace);
  b->communicates = in->stream == XLM_STREAM_COMM;
  if (b->communicates && !e->comm)
    return xlm_fail(err, XLM_USER, "the plan is for %u ranks and this run has one", e->plan->n_ranks);
  if (!b->kernel->prepare || b->kernel->prepare(&b->call, e->tables, &b->call.prepared, err) == XLM_OK)
    return XLM_OK;
  return xlm_fail_in(err, "`%s` (model line %u)", in->op, in->line);
}

static xlm_status bind_all(xlm_exec *e, uint32_t rank, const xlm_backend *backend, xlm_error *err) {
  if (!XLM_ARENA_TRY(e->tables)) return xlm_fail(err, XLM_ENV, "no memory for the executor's tables");
  xlm_dim_info *dims = XLM_NEW_N(e->tables, xlm_dim_info, e->rank->n_dims);
  xlm_mesh_rank_dims(e->plan, rank, dims);
  e->own.dims = dims;
  e->bound = XLM_NEW_N(e->tables, bound, e->rank->n_instrs);
  for (uint32_t i = 0; i < e->rank->n_instrs; i++) XLM_TRY(bind(e, i, backend, err));
  return XLM_OK;
}

// Is there enough to compute beside this communication, before something needs it, to be worth a hand-over?
// Rough rates will do: the choice changes no result.
static bool is_worth_posting(const xlm_exec *e, const xlm_segment *s, uint32_t i) {
  const double flops = 5e10, bytes = 5e9, hand_over = 5e-5;
  double seconds = 0;
  for (uint32_t k = i + 1; k < s->first + s->n && seconds < hand_over; k++) {
    const xlm_instr *in = &e->rank->instrs[k];
    if (in->after > i) break;
    if (in->stream == XLM_STREAM_KERNELS) seconds += in->flops / flops + in->bytes / bytes;
  }
  return seconds >= hand_over;
}

static void deliver(void *arg, uint32_t instr);

// XLM_COMM_THREAD=never: everything in place; always: all communication is handed over, for tests.
static bool is_posted(const xlm_exec *e, const xlm_segment *s, uint32_t i, const char *when) {
  if (!e->bound[i].communicates || (when && !strcmp(when, "never"))) return false;
  return (when && !strcmp(when, "always")) || is_worth_posting(e, s, i);
}

static xlm_status open_courier(xlm_exec *e, xlm_error *err) {
  uint32_t room = 0;
  const char *when = getenv("XLM_COMM_THREAD");
  if (!e->comm || !e->comm->second_thread) return XLM_OK;
  for (uint32_t s = 0; s < e->rank->n_segments; s++)
    for (uint32_t i = e->rank->segments[s].first; i < e->rank->segments[s].first + e->rank->segments[s].n;
         i++) {
      bound *b = &e->bound[i];
      b->posted = is_posted(e, &e->rank->segments[s], i, when);
      if (b->posted)
        b->call.pool = NULL, b->call.err = &e->failed[XLM_STREAM_COMM].err; // its threads compute
      room += b->posted;
    }
  return room ? xlm_courier_new(deliver, e, room, &e->courier, err) : XLM_OK;
}

// Zeroed by the system at first touch; huge pages where the system gives them.
static xlm_status map_arena(xlm_exec *e, xlm_error *err) {
  e->mapped = e->rank->arena_bytes ? e->rank->arena_bytes : 1;
  void *p = mmap(NULL, e->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED)
    return xlm_fail(err, XLM_ENV, "cannot take an arena of %llu bytes",
                    (unsigned long long)e->rank->arena_bytes);
  e->arena = p;
#ifdef MADV_HUGEPAGE
  (void)madvise(p, e->mapped, MADV_HUGEPAGE);
#endif
  return XLM_OK;
}

void xlm_exec_close(xlm_exec *e) {
  if (!e) return;
  xlm_courier_free(e->courier);
  if (e->arena) munmap(e->arena, e->mapped);
  xlm_pool_free(e->pool);
  xlm_arena_free(e->tables);
  free(e);
}

xlm_status xlm_exec_open(const xlm_plan *plan, uint32_t rank, const xlm_backend *backend, int threads,
                         xlm_comm *comm, xlm_exec **out, xlm_error *err) {
  *out = NULL;
  if (threads > plan->threads)
    return xlm_fail(err, XLM_USER, "the plan was made for %d threads and %d are asked for", plan->threads,
                    threads);
  xlm_exec *e = calloc(1, sizeof *e);
  if (!e) return xlm_fail(err, XLM_ENV, "no memory for an executor");
  e->plan = plan;
  e->comm = comm;
  if (comm) xlm_cpu_link_init(&e->link, comm);
  e->own = *plan->rank_plans[plan->rank_plan_of[rank]];
  e->rank = &e->own;
  e->tables = xlm_arena_new((size_t)4 << 30);
  xlm_status s =
      e->tables ? xlm_pool_new(threads, &e->pool, err) : xlm_fail(err, XLM_ENV, "no memory for an executor");
  if (s == XLM_OK) s = map_arena(e, err);
  if (s == XLM_OK) s = bind_all(e, rank, backend, err);
  if (s == XLM_OK) s = open_courier(e, err);
  if (s != XLM_OK)
    xlm_exec_close(e);
  else
    *out = e;
  return s;
}

// ---- run ----

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void move_to_slots(xlm_exec *e, bound *b) {
  const xlm_instr *in = b->call.instr;
  void **data = (void **)(uintptr_t)b->call.in; // inputs and outputs are one array, ours
  for (int i = 0; i < b->n_slotted; i++) {
    uint32_t at = b->slotted[i];
    data[at] = address(e, at < in->n_in ? in->in[at] : in->out[at - in->n_in]);
  }
}

// Results that do not share an operand's memory get NaN first, so that a kernel that leaves a hole shows.
static void poison_results(xlm_exec *e, bound *b) {
  const xlm_instr *in = b->call.instr;
  for (int i = 0; i < in->n_out; i++) {
    const xlm_tensor *t = &e->rank->tensors[in->out[i]];
    if (!t->view_of && t->type.dtype != XLM_I32) memset(b->call.out[i], 0xFF, t->bytes);
  }
  memset(b->call.workspace, 0xFF, in->workspace);
}

// Where this rank stands, for whoever waits for it.
static void announce(xlm_exec *e, const bound *b) {
  const xlm_instr *in = b->call.instr;
  snprintf(e->where, sizeof e->where, "%s of %s (%s:%u)", in->op, *in->scope ? in->scope : "model",
           e->plan->source_path, in->line);
  e->comm->where = e->where;
}

static void run_instr(xlm_exec *e, uint32_t i) {
  bound *b = &e->bound[i];
  if (b->communicates) announce(e, b);
  double start = e->seconds ? now() : 0;
  int64_t begin = e->record ? xlm_record_now() : 0;
  xlm_stream where = b->posted ? XLM_STREAM_COMM : XLM_STREAM_KERNELS;
  xlm_status status = b->kernel->run(&b->call);
  if (status != XLM_OK && e->failed[where].status == XLM_OK)
    e->failed[where].status = status, e->failed[where].at = b->call.instr;
  if (e->seconds) e->seconds[i] += now() - start;
  if (e->record) xlm_record_note(&e->record->instrs[where], i, begin);
}

static void deliver(void *arg, uint32_t instr) {
  xlm_exec *e = arg;
  if (e->failed[XLM_STREAM_COMM].status == XLM_OK) run_instr(e, instr); // nobody waits for what comes after
}

// The comm's sentence says itself where this rank stood; a kernel's does not.
static xlm_status failure(const xlm_exec *e, xlm_error *err) {
  int where = e->failed[XLM_STREAM_KERNELS].status == XLM_OK;
  if (e->failed[where].status == XLM_OK) return XLM_OK;
  if (err) *err = e->failed[where].err;
  if (e->comm && e->comm->err.status != XLM_OK) return e->failed[where].status;
  const xlm_instr *in = e->failed[where].at;
  return xlm_fail_in(err, "`%s` (model line %u)", in->op, in->line);
}

// What must have ended before instruction i begins.
static void wait_before(xlm_exec *e, uint32_t i) {
  const bound *b = &e->bound[i];
  const xlm_instr *in = b->call.instr;
  if ((b->communicates && !b->posted) || e->poison) xlm_courier_wait_all(e->courier);
  if (!b->communicates && in->after && e->bound[in->after - 1].posted)
    xlm_courier_wait(e->courier, e->bound[in->after - 1].ticket);
}

static xlm_status run_segment(xlm_exec *e, uint32_t segment, xlm_error *err) {
  const xlm_segment *s = &e->rank->segments[segment];
  for (uint32_t i = s->first; i < s->first + s->n; i++) {
    bound *b = &e->bound[i];
    if (e->courier) wait_before(e, i);
    if (b->n_slotted) move_to_slots(e, b);
    if (e->poison) poison_results(e, b);
    if (b->posted)
      b->ticket = xlm_courier_post(e->courier, i);
    else
      run_instr(e, i);
    if (!b->posted) XLM_TRY(failure(e, err));
  }
  if (e->courier) xlm_courier_wait_all(e->courier);
  return failure(e, err);
}

xlm_status xlm_exec_step(xlm_exec *e, xlm_step_env env, xlm_exec_feed *feed, void *feed_arg, xlm_error *err) {
  e->env = env;
  for (uint32_t i = 0; i < e->rank->n_schedule; i++) {
    const xlm_segment_run *run = &e->rank->schedule[i];
    const xlm_segment *s = &e->rank->segments[run->segment];
    bool feeds = s->kind == XLM_SEG_F || s->kind == XLM_SEG_STEP;
    e->env.microbatch = run->microbatch;
    e->env.first_row = env.first_row + run->microbatch * e->plan->batch;
    e->chunk = s->chunk;
    e->slot = run->slot;
    if (feeds && feed) XLM_TRY(feed(feed_arg, e, run->microbatch, err));
    int64_t begin = e->record ? xlm_record_now() : 0;
    XLM_TRY(run_segment(e, run->segment, err));
    if (e->record) xlm_record_note(&e->record->runs, i, begin);
  }
  return XLM_OK;
}

xlm_status xlm_exec_eval(xlm_exec *e, xlm_step_env env, xlm_error *err) {
  if (e->rank->eval_segment < 0) return xlm_fail(err, XLM_USER, "the plan has no eval segment");
  e->env = env;
  return run_segment(e, (uint32_t)e->rank->eval_segment, err);
}

// ---- first bad tensor ----

static bool finite_f32(const float *x, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!isfinite(x[i])) return false;
  return true;
}

static bool finite_bf16(const uint16_t *x, size_t n) {
  for (size_t i = 0; i < n; i++)
    if ((x[i] & 0x7F80) == 0x7F80) return false;
  return true;
}

static bool finite_f64(const double *x, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!isfinite(x[i])) return false;
  return true;
}

static bool is_finite(const xlm_exec *e, uint32_t tensor) {
  const xlm_tensor *t = &e->rank->tensors[tensor];
  size_t n = (size_t)xlm_type_elements(&t->type, e->rank->dims);
  const void *p = address(e, tensor);
  if (t->type.dtype == XLM_F32) return finite_f32(p, n);
  if (t->type.dtype == XLM_BF16) return finite_bf16(p, n);
  return t->type.dtype != XLM_F64 || finite_f64(p, n);
}

static xlm_bad_tensor describe(const xlm_exec *e, uint32_t tensor, const xlm_instr *in) {
  const char *name = e->rank->tensors[tensor].name;
  if (!in) return (xlm_bad_tensor){name, "state", "", e->rank->tensors[tensor].line};
  return (xlm_bad_tensor){name ? name : "(unnamed)", in->op, in->scope, in->line};
}

static xlm_bad_tensor bad_state(xlm_exec *e) {
  for (uint32_t i = 0; i < e->rank->n_states; i++)
    if (!is_finite(e, e->rank->states[i].tensor)) return describe(e, e->rank->states[i].tensor, NULL);
  return (xlm_bad_tensor){NULL, NULL, NULL, 0};
}

// Runs a segment in the first slots; *bad becomes the first bad result, if there was none before.
static void look_at_segment(xlm_exec *e, const xlm_segment *s, xlm_bad_tensor *bad) {
  for (uint32_t i = s->first; i < s->first + s->n; i++) {
    bound *b = &e->bound[i];
    const xlm_instr *in = b->call.instr;
    if (b->n_slotted) move_to_slots(e, b);
    if (b->communicates) announce(e, b);
    if (b->kernel->run(&b->call) != XLM_OK) return;
    for (int k = 0; k < in->n_out && !bad->name; k++)
      if (!is_finite(e, in->out[k])) *bad = describe(e, in->out[k], in);
  }
}

// With other ranks everything runs to the end, whatever is found: they wait for this rank's part of what is
// communicated.
xlm_bad_tensor xlm_exec_first_bad(xlm_exec *e, xlm_step_env env) {
  xlm_bad_tensor bad = bad_state(e);
  e->slot = NULL;
  e->env = env;
  for (uint32_t s = 0; s < e->rank->n_segments && (e->comm || !bad.name); s++)
    if (e->rank->segments[s].kind == XLM_SEG_F) look_at_segment(e, &e->rank->segments[s], &bad);
  return bad;
}
