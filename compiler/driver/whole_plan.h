// The plan of all ranks: rank plans, and the properties of the whole run.
#ifndef XLM_DRIVER_WHOLE_PLAN_H
#define XLM_DRIVER_WHOLE_PLAN_H

#include <jansson.h>

#include "compiler/driver/rank_plans.h"

// model: the simplified model graph. counted: the graph whose FLOPs are the model's, before recomputation is
// added, of this many places of every sequence.
xlm_plan *xlm_whole_plan(xlm_arena *a, const xlm_source *source, const xlm_graph *model,
                         const xlm_graph *counted, int64_t places, const xlm_rank_plans *ranks,
                         const xlm_compile_options *o);

// Places of every sequence that prefill takes at once: as asked, at most the model's seq.
int64_t xlm_compile_chunk(const xlm_graph *model, const xlm_compile_options *o);

// Sets the plan's public names and values (config.json).
void xlm_public_config(xlm_plan *p, const xlm_graph *model, xlm_arena *a);
// False when a key of the model's config section contradicts the graph, so that another tool would compute
// something else: each is a diagnostic.
bool xlm_config_check(const xlm_graph *model, xlm_diags *d);
// JSON that the compiler itself wrote, such as the value of a key of the config section; the arena owns it. When there
// is no memory for it, the arena is exhausted.
const json_t *xlm_config_value(const char *json, xlm_arena *a);
// published.c: the part of both that operations publish.
void xlm_published_put(xlm_plan *p, const xlm_graph *model, xlm_arena *a);
void xlm_published_check(const xlm_graph *model, xlm_diags *d);

#endif
