// The graph's tables; see graph.h. They are only appended to.
#include "compiler/ir/graph.h"

#include <string.h>

#include "compiler/ir/op.h"

static const char *const phase_names[XLM_PHASES] = {"fwd", "bwd", "wgt", "last", "step", "prologue"};

const char *xlm_phase_name(xlm_phase p) {
  return phase_names[p];
}

static const char *const properties[XLM_PROPERTIES] = {
#define XLM_PROPERTY(name, NAME, meaning) #name,
#include "compiler/ir/property.def"
#undef XLM_PROPERTY
};

const char *xlm_property_name(xlm_property_id p) {
  return properties[p];
}

const char *xlm_properties_text(xlm_arena *a, uint32_t set, const char *between) {
  xlm_text t = xlm_text_new(a);
  for (int p = 0; p < XLM_PROPERTIES; p++)
    if (set >> p & 1) xlm_text_printf(&t, "%s%s", t.n ? between : "", properties[p]);
  return t.data;
}

xlm_graph *xlm_graph_new(xlm_arena *a, const xlm_source *source, const char *model) {
  xlm_graph *g = XLM_NEW(a, xlm_graph);
  g->arena = a;
  g->tables = xlm_arena_child(a);
  g->source = source;
  g->model = model;
  XLM_PUSH(g->tables, g->dims, g->n_dims, g->cap_dims, (xlm_dim_info){.name = ""});
  XLM_PUSH(g->tables, g->values, g->n_values, g->cap_values, (xlm_value){.def = 0});
  XLM_PUSH(g->tables, g->nodes, g->n_nodes, g->cap_nodes, (xlm_node_info){.scope = ""});
  return g;
}

xlm_graph *xlm_graph_like(const xlm_graph *from) {
  xlm_graph *g = xlm_graph_new(from->arena, from->source, from->model);
  g->preset = from->preset;
  g->properties = from->properties;
  for (uint32_t i = 1; i < from->n_dims; i++)
    XLM_PUSH(g->tables, g->dims, g->n_dims, g->cap_dims, from->dims[i]);
  g->weights_name = from->weights_name;
  g->weights = from->weights;
  g->n_weights = from->n_weights;
  g->rules = from->rules;
  g->n_rules = from->n_rules;
  g->config = from->config;
  g->n_config = from->n_config;
  g->keys = from->keys;
  g->n_keys = from->n_keys;
  g->groups = from->groups;
  g->n_groups = from->n_groups;
  return g;
}

void xlm_graph_free(xlm_graph *g) {
  xlm_arena_free(g->tables);
}

void xlm_graph_reserve(xlm_graph *g, uint32_t nodes, uint32_t values) {
  if (g->n_nodes + nodes > g->cap_nodes) {
    g->cap_nodes = g->n_nodes + nodes;
    g->nodes = xlm_arena_grow(g->tables, g->nodes, g->n_nodes, g->cap_nodes, sizeof *g->nodes);
  }
  if (g->n_values + values > g->cap_values) {
    g->cap_values = g->n_values + values;
    g->values = xlm_arena_grow(g->tables, g->values, g->n_values, g->cap_values, sizeof *g->values);
  }
}

xlm_dim xlm_graph_dim_find(const xlm_graph *g, const char *name, uint32_t axes) {
  for (uint32_t i = 1; i < g->n_dims; i++)
    if (g->dims[i].axes == axes && !strcmp(g->dims[i].name, name)) return i;
  return 0;
}

xlm_dim xlm_graph_dim_add(xlm_graph *g, xlm_dim_info info) {
  XLM_ASSERT(!xlm_graph_dim_find(g, info.name, info.axes), "dim %s exists already", info.name);
  info.name = xlm_arena_strdup(g->arena, info.name);
  XLM_PUSH(g->tables, g->dims, g->n_dims, g->cap_dims, info);
  return g->n_dims - 1;
}

xlm_dim xlm_graph_dim(xlm_graph *g, const char *name, int64_t size) {
  xlm_dim d = xlm_graph_dim_find(g, name, 0);
  if (!d) return xlm_graph_dim_add(g, (xlm_dim_info){.name = name, .size = size, .full = size});
  XLM_ASSERT(g->dims[d].size == size, "dim %s has size %lld, not %lld", name, (long long)g->dims[d].size,
             (long long)size);
  return d;
}

void xlm_vals_add(xlm_graph *g, xlm_vals *list, const char *name, xlm_val val, xlm_span span) {
  xlm_named_val v = {.name = name, .val = val, .span = span};
  XLM_PUSH(g->tables, list->at, list->n, list->cap, v);
}

void xlm_graph_update(xlm_graph *g, xlm_val state, xlm_val val) {
  xlm_update u = {state, val};
  XLM_PUSH(g->tables, g->updates, g->n_updates, g->cap_updates, u);
}

uint32_t *xlm_graph_uses(const xlm_graph *g, xlm_arena *a) {
  uint32_t *uses = XLM_NEW_N(a, uint32_t, g->n_values);
  for (uint32_t n = 1; n < g->n_nodes; n++)
    for (int i = 0; i < g->nodes[n].n_in; i++) uses[g->nodes[n].in[i]]++;
  const xlm_vals *lists[] = {&g->outputs, &g->metrics, &g->losses};
  for (int l = 0; l < 3; l++)
    for (uint32_t i = 0; i < lists[l]->n; i++) uses[lists[l]->at[i].val]++;
  for (uint32_t i = 0; i < g->n_updates; i++) uses[g->updates[i].val]++;
  return uses;
}
