// Evaluation runs batch by batch, and the loss over all batches is not the average of the batches' losses if
// they differ in valid targets. So each loss is split at its additions, and each part that is a mean over a
// count has that count as the metric "weight/NAME", with NAME the name of the loss part. The evaluation sums
// part times weight and divides by the sum of weights. A part without a weight is a mean over samples.
#include <string.h>

#include "compiler/pass/global_batch.h"
#include "compiler/pass/pass_priv.h"

typedef struct step { // one operation between a loss and one of its parts
  const xlm_node_info *n;
  int operand;
  const struct step *above;
} step;

typedef struct parts {
  const xlm_graph *g; // of which `out` is a copy
  xlm_graph *out;
  xlm_arena *a;
  xlm_build b;
  xlm_val *map;
  bool *of_inputs;  // by value: known without parameters
  bool *of_samples; // by value: depends on inputs
  xlm_val *divisor; // by value: the scalar of inputs alone by which it is divided; 0 = none, or several
  const xlm_named_val *loss;
  int n, found; // parts of this loss; found: so far
} parts;

static bool others_are_numbers(const xlm_graph *g, const xlm_node_info *n, int operand) {
  for (int i = 0; i < n->n_in; i++)
    if (i != operand && !xlm_node_is(xlm_val_node(g, n->in[i]), XLM_LEAF_CONSTANT)) return false;
  return true;
}

// The operand that contains the part; -1: n is the part.
static int scaled_operand(const parts *p, const xlm_node_info *n) {
  const xlm_op *op = xlm_op_at(n->op);
  if (!(op->flags & (XLM_OPF_ELEMENTWISE | XLM_OPF_VIEW))) return -1;
  for (int i = 0; i < n->n_in; i++)
    if (op->facts.linear >> i & 1 && others_are_numbers(p->g, n, i)) return i;
  return -1;
}

// The factor of an operand in a sum of two; 0: n is not such a sum.
static double factor_of(const xlm_node_info *n, int operand) {
  return xlm_op_facts_of(n->op)->terms[operand];
}

// The part with everything that is done to it between it and the loss, additions left out.
static xlm_val rebuild(parts *p, xlm_val v, const step *s) {
  xlm_val now = p->map[v];
  for (; s; s = s->above) {
    double factor = s->operand < 2 ? factor_of(s->n, s->operand) : 0;
    xlm_build_context(&p->b, s->n);
    if (factor != 0) {
      now = factor == -1 ? xlm_op1(&p->b, XLM_OP_NEG, now) : xlm_scale(&p->b, now, factor);
      continue;
    }
    xlm_val *in = XLM_NEW_N(p->a, xlm_val, s->n->n_in);
    for (int i = 0; i < s->n->n_in; i++) in[i] = i == s->operand ? now : p->map[s->n->in[i]];
    xlm_attr_list l = xlm_attr_list_from(p->out->arena, &s->n->attrs);
    now = xlm_emit(&p->b, s->n->op, in, s->n->n_in, &l);
  }
  return now;
}

static void add_part(parts *p, xlm_val v, const step *s) {
  xlm_arena *a = p->out->arena;
  const char *name = p->loss->name;
  if (p->n > 1) name = xlm_arena_printf(a, "%s/%d", name, ++p->found);
  xlm_vals_add(p->out, &p->out->losses, name, p->n > 1 ? rebuild(p, v, s) : p->map[p->loss->val],
               p->loss->span);
  xlm_val weight = p->divisor[v];
  if (weight)
    xlm_vals_add(p->out, &p->out->metrics, xlm_arena_printf(a, "weight/%s", name), p->map[weight],
                 p->loss->span);
}

// Sums may be nested; collects the parts if requested, else counts them.
static void walk(parts *p, xlm_val v, const step *above, bool collects) {
  const xlm_node_info *n = xlm_val_node(p->g, v);
  step s = {n, 0, above};
  int next = scaled_operand(p, n);
  bool sum = factor_of(n, 0) != 0;
  if (sum && xlm_val_type(p->g, n->in[0])->rank == 0 && xlm_val_type(p->g, n->in[1])->rank == 0) {
    for (; s.operand < 2; s.operand++) walk(p, n->in[s.operand], &s, collects);
  } else if (next >= 0 && !p->divisor[v]) { // a sum may stand below
    s.operand = next;
    walk(p, n->in[next], &s, collects);
  } else if (collects) {
    add_part(p, v, above);
  } else {
    p->n++;
  }
}

static void find_inputs(parts *p) {
  bool *others = XLM_NEW_N(p->a, bool, p->g->n_values);
  for (xlm_node id = 1; id < p->g->n_nodes; id++) {
    const xlm_node_info *n = &p->g->nodes[id];
    bool input = xlm_node_is(n, XLM_LEAF_INPUT),
         other = xlm_node_is(n, XLM_LEAF_PARAMETER) || xlm_node_is(n, XLM_LEAF_STATE);
    for (int i = 0; i < n->n_in; i++) {
      input |= p->of_samples[n->in[i]];
      other |= others[n->in[i]];
    }
    for (int i = 0; i < n->n_out; i++) {
      p->of_samples[n->out + (xlm_val)i] = input;
      p->of_inputs[n->out + (xlm_val)i] = input && !other;
      others[n->out + (xlm_val)i] = other;
    }
  }
}

// A scalar of the samples is a sum over the batch: its product with another adds up over no batches.
static bool is_scalar_of_samples(const parts *p, xlm_val v) {
  return p->of_samples[v] && xlm_val_type(p->g, v)->rank == 0;
}

// Of an operation that is linear in one operand, that operand's; of a product, that of the one factor that
// has any.
static xlm_val divisor_inside(const parts *p, const xlm_node_info *n) {
  xlm_val found = 0;
  int from = -1;
  for (int i = 0; i < n->n_in; i++) {
    xlm_val by = xlm_op_facts_of(n->op)->linear >> i & 1 ? p->divisor[n->in[i]] : 0;
    if (by && found) return 0;
    if (by) found = by, from = i;
  }
  for (int i = 0; i < n->n_in; i++)
    if (i != from && is_scalar_of_samples(p, n->in[i])) return 0;
  return found;
}

// A division inside of a sum counts like one behind it: sum(w / sum(w) * x) is sum(w * x) / sum(w).
static void find_divisors(parts *p) {
  for (xlm_node id = 1; id < p->g->n_nodes; id++) {
    const xlm_node_info *n = &p->g->nodes[id];
    int valid = xlm_op_facts_of(n->op)->valid, divisor = xlm_op_facts_of(n->op)->divisor;
    xlm_val by = divisor ? n->in[divisor - 1] : 0;
    if (!n->n_out) continue;
    if (valid)
      p->divisor[n->out] = n->n_in >= valid ? n->in[valid - 1] : 0;
    else if (by && xlm_val_type(p->g, by)->rank == 0 && p->of_inputs[by])
      p->divisor[n->out] = by;
    else
      p->divisor[n->out] = divisor_inside(p, n);
  }
}

xlm_graph *xlm_pass_eval_weights(const xlm_graph *g, xlm_arena *a) {
  parts p = {.g = g, .out = xlm_graph_like(g), .a = a};
  p.map = XLM_NEW_N(a, xlm_val, g->n_values);
  p.of_inputs = XLM_NEW_N(a, bool, g->n_values);
  p.of_samples = XLM_NEW_N(a, bool, g->n_values);
  p.divisor = XLM_NEW_N(a, xlm_val, g->n_values);
  xlm_graph_reserve(p.out, g->n_nodes, g->n_values);
  find_inputs(&p);
  find_divisors(&p);
  for (xlm_node id = 1; id < g->n_nodes; id++) xlm_copy_node(p.out, g, id, p.map, p.map);
  p.b = xlm_build_new(p.out);
  xlm_copy_list(p.out, &p.out->outputs, &g->outputs, p.map);
  xlm_copy_list(p.out, &p.out->metrics, &g->metrics, p.map);
  xlm_copy_updates(p.out, g, p.map);
  for (uint32_t i = 0; i < g->losses.n; i++) {
    p.loss = &g->losses.at[i];
    p.n = p.found = 0;
    walk(&p, p.loss->val, NULL, false);
    walk(&p, p.loss->val, NULL, true);
  }
  xlm_drop_dead(p.out, a);
  return p.out;
}
