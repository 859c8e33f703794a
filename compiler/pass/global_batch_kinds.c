// Global batch: the kind of every value (XLM_BATCH_..), found in the order of the graph from the kinds of the
// operands, the dimensions of samples that an operation reduces, and its facts.
#include <string.h>

#include "compiler/pass/global_batch_priv.h"

static int count_rows(const xlm_batch *w, const xlm_type *t) {
  int n = 0;
  for (int i = 0; i < t->rank; i++) n += w->rows[t->dim[i]];
  return n;
}

// `batch`, its names in views, and the rows of experts.
static void find_rows(xlm_batch *w) {
  const xlm_graph *g = w->g;
  for (xlm_dim d = 1; d < g->n_dims; d++) w->rows[d] = g->dims[d].ragged || !strcmp(g->dims[d].name, "batch");
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
    int n_from = xlm_attr_dims(&g->nodes[id].attrs, XLM_A_from, from),
        n_to = xlm_attr_dims(&g->nodes[id].attrs, XLM_A_to, to);
    bool any = false;
    for (int i = 0; i < n_from; i++) any |= w->rows[from[i]];
    for (int i = 0; any && i < n_to; i++) w->rows[to[i]] = true;
  }
}

// ---- kinds ----

// Is `v` the offsets of packed rows in another operand?
static bool is_offsets(const xlm_batch *w, const xlm_node_info *n, xlm_val v) {
  for (int i = 0; i < n->n_in; i++)
    if (w->g->values[n->in[i]].ragged_by == v) return true;
  return false;
}

// Does a key with this layout rule have a dimension of samples that `without` lacks?
static bool has_rows_under(const xlm_batch *w, const xlm_node_info *n, xlm_split_rule rule,
                           const xlm_type *without) {
  const xlm_layout_rule *r = &w->rules[n->op];
  for (int k = 0; k < r->n_keys; k++) {
    xlm_dim dims[XLM_MAX_RANK];
    int count = r->key[k].rule == rule ? xlm_attr_dims(&n->attrs, r->key[k].key, dims) : 0;
    for (int i = 0; i < count; i++)
      if (w->rows[dims[i]] && xlm_type_find(without, dims[i]) < 0) return true;
  }
  return false;
}

static bool is_mean(xlm_op_id op) {
  return xlm_op_facts_of(op)->reduces == XLM_REDUCTION_MEAN;
}

// The kind of a result computed from samples.
static xlm_batch_kind kind_from_samples(const xlm_batch *w, const xlm_node_info *n, const xlm_type *out) {
  int rows = count_rows(w, out);
  bool sums = has_rows_under(w, n, XLM_SPLIT_SUM, out);
  if (!xlm_is_view(n) && has_rows_under(w, n, XLM_SPLIT_WHOLE, &(xlm_type){.rank = 0}))
    return XLM_BATCH_MIXED;
  if (rows > 1 || (rows && sums))
    return XLM_BATCH_MIXED; // some dimensions of samples remain, or samples are mixed
  if (rows || out->dtype == XLM_I32) return XLM_BATCH_SAMPLE;
  return !sums ? XLM_BATCH_MIXED : is_mean(n->op) ? XLM_BATCH_MEAN : XLM_BATCH_SUM;
}

// Is there one sum or mean among the operands, and the result linear in it?
static bool linear_in_sum(const xlm_batch *w, const xlm_node_info *n) {
  int at = -1, found = 0;
  for (int i = 0; i < n->n_in; i++) {
    xlm_batch_kind k = w->kind[n->in[i]];
    if (is_offsets(w, n, n->in[i]) || (k != XLM_BATCH_SUM && k != XLM_BATCH_MEAN)) continue;
    at = i;
    found++;
  }
  return found == 1 && xlm_op_facts_of(n->op)->linear >> at & 1;
}

// The kind of a result computed from sums and means: the same if the operation is linear in them.
static xlm_batch_kind kind_from_sums(const xlm_batch *w, const xlm_node_info *n, int result,
                                     const int *n_of) {
  bool together = w->rules[n->op].linear; // in all operands: a fixed value counts as a mean beside sums
  if (!together && (result || !linear_in_sum(w, n))) return XLM_BATCH_MIXED;
  return n_of[XLM_BATCH_MEAN] || (together && n_of[XLM_BATCH_FIXED]) ? XLM_BATCH_MEAN : XLM_BATCH_SUM;
}

static xlm_batch_kind kind_of(const xlm_batch *w, const xlm_node_info *n, int result) {
  const xlm_type *out = xlm_val_type(w->g, n->out + (xlm_val)result);
  int n_of[XLM_BATCH_MIXED + 1] = {0};
  if (n->phase == XLM_PHASE_PROLOGUE) return XLM_BATCH_FIXED;
  if (xlm_node_is(n, XLM_LEAF_INPUT)) return XLM_BATCH_SAMPLE;
  for (int i = 0; i < n->n_in; i++)
    if (!is_offsets(w, n, n->in[i])) n_of[w->kind[n->in[i]]]++;
  if (xlm_op_facts_of(n->op)->per_microbatch) return count_rows(w, out) ? XLM_BATCH_SAMPLE : XLM_BATCH_MEAN;
  if (n_of[XLM_BATCH_MIXED] || (n_of[XLM_BATCH_SAMPLE] && n_of[XLM_BATCH_SUM] + n_of[XLM_BATCH_MEAN]))
    return XLM_BATCH_MIXED;
  if (n_of[XLM_BATCH_SAMPLE]) return kind_from_samples(w, n, out);
  if (n_of[XLM_BATCH_SUM] + n_of[XLM_BATCH_MEAN]) return kind_from_sums(w, n, result, n_of);
  return count_rows(w, out) ? XLM_BATCH_SAMPLE : XLM_BATCH_FIXED; // numbers of samples without data: ones
}

bool xlm_batch_sums_samples(const xlm_batch *w, const xlm_node_info *n) {
  return kind_from_samples(w, n, xlm_val_type(w->g, n->out)) == XLM_BATCH_SUM;
}

static uint8_t depends_on(const xlm_batch *w, const xlm_node_info *n) {
  uint8_t of = xlm_node_is(n, XLM_LEAF_INPUT) ? XLM_OF_INPUTS : 0;
  if (xlm_node_is(n, XLM_LEAF_PARAMETER) || xlm_node_is(n, XLM_LEAF_STATE) ||
      xlm_op_at(n->op)->flags & XLM_OPF_RANDOM)
    of = XLM_OF_OTHERS;
  for (int i = 0; i < n->n_in; i++) of |= w->of[n->in[i]];
  return of;
}

// Does v have no dimension of samples any more and depend on nothing but inputs?
static bool is_whole(const xlm_batch *w, const xlm_node_info *n, xlm_val v) {
  const xlm_type *t = xlm_val_type(w->g, v);
  bool of_samples = false;
  for (int i = 0; i < n->n_in; i++) of_samples |= w->kind[n->in[i]] == XLM_BATCH_SAMPLE;
  bool gone = !count_rows(w, t) && t->dtype != XLM_I32 && xlm_attr_find(&n->attrs, XLM_A_over);
  return w->microbatches > 1 && of_samples && gone && !(w->of[v] & XLM_OF_OTHERS) && n->n_out == 1;
}

static void classify(xlm_batch *w) {
  for (xlm_node id = 1; id < w->g->n_nodes; id++) {
    const xlm_node_info *n = &w->g->nodes[id];
    for (int i = 0; i < n->n_out; i++) {
      xlm_val v = n->out + (xlm_val)i;
      w->of[v] = depends_on(w, n);
      w->whole[v] = is_whole(w, n, v);
      w->kind[v] = w->whole[v] ? XLM_BATCH_FIXED : kind_of(w, n, i);
      bool late = i == 0 && xlm_batch_needs_count(w, n) &&
                  w->of[xlm_batch_targets(n)] != XLM_OF_INPUTS; // known after the forward
      if (late && w->microbatches > 1) w->kind[v] = XLM_BATCH_MIXED;
    }
  }
}

void xlm_batch_classify(xlm_batch *w) {
  const xlm_graph *g = w->g;
  w->rules = XLM_NEW_N(w->a, xlm_layout_rule, XLM_OP_COUNT);
  for (int op = 1; op < XLM_OP_COUNT; op++) w->rules[op] = xlm_layout_parse(xlm_op_at((xlm_op_id)op));
  w->rows = XLM_NEW_N(w->a, bool, g->n_dims);
  w->kind = XLM_NEW_N(w->a, xlm_batch_kind, g->n_values);
  w->of = XLM_NEW_N(w->a, uint8_t, g->n_values);
  w->whole = XLM_NEW_N(w->a, bool, g->n_values);
  find_rows(w);
  classify(w);
}

const xlm_batch_kind *xlm_batch_kinds(const xlm_graph *g, xlm_arena *a) {
  xlm_batch w = {.g = g, .a = a, .microbatches = 1};
  xlm_batch_classify(&w);
  return w.kind;
}
