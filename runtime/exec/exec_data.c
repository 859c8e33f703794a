// Data in and out of the arena: the device copies it; no address leaves the executor.
#include <string.h>

#include "runtime/exec/exec_priv.h"
#include "runtime/plan/panels.h"

static void check_piece(const xlm_exec *e, uint32_t tensor, size_t at, size_t bytes) {
  const xlm_tensor *t = &e->rank->tensors[tensor];
  XLM_ASSERT(at <= t->bytes && bytes <= t->bytes - at, "bytes %zu .. %zu of `%s`, which has %llu", at,
             at + bytes, t->name ? t->name : "?", (unsigned long long)t->bytes);
}

xlm_status exec_put(xlm_exec *e, uint32_t tensor, size_t at, const void *from, size_t bytes, xlm_error *err) {
  check_piece(e, tensor, at, bytes);
  return e->device->kind->put(e->device, (char *)exec_address(e, tensor) + at, from, bytes, err);
}

xlm_status exec_get(xlm_exec *e, uint32_t tensor, size_t at, void *to, size_t bytes, xlm_error *err) {
  check_piece(e, tensor, at, bytes);
  return e->device->kind->get(e->device, to, (const char *)exec_address(e, tensor) + at, bytes, err);
}

// ---- states, which may be in panels

typedef struct piece { // elements of a dense tensor from element `begin` on, here at `from` or to be at `to`
  xlm_exec *e;
  char *address;
  size_t size; // of an element
  int64_t begin;
  const char *from;
  char *to;
  xlm_status status;
  xlm_error *err;
} piece;

enum { RUN_MOST = 8 * XLM_PANEL_MOST }; // bytes

// Every dtype is of 1, 2, 4 or 8 bytes; the common ones as loops over numbers.
static void gather(char *to, const char *dense, const xlm_panel_run *r, size_t size) {
  if (size == 4 && !r->second)
    for (int64_t i = 0; i < r->n; i++) memcpy(to + i * 4, dense + i * r->apart * 4, 4);
  else if (size == 2 && r->second)
    for (int64_t i = 0; i < r->n; i += 2) {
      memcpy(to + i * 2, dense + i * r->apart, 2);
      memcpy(to + i * 2 + 2, dense + i * r->apart + r->second * 2, 2);
    }
  else
    for (int64_t i = 0; i < r->n; i++)
      memcpy(to + (size_t)i * size, dense + (size_t)(xlm_panel_dense(r, i) - r->dense) * size, size);
}

static void scatter(char *dense, const char *from, const xlm_panel_run *r, size_t size) {
  for (int64_t i = 0; i < r->n; i++)
    memcpy(dense + (size_t)(xlm_panel_dense(r, i) - r->dense) * size, from + (size_t)i * size, size);
}

static bool move_run(void *arg, const xlm_panel_run *r) {
  piece *p = arg;
  const xlm_device_kind *on = p->e->device->kind;
  const bool apart = r->apart > 1 || r->second;
  char side_by_side[RUN_MOST], *there = p->address + (size_t)r->at * p->size;
  const size_t here = (size_t)(r->dense - p->begin) * p->size, bytes = (size_t)r->n * p->size;
  if (p->from) {
    if (apart) gather(side_by_side, p->from + here, r, p->size);
    p->status = on->put(p->e->device, there, apart ? side_by_side : p->from + here, bytes, p->err);
  } else {
    p->status = on->get(p->e->device, apart ? side_by_side : p->to + here, there, bytes, p->err);
    if (p->status == XLM_OK && apart) scatter(p->to + here, side_by_side, r, p->size);
  }
  return p->status == XLM_OK;
}

static xlm_status move_elements(xlm_exec *e, uint32_t tensor, size_t at, size_t bytes, piece p) {
  const xlm_tensor *t = &e->rank->tensors[tensor];
  p.e = e, p.address = (char *)exec_address(e, tensor), p.size = xlm_dtype_bytes(t->type.dtype);
  check_piece(e, tensor, at, bytes);
  XLM_ASSERT(at % p.size == 0 && bytes % p.size == 0, "parts of elements of `%s`", t->name);
  p.begin = (int64_t)(at / p.size);
  xlm_panels_each(&t->type, e->rank->dims, p.begin, p.begin + (int64_t)(bytes / p.size), move_run, &p);
  return p.status;
}

xlm_status xlm_exec_put_state(xlm_exec *e, uint32_t state, size_t at, const void *from, size_t bytes,
                              xlm_error *err) {
  uint32_t tensor = e->rank->states[state].tensor;
  if (!e->rank->tensors[tensor].type.panels.width) return exec_put(e, tensor, at, from, bytes, err);
  return move_elements(e, tensor, at, bytes, (piece){.from = from, .err = err});
}

xlm_status xlm_exec_get_state(xlm_exec *e, uint32_t state, size_t at, void *to, size_t bytes,
                              xlm_error *err) {
  uint32_t tensor = e->rank->states[state].tensor;
  if (!e->rank->tensors[tensor].type.panels.width) return exec_get(e, tensor, at, to, bytes, err);
  return move_elements(e, tensor, at, bytes, (piece){.to = to, .err = err});
}

static uint32_t input_tensor(const xlm_exec *e, uint32_t input,
                             xlm_program_id program) { // 0: not present now
  const xlm_plan_input *in = &e->rank->inputs[input];
  bool elsewhere = program == XLM_PROGRAM_TRAIN && in->chunk >= 0 && in->chunk != e->chunk;
  return elsewhere ? 0 : in->tensor[program];
}

bool xlm_exec_has_input(const xlm_exec *e, uint32_t input, xlm_program_id program) {
  return input_tensor(e, input, program) != 0;
}

xlm_status xlm_exec_put_input(xlm_exec *e, uint32_t input, xlm_program_id program, size_t at,
                              const void *from, size_t bytes, xlm_error *err) {
  uint32_t tensor = input_tensor(e, input, program);
  XLM_ASSERT(tensor, "the input `%s` is not there now", e->rank->inputs[input].name);
  bool counts = e->rank->inputs[input].role == XLM_INPUT_COUNT && e->rows[program].batch;
  bool whole = !at && bytes == e->rank->tensors[tensor].bytes;
  if (counts) exec_count_rows(e, program, whole ? from : NULL);
  return exec_put(e, tensor, at, from, bytes, err);
}

xlm_status xlm_exec_get_output(xlm_exec *e, uint32_t output, size_t at, void *to, size_t bytes,
                               xlm_error *err) {
  return exec_get(e, e->rank->outputs[output].tensor, at, to, bytes, err);
}

static bool is_wide(const xlm_exec *e, uint32_t tensor) {
  const xlm_type *t = &e->rank->tensors[tensor].type;
  XLM_ASSERT(t->dtype == XLM_F32 || t->dtype == XLM_F64, "`%s` is no scalar of type f32 or f64",
             e->rank->tensors[tensor].name);
  return t->dtype == XLM_F64;
}

xlm_status xlm_exec_put_scalar(xlm_exec *e, uint32_t input, xlm_program_id program, double value,
                               xlm_error *err) {
  float narrow = (float)value;
  bool wide = is_wide(e, input_tensor(e, input, program));
  return wide ? xlm_exec_put_input(e, input, program, 0, &value, sizeof value, err)
              : xlm_exec_put_input(e, input, program, 0, &narrow, sizeof narrow, err);
}

xlm_status xlm_exec_get_scalar(xlm_exec *e, uint32_t output, double *value, xlm_error *err) {
  float narrow;
  if (is_wide(e, e->rank->outputs[output].tensor))
    return xlm_exec_get_output(e, output, 0, value, sizeof *value, err);
  XLM_TRY(xlm_exec_get_output(e, output, 0, &narrow, sizeof narrow, err));
  *value = narrow;
  return XLM_OK;
}

bool xlm_exec_runs_behind(const xlm_exec *e) {
  return e->device->kind->fetch && !e->device->kind->checked;
}

xlm_status xlm_exec_fetch(xlm_exec *e, int box, uint32_t output, xlm_error *err) {
  const xlm_device_kind *on = e->device->kind;
  uint32_t tensor = e->rank->outputs[output].tensor;
  size_t bytes = e->rank->tensors[tensor].bytes, at = e->box_at[output];
  if (!on->fetch) return exec_get(e, tensor, 0, e->boxes[box] + at, bytes, err);
  return on->fetch(e->device, box, at, exec_address(e, tensor), bytes, err);
}

xlm_status xlm_exec_fetched(xlm_exec *e, int box, uint32_t output, double *values, xlm_error *err) {
  const void *from = e->boxes[box];
  uint32_t tensor = e->rank->outputs[output].tensor;
  int64_t n = xlm_exec_output_size(e, output);
  if (e->device->kind->fetched) XLM_TRY(e->device->kind->fetched(e->device, box, &from, err));
  from = (const char *)from + e->box_at[output];
  if (is_wide(e, tensor))
    memcpy(values, from, (size_t)n * sizeof *values);
  else
    for (int64_t i = 0; i < n; i++) values[i] = (double)((const float *)from)[i];
  return XLM_OK;
}

int64_t xlm_exec_output_size(const xlm_exec *e, uint32_t output) {
  uint32_t tensor = e->rank->outputs[output].tensor;
  return (int64_t)(e->rank->tensors[tensor].bytes / (is_wide(e, tensor) ? sizeof(double) : sizeof(float)));
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
