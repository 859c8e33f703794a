// Values with names: the C enums, and their names in text. enum.def is the table of both and describes every
// value.
#ifndef XLM_PLAN_ENUM_H
#define XLM_PLAN_ENUM_H

#include <stdbool.h>

#include "runtime/base/text.h"

XLM_C_BEGIN

typedef enum xlm_dtype {
#define XLM_DTYPE(name, NAME, bytes, doc) XLM_##NAME,
#include "runtime/plan/enum.def"
  XLM_DTYPE_COUNT
} xlm_dtype;

typedef enum xlm_reduction {
  XLM_REDUCTION_NONE, // has no name
#define XLM_REDUCTION(name, NAME, doc) XLM_REDUCTION_##NAME,
#include "runtime/plan/enum.def"
  XLM_REDUCTIONS
} xlm_reduction;

typedef enum xlm_init_kind {
#define XLM_INIT(name, NAME, numbers, doc) XLM_INIT_##NAME,
#include "runtime/plan/enum.def"
  XLM_INITS
} xlm_init_kind;

typedef enum xlm_rope_scaling {
#define XLM_ROPE_SCALING(name, NAME, doc) XLM_ROPE_##NAME,
#include "runtime/plan/enum.def"
  XLM_ROPE_SCALINGS
} xlm_rope_scaling;

typedef enum xlm_role {
#define XLM_ROLE(name, NAME, doc) XLM_ROLE_##NAME,
#include "runtime/plan/enum.def"
  XLM_ROLES
} xlm_role;

typedef enum xlm_operand {
#define XLM_OPERAND(name, NAME, doc) XLM_OPERAND_##NAME,
#include "runtime/plan/enum.def"
  XLM_OPERANDS
} xlm_operand;

typedef enum xlm_input_role {
#define XLM_INPUT_ROLE(name, NAME, doc) XLM_INPUT_##NAME,
#include "runtime/plan/enum.def"
  XLM_INPUT_ROLES
} xlm_input_role;

typedef enum xlm_output_role {
#define XLM_OUTPUT_ROLE(name, NAME, doc) XLM_OUTPUT_##NAME,
#include "runtime/plan/enum.def"
  XLM_OUTPUT_ROLES
} xlm_output_role;

typedef enum xlm_category {
#define XLM_CATEGORY(name, NAME, doc) XLM_CATEGORY_##NAME,
#include "runtime/plan/enum.def"
  XLM_CATEGORIES
} xlm_category;

typedef enum xlm_program_id {
#define XLM_PROGRAM(name, NAME, doc) XLM_PROGRAM_##NAME,
#include "runtime/plan/enum.def"
  XLM_PROGRAMS
} xlm_program_id;

typedef enum xlm_segment_kind {
#define XLM_SEGMENT(name, NAME, doc) XLM_SEG_##NAME,
#include "runtime/plan/enum.def"
  XLM_SEG_KINDS
} xlm_segment_kind;

typedef enum xlm_segment_variant {
#define XLM_VARIANT(name, NAME, doc) XLM_VARIANT_##NAME,
#include "runtime/plan/enum.def"
  XLM_VARIANTS
} xlm_segment_variant;

typedef enum xlm_enum { // the sets
  XLM_ENUM_NONE,
  XLM_ENUM_DTYPE,
  XLM_ENUM_REDUCTION,
  XLM_ENUM_INIT,
  XLM_ENUM_ROPE_SCALING,
  XLM_ENUM_ROLE,
  XLM_ENUM_OPERAND,
  XLM_ENUM_INPUT_ROLE,
  XLM_ENUM_OUTPUT_ROLE,
  XLM_ENUM_CATEGORY,
  XLM_ENUM_PROGRAM,
  XLM_ENUM_SEGMENT,
  XLM_ENUM_VARIANT,
  XLM_ENUMS
} xlm_enum;

const char *xlm_enum_what(xlm_enum e);                // the kind of its values: "element type"
int xlm_enum_end(xlm_enum e);                         // all values are below it
const char *xlm_enum_name(xlm_enum e, int64_t value); // NULL: not a value with a name
const char *xlm_enum_doc(xlm_enum e, int64_t value);
bool xlm_enum_find(xlm_enum e, const char *name, int *value); // false: unknown, *value unchanged
// "sum, max, lse": those in the set `among` (bit i = value i; 0: all).
void xlm_enum_list(xlm_enum e, uint32_t among, xlm_text *out);

XLM_C_END

#endif
