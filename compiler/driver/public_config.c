// The configuration for other tools (config.json): the dims and lets with public names, and what follows from
// the graph alone. A let has the value in the text; the graph shows what is computed.
#include <string.h>

#include "compiler/driver/whole_plan.h"
#include "compiler/ir/op.h"

// The parameter that a value is, possibly cast or renamed; 0: none.
static xlm_val parameter_of(const xlm_graph *g, xlm_val v) {
  for (const xlm_node_info *n = xlm_val_node(g, v);; n = xlm_val_node(g, v)) {
    if (n->op == XLM_OP_PARAM) return v;
    if (n->op != XLM_OP_CAST && n->op != XLM_OP_RENAME) return 0;
    v = n->in[0];
  }
}

// Is a lookup table also a factor of a product, that is, is the head tied to the embedding?
static bool is_tied(const xlm_graph *g, bool *any_table) {
  *any_table = false;
  for (xlm_node t = 1; t < g->n_nodes; t++) {
    if (g->nodes[t].op != XLM_OP_LOOKUP) continue;
    xlm_val table = parameter_of(g, g->nodes[t].in[0]);
    *any_table |= table != 0;
    for (xlm_node p = 1; table && p < g->n_nodes; p++)
      for (int i = 0; g->nodes[p].op == XLM_OP_CONTRACT && i < g->nodes[p].n_in; i++)
        if (parameter_of(g, g->nodes[p].in[i]) == table) return true;
  }
  return false;
}

// The base shared by all rotary embeddings; 0: there are none, or they differ.
static double rope_base(const xlm_graph *g) {
  double base = 0;
  for (xlm_node n = 1; n < g->n_nodes; n++) {
    if (g->nodes[n].op != XLM_OP_ROPE) continue;
    double own = xlm_attr_float(&g->nodes[n].attrs, XLM_A_base, 10000);
    if (base && own != base) return 0;
    base = own;
  }
  return base;
}

static xlm_plan_config *named(xlm_plan_config *c, uint32_t n, const char *alias) {
  for (uint32_t i = 0; i < n; i++)
    for (int k = 0; k < c[i].n_aliases; k++)
      if (!strcmp(c[i].alias[k], alias)) return &c[i];
  return NULL;
}

static void put(xlm_plan_config *c, uint32_t *n, const char *alias, double value, bool integer) {
  xlm_plan_config *at = named(c, *n, alias);
  if (!at) at = &c[(*n)++], *at = (xlm_plan_config){.name = alias, .n_aliases = 1, .alias = {alias}};
  at->value = value, at->integer = integer;
}

void xlm_public_config(xlm_plan *p, const xlm_graph *g, xlm_arena *a) {
  xlm_plan_config *c = XLM_NEW_N(a, xlm_plan_config, g->n_config + 2);
  uint32_t n = g->n_config;
  bool any_table, tied = is_tied(g, &any_table);
  double base = rope_base(g);
  for (uint32_t i = 0; i < g->n_config; i++) {
    c[i] = (xlm_plan_config){.name = g->config[i].name,
                             .n_aliases = g->config[i].n_aliases,
                             .value = g->config[i].value,
                             .integer = g->config[i].integer};
    memcpy(c[i].alias, g->config[i].alias, sizeof c[i].alias);
  }
  if (base > 0) put(c, &n, "rope_theta", base, false);
  if (any_table) put(c, &n, "tie_word_embeddings", tied, true);
  p->config = c;
  p->n_config = n;
}
