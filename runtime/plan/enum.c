// See enum.h.
#include "runtime/plan/enum.h"

#include <string.h>

typedef struct entry {
  const char *name, *doc;
} entry;

static const entry dtypes[XLM_DTYPE_COUNT] = {
#define XLM_DTYPE(name, NAME, bytes, doc) [XLM_##NAME] = {#name, doc},
#include "runtime/plan/enum.def"
};
static const entry reductions[XLM_REDUCTIONS] = {
#define XLM_REDUCTION(name, NAME, doc) [XLM_REDUCTION_##NAME] = {#name, doc},
#include "runtime/plan/enum.def"
};
static const entry inits[XLM_INITS] = {
#define XLM_INIT(name, NAME, numbers, doc) [XLM_INIT_##NAME] = {#name, doc},
#include "runtime/plan/enum.def"
};
static const entry rope_scalings[XLM_ROPE_SCALINGS] = {
#define XLM_ROPE_SCALING(name, NAME, doc) [XLM_ROPE_##NAME] = {#name, doc},
#include "runtime/plan/enum.def"
};
static const entry roles[XLM_ROLES] = {
#define XLM_ROLE(name, NAME, doc) [XLM_ROLE_##NAME] = {#name, doc},
#include "runtime/plan/enum.def"
};
static const entry operands[XLM_OPERANDS] = {
#define XLM_OPERAND(name, NAME, doc) [XLM_OPERAND_##NAME] = {#name, doc},
#include "runtime/plan/enum.def"
};
static const entry input_roles[XLM_INPUT_ROLES] = {
#define XLM_INPUT_ROLE(name, NAME, doc) [XLM_INPUT_##NAME] = {#name, doc},
#include "runtime/plan/enum.def"
};
static const entry output_roles[XLM_OUTPUT_ROLES] = {
#define XLM_OUTPUT_ROLE(name, NAME, doc) [XLM_OUTPUT_##NAME] = {#name, doc},
#include "runtime/plan/enum.def"
};
static const entry categories[XLM_CATEGORIES] = {
#define XLM_CATEGORY(name, NAME, doc) [XLM_CATEGORY_##NAME] = {#name, doc},
#include "runtime/plan/enum.def"
};
static const entry programs[XLM_PROGRAMS] = {
#define XLM_PROGRAM(name, NAME, doc) [XLM_PROGRAM_##NAME] = {#name, doc},
#include "runtime/plan/enum.def"
};
static const entry segments[XLM_SEG_KINDS] = {
#define XLM_SEGMENT(name, NAME, doc) [XLM_SEG_##NAME] = {#name, doc},
#include "runtime/plan/enum.def"
};
static const entry variants[XLM_VARIANTS] = {
#define XLM_VARIANT(name, NAME, doc) [XLM_VARIANT_##NAME] = {#name, doc},
#include "runtime/plan/enum.def"
};

static const struct {
  const char *what;
  const entry *at;
  int n;
} sets[XLM_ENUMS] = {
    [XLM_ENUM_NONE] = {"value", NULL, 0},
    [XLM_ENUM_DTYPE] = {"element type", dtypes, XLM_DTYPE_COUNT},
    [XLM_ENUM_REDUCTION] = {"reduction", reductions, XLM_REDUCTIONS},
    [XLM_ENUM_INIT] = {"initialiser", inits, XLM_INITS},
    [XLM_ENUM_ROPE_SCALING] = {"scaling of rope", rope_scalings, XLM_ROPE_SCALINGS},
    [XLM_ENUM_ROLE] = {"role of a state", roles, XLM_ROLES},
    [XLM_ENUM_OPERAND] = {"optional operand", operands, XLM_OPERANDS},
    [XLM_ENUM_INPUT_ROLE] = {"role of an input", input_roles, XLM_INPUT_ROLES},
    [XLM_ENUM_OUTPUT_ROLE] = {"role of an output", output_roles, XLM_OUTPUT_ROLES},
    [XLM_ENUM_CATEGORY] = {"category of memory", categories, XLM_CATEGORIES},
    [XLM_ENUM_PROGRAM] = {"program of a plan", programs, XLM_PROGRAMS},
    [XLM_ENUM_SEGMENT] = {"kind of segment", segments, XLM_SEG_KINDS},
    [XLM_ENUM_VARIANT] = {"variant of a segment", variants, XLM_VARIANTS},
};

const char *xlm_enum_what(xlm_enum e) {
  return sets[e].what;
}

int xlm_enum_end(xlm_enum e) {
  return sets[e].n;
}

const char *xlm_enum_name(xlm_enum e, int64_t value) {
  return value >= 0 && value < sets[e].n ? sets[e].at[value].name : NULL;
}

const char *xlm_enum_doc(xlm_enum e, int64_t value) {
  return value >= 0 && value < sets[e].n ? sets[e].at[value].doc : NULL;
}

bool xlm_enum_find(xlm_enum e, const char *name, int *value) {
  for (int i = 0; i < sets[e].n; i++)
    if (sets[e].at[i].name && !strcmp(name, sets[e].at[i].name)) {
      *value = i;
      return true;
    }
  return false;
}

void xlm_enum_list(xlm_enum e, uint32_t among, xlm_text *out) {
  bool first = true;
  for (int i = 0; i < sets[e].n; i++) {
    if (!sets[e].at[i].name || (among && !(among >> i & 1))) continue;
    xlm_text_printf(out, "%s%s", first ? "" : ", ", sets[e].at[i].name);
    first = false;
  }
}
