// Shared by send and recv of all backends: the rank of another pipeline stage, and the tag.
#ifndef XLM_DEVICE_MESSAGE_H
#define XLM_DEVICE_MESSAGE_H

#include <string.h>

#include "runtime/device/link.h"

XLM_C_BEGIN

static inline int64_t
xlm_message_peer(const xlm_call *c) { // the rank with this one's coordinates in stage `peer`
  int32_t coord[XLM_MAX_AXES];
  int64_t stage = xlm_attr_int(&c->instr->attrs, XLM_A_peer, 0);
  int pp = xlm_mesh_axis(&c->link->mesh, "pp");
  XLM_ASSERT(pp >= 0 && stage >= 0 && stage < c->link->mesh.size[pp], "%s: there is no stage %lld",
             xlm_op_name(c->instr->op), (long long)stage);
  memcpy(coord, c->link->coord, sizeof coord);
  coord[pp] = (int32_t)stage;
  return xlm_mesh_rank(&c->link->mesh, coord);
}

static inline int32_t xlm_message_tag(const xlm_call *c) {
  return (int32_t)xlm_attr_int(&c->instr->attrs, XLM_A_tag, 0);
}

XLM_C_END

#endif
