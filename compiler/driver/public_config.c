// The configuration for other tools (config.json): the dims and lets with public names, and what follows from
// the graph alone. A let has the value in the text; the graph shows what is computed.
#include <string.h>

#include "compiler/driver/whole_plan.h"
#include "compiler/ir/op.h"

// The parameter that a value is, possibly cast or renamed; 0: none.
static xlm_val parameter_of(const xlm_graph *g, xlm_val v) {
  for (const xlm_node_info *n = xlm_val_node(g, v);; n = xlm_val_node(g, v)) {
    if (xlm_node_is(n, XLM_LEAF_PARAMETER)) return v;
    const xlm_op_facts *f = xlm_op_facts_of(n->op);
    if (!f->keeps_values && !f->renames) return 0;
    v = n->in[0];
  }
}

static bool is_product(const xlm_node_info *n) {
  return xlm_op_facts_of(n->op)->product == XLM_PRODUCT_MATRIX;
}

// Is a lookup table also a factor of a product, that is, is the head tied to the embedding?
static bool is_tied(const xlm_graph *g, bool *any_table) {
  *any_table = false;
  for (xlm_node t = 1; t < g->n_nodes; t++) {
    if (!xlm_op_facts_of(g->nodes[t].op)->index) continue;
    xlm_val table = parameter_of(g, g->nodes[t].in[0]);
    *any_table |= table != 0;
    for (xlm_node p = 1; table && p < g->n_nodes; p++)
      for (int i = 0; is_product(&g->nodes[p]) && i < g->nodes[p].n_in; i++)
        if (parameter_of(g, g->nodes[p].in[i]) == table) return true;
  }
  return false;
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

// The attributes that operations publish: the value, if all uses have the same.
static void put_published(xlm_plan_config *c, uint32_t *n, const xlm_graph *g, xlm_op_id op) {
  const xlm_op_facts *f = xlm_op_facts_of(op);
  double value = 0;
  bool found = false;
  for (xlm_node id = 1; f->published.name && id < g->n_nodes; id++) {
    if (g->nodes[id].op != op) continue;
    double own = xlm_attr_float(&g->nodes[id].attrs, f->published.key, f->published.absent);
    if (found && own != value) return;
    value = own;
    found = true;
  }
  if (found) put(c, n, f->published.name, value, false);
}

void xlm_public_config(xlm_plan *p, const xlm_graph *g, xlm_arena *a) {
  xlm_plan_config *c = XLM_NEW_N(a, xlm_plan_config, g->n_config + XLM_OP_COUNT + 1);
  uint32_t n = g->n_config;
  bool any_table, tied = is_tied(g, &any_table);
  for (uint32_t i = 0; i < g->n_config; i++) {
    c[i] = (xlm_plan_config){.name = g->config[i].name,
                             .n_aliases = g->config[i].n_aliases,
                             .value = g->config[i].value,
                             .integer = g->config[i].integer};
    memcpy(c[i].alias, g->config[i].alias, sizeof c[i].alias);
  }
  for (int op = 1; op < XLM_OP_COUNT; op++) put_published(c, &n, g, (xlm_op_id)op);
  if (any_table) put(c, &n, "tie_word_embeddings", tied, true);
  p->config = c;
  p->n_config = n;
}
