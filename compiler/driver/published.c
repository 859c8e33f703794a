// Objects of config.json that operations publish (xlm_op.published): what is computed beyond what the model's
// sizes say, as by scaled rotary embeddings. They are written unless the config section has the key, and what
// a section says must be true of the model.
#include <string.h>

#include "compiler/driver/whole_plan.h"
#include "compiler/ir/op.h"
#include "runtime/plan/config_rope.h"

static const xlm_plan_key *key_named(const xlm_graph *g, const char *key) {
  for (uint32_t i = 0; i < g->n_keys; i++)
    if (!strcmp(g->keys[i].key, key)) return &g->keys[i];
  return NULL;
}

// The section's key for what is published as rope_scaling.
static const xlm_plan_key *said(const xlm_graph *g, const char *published_as) {
  const xlm_plan_key *k = key_named(g, published_as);
  return k ? k : key_named(g, "rope_parameters");
}

// Do two nodes of an operation have the same number for `facts.published`, as rope the same base?
static bool are_alike(const xlm_graph *g, xlm_node a, xlm_node b) {
  const xlm_op_facts *f = xlm_op_facts_of(g->nodes[a].op);
  return xlm_attr_float(&g->nodes[a].attrs, f->published.key, f->published.absent) ==
         xlm_attr_float(&g->nodes[b].attrs, f->published.key, f->published.absent);
}

// The object that the nodes of an operation publish. *other: a node to which it does not apply although
// another tool would apply it: with another object, or none and the same base; 0: none.
static const char *object_of(const xlm_graph *g, xlm_op_id id, xlm_arena *a, xlm_node *first,
                             xlm_node *other) {
  const xlm_op *op = xlm_op_at(id);
  const char *object = NULL;
  *first = *other = 0;
  for (xlm_node n = 1; op && op->published && !object && n < g->n_nodes; n++)
    if (g->nodes[n].op == id && (object = op->published(g, n, a))) *first = n;
  for (xlm_node n = 1; object && n < g->n_nodes; n++) {
    if (g->nodes[n].op != id) continue;
    const char *own = op->published(g, n, a);
    if (own ? strcmp(own, object) != 0 : are_alike(g, n, *first)) *other = n;
  }
  return object;
}

void xlm_published_put(xlm_plan *p, const xlm_graph *g, xlm_arena *a) {
  xlm_plan_key *keys = XLM_NEW_N(a, xlm_plan_key, g->n_keys + XLM_OP_COUNT);
  for (uint32_t i = 0; i < g->n_keys; i++) keys[i] = g->keys[i];
  p->keys = keys;
  p->n_keys = g->n_keys;
  for (int id = 1; id < XLM_OP_COUNT; id++) {
    xlm_node first, other;
    const char *object = object_of(g, (xlm_op_id)id, a, &first, &other);
    if (!object || other || !*object) continue; // "": only the config section can say it
    const char *name = xlm_op_at((xlm_op_id)id)->published_as;
    if (!said(g, name)) keys[p->n_keys++] = (xlm_plan_key){.key = name, .json = object};
  }
}

// --- the section

// A configuration that has the value as its rope_scaling.
static const json_t *parsed(const char *json, xlm_arena *a) {
  return xlm_config_value(xlm_arena_printf(a, "{\"rope_scaling\": %s}", json), a);
}

// Does a node compute what the section says? *why: how the last one differs.
static bool is_true(const xlm_graph *g, xlm_op_id id, const json_t *says, xlm_arena *a, const char **why) {
  const char *last = NULL, *key;
  *why = "it has none";
  for (xlm_node n = 1; n < g->n_nodes && *why; n++) {
    const char *own = g->nodes[n].op == id ? xlm_op_at(id)->published(g, n, a) : NULL;
    if (!own || (last && !strcmp(own, last))) continue;
    *why = xlm_config_rope_differs(says, xlm_config_rope(parsed(own, a), &key), a);
    last = own;
  }
  return !*why;
}

static void check_key(const xlm_graph *g, xlm_op_id id, const xlm_plan_key *k, const char *object,
                      xlm_diags *d) {
  const char *key, *why, *op = xlm_op_at(id)->name;
  if (object && !*object) return;
  const json_t *says = xlm_config_rope(parsed(k->json, d->arena), &key);
  xlm_diag *e = NULL;
  if (!says && object)
    e = xlm_diag_push(d, XLM_E_CONFIG_VALUE, k->span,
                      "`%s` says that nothing is scaled, and `%s` of the model has %s", k->key, op, object);
  else if (says && !is_true(g, id, says, d->arena, &why))
    e = xlm_diag_push(d, XLM_E_CONFIG_VALUE, k->span, "`%s` is not the scaling of a `%s` of the model: %s",
                      k->key, op, why);
  if (e)
    xlm_diag_help(d, e, "without the key, `%s` is written as the model computes it",
                  xlm_op_at(id)->published_as);
}

void xlm_published_check(const xlm_graph *g, xlm_diags *d) {
  for (int id = 1; g->n_keys && id < XLM_OP_COUNT; id++) {
    const xlm_op *op = xlm_op_at((xlm_op_id)id);
    if (!op || !op->published) continue;
    xlm_node first, other;
    const char *object = object_of(g, (xlm_op_id)id, d->arena, &first, &other);
    const xlm_plan_key *k = said(g, op->published_as);
    if (k) check_key(g, (xlm_op_id)id, k, object, d);
    if (!k && object && !*object) {
      xlm_diag *e =
          xlm_diag_push(d, XLM_E_CONFIG_VALUE, g->nodes[first].span,
                        "`%s` has factors of its own, and the config section does not say which", op->name);
      xlm_diag_help(
          d, e,
          "write them there, for other tools: %s = { rope_type = \"longrope\"  long_factor = [..]  .. }",
          op->published_as);
    }
    if (k || !other) continue;
    xlm_diag *e =
        xlm_diag_push(d, XLM_E_CONFIG_VALUE, g->nodes[other].span,
                      "`%s` has another scaling here than elsewhere, and config.json has one", op->name);
    xlm_diag_label(d, e, g->nodes[first].span, "elsewhere");
    xlm_diag_help(d, e, "say in the config section which is which: `rope_parameters = { .. }`");
  }
}
