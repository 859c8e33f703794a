// Finds heads; see head.h. A head is recognised by a node that picks elements of a dimension of a product's
// result: the vocabulary.
#include "compiler/pass/head.h"

static bool has_dims(const xlm_type *t, const xlm_type *of) {
  for (int i = 0; i < of->rank; i++)
    if (xlm_type_find(t, of->dim[i]) < 0) return false;
  return true;
}

// The product whose result v is, up to functions of its elements and its layout over ranks; 0: none.
static xlm_val product_behind(const xlm_graph *g, xlm_val v) {
  for (;;) {
    const xlm_node_info *n = xlm_val_node(g, v);
    const xlm_op_facts *f = xlm_op_facts_of(n->op);
    if (f->product == XLM_PRODUCT_MATRIX) return n->n_in == 2 && !xlm_op_at(n->op)->n_alias ? v : 0;
    if (!(xlm_op_at(n->op)->flags & XLM_OPF_ELEMENTWISE) && !f->converts_layout) return 0;
    xlm_val next = 0;
    for (int i = 0; i < n->n_in && !next; i++)
      if (has_dims(xlm_val_type(g, n->in[i]), xlm_val_type(g, v))) next = n->in[i];
    if (!next) return 0;
    v = next;
  }
}

static bool *readers_of_logits(const xlm_graph *g, xlm_arena *a, xlm_val logits, bool *wide) {
  bool *member = XLM_NEW_N(a, bool, g->n_nodes);
  const xlm_type *t = xlm_val_type(g, logits);
  member[g->values[logits].def] = wide[logits] = true;
  for (xlm_node id = g->values[logits].def + 1; id < g->n_nodes; id++) {
    const xlm_node_info *n = &g->nodes[id];
    for (int i = 0; i < n->n_in; i++) member[id] |= wide[n->in[i]];
    for (int i = 0; member[id] && i < n->n_out; i++)
      wide[n->out + (xlm_val)i] = has_dims(xlm_val_type(g, n->out + (xlm_val)i), t);
  }
  return member;
}

static void add_nodes_between(const xlm_graph *g, xlm_arena *a, bool *member) {
  bool *after = XLM_NEW_N(a, bool, g->n_nodes), *before = XLM_NEW_N(a, bool, g->n_nodes);
  for (xlm_node id = 1; id < g->n_nodes; id++)
    for (int i = 0; i < g->nodes[id].n_in; i++) {
      xlm_node def = g->values[g->nodes[id].in[i]].def;
      after[id] |= member[def] || after[def];
    }
  for (xlm_node id = g->n_nodes; id-- > 1;) {
    for (int i = 0; (member[id] || before[id]) && i < g->nodes[id].n_in; i++)
      before[g->values[g->nodes[id].in[i]].def] = true;
    member[id] |= after[id] && before[id];
  }
}

// ---- what can be divided ----

// A sum over d, to which each part of the rows contributes a term: a mean divides by a count of all rows.
static bool adds_up(const xlm_node_info *n, xlm_dim d) {
  const xlm_op_facts *f = xlm_op_facts_of(n->op);
  bool sum = f->reduces == XLM_REDUCTION_SUM || (f->reduces == XLM_REDUCTION_MEAN && f->valid);
  for (int i = 0; i < n->attrs.n; i++)
    if (n->attrs.at[i].key != XLM_A_over && f->mixes >> n->attrs.at[i].key & 1 &&
        xlm_attr_has_dim(&n->attrs, n->attrs.at[i].key, d))
      return false;
  return sum && xlm_attr_has_dim(&n->attrs, XLM_A_over, d);
}

static bool reads_sum(const xlm_graph *g, const bool *member, const xlm_node_info *n, xlm_dim d) {
  for (int i = 0; i < n->n_in; i++)
    if (member[g->values[n->in[i]].def] && xlm_head_sums(g, n->in[i], d)) return true;
  return false;
}

static bool divides(const xlm_graph *g, const bool *member, xlm_node id, xlm_dim d) {
  const xlm_node_info *n = &g->nodes[id];
  const xlm_op *op = xlm_op_at(n->op);
  if (op->n_alias || op->flags & XLM_OPF_RANDOM || !n->n_out || reads_sum(g, member, n, d)) return false;
  if (xlm_phase_is_once(n->phase)) return false;
  if (adds_up(n, d)) return true;
  if (!xlm_op_is_local(n->op, &n->attrs, d)) return false;
  for (int i = 0; i < n->n_out; i++)
    if (xlm_head_sums(g, n->out + (xlm_val)i, d)) return false;
  return true;
}

static bool all_divide(const xlm_graph *g, const xlm_head *h, xlm_dim d) {
  for (xlm_node id = h->first; id <= h->last; id++)
    if (h->member[id] && !divides(g, h->member, id, d)) return false;
  return true;
}

static bool is_listed(const xlm_graph *g, const bool *of) {
  const xlm_vals *lists[] = {&g->outputs, &g->metrics, &g->losses};
  for (int k = 0; k < 3; k++)
    for (uint32_t i = 0; i < lists[k]->n; i++)
      if (of[lists[k]->at[i].val]) return true;
  return false;
}

// The dimensions of the logits that only one operand of the product has, and not the vocabulary.
static void find_rows(const xlm_graph *g, xlm_head *h) {
  const xlm_node_info *p = xlm_val_node(g, h->logits);
  int weights = xlm_type_find(xlm_val_type(g, p->in[1]), h->vocab) >= 0;
  const xlm_type *t = xlm_val_type(g, h->logits), *w = xlm_val_type(g, p->in[weights]);
  for (int i = 0; i < t->rank; i++)
    if (xlm_type_find(w, t->dim[i]) < 0 && !g->dims[t->dim[i]].ragged && all_divide(g, h, t->dim[i]))
      h->rows[h->n_rows++] = t->dim[i];
}

// Is there another product of the forward among the members? Then elements are picked within the model, and
// not by its loss.
static bool has_layers(const xlm_graph *g, const xlm_head *h) {
  for (xlm_node id = h->first; id <= h->last; id++) {
    const xlm_node_info *n = &g->nodes[id];
    bool product = h->member[id] && n->phase == XLM_PHASE_FWD && xlm_op_facts_of(n->op)->product;
    if (product && n->out != h->logits) return true;
  }
  return false;
}

static xlm_head *head_of(const xlm_graph *g, xlm_arena *a, xlm_val logits, xlm_dim vocab) {
  xlm_head *h = XLM_NEW(a, xlm_head);
  bool *wide = XLM_NEW_N(a, bool, g->n_values);
  *h = (xlm_head){.logits = logits, .vocab = vocab, .member = readers_of_logits(g, a, logits, wide)};
  add_nodes_between(g, a, h->member);
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    if (!h->member[id]) continue;
    if (!h->first) h->first = id;
    h->last = id;
  }
  if (has_layers(g, h)) return NULL;
  find_rows(g, h);
  return h->n_rows && !is_listed(g, wide) ? h : NULL;
}

xlm_head *xlm_heads_find(const xlm_graph *g, xlm_arena *a) {
  xlm_head *first = NULL, **end = &first;
  bool *seen = XLM_NEW_N(a, bool, g->n_values), *taken = XLM_NEW_N(a, bool, g->n_nodes);
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_node_info *n = &g->nodes[id];
    xlm_dim vocab[XLM_MAX_RANK];
    if (!xlm_op_facts_of(n->op)->index || !n->n_in) continue;
    if (!xlm_attr_dims(&n->attrs, xlm_op_facts_of(n->op)->index_into, vocab)) continue;
    if (xlm_type_find(xlm_val_type(g, n->in[0]), vocab[0]) < 0) continue;
    xlm_val logits = product_behind(g, n->in[0]);
    if (!logits || seen[logits]) continue;
    seen[logits] = true;
    xlm_head *h = head_of(g, a, logits, vocab[0]);
    bool apart = h != NULL;
    for (xlm_node m = 1; apart && m < g->n_nodes; m++) apart = !(h->member[m] && taken[m]);
    if (!apart) continue;
    for (xlm_node m = h->first; m <= h->last; m++) taken[m] |= h->member[m];
    *end = h;
    end = &h->next;
  }
  return first;
}
