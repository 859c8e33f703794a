// The packed order of a choice e for the reference kernels, by definition: rows by expert, then by token,
// then by choice. A row's index is found by counting all rows before it.
#ifndef XLM_OPS_REF_MOE_PRIV_H
#define XLM_OPS_REF_MOE_PRIV_H

#include "ops/ref/ref_priv.h"

// Visits every choice, token by token, slot by slot: the tokens' dims, then `active`.
ref_walk ref_moe_choices(const xlm_call *c, int e_operand);
// The row of this choice; -1 if its expert is on another rank.
int64_t ref_moe_row(const xlm_call *c, int e_operand, const ref_walk *choice);
// The dims of a packed row, after [experts, routed].
ref_walk ref_moe_rest(const xlm_call *c, const xlm_type *packed);
// Offset of element (choice, rest) in t, which has the tokens' dims and some of active's and the rest's.
int64_t ref_moe_at(const xlm_call *c, const xlm_type *t, const ref_walk *choice, const ref_walk *rest);

#endif
