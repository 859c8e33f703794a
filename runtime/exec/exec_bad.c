// Finds the first tensor that is not finite, for the message after a non-finite loss.
#include <math.h>

#include "runtime/exec/exec_priv.h"

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

static bool is_finite_piece(xlm_dtype t, const void *p, size_t bytes) {
  if (t == XLM_F32) return finite_f32((const float *)p, bytes / sizeof(float));
  if (t == XLM_BF16) return finite_bf16((const uint16_t *)p, bytes / sizeof(uint16_t));
  return t != XLM_F64 || finite_f64((const double *)p, bytes / sizeof(double));
}

// A tensor that cannot be read counts as finite.
static bool is_finite(xlm_exec *e, uint32_t tensor) {
  const xlm_tensor *t = &e->rank->tensors[tensor];
  size_t all = (size_t)xlm_type_bytes(&t->type, e->rank->dims);
  double piece[4096]; // aligned for any type
  for (size_t at = 0, n; at < all && xlm_dtype_is_float(t->type.dtype); at += n) {
    n = all - at < sizeof piece ? all - at : sizeof piece;
    if (exec_get(e, tensor, at, piece, n, NULL) != XLM_OK) return true;
    if (!is_finite_piece(t->type.dtype, piece, n)) return false;
  }
  return true;
}

static xlm_bad_tensor describe(const xlm_exec *e, uint32_t tensor, const xlm_instr *in) {
  const char *name = e->rank->tensors[tensor].name;
  if (!in) return (xlm_bad_tensor){name, "state", "", e->rank->tensors[tensor].line};
  return (xlm_bad_tensor){name ? name : "(unnamed)", xlm_op_name(in->op), in->scope, in->line};
}

static xlm_bad_tensor bad_state(xlm_exec *e) {
  for (uint32_t i = 0; i < e->rank->n_states; i++)
    if (!is_finite(e, e->rank->states[i].tensor)) return describe(e, e->rank->states[i].tensor, NULL);
  return (xlm_bad_tensor){NULL, NULL, NULL, 0};
}

// Runs a segment in the first slots; *bad becomes the first bad result, unless it is already set.
static void look_at_segment(xlm_exec *e, uint32_t segment, xlm_bad_tensor *bad) {
  const xlm_segment *s = &e->rank->segments[segment];
  bool known;
  if (exec_begin(e, segment, true, &known, NULL) != XLM_OK) return;
  for (uint32_t i = s->first; i < s->first + s->n; i++) {
    const xlm_instr *in = &e->rank->instrs[i];
    exec_enqueue(e, i);
    if (exec_sync(e, NULL) != XLM_OK) return;
    for (int k = 0; k < in->n_out && !bad->name; k++)
      if (!is_finite(e, in->out[k])) *bad = describe(e, in->out[k], in);
  }
}

// With several ranks everything runs to the end, whatever is found, since the other ranks need this rank's
// part in the communication.
xlm_bad_tensor xlm_exec_first_bad(xlm_exec *e, xlm_step_env env) {
  xlm_bad_tensor bad = bad_state(e);
  e->slot = NULL;
  e->env = env;
  for (uint32_t i = 0; i < e->rank->n_schedule && (e->comm || !bad.name); i++) {
    const xlm_segment *s = &e->rank->segments[e->rank->schedule[i].segment];
    if (s->kind == XLM_SEG_F && !e->rank->schedule[i].microbatch)
      look_at_segment(e, e->rank->schedule[i].segment, &bad);
  }
  return bad;
}
