// Names of the plan's enumerations, as they stand in reports and in the JSON form.
#include "runtime/plan/plan.h"

static const char *const class_names[XLM_CLASSES] = {"parameters", "gradients", "optimizer", "state",
                                                     "activations", "comm", "workspace", "io"};
static const char *const segment_names[XLM_SEG_KINDS] = {"F", "B", "W", "step", "eval"};

const char *xlm_class_name(xlm_class c) { return class_names[c]; }
const char *xlm_segment_name(xlm_segment_kind k) { return segment_names[k]; }
