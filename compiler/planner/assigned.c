// One sweep in execution order: the last reader of each memory is known when an assignment is reached.
#include "compiler/planner/assigned.h"

#include <string.h>

#include "compiler/ir/op.h"

typedef struct finder {
  const xlm_graph *g;
  uint32_t *uses;
  xlm_val *memory;     // by value: the value whose memory it has, through views and updates in place
  xlm_node *last_read; // by memory
} finder;

static bool same_storage(const xlm_type *a, const xlm_type *b) {
  return a->dtype == b->dtype && a->rank == b->rank && !memcmp(a->dim, b->dim, a->rank * sizeof *a->dim);
}

static bool shares_memory(const xlm_op *op, int result) {
  return result < op->n_alias || (op->flags & XLM_OPF_VIEW);
}

static bool can_be_made_there(const finder *f, const xlm_node_info *n, xlm_val v) {
  xlm_node made = f->g->values[v].def;
  const xlm_node_info *def = &f->g->nodes[made];
  if (xlm_op_is_leaf(def->op) || shares_memory(xlm_op_at(def->op), (int)(v - def->out))) return false;
  return def->phase == n->phase && def->stage == n->stage && f->uses[v] == 1 &&
         f->last_read[f->memory[n->in[0]]] <= made &&
         same_storage(xlm_val_type(f->g, v), xlm_val_type(f->g, n->in[0]));
}

const xlm_val *xlm_find_assigned(const xlm_graph *g, xlm_arena *a) {
  finder f = {.g = g, .uses = xlm_graph_uses(g, a)};
  xlm_val *state = XLM_NEW_N(a, xlm_val, g->n_values);
  f.memory = XLM_NEW_N(a, xlm_val, g->n_values);
  f.last_read = XLM_NEW_N(a, xlm_node, g->n_values);
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_node_info *n = &g->nodes[id];
    int stored = xlm_op_facts_of(n->op)->stored;
    if (stored && can_be_made_there(&f, n, n->in[stored - 1])) state[n->in[stored - 1]] = n->in[0];
    for (int i = 0; i < n->n_in; i++) f.last_read[f.memory[n->in[i]]] = id;
    for (int i = 0; i < n->n_out; i++) {
      xlm_val v = n->out + (xlm_val)i;
      f.memory[v] = shares_memory(xlm_op_at(n->op), i) ? f.memory[n->in[i]] : v;
    }
  }
  return state;
}
