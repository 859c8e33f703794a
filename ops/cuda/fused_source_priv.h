// What the sources of all forms of programs have in common. q0, q1, .. are the program's registers, a0, a1,
// .. operands as they are in memory, i0, i1, .. the indices of the shape's dims.
#ifndef XLM_CUDA_FUSED_SOURCE_PRIV_H
#define XLM_CUDA_FUSED_SOURCE_PRIV_H

#include "ops/cuda/fused_source.h"

// Functions; `struct vec_TYPE`, as many neighbours as the shape's accesses have; `struct operands`.
void xlm_fused_add_head(xlm_text *t, const xlm_fused_shape *s);
const char *xlm_fused_type(xlm_dtype dtype);
// Declares the indices of dims from .. to - 1 of `index`, an expression of an integer type.
void xlm_fused_add_indices(xlm_text *t, const xlm_fused_shape *s, const char *type, const char *index,
                           int from, int to);
// `to = operand k`: a vector, or a single element.
void xlm_fused_add_load(xlm_text *t, const xlm_fused_shape *s, int k, bool is_vector, const char *to);
// Declares q<k>: operand k, or element j of it, where it is named `name`.
void xlm_fused_add_value(xlm_text *t, const xlm_fused_shape *s, int k, bool is_vector, const char *name);
// Declares the register of instruction k, a function of elements.
void xlm_fused_add_instr(xlm_text *t, const xlm_code *code, int k);
void xlm_fused_add_number(xlm_text *t, double x);
// Whole result k is stored from the floats y<k>.
void xlm_fused_add_store(xlm_text *t, const xlm_fused_shape *s, int k);

void xlm_fused_add_rows(xlm_text *t,
                        const xlm_fused_shape *s); // the kernel of the forms `rows` and `columns`

#endif
