// Inference that attend and its gradients share.
#ifndef XLM_OPS_ATTEND_PRIV_H
#define XLM_OPS_ATTEND_PRIV_H

#include "compiler/ir/op.h"

// Of q, k, v and the optional operands; sets all attributes. *v_feature: the dimension of one head's value.
bool xlm_attend_infer(xlm_infer *x, xlm_dim *v_feature);
// The type of queries with v_feature in the place of their own vector; 0: without any.
xlm_type xlm_attend_result(const xlm_infer *x, xlm_dim v_feature);

#endif
