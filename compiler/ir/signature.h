// An operation's signature as text: what a call is given, `softmax(x, [over d, ..])`.
#ifndef XLM_IR_SIGNATURE_H
#define XLM_IR_SIGNATURE_H

#include "compiler/ir/op.h"
#include "runtime/base/text.h"
#include "runtime/plan/span.h"

XLM_C_BEGIN

// Appends it; what may be left out stands in brackets. part: each parameter's range in `out`, as many as the
// operation has; NULL: not needed.
void xlm_op_signature(const xlm_op *op, xlm_text *out, xlm_span *part);

XLM_C_END

#endif
