// Global batch, see global_batch.h. Every value has a kind (XLM_BATCH_..), found in the order of the graph.
//
// A loss that is a SUM is scaled, so that the average over the microbatches is the step's sum. A value that
// depends only on inputs and has no dimension of samples (a count of valid targets, a sum of weights) is
// computed in advance for the whole step: it becomes FIXED, and anything divided by it is a SUM. This is done
// in the PROLOGUE: its inputs have the rows of all microbatches along one more dimension, `microbatch`, which
// every reduction over samples also reduces; the result is stored in a state until the step ends. So a mean
// over the valid tokens is over those of the global batch, even if a microbatch has none.
//
// With one microbatch only the counts of cross_entropy are emitted; the partitioner handles samples on
// different ranks.
#include "compiler/pass/global_batch.h"

#include <string.h>

#include "compiler/pass/layout.h"
#include "compiler/pass/pass_priv.h"

typedef xlm_batch_kind kind;

enum { OF_INPUTS = 1, OF_OTHERS = 2 }; // what a value depends on; OTHERS: parameters, states, random numbers

typedef struct target_count { // of cross_entropy; shared by all that count the same targets
  xlm_val targets, count;     // in g; in out
  int64_t ignore, vocab;
  struct target_count *next;
} target_count;

typedef struct global {
  const xlm_graph *g;
  xlm_arena *a;
  int64_t microbatches;
  xlm_graph *out;
  xlm_build b;
  xlm_layout_rule *rules;
  bool *rows;      // by dim: numbers samples
  kind *kind;      // by value
  uint8_t *of;     // by value
  bool *early;     // by value: computed in the prologue
  bool *whole;     // by value: replaced by the prologue's result
  xlm_val *map;    // value -> out's
  xlm_val *before; // value -> out's value in the prologue
  xlm_dim microbatch;
  target_count *counts;
  xlm_batch_fault *fault;
} global;

static const xlm_type *type_of(const global *w, xlm_val v) {
  return xlm_val_type(w->g, v);
}

// ---- dimensions of samples ----

static int count_rows(const global *w, const xlm_type *t) {
  int n = 0;
  for (int i = 0; i < t->rank; i++) n += w->rows[t->dim[i]];
  return n;
}

// `batch`, its names in views, and the rows of experts.
static void find_rows(global *w) {
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

// ---- targets that count ----

// All elements are in [0, bound); 0 = unknown.
static int64_t bound_of(const global *w, xlm_val v) {
  const xlm_node_info *n = xlm_val_node(w->g, v);
  xlm_dim vocab[XLM_MAX_RANK];
  if (xlm_node_is(n, XLM_LEAF_INPUT))
    return xlm_attr_dims(&n->attrs, XLM_A_vocab, vocab) ? w->g->dims[vocab[0]].full : 0;
  return xlm_op_facts_of(n->op)->moves ? bound_of(w, n->in[0]) : 0;
}

static int64_t vocab_of(const global *w, const xlm_node_info *n) {
  xlm_dim vocab[XLM_MAX_RANK];
  return xlm_attr_dims(&n->attrs, xlm_op_facts_of(n->op)->index_into, vocab) ? w->g->dims[vocab[0]].full : 0;
}

static xlm_val targets_of(const xlm_node_info *n) {
  return n->in[xlm_op_facts_of(n->op)->targets - 1];
}

// A mean over targets that needs a count, because some of its targets may not count.
static bool needs_count(const global *w, const xlm_node_info *n) {
  if (xlm_op_facts_of(n->op)->valid <= n->n_in) return false;
  int64_t bound = bound_of(w, targets_of(n)), ignore = xlm_attr_int(&n->attrs, XLM_A_ignore, -1);
  return !bound || bound > vocab_of(w, n) || (ignore >= 0 && ignore < bound);
}

// The number of targets in [0, vocab) that are not `ignore`.
static xlm_val emit_count(global *w, xlm_val targets, int64_t ignore, int64_t vocab) {
  xlm_build *b = &w->b;
  xlm_val t = xlm_cast_to(b, targets, XLM_F32);
  xlm_val below = xlm_op2(b, XLM_OP_LT, t, xlm_scalar(b, (double)vocab));
  xlm_val from_zero = xlm_op2(b, XLM_OP_LE, xlm_scalar(b, 0), t);
  xlm_val counts = xlm_op2(b, XLM_OP_MUL, from_zero, below);
  if (ignore >= 0 && ignore < vocab) {
    xlm_val ignored = xlm_op2(b, XLM_OP_EQ, t, xlm_scalar(b, (double)ignore));
    counts = xlm_op2(b, XLM_OP_MUL, counts, xlm_op2(b, XLM_OP_SUB, xlm_scalar(b, 1), ignored));
  }
  return xlm_sum_to(b, counts, &(xlm_type){.rank = 0});
}

// ---- kinds ----

// Is `v` the offsets of packed rows in another operand?
static bool is_offsets(const global *w, const xlm_node_info *n, xlm_val v) {
  for (int i = 0; i < n->n_in; i++)
    if (w->g->values[n->in[i]].ragged_by == v) return true;
  return false;
}

// Does a key with this layout rule have a dimension of samples that `without` lacks?
static bool has_rows_under(const global *w, const xlm_node_info *n, xlm_split_rule rule,
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
static kind kind_from_samples(const global *w, const xlm_node_info *n, const xlm_type *out) {
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
static bool linear_in_sum(const global *w, const xlm_node_info *n) {
  int at = -1, found = 0;
  for (int i = 0; i < n->n_in; i++) {
    kind k = w->kind[n->in[i]];
    if (is_offsets(w, n, n->in[i]) || (k != XLM_BATCH_SUM && k != XLM_BATCH_MEAN)) continue;
    at = i;
    found++;
  }
  return found == 1 && xlm_op_facts_of(n->op)->linear >> at & 1;
}

// The kind of a result computed from sums and means: the same if the operation is linear in them.
static kind kind_from_sums(const global *w, const xlm_node_info *n, int result, const int *n_of) {
  bool together = w->rules[n->op].linear; // in all operands: a fixed value counts as a mean beside sums
  if (!together && (result || !linear_in_sum(w, n))) return XLM_BATCH_MIXED;
  return n_of[XLM_BATCH_MEAN] || (together && n_of[XLM_BATCH_FIXED]) ? XLM_BATCH_MEAN : XLM_BATCH_SUM;
}

static kind kind_of(const global *w, const xlm_node_info *n, int result) {
  const xlm_type *out = type_of(w, n->out + (xlm_val)result);
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

static uint8_t depends_on(const global *w, const xlm_node_info *n) {
  uint8_t of = xlm_node_is(n, XLM_LEAF_INPUT) ? OF_INPUTS : 0;
  if (xlm_node_is(n, XLM_LEAF_PARAMETER) || xlm_node_is(n, XLM_LEAF_STATE) ||
      xlm_op_at(n->op)->flags & XLM_OPF_RANDOM)
    of = OF_OTHERS;
  for (int i = 0; i < n->n_in; i++) of |= w->of[n->in[i]];
  return of;
}

// Does v have no dimension of samples any more and depend on nothing but inputs?
static bool is_whole(const global *w, const xlm_node_info *n, xlm_val v) {
  const xlm_type *t = type_of(w, v);
  bool of_samples = false;
  for (int i = 0; i < n->n_in; i++) of_samples |= w->kind[n->in[i]] == XLM_BATCH_SAMPLE;
  bool gone = !count_rows(w, t) && t->dtype != XLM_I32 && xlm_attr_find(&n->attrs, XLM_A_over);
  return w->microbatches > 1 && of_samples && gone && !(w->of[v] & OF_OTHERS) && n->n_out == 1;
}

static void classify(global *w) {
  for (xlm_node id = 1; id < w->g->n_nodes; id++) {
    const xlm_node_info *n = &w->g->nodes[id];
    for (int i = 0; i < n->n_out; i++) {
      xlm_val v = n->out + (xlm_val)i;
      w->of[v] = depends_on(w, n);
      w->whole[v] = is_whole(w, n, v);
      w->kind[v] = w->whole[v] ? XLM_BATCH_FIXED : kind_of(w, n, i);
      bool late = i == 0 && needs_count(w, n) && w->of[targets_of(n)] != OF_INPUTS; // known after the forward
      if (late && w->microbatches > 1) w->kind[v] = XLM_BATCH_MIXED;
    }
  }
}

// ---- the prologue ----

static void need_early(global *w, xlm_val v) {
  xlm_val *stack = NULL;
  uint32_t n_stack = 0, cap_stack = 0;
  XLM_PUSH(w->a, stack, n_stack, cap_stack, v);
  while (n_stack) {
    v = stack[--n_stack];
    if (w->early[v]) continue;
    w->early[v] = true;
    const xlm_node_info *n = xlm_val_node(w->g, v);
    for (int i = 0; i < n->n_in; i++) XLM_PUSH(w->a, stack, n_stack, cap_stack, n->in[i]);
  }
}

static void find_early(global *w) {
  for (xlm_node id = 1; id < w->g->n_nodes; id++) {
    const xlm_node_info *n = &w->g->nodes[id];
    if (needs_count(w, n) && w->of[targets_of(n)] == OF_INPUTS) need_early(w, targets_of(n));
    for (int i = 0; i < n->n_out; i++)
      if (w->whole[n->out + (xlm_val)i]) need_early(w, n->out + (xlm_val)i);
  }
}

static xlm_dim new_dim(global *w) {
  const char *name = "microbatch";
  for (int i = 2; xlm_graph_dim_find(w->out, name, 0); i++) name = xlm_arena_printf(w->a, "microbatch.%d", i);
  return xlm_graph_dim(w->out, name, w->microbatches);
}

static bool has_microbatch(const global *w, const xlm_val *in, int n) {
  for (int i = 0; i < n; i++)
    if (xlm_type_find(xlm_val_type(w->out, in[i]), w->microbatch) >= 0) return true;
  return false;
}

static void add_microbatch(const global *w, xlm_attr_list *l, const xlm_attrs *as, xlm_attr_key key,
                           bool first) {
  xlm_dim dims[XLM_MAX_RANK + 1];
  int n = xlm_attr_dims(as, key, dims + first);
  dims[first ? 0 : n] = w->microbatch;
  if (n < XLM_MAX_RANK) xlm_attr_put_dims(l, key, dims, n + 1);
}

static void emit_step_input(global *w, const xlm_node_info *n) {
  xlm_attr_list l = xlm_attr_list_from(w->out->arena, &n->attrs);
  const char *name = xlm_arena_printf(w->out->arena, "step/%s", xlm_attr_text(&n->attrs, XLM_A_name, ""));
  xlm_attr_put_text(&l, XLM_A_name, name);
  add_microbatch(w, &l, &n->attrs, XLM_A_dims, true);
  w->before[n->out] = xlm_emit(&w->b, XLM_OP_INPUT, NULL, 0, &l);
  xlm_val_at(w->out, w->before[n->out])->name = name;
}

// Stores v, a value of the prologue, in a state until the step ends.
static xlm_val keep(global *w, xlm_val v, const char *name) {
  name = xlm_arena_printf(w->out->arena, "whole/%s",
                          name ? name : xlm_arena_printf(w->a, "%u", w->out->n_updates));
  for (uint32_t i = 0; i < w->out->n_updates; i++)
    if (!strcmp(xlm_attr_text(&xlm_val_node(w->out, w->out->updates[i].state)->attrs, XLM_A_name, ""), name))
      name = xlm_arena_printf(w->out->arena, "%s.%u", name, w->out->n_updates);
  return xlm_build_stored(&w->b, name, XLM_ROLE_COUNT, v, NULL);
}

static bool refuse(global *w, const xlm_node_info *n, const char *text) {
  *w->fault = (xlm_batch_fault){.loss = n->span, .culprit = n->span, .text = text};
  w->fault->help = "use one microbatch: a larger --micro-batch-size";
  return false;
}

static bool emit_early(global *w, xlm_node id) {
  const xlm_node_info *n = &w->g->nodes[id];
  xlm_build_context(&w->b, n);
  w->b.recompute = false;
  if (xlm_node_is(n, XLM_LEAF_INPUT)) {
    emit_step_input(w, n);
    return true;
  }
  xlm_val *in = XLM_NEW_N(w->a, xlm_val, n->n_in);
  for (int i = 0; i < n->n_in; i++) in[i] = w->before[n->in[i]];
  xlm_attr_list l = xlm_attr_list_from(w->out->arena, &n->attrs);
  bool whole = w->whole[n->out], varies = has_microbatch(w, in, n->n_in);
  if (varies && whole) add_microbatch(w, &l, &n->attrs, XLM_A_over, false);
  if (varies && !whole && xlm_attr_find(&n->attrs, XLM_A_dims))
    add_microbatch(w, &l, &n->attrs, XLM_A_dims, true);
  xlm_infer x;
  xlm_val first = xlm_emit_checked(&w->b, n->op, in, n->n_in, &l, &x);
  if (!first || (whole && xlm_val_type(w->out, first)->rank != type_of(w, n->out)->rank))
    return refuse(w, n, "this is computed for all microbatches of a step at once, and cannot be");
  for (int i = 0; i < n->n_out; i++) w->before[n->out + (xlm_val)i] = first + (xlm_val)i;
  if (whole) {
    if (!varies && kind_from_samples(w, n, type_of(w, n->out)) == XLM_BATCH_SUM) // as much in every microbatch
      first = xlm_scale(&w->b, first, (double)w->microbatches);
    first = xlm_order_to(&w->b, first, type_of(w, n->out));
    w->map[n->out] = w->before[n->out] = keep(w, first, w->g->values[n->out].name);
  }
  return true;
}

static target_count *find_count(const global *w, const xlm_node_info *n) {
  int64_t ignore = xlm_attr_int(&n->attrs, XLM_A_ignore, -1), vocab = vocab_of(w, n);
  for (target_count *c = w->counts; c; c = c->next)
    if (c->targets == targets_of(n) && c->ignore == ignore && c->vocab == vocab) return c;
  return NULL;
}

static target_count *new_count(global *w, const xlm_node_info *n, xlm_val targets) {
  target_count *c = XLM_NEW(w->a, target_count);
  *c = (target_count){targets_of(n), 0, xlm_attr_int(&n->attrs, XLM_A_ignore, -1), vocab_of(w, n), w->counts};
  c->count = emit_count(w, targets, c->ignore, c->vocab);
  w->counts = c;
  return c;
}

static bool emit_prologue(global *w) {
  find_early(w);
  w->microbatch = new_dim(w);
  w->b = xlm_build_new(w->out);
  w->b.phase = XLM_PHASE_PROLOGUE;
  for (xlm_node id = 1; id < w->g->n_nodes; id++) {
    const xlm_node_info *n = &w->g->nodes[id];
    bool early = false;
    for (int i = 0; i < n->n_out; i++) early |= w->early[n->out + (xlm_val)i];
    if (early && !emit_early(w, id)) return false;
    if (!needs_count(w, n) || w->of[targets_of(n)] != OF_INPUTS || find_count(w, n)) continue;
    xlm_build_context(&w->b, n);
    target_count *c = new_count(w, n, w->before[targets_of(n)]);
    c->count = keep(w, c->count, "valid");
  }
  return true;
}

// ---- the microbatch ----

// The loss divides by the average count per microbatch.
static void emit_loss(global *w, xlm_node id) {
  const xlm_node_info *n = &w->g->nodes[id];
  xlm_build_context(&w->b, n);
  target_count *c = find_count(w, n);
  if (!c) c = new_count(w, n, w->map[targets_of(n)]);
  xlm_val per = c->count;
  if (w->microbatches > 1) per = xlm_op2(&w->b, XLM_OP_DIV, per, xlm_scalar(&w->b, (double)w->microbatches));
  xlm_attr_list l = xlm_attr_list_from(w->out->arena, &n->attrs);
  xlm_val in[] = {w->map[n->in[0]], w->map[n->in[1]], per}, first = xlm_emit(&w->b, n->op, in, 3, &l);
  for (int i = 0; i < n->n_out; i++) {
    w->map[n->out + (xlm_val)i] = first + (xlm_val)i;
    xlm_val_at(w->out, first + (xlm_val)i)->name = w->g->values[n->out + (xlm_val)i].name;
  }
}

// Scales v so that its average over the microbatches is the step's value.
static xlm_val as_mean(global *w, xlm_val v) {
  if (w->microbatches == 1 || w->kind[v] != XLM_BATCH_SUM) return w->map[v];
  return xlm_scale(&w->b, w->map[v], (double)w->microbatches);
}

// Sums that are added to means are converted to means.
static void emit_node(global *w, xlm_node id) {
  const xlm_node_info *n = &w->g->nodes[id];
  xlm_val *saved = XLM_NEW_N(w->a, xlm_val, n->n_in);
  bool means = w->microbatches > 1 && n->n_out && w->kind[n->out] == XLM_BATCH_MEAN && w->rules[n->op].linear;
  for (int i = 0; i < n->n_in; i++) saved[i] = w->map[n->in[i]];
  xlm_build_context(&w->b, n);
  for (int i = 0; means && i < n->n_in; i++) w->map[n->in[i]] = as_mean(w, n->in[i]);
  xlm_copy_node(w->out, w->g, id, w->map, w->map);
  for (int i = 0; i < n->n_in; i++) w->map[n->in[i]] = saved[i];
}

static void emit_forward(global *w) {
  w->b = xlm_build_new(w->out);
  for (xlm_node id = 1; id < w->g->n_nodes; id++) {
    const xlm_node_info *n = &w->g->nodes[id];
    if (n->n_out && w->map[n->out]) continue; // computed in the prologue
    if (xlm_op_facts_of(n->op)->per_microbatch)
      w->map[n->out] = w->map[n->in[0]];
    else if (needs_count(w, n))
      emit_loss(w, id);
    else
      emit_node(w, id);
  }
}

// ---- losses and metrics ----

// The first MIXED value that v depends on.
static const xlm_node_info *culprit_of(const global *w, xlm_val v) {
  for (;;) {
    const xlm_node_info *n = xlm_val_node(w->g, v);
    xlm_val next = 0;
    for (int i = 0; i < n->n_in; i++)
      if (w->kind[n->in[i]] == XLM_BATCH_MIXED) next = n->in[i];
    if (!next) return n;
    v = next;
  }
}

static bool check_loss(global *w, const xlm_named_val *loss) {
  if (w->kind[loss->val] != XLM_BATCH_MIXED) return true;
  const xlm_node_info *n = culprit_of(w, loss->val);
  *w->fault = (xlm_batch_fault){
      .loss = loss->span,
      .culprit = n->span,
      .text = xlm_arena_printf(w->out->arena,
                               "with %lld microbatches this loss would depend on how the batch is divided: "
                               "`%s` joins samples in a way that does not add up over microbatches",
                               (long long)w->microbatches, xlm_op_at(n->op)->name),
      .help =
          "divide by what depends on inputs alone; or use one microbatch (a larger --micro-batch-size); or "
          "write per_microbatch(..) around it for the mean of the microbatches' values"};
  return false;
}

static void begin(global *w) {
  const xlm_graph *g = w->g;
  w->rules = XLM_NEW_N(w->a, xlm_layout_rule, XLM_OP_COUNT);
  for (int op = 1; op < XLM_OP_COUNT; op++) w->rules[op] = xlm_layout_parse(xlm_op_at((xlm_op_id)op));
  w->rows = XLM_NEW_N(w->a, bool, g->n_dims);
  w->kind = XLM_NEW_N(w->a, kind, g->n_values);
  w->of = XLM_NEW_N(w->a, uint8_t, g->n_values);
  w->whole = XLM_NEW_N(w->a, bool, g->n_values);
  find_rows(w);
  classify(w);
}

const xlm_batch_kind *xlm_batch_kinds(const xlm_graph *g, xlm_arena *a) {
  global w = {.g = g, .a = a, .microbatches = 1};
  begin(&w);
  return w.kind;
}

xlm_graph *xlm_pass_global_batch(const xlm_graph *g, xlm_arena *a, int64_t microbatches,
                                 xlm_batch_fault *fault) {
  global w = {.g = g, .a = a, .microbatches = microbatches, .out = xlm_graph_like(g), .fault = fault};
  begin(&w);
  w.early = XLM_NEW_N(a, bool, g->n_values);
  w.map = XLM_NEW_N(a, xlm_val, g->n_values);
  w.before = XLM_NEW_N(a, xlm_val, g->n_values);
  xlm_graph_reserve(w.out, g->n_nodes, g->n_values);
  for (uint32_t i = 0; microbatches > 1 && i < g->losses.n; i++)
    if (!check_loss(&w, &g->losses.at[i])) return NULL;
  if (microbatches > 1 && !emit_prologue(&w)) return NULL;
  emit_forward(&w);
  xlm_copy_list(w.out, &w.out->outputs, &g->outputs, w.map);
  xlm_copy_list(w.out, &w.out->metrics, &g->metrics, w.map);
  for (uint32_t i = 0; i < g->losses.n; i++) {
    xlm_build_context(&w.b, xlm_val_node(g, g->losses.at[i].val));
    xlm_vals_add(w.out, &w.out->losses, g->losses.at[i].name, as_mean(&w, g->losses.at[i].val),
                 g->losses.at[i].span);
  }
  xlm_copy_updates(w.out, g, w.map);
  xlm_drop_dead(w.out, a);
  return w.out;
}
