// The configuration for other tools (config.json): the dims and lets with public names, and what follows from
// the graph alone. A let has the value in the text; the graph shows what is computed.
#include <math.h>
#include <string.h>

#include "compiler/driver/whole_plan.h"
#include "compiler/ir/op.h"
#include "runtime/base/json_parse.h"

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

static void put(xlm_plan_config *c, uint32_t *n, const char *alias, double value, xlm_plan_number kind) {
  xlm_plan_config *at = named(c, *n, alias);
  if (!at) at = &c[(*n)++], *at = (xlm_plan_config){.name = alias, .n_aliases = 1, .alias = {alias}};
  at->value = value, at->kind = kind;
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
  if (found) put(c, n, f->published.name, value, XLM_NUMBER_REAL);
}

void xlm_public_config(xlm_plan *p, const xlm_graph *g, xlm_arena *a) {
  xlm_plan_config *c = XLM_NEW_N(a, xlm_plan_config, g->n_config + XLM_OP_COUNT + 1);
  uint32_t n = g->n_config;
  bool any_table, tied = is_tied(g, &any_table);
  for (uint32_t i = 0; i < n; i++) c[i] = g->config[i];
  for (int op = 1; op < XLM_OP_COUNT; op++) put_published(c, &n, g, (xlm_op_id)op);
  if (any_table) put(c, &n, "tie_word_embeddings", tied, XLM_NUMBER_BOOL);
  p->config = c;
  p->n_config = n;
  xlm_published_put(p, g, a);
}

// ---- the config section ----

static void free_json(void *json) {
  json_decref(json);
}

const json_t *xlm_config_value(const char *json, xlm_arena *a) {
  json_t *v;
  xlm_error err;
  xlm_arena_cleanup *owner = xlm_arena_add_cleanup(a, free_json);
  xlm_status s = xlm_json_parse(json, strlen(json), JSON_DECODE_ANY, "the config section", &v, &err);
  if (s == XLM_ENV) xlm_arena_exhausted(a, strlen(json));
  XLM_ASSERT(s == XLM_OK, "%s: %s", json, err.text);
  return owner->what = v;
}

// Does an operation that publishes an attribute under this name have this value? True when none publishes it.
static bool is_used(const xlm_graph *g, const char *name, double value, const char **op) {
  *op = NULL;
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_op_facts *f = xlm_op_facts_of(g->nodes[id].op);
    if (!f->published.name || strcmp(f->published.name, name)) continue;
    *op = xlm_op_at(g->nodes[id].op)->name;
    double own = xlm_attr_float(&g->nodes[id].attrs, f->published.key, f->published.absent);
    if (fabs(own - value) <= 1e-9 * fabs(own)) return true;
  }
  return !*op;
}

static void check_published(const xlm_graph *g, const xlm_plan_key *k, const char *name, const json_t *v,
                            xlm_diags *d) {
  const char *op, *member;
  json_t *value;
  if (json_is_number(v) && !is_used(g, name, json_number_value(v), &op))
    xlm_diag_push(d, XLM_E_CONFIG_VALUE, k->span,
                  "`%s` is %.15g here, and no `%s` of the model has that value", name, json_number_value(v),
                  op);
  if (json_is_object(v))
    json_object_foreach((json_t *)(uintptr_t)v, member, value) check_published(g, k, member, value, d);
}

static void check_tied(const xlm_graph *g, const xlm_plan_key *k, const json_t *v, xlm_diags *d) {
  bool any_table, tied = is_tied(g, &any_table);
  if (strcmp(k->key, "tie_word_embeddings") || !json_is_boolean(v) || !any_table || json_is_true(v) == tied)
    return;
  xlm_diag_push(d, XLM_E_CONFIG_VALUE, k->span, "`%s` is %s here, and in the model the head is %s", k->key,
                k->json, tied ? "the embedding" : "a parameter of its own");
}

bool xlm_config_check(const xlm_graph *g, xlm_diags *d) {
  uint32_t errors = d->errors;
  for (uint32_t i = 0; i < g->n_keys; i++) {
    const xlm_plan_key *k = &g->keys[i];
    const json_t *v = xlm_config_value(k->json, d->arena);
    check_tied(g, k, v, d);
    check_published(g, k, k->key, v, d);
  }
  xlm_published_check(g, d);
  return d->errors == errors;
}
