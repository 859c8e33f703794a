// Builds graphs: emits nodes with type inference, and the basic operations that gradients are made of.
//
// A builder carries the context of new nodes: phase, span, scope, round. xlm_emit is for code whose types are
// right by construction (gradients, passes): it asserts that inference succeeds. xlm_emit_checked is for
// elaborate, which reports the error.
#ifndef XLM_IR_BUILD_H
#define XLM_IR_BUILD_H

#include "compiler/ir/graph.h"

typedef struct xlm_build {
  xlm_graph *g;
  xlm_phase phase;
  xlm_span span;
  const char *scope;
  int32_t round;
  int16_t stage; // see xlm_node_info; -1 before the pipeline pass
  bool recompute;
} xlm_build;

xlm_build xlm_build_new(xlm_graph *g);
void xlm_build_context(
    xlm_build *b,
    const xlm_node_info *like); // span, scope, round, stage and recompute (not phase) of another node

// A list of attributes under construction, in the graph's arena, sorted by key.
typedef struct xlm_attr_list {
  xlm_arena *arena;
  xlm_attr at[XLM_ATTR_KEYS];
  int n;
} xlm_attr_list;
xlm_attr_list xlm_attr_list_new(xlm_arena *a);
xlm_attr_list xlm_attr_list_from(xlm_arena *a, const xlm_attrs *as);
void xlm_attr_put(xlm_attr_list *l, xlm_attr a); // replaces an entry with the same key
void xlm_attr_put_int(xlm_attr_list *l, xlm_attr_key k, int64_t v);
void xlm_attr_put_float(xlm_attr_list *l, xlm_attr_key k, double v);
void xlm_attr_put_enum(xlm_attr_list *l, xlm_attr_key k, int v);
void xlm_attr_put_ints(xlm_attr_list *l, xlm_attr_key k, const int64_t *v, uint32_t n); // copied
void xlm_attr_put_init(xlm_attr_list *l, xlm_attr_key k, xlm_init_kind kind, double x, double y);
void xlm_attr_put_text(xlm_attr_list *l, xlm_attr_key k, const char *v);
void xlm_attr_put_dims(xlm_attr_list *l, xlm_attr_key k, const xlm_dim *d, int n);
void xlm_attr_drop(xlm_attr_list *l, xlm_attr_key k);
xlm_attrs xlm_attr_freeze(const xlm_attr_list *l);

// Emits op(in...) and returns its first output (0 only for ops without outputs). attrs may be NULL.
xlm_val xlm_emit(xlm_build *b, xlm_op_id op, const xlm_val *in, int n_in, const xlm_attr_list *attrs);
struct xlm_infer;
// As xlm_emit, but a failed inference fills *fault (never NULL) and returns 0.
xlm_val xlm_emit_checked(xlm_build *b, xlm_op_id op, const xlm_val *in, int n_in, const xlm_attr_list *attrs,
                         struct xlm_infer *fault);

xlm_val xlm_op1(xlm_build *b, xlm_op_id op, xlm_val x);
xlm_val xlm_op2(xlm_build *b, xlm_op_id op, xlm_val x, xlm_val y);
xlm_val xlm_op3(xlm_build *b, xlm_op_id op, xlm_val x, xlm_val y, xlm_val z);
xlm_val xlm_scalar(xlm_build *b,
                   double value); // const [], f32 (f64 in a reference graph)
// A `state` of these dims, f32 (f64 in the reference), initially zero. `split`: the attribute of this name
// of the parameter it belongs to; may be NULL.
xlm_val xlm_build_state(xlm_build *b, const char *name, xlm_role role, const xlm_type *like,
                        const xlm_attr *split);
// Stores v in a new state of its type, whose value after the step it is. Returns the state's new value.
xlm_val xlm_build_stored(xlm_build *b, const char *name, xlm_role role, xlm_val v, const xlm_attr *split);
xlm_val xlm_scale(xlm_build *b, xlm_val x, double factor); // x * factor; x itself when factor is 1
xlm_val xlm_add_to(xlm_build *b, xlm_val sum, xlm_val x); // sum + x; x itself when sum is 0
// The elements of dimension `from` from `start` on, as dimension `to`; and the reverse: n tensors joined along
// from[0 .. n), as dimension `to`.
xlm_val xlm_slice_to(xlm_build *b, xlm_val x, xlm_dim from, int64_t start, xlm_dim to);
xlm_val xlm_join_to(xlm_build *b, const xlm_val *x, const xlm_dim *from, int n, xlm_dim to);
xlm_val xlm_sum_over(xlm_build *b, xlm_val x, const xlm_dim *over, int n); // x when n = 0
xlm_val xlm_sum_to(xlm_build *b, xlm_val x, const xlm_type *like); // sums over the dims of x that `like`
                                                                   // lacks
// Product summed over `over`; result dims in the order of `dims` (n_dims >= 0) or, with n_dims = -1, the
// default order.
xlm_val xlm_contract(xlm_build *b, xlm_val x, xlm_val y, const xlm_dim *over, int n_over, const xlm_dim *dims,
                     int n_dims);
xlm_val xlm_cast_to(xlm_build *b, xlm_val x, xlm_dtype t); // x if it already has that type
xlm_val xlm_order_to(xlm_build *b, xlm_val x,
                     const xlm_type *like); // same dims, in like's storage order (op `permute`)

#endif
