// The bytes that collectives send. The planner's figures and the sizes of the kernels' pieces both come from
// here, so that the bytes counted at run time equal those planned.
#ifndef XLM_PLAN_TRAFFIC_H
#define XLM_PLAN_TRAFFIC_H

#include "runtime/plan/mesh.h"

XLM_C_BEGIN

// The variants of an all-reduce's kernel, which the plan names:
// - oneshot: every member gathers all operands and adds them. One step, hence the lower latency.
// - twoshot: the elements are cut into one piece per member (as by xlm_mesh_split); each member receives all
//   summands of its piece, adds them and sends the sum to all. Two steps, fewer bytes.
typedef enum xlm_all_reduce { XLM_ALL_REDUCE_ONESHOT, XLM_ALL_REDUCE_TWOSHOT } xlm_all_reduce;
extern const char *const xlm_all_reduce_names[]; // ends with NULL
enum { XLM_SMALL_ALL_REDUCE = 32 * 1024 };       // bytes over all members, up to which oneshot is taken
// Bytes of the operand, counting ragged dimensions as full, times the number of members.
bool xlm_all_reduce_is_small(int64_t members, size_t bytes);

// Bytes that the rank at `coord` sends to other ranks when it runs `instr` once; 0 for anything but a
// collective or a `send` to another stage. *axis: the mesh axis they are attributed to (the outermost of the
// group with more than one member; for send, pp). The size of ragged transfers depends on the routing:
// send_rows and collect_rows are counted as if all experts had equally many rows, and collectives of ragged
// tensors as if all rows were in use.
uint64_t xlm_traffic_bytes(const xlm_mesh *mesh, const int32_t coord[XLM_MAX_AXES], const xlm_instr *instr,
                           const xlm_tensor *tensors, const xlm_dim_info *dims, int *axis);

XLM_C_END

#endif
