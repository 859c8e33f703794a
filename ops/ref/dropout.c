// dropout in float64: one draw per element, straight from the definition in ops/dropout.c.
#include <string.h>

#include "ops/ref/ref_priv.h"
#include "runtime/base/philox.h"

static bool dropped(const xlm_call *c, const ref_walk *w, double p) {
  const char *name = xlm_attr_text(&c->instr->attrs, XLM_A_name, "");
  uint64_t sample = 0, rest = 0;
  for (int i = 0; i < w->n; i++) {
    const xlm_dim_info *d = &c->dims[w->dim[i]];
    uint64_t index = (uint64_t)xlm_dim_global(d, w->index[i]);
    if (!strcmp(d->name, "batch"))
      sample = index + (uint64_t)c->env->first_row;
    else
      rest = rest * (uint64_t)d->full + index;
  }
  xlm_philox key = xlm_philox_key(c->env->seed, xlm_hash_mix(xlm_hash_text(name)) + (uint64_t)c->env->step);
  uint32_t draw[4];
  xlm_philox_draw(key, sample, rest / 4, draw);
  return xlm_philox_unit(draw[rest % 4]) < p;
}

static xlm_status run(const xlm_call *c) {
  double p = xlm_attr_float(&c->instr->attrs, XLM_A_p, 0);
  ref_walk w = ref_walk_type(c, c->out_type[0]);
  for (int64_t i = 0; ref_walk_next(&w); i++)
    ref_out(c, 0)[i] = dropped(c, &w, p) ? 0 : ref_in(c, 0)[i] / (1 - p);
  return XLM_OK;
}

const xlm_kernel xlm_ref_dropout = {.op = XLM_OP_DROPOUT, .run = run};
const xlm_kernel xlm_ref_dropout_bwd = {.op = XLM_OP_DROPOUT_BWD, .run = run};
