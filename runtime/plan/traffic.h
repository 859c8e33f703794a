// The bytes that collectives send. The planner's figures and the sizes of the kernels' pieces both come from
// here, so that the bytes counted at run time equal those planned.
#ifndef XLM_PLAN_TRAFFIC_H
#define XLM_PLAN_TRAFFIC_H

#include "runtime/plan/mesh.h"

XLM_C_BEGIN

// Up to this many bytes over all members, an all-reduce is one all-gather and every member adds everything,
// which halves the latency. Above it, the elements are cut into one piece per member (as by xlm_mesh_split),
// exchanged, added by their owners, and gathered.
enum { XLM_SMALL_ALL_REDUCE = 32 * 1024 };

// Bytes that the rank at `coord` sends to other ranks when it runs `instr` once; 0 for anything but a
// collective or `send`. *axis: the mesh axis they are attributed to (the outermost of the group with more
// than one member; for send, pp). The size of ragged transfers depends on the routing: send_rows and
// collect_rows are counted as if all experts had equally many rows, and collectives of ragged tensors as if
// all rows were in use.
uint64_t xlm_traffic_bytes(const xlm_mesh *mesh, const int32_t coord[XLM_MAX_AXES], const xlm_instr *instr,
                           const xlm_tensor *tensors, const xlm_dim_info *dims, int *axis);

XLM_C_END

#endif
