// Which nodes share a program.
//
// Walking in execution order, a node joins the open clusters of its operands when they have the same space
// and rows in the same phase. A cluster runs at the position of its last member, so it is sealed as soon as a
// node outside reads one of its values: nothing may join after that. This rule alone prevents cycles. A sum
// is complete when the whole program has run, so a reader of one is always outside.
//
// Nodes that read the same value and stand close together share a cluster even if neither reads the other:
// the value is read once. A cast of a parameter that only elementwise nodes read (a bias, the scale of a
// norm) is part of each of their programs.
#include "compiler/pass/fuse_priv.h"

typedef xlm_fuse_cluster cluster;

uint32_t xlm_fuse_root(const xlm_fuse *f, uint32_t c) {
  while (f->clusters[c].parent != c) c = f->clusters[c].parent;
  return c;
}

uint32_t xlm_fuse_cluster_of(const xlm_fuse *f, xlm_val v) {
  uint32_t c = f->of[f->g->values[v].def];
  return c ? xlm_fuse_root(f, c) : 0;
}

// ---- phases ----

static bool of_weights(const xlm_fuse *f, xlm_val v) {
  uint32_t c = xlm_fuse_cluster_of(f, v);
  const xlm_node_info *n = xlm_val_node(f->g, v);
  return !xlm_is_leaf(n) && (c ? f->clusters[c].phase : n->phase) == XLM_PHASE_WGT;
}

// Gradients of weights can run with the backward unless they have segments of their own. See find_phases.
static xlm_phase phase_of(const xlm_fuse *f, const xlm_node_info *n) {
  if (n->phase != XLM_PHASE_WGT || f->split_weights) return n->phase;
  for (int i = 0; i < n->n_in; i++)
    if (of_weights(f, n->in[i])) return XLM_PHASE_WGT;
  return XLM_PHASE_BWD;
}

static void need_backward(const xlm_fuse *f, const xlm_node_info *n, bool *backward) {
  for (int i = 0; i < n->n_in; i++) backward[xlm_fuse_cluster_of(f, n->in[i])] = true;
}

// Clusters of gradients of weights alone, of which no program of the backward reads a value, are gradients of
// weights again. Readers run after what they read, so a sweep from the end sees them first.
static void find_phases(xlm_fuse *f) {
  bool *backward = XLM_NEW_N(f->a, bool, f->n_clusters);
  for (xlm_node id = 1; id < f->g->n_nodes; id++)
    if (f->g->nodes[id].phase == XLM_PHASE_BWD) backward[f->of[id] ? xlm_fuse_root(f, f->of[id]) : 0] = true;
  for (xlm_node id = f->g->n_nodes; id-- > 1;) {
    uint32_t c = f->of[id] ? xlm_fuse_root(f, f->of[id]) : 0;
    if (!c || f->clusters[c].last != id || f->clusters[c].phase != XLM_PHASE_BWD) continue;
    if (!backward[c]) f->clusters[c].phase = XLM_PHASE_WGT;
    for (xlm_node m = f->first_member[c]; m && backward[c]; m = f->next_member[m])
      need_backward(f, &f->g->nodes[m], backward);
  }
}

// ---- joining ----

// A node that is about to become a member, with the clusters it has joined so far.
typedef struct candidate {
  const xlm_node_info *n;
  xlm_fusable is;
  xlm_phase phase;
  uint32_t own;       // 0: none yet
  uint32_t n_members; // the node, and casts that become part of its program
  uint8_t row;        // with those of `own`; 0: any
} candidate;

// Operands that neither cluster c nor the candidate's own computes.
static uint32_t outside(const xlm_fuse *f, uint32_t c, const candidate *x) {
  uint32_t n = 0;
  for (int i = 0; i < x->n->n_in; i++) {
    uint32_t by = xlm_fuse_cluster_of(f, x->n->in[i]);
    n += !by || (by != c && by != x->own);
  }
  return n;
}

static bool can_join(const xlm_fuse *f, uint32_t c, const candidate *x) {
  const cluster *k = &f->clusters[c], *own = &f->clusters[x->own]; // 0: empty
  return !k->sealed && c >= f->sealed_below[k->phase] && k->phase == x->phase && k->stage == x->n->stage &&
         xlm_same_dims(&k->space, x->is.space) && (!k->row || !x->row || k->row == x->row) &&
         k->n + own->n + x->n_members <= XLM_CODE_MAX / 3 &&
         k->n_external + own->n_external + outside(f, c, x) <= XLM_CODE_MAX_IN;
}

static void join(xlm_fuse *f, candidate *x, uint32_t c) {
  if (!c || c == x->own || !can_join(f, c, x)) return;
  if (f->clusters[c].row) x->row = f->clusters[c].row;
  if (!x->own) {
    x->own = c;
    return;
  }
  f->clusters[c].parent = x->own;
  f->clusters[x->own].n += f->clusters[c].n;
  f->clusters[x->own].n_external += f->clusters[c].n_external;
}

// Clusters that read the same values as n. They wait for n, with what they read, so they must be close; and
// all their members may have results.
static void join_readers(xlm_fuse *f, candidate *x) {
  for (int i = 0; i < x->n->n_in; i++) {
    uint32_t c = xlm_fuse_root(f, f->reader[x->n->in[i]]),
             members = x->own ? f->clusters[x->own].n : x->n_members;
    bool close = f->clusters[c].products == f->products,
         full = xlm_same_dims(xlm_val_type(f->g, x->n->in[i]), x->is.space);
    if (full && close && f->clusters[c].n + members <= XLM_CODE_MAX_OUT) join(f, x, c);
  }
}

static uint32_t new_cluster(xlm_fuse *f, const candidate *x) {
  cluster c = {.phase = x->phase, .stage = x->n->stage, .space = *x->is.space, .parent = f->n_clusters};
  XLM_PUSH(f->a, f->clusters, f->n_clusters, f->cap_clusters, c);
  return f->n_clusters - 1;
}

static bool updates_what_others_read(const xlm_fuse *f, const xlm_node_info *n) {
  for (int i = 0; i < xlm_op_at(n->op)->n_alias; i++)
    if (f->uses[n->in[i]] > 1) return true;
  return false;
}

// Seals the clusters whose values node n reads from outside; an in-place update also seals those that may
// read the state.
static void seal_operands(xlm_fuse *f, const xlm_node_info *n, uint32_t own) {
  for (int i = 0; i < n->n_in; i++) {
    uint32_t c = xlm_fuse_cluster_of(f, n->in[i]);
    if (c && c != own) f->clusters[c].sealed = true;
  }
  if (!updates_what_others_read(f, n)) return;
  f->sealed_below[n->phase] = f->n_clusters;
  if (n->phase == XLM_PHASE_WGT) f->sealed_below[XLM_PHASE_BWD] = f->n_clusters;
}

static void seal_sums(xlm_fuse *f, const xlm_node_info *n) {
  for (int i = 0; i < n->n_in; i++)
    if (f->member[f->g->values[n->in[i]].def].kind == XLM_FUSABLE_SUM)
      f->clusters[xlm_fuse_cluster_of(f, n->in[i])].sealed = true;
}

// A cast in the program of a reader counts as one of its members.
static uint32_t members_of(const xlm_fuse *f, const xlm_node_info *n) {
  uint32_t count = 1;
  for (int i = 0; i < n->n_in; i++) count += f->inlined[f->g->values[n->in[i]].def];
  return count;
}

static void assign_member(xlm_fuse *f, xlm_node id) {
  const xlm_node_info *n = &f->g->nodes[id];
  candidate x = {.n = n,
                 .is = f->member[id],
                 .row = f->member[id].row,
                 .phase = phase_of(f, n),
                 .n_members = members_of(f, n)};
  seal_sums(f, n);
  for (int i = 0; i < n->n_in; i++) join(f, &x, xlm_fuse_cluster_of(f, n->in[i]));
  join_readers(f, &x);
  if (!x.own) x.own = new_cluster(f, &x);
  f->of[id] = x.own;
  cluster *k = &f->clusters[x.own];
  k->row = x.row;
  k->n += x.n_members;
  k->n_external += outside(f, x.own, &x);
  k->last = id;
  k->products = f->products;
  for (int i = 0; i < n->n_in; i++) f->reader[n->in[i]] = x.own;
  seal_operands(f, n, x.own);
}

// ---- all nodes ----

static void find_members(xlm_fuse *f) {
  for (xlm_node id = 1; id < f->g->n_nodes; id++) {
    xlm_fusable is = xlm_fusable_of(f->g, &f->g->nodes[id]);
    if (is.kind && xlm_fusable_fits(f->g, f->mesh, &is)) f->member[id] = is;
  }
}

static bool is_elementwise(const xlm_fuse *f, xlm_node id) {
  return f->member[id].kind == XLM_FUSABLE_ELEMENTS;
}

static void find_inlined(xlm_fuse *f) {
  uint32_t *elementwise = XLM_NEW_N(f->a, uint32_t, f->g->n_values);
  for (xlm_node id = 1; id < f->g->n_nodes; id++) {
    const xlm_node_info *n = &f->g->nodes[id];
    bool counts = is_elementwise(f, id) && !xlm_phase_is_once(n->phase);
    for (int i = 0; counts && i < n->n_in; i++) elementwise[n->in[i]]++;
  }
  for (xlm_node id = 1; id < f->g->n_nodes; id++) {
    const xlm_node_info *n = &f->g->nodes[id];
    f->inlined[id] = !xlm_phase_is_once(n->phase) && xlm_casts_parameter(f->g, n) &&
                     elementwise[n->out] == f->uses[n->out];
  }
}

static void assign_clusters(xlm_fuse *f) {
  for (xlm_node id = 1; id < f->g->n_nodes; id++) {
    const xlm_node_info *n = &f->g->nodes[id];
    f->products += xlm_op_facts_of(n->op)->product != XLM_PRODUCT_NONE;
    if (f->inlined[id]) continue;
    if (f->member[id].kind)
      assign_member(f, id);
    else
      seal_operands(f, n, 0);
  }
}

static void list_members(xlm_fuse *f) {
  for (xlm_node id = f->g->n_nodes - 1; id >= 1; id--) {
    if (!f->of[id]) continue;
    uint32_t c = xlm_fuse_root(f, f->of[id]);
    f->next_member[id] = f->first_member[c];
    f->first_member[c] = id;
  }
}

static void count_inner_uses(xlm_fuse *f) {
  for (xlm_node id = 1; id < f->g->n_nodes; id++) {
    const xlm_node_info *n = &f->g->nodes[id];
    for (int i = 0; f->of[id] && i < n->n_in; i++)
      if (xlm_fuse_cluster_of(f, n->in[i]) == xlm_fuse_root(f, f->of[id])) f->inner[n->in[i]]++;
  }
}

void xlm_fuse_find_clusters(xlm_fuse *f) {
  XLM_PUSH(f->a, f->clusters, f->n_clusters, f->cap_clusters, (cluster){0});
  f->member = XLM_NEW_N(f->a, xlm_fusable, f->g->n_nodes);
  f->of = XLM_NEW_N(f->a, uint32_t, f->g->n_nodes);
  f->uses = xlm_graph_uses(f->g, f->a);
  f->inner = XLM_NEW_N(f->a, uint32_t, f->g->n_values);
  f->reader = XLM_NEW_N(f->a, uint32_t, f->g->n_values);
  f->inlined = XLM_NEW_N(f->a, bool, f->g->n_nodes);
  find_members(f);
  find_inlined(f);
  assign_clusters(f);
  f->next_member = XLM_NEW_N(f->a, xlm_node, f->g->n_nodes);
  f->first_member = XLM_NEW_N(f->a, xlm_node, f->n_clusters);
  list_members(f);
  find_phases(f);
  count_inner_uses(f);
}
