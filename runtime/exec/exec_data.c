// Data in and out of the arena: the device copies it; no address leaves the executor.
#include <string.h>

#include "runtime/exec/exec_priv.h"

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

xlm_status xlm_exec_put_state(xlm_exec *e, uint32_t state, size_t at, const void *from, size_t bytes,
                              xlm_error *err) {
  return exec_put(e, e->rank->states[state].tensor, at, from, bytes, err);
}

xlm_status xlm_exec_get_state(xlm_exec *e, uint32_t state, size_t at, void *to, size_t bytes,
                              xlm_error *err) {
  return exec_get(e, e->rank->states[state].tensor, at, to, bytes, err);
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
