// The executor. Everything is resolved at open (exec_open.c): a kernel, operand addresses and types per
// instruction. A step walks the schedule and passes each instruction to the device after what it depends on.
// Addresses in areas with slots follow the slots of the current microbatch.
#include "runtime/exec/exec_priv.h"

const xlm_plan *xlm_exec_plan(const xlm_exec *e) {
  return e->plan;
}
const xlm_rank_plan *xlm_exec_rank_plan(const xlm_exec *e) {
  return e->rank;
}
const char *xlm_exec_link(const xlm_exec *e) {
  return e->device->link ? e->device->link->how : NULL;
}
xlm_pool *xlm_exec_pool(xlm_exec *e) {
  return e->device->pool;
}
uint64_t xlm_exec_arena_bytes(const xlm_exec *e) {
  return e->rank->arena_bytes;
}
const xlm_device_kind *xlm_exec_device(const xlm_exec *e) {
  return e->device->kind;
}

xlm_device_memory xlm_exec_memory(const xlm_exec *e) {
  xlm_device_memory m;
  e->device->kind->memory(e->device, &m);
  m.host += xlm_arena_used(e->tables);
  return m;
}

// The time of a series, which is that of its accesses to memory, is shared out by bytes.
static void add_seconds(xlm_exec *e, uint32_t first, double s) {
  uint32_t n = e->bound[first].n_series && !e->poison ? e->bound[first].n_series : 1;
  double bytes = 0;
  for (uint32_t i = first; i < first + n; i++) bytes += e->rank->instrs[i].bytes;
  for (uint32_t i = first; i < first + n; i++)
    e->seconds[i] += bytes > 0 ? s * e->rank->instrs[i].bytes / bytes : s / n;
}

static void note(void *arg, xlm_queue queue, uint32_t instr, int64_t begin, int64_t end) {
  xlm_exec *e = (xlm_exec *)arg;
  if (e->seconds) add_seconds(e, instr, 1e-9 * (double)(end - begin));
  if (e->record) xlm_record_note(&e->record->instrs[queue], instr, begin, end);
}

static void observe(xlm_exec *e) {
  e->device->kind->seconds(e->device, e->seconds || e->record ? note : NULL, e);
}

void xlm_exec_profile(xlm_exec *e, double *seconds) {
  e->seconds = seconds;
  observe(e);
}
void xlm_exec_record(xlm_exec *e, xlm_record *r) {
  e->record = r;
  observe(e);
}
void xlm_exec_poison(xlm_exec *e, bool on) {
  e->poison = on;
}

static void move_to_slots(xlm_exec *e, exec_bound *b) {
  const xlm_instr *in = b->call.instr;
  void **data = (void **)(uintptr_t)b->call.in; // inputs and outputs are one array, owned by the executor
  for (int i = 0; i < b->n_slotted; i++) {
    uint32_t at = b->slotted[i];
    data[at] = exec_address(e, at < in->n_in ? in->in[at] : in->out[at - in->n_in]);
  }
}

// Results that do not share an operand's memory are filled with NaN first, to expose kernels that do not
// write all of it.
static xlm_status poison_results(xlm_exec *e, uint32_t i, xlm_error *err) {
  xlm_device *d = e->device;
  exec_bound *b = &e->bound[i];
  const xlm_instr *in = b->call.instr;
  move_to_slots(e, b);
  for (int k = 0; k < in->n_out; k++) {
    const xlm_tensor *t = &e->rank->tensors[in->out[k]];
    if (!t->view_of && t->type.dtype != XLM_I32)
      XLM_TRY(d->kind->fill(d, b->call.out[k], 0xFF, t->bytes, err));
  }
  return d->kind->fill(d, b->call.workspace, 0xFF, in->workspace, err);
}

xlm_status exec_run(void *arg, uint32_t instr) {
  xlm_exec *e = (xlm_exec *)arg;
  const exec_bound *b = &e->bound[instr];
  if (b->work.where) xlm_comm_at(e->comm, b->work.where); // for the messages of ranks that wait for this one
  return b->kernel->run(&b->call);
}

// The work of instruction i, or of those from i to `last`.
static void enqueue(xlm_exec *e, uint32_t i, uint32_t last, const xlm_work *w) {
  const xlm_device_kind *on = e->device->kind;
  exec_bound *b = &e->bound[i];
  xlm_queue queue = b->call.queue;
  if (b->n_slotted) move_to_slots(e, b);
  if (b->call.instr->after) on->wait(e->device, queue, b->call.instr->after - 1);
  on->enqueue(e->device, queue, w);
  if (e->bound[last].marked) on->mark(e->device, queue, last);
}

void exec_enqueue(xlm_exec *e, uint32_t i) {
  enqueue(e, i, i, &e->bound[i].work);
}

uint32_t exec_enqueue_series(xlm_exec *e, uint32_t i) {
  const exec_bound *b = &e->bound[i];
  uint32_t n = b->n_series ? b->n_series : 1;
  enqueue(e, i, i + n - 1, b->n_series ? &b->together : &b->work);
  return i + n;
}

xlm_status exec_name(const xlm_exec *e, uint32_t instr, xlm_error *err) {
  if (instr == XLM_NO_INSTR) return err->status;
  const xlm_instr *in = &e->rank->instrs[instr];
  xlm_model_line at = xlm_plan_model_line(e->plan, in->line);
  return xlm_fail_in(err, "`%s` of %s (%.*s:%u)", xlm_op_name(in->op), *in->scope ? in->scope : "model", at.n,
                     at.path, at.line);
}

// A comm's message already says where its rank was; a kernel's does not.
static xlm_status name_failure(const xlm_exec *e, uint32_t instr, xlm_status s, xlm_error *err) {
  return !err || (e->comm && e->comm->err.status != XLM_OK) ? s : exec_name(e, instr, err);
}

static xlm_status join(xlm_exec *e, xlm_error *err) {
  uint32_t instr;
  xlm_status s = e->device->kind->join(e->device, &instr, err);
  return s == XLM_OK ? s : name_failure(e, instr, s, err);
}

xlm_status exec_sync(xlm_exec *e, xlm_error *err) {
  uint32_t instr;
  xlm_status s = e->device->kind->sync(e->device, &instr, err);
  return s == XLM_OK ? s : name_failure(e, instr, s, err);
}

xlm_status exec_begin(xlm_exec *e, uint32_t segment, bool apart, bool *known, xlm_error *err) {
  const xlm_device_kind *on = e->device->kind;
  const xlm_device_segment s = {.segment = segment,
                                .slot = e->slot,
                                .env = &e->env,
                                .communicates = e->communicates[segment],
                                .together = e->together[segment],
                                .apart = apart};
  *known = false;
  return on->begin ? on->begin(e->device, &s, known, err) : XLM_OK;
}

static xlm_status enqueue_all(xlm_exec *e, const xlm_segment *s, xlm_error *err) {
  for (uint32_t i = s->first; i < s->first + s->n;) {
    if (e->poison) {
      XLM_TRY(poison_results(e, i, err));
      exec_enqueue(e, i++);
    } else {
      i = exec_enqueue_series(e, i);
    }
  }
  return XLM_OK;
}

static xlm_status run_segment(xlm_exec *e, uint32_t segment, xlm_error *err) {
  xlm_error why = {0};
  bool known;
  XLM_TRY(exec_begin(e, segment, e->poison, &known, err));
  xlm_status s = known ? XLM_OK : enqueue_all(e, &e->rank->segments[segment], &why);
  XLM_TRY(join(e, err)); // the first failure, which has its instruction
  if (s != XLM_OK && err) *err = why;
  return s;
}

xlm_status xlm_exec_step(xlm_exec *e, xlm_step_env env, xlm_exec_feed *feed, void *feed_arg, xlm_error *err) {
  e->env = env;
  e->slot = NULL;
  if (feed) XLM_TRY(feed(feed_arg, e, -1, err));
  for (uint32_t i = 0; i < e->rank->n_schedule; i++) {
    const xlm_segment_run *run = &e->rank->schedule[i];
    const xlm_segment *s = &e->rank->segments[run->segment];
    e->env.first_row = env.first_row + run->microbatch * e->plan->batch;
    e->chunk = s->chunk;
    e->slot = run->slot;
    if (s->kind == XLM_SEG_F && feed) XLM_TRY(feed(feed_arg, e, run->microbatch, err));
    int64_t begin = e->record ? xlm_clock_ns() : 0;
    XLM_TRY(run_segment(e, run->segment, err));
    if (e->record) xlm_record_note(&e->record->runs, i, begin, xlm_clock_ns());
  }
  return XLM_OK;
}

xlm_status xlm_exec_run(xlm_exec *e, xlm_program_id program, xlm_step_env env, xlm_error *err) {
  int32_t segment = e->rank->segment_of[program];
  if (segment < 0) return xlm_fail(err, XLM_USER, "the plan has no program `%s`", xlm_program_name(program));
  e->env = env;
  e->slot = NULL;
  return run_segment(e, (uint32_t)segment, err);
}
