// send and recv: the rank of another pipeline stage.
#ifndef XLM_CUDA_MESSAGE_H
#define XLM_CUDA_MESSAGE_H

#include "ops/cuda/cuda.h"
#include "runtime/device/link.h"

static inline int64_t message_peer(const xlm_call *c) { // the rank with this one's coordinates in stage `peer`
  int32_t coord[XLM_MAX_AXES];
  int64_t stage = xlm_attr_int(&c->instr->attrs, XLM_A_peer, 0);
  int pp = xlm_mesh_axis(&c->link->mesh, "pp");
  XLM_ASSERT(pp >= 0 && stage >= 0 && stage < c->link->mesh.size[pp], "%s: there is no stage %lld",
             xlm_op_name(c->instr->op), (long long)stage);
  memcpy(coord, c->link->coord, sizeof coord);
  coord[pp] = (int32_t)stage;
  return xlm_mesh_rank(&c->link->mesh, coord);
}

static inline int32_t message_tag(const xlm_call *c) { return (int32_t)xlm_attr_int(&c->instr->attrs, XLM_A_tag, 0); }

#endif
