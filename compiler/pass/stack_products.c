// Products with the same weights become one, of their rows together, so that the weights are read once.
//
// When few rows are multiplied, as in decoding, a product takes the time that it takes to read the weights.
// Two products with the same weights of which neither needs the other's result are the same product of more
// rows: the rows are joined along a dimension of their own, multiplied, and parted again. The pass does not
// ask what the rows are; in a Parallel Loop Transformer they are those of its loops, which in decoding belong
// to different tokens.
//
// Nodes move: products become neighbours only where that leaves an order. A product joins the first group of
// its weights with which no path connects it, in the graph in which groups that were made before are one node
// each; an update in place comes after all who read what was there.
//
// A result in bf16 that is added to a value in memory is rounded once, after the addition (the residual
// pass), so such additions are joined with their products; where another addition follows, of a bias or of
// what is computed beside it, the product stays as it is. Results in f32 are not rounded.
#include <string.h>

#include "compiler/pass/pass_priv.h"
#include "compiler/pass/residual.h"

enum { MOST = XLM_MAX_RANK }; // that concat joins

typedef struct edges { // nodes that come before a node
  xlm_node *at;
  uint32_t n, cap;
} edges;

typedef struct group {
  xlm_node member[MOST]; // products, or (sums) the additions that compute them
  int n;
  bool sums;
  int8_t rows; // the operand that has the rows; the other has the weights
} group;

typedef struct joined { // rows that have been joined
  xlm_val of[MOST], value;
  int n;
} joined;

typedef struct stack {
  const xlm_graph *g;
  xlm_graph *out;
  xlm_arena *a;
  xlm_build b;
  bool *weights; // by value: depends on parameters only
  bool *added;   // by value: an operand of an addition
  xlm_val *sum;  // by node: of an addition that is joined with its product, the product; else 0
  bool *in_sum;  // by value: such a product
  edges *before; // by node
  uint32_t *of;  // by node: its group + 1; 0: none
  group *groups; // also those of one product
  uint32_t n_groups, cap_groups;
  uint32_t *mark; // by node: the last search that came by
  uint32_t search;
  uint8_t *emitted; // by node: 1 = its operands are being emitted, 2 = done
  xlm_val *map;
  joined *joins;
  uint32_t n_joins, cap_joins;
} stack;

// ---- the graph

static void find_weights(stack *s) {
  for (xlm_node id = 1; id < s->g->n_nodes; id++) {
    const xlm_node_info *n = &s->g->nodes[id];
    bool fixed =
        xlm_is_leaf(n) ? xlm_node_is(n, XLM_LEAF_PARAMETER) || xlm_node_is(n, XLM_LEAF_CONSTANT) : true;
    for (int i = 0; i < n->n_in; i++) fixed &= s->weights[n->in[i]];
    for (int i = 0; i < n->n_out; i++) s->weights[n->out + (xlm_val)i] = fixed;
  }
}

static void add_edge(stack *s, xlm_node to, xlm_node from) {
  if (to != from) XLM_PUSH(s->a, s->before[to].at, s->before[to].n, s->before[to].cap, from);
}

// Node n updates value v in place: those that read it, or a view of it, come first.
static void order_readers(stack *s, xlm_node n, xlm_val v) {
  for (xlm_node id = xlm_val_at(s->g, v)->def + 1; id < n; id++)
    for (int i = 0; i < s->g->nodes[id].n_in; i++)
      if (xlm_view_root(s->g, s->g->nodes[id].in[i]) == v) add_edge(s, n, id);
}

static void find_order(stack *s) {
  for (xlm_node id = 1; id < s->g->n_nodes; id++) {
    const xlm_node_info *n = &s->g->nodes[id];
    for (int i = 0; i < n->n_in; i++) add_edge(s, id, xlm_val_at(s->g, n->in[i])->def);
    for (int i = 0; i < xlm_op_at(n->op)->n_alias; i++) order_readers(s, id, xlm_view_root(s->g, n->in[i]));
  }
}

// ---- groups

static bool searched(stack *s, xlm_node n) {
  bool seen = s->mark[n] == s->search;
  s->mark[n] = s->search;
  return seen;
}

static void push_before(stack *s, xlm_node n, edges *worklist) {
  const group *all = s->of[n] ? &s->groups[s->of[n] - 1] : NULL;
  for (int m = 0; m < (all ? all->n : 1); m++) {
    xlm_node at = all ? all->member[m] : n;
    s->mark[at] = s->search;
    for (uint32_t i = 0; i < s->before[at].n; i++)
      XLM_PUSH(s->a, worklist->at, worklist->n, worklist->cap, s->before[at].at[i]);
  }
}

// Does `from` come before `to`, or a member of its group?
static bool leads_to(stack *s, xlm_node from, xlm_node to) {
  edges worklist = {0};
  s->search++;
  push_before(s, to, &worklist);
  while (worklist.n) {
    xlm_node n = worklist.at[--worklist.n];
    if (n == from || (s->of[n] && s->of[n] == s->of[from])) return true;
    if (!searched(s, n)) push_before(s, n, &worklist);
  }
  return false;
}

static bool has_ragged(const xlm_graph *g, const xlm_type *t) {
  for (int i = 0; i < t->rank; i++)
    if (g->dims[t->dim[i]].ragged) return true;
  return false;
}

// The product that a member of a group stands for.
static const xlm_node_info *product_of(const stack *s, xlm_node id) {
  return s->sum[id] ? xlm_val_node(s->g, s->sum[id]) : &s->g->nodes[id];
}

// The operand with the rows of a product with weights; -1: it is none, or has to stay as it is.
static int rows_of(const stack *s, xlm_node id) {
  const xlm_node_info *n = product_of(s, id);
  if (xlm_op_facts_of(n->op)->product != XLM_PRODUCT_MATRIX || n->n_in != 2 || n->n_out != 1) return -1;
  if (s->weights[n->in[0]] == s->weights[n->in[1]]) return -1;
  if (!s->sum[id] && s->added[n->out] && xlm_val_type(s->g, n->out)->dtype == XLM_BF16) return -1;
  int rows = s->weights[n->in[0]] ? 1 : 0;
  return has_ragged(s->g, xlm_val_type(s->g, n->in[rows])) ? -1 : rows;
}

static bool same_attrs(const xlm_attrs *a, const xlm_attrs *b) {
  for (int i = 0; i < a->n; i++)
    if (a->n != b->n || !xlm_attr_same(&a->at[i], &b->at[i])) return false;
  return a->n == b->n;
}

static bool alike(const stack *s, const group *p, xlm_node id, int rows) {
  const xlm_node_info *first = product_of(s, p->member[0]), *n = product_of(s, id);
  return p->n < MOST && p->rows == rows && p->sums == (s->sum[id] != 0) && first->op == n->op &&
         first->phase == n->phase && first->in[1 - rows] == n->in[1 - rows] &&
         same_attrs(&first->attrs, &n->attrs) &&
         xlm_same_type(xlm_val_type(s->g, first->in[rows]), xlm_val_type(s->g, n->in[rows]));
}

// A dimension of the rows along which they are joined: the smallest that the weights lack; 0: there is none.
static xlm_dim join_dim(const stack *s, const group *p) {
  const xlm_node_info *n = product_of(s, p->member[0]);
  const xlm_type *x = xlm_val_type(s->g, n->in[p->rows]), *w = xlm_val_type(s->g, n->in[1 - p->rows]);
  xlm_dim best = 0;
  for (int i = 0; i < x->rank; i++) {
    xlm_dim d = x->dim[i];
    if (xlm_type_find(w, d) < 0 && (!best || s->g->dims[d].size <= s->g->dims[best].size)) best = d;
  }
  return best;
}

// Additions that are joined with their products.
static void find_sums(stack *s) {
  const xlm_val *products = xlm_residual_products(s->g, s->a);
  for (xlm_node id = 1; id < s->g->n_nodes; id++) {
    const xlm_node_info *n = &s->g->nodes[id];
    bool adds = xlm_op_facts_of(n->op)->terms[0] != 0;
    for (int i = 0; adds && i < n->n_in; i++) s->added[n->in[i]] = true;
    if (products[id] && xlm_val_type(s->g, products[id])->dtype == XLM_BF16) s->sum[id] = products[id];
  }
}

static void find_groups(stack *s) {
  find_sums(s);
  for (xlm_node id = 1; id < s->g->n_nodes; id++) {
    int rows = rows_of(s, id);
    uint32_t k = 0;
    if (rows < 0) continue;
    while (k < s->n_groups &&
           !(alike(s, &s->groups[k], id, rows) && !leads_to(s, s->groups[k].member[0], id) &&
             !leads_to(s, id, s->groups[k].member[0])))
      k++;
    group alone = {.rows = (int8_t)rows, .sums = s->sum[id] != 0};
    if (k == s->n_groups) {
      XLM_PUSH(s->a, s->groups, s->n_groups, s->cap_groups, alone);
      if (!join_dim(s, &(group){.member = {id}, .n = 1, .rows = (int8_t)rows})) {
        s->n_groups--;
        continue;
      }
    }
    s->groups[k].member[s->groups[k].n++] = id;
    s->of[id] = k + 1;
  }
  for (uint32_t k = 0; k < s->n_groups; k++)
    for (int m = 0; s->groups[k].sums && s->groups[k].n > 1 && m < s->groups[k].n; m++)
      s->in_sum[s->sum[s->groups[k].member[m]]] = true;
}

// ---- the new graph

static xlm_val other_of(const stack *s, xlm_node id) { // what is added to a member's product
  const xlm_node_info *n = &s->g->nodes[id];
  return n->in[n->in[0] == s->sum[id]];
}

// The members' rows or (others) what is added to their products, along d of each.
static xlm_val join(stack *s, const group *p, bool others, xlm_dim d, xlm_dim to) {
  joined j = {.n = p->n};
  xlm_dim from[MOST];
  for (int i = 0; i < p->n; i++) {
    j.of[i] = s->map[others ? other_of(s, p->member[i]) : product_of(s, p->member[i])->in[p->rows]];
    from[i] = d;
  }
  for (uint32_t k = 0; k < s->n_joins; k++)
    if (s->joins[k].n == j.n && !memcmp(s->joins[k].of, j.of, (size_t)j.n * sizeof *j.of))
      return s->joins[k].value;
  j.value = xlm_join_to(&s->b, j.of, from, j.n, to);
  XLM_PUSH(s->a, s->joins, s->n_joins, s->cap_joins, j);
  return j.value;
}

static xlm_attr_list with_dim(stack *s, const xlm_attrs *as, xlm_dim d, xlm_dim to) {
  xlm_attr_list l = xlm_attr_list_from(s->out->arena, as);
  for (int i = 0; i < as->n; i++) {
    xlm_dim dims[XLM_MAX_RANK];
    if (xlm_attr_kind_of(as->at[i].key) != XLM_ATTR_DIMS) continue;
    int n = xlm_attr_dims(as, as->at[i].key, dims);
    for (int k = 0; k < n; k++) dims[k] = dims[k] == d ? to : dims[k];
    xlm_attr_put_dims(&l, as->at[i].key, dims, n);
  }
  return l;
}

static void emit_group(stack *s, const group *p) {
  const xlm_node_info *n = product_of(s, p->member[0]);
  xlm_dim d = join_dim(s, p);
  int64_t size = s->g->dims[d].size;
  xlm_dim to = xlm_graph_dim(s->out, xlm_arena_printf(s->out->arena, "%s.times.%d", s->g->dims[d].name, p->n),
                             size * p->n);
  xlm_build_context(&s->b, n);
  s->b.phase = n->phase;
  xlm_val in[2];
  in[p->rows] = join(s, p, false, d, to), in[1 - p->rows] = s->map[n->in[1 - p->rows]];
  xlm_attr_list l = with_dim(s, &n->attrs, d, to);
  xlm_val all = xlm_emit(&s->b, n->op, in, 2, &l);
  if (p->sums) all = xlm_op2(&s->b, s->g->nodes[p->member[0]].op, all, join(s, p, true, d, to));
  for (int i = 0; i < p->n; i++) {
    xlm_val out = s->g->nodes[p->member[i]].out;
    s->map[out] = xlm_slice_to(&s->b, all, to, i * size, d);
    xlm_val_at(s->out, s->map[out])->name = s->g->values[out].name;
  }
}

static void emit_one(stack *s, xlm_node id) {
  const group *p = s->of[id] ? &s->groups[s->of[id] - 1] : NULL;
  if (p && p->n > 1)
    emit_group(s, p);
  else if (!s->in_sum[s->g->nodes[id].out]) // else its addition emits it
    xlm_copy_node(s->out, s->g, id, s->map, s->map);
  for (int i = 0; i < (p ? p->n : 1); i++) s->emitted[p ? p->member[i] : id] = 2;
}

static void begin(stack *s, xlm_node n, edges *worklist) {
  const group *p = s->of[n] ? &s->groups[s->of[n] - 1] : NULL;
  XLM_PUSH(s->a, worklist->at, worklist->n, worklist->cap, n);
  for (int m = 0; m < (p ? p->n : 1); m++) {
    xlm_node at = p ? p->member[m] : n;
    s->emitted[at] = 1;
    for (uint32_t i = s->before[at].n; i--;)
      if (!s->emitted[s->before[at].at[i]]) XLM_PUSH(s->a, worklist->at, worklist->n, worklist->cap, s->before[at].at[i]);
  }
}

// In the order of the graph, and of what a node needs what is missing first.
static void emit_all(stack *s) {
  edges worklist = {0};
  for (xlm_node id = 1; id < s->g->n_nodes; id++) {
    if (!s->emitted[id]) XLM_PUSH(s->a, worklist.at, worklist.n, worklist.cap, id);
    while (worklist.n) {
      xlm_node n = worklist.at[--worklist.n];
      if (s->emitted[n] == 1)
        emit_one(s, n);
      else if (!s->emitted[n])
        begin(s, n, &worklist);
    }
  }
}

xlm_graph *xlm_pass_stack_products(const xlm_graph *g, xlm_arena *a) {
  stack s = {.g = g,
             .out = xlm_graph_like(g),
             .a = a,
             .weights = XLM_NEW_N(a, bool, g->n_values),
             .added = XLM_NEW_N(a, bool, g->n_values),
             .sum = XLM_NEW_N(a, xlm_val, g->n_nodes),
             .in_sum = XLM_NEW_N(a, bool, g->n_values),
             .before = XLM_NEW_N(a, edges, g->n_nodes),
             .of = XLM_NEW_N(a, uint32_t, g->n_nodes),
             .mark = XLM_NEW_N(a, uint32_t, g->n_nodes),
             .emitted = XLM_NEW_N(a, uint8_t, g->n_nodes),
             .map = XLM_NEW_N(a, xlm_val, g->n_values)};
  s.b = xlm_build_new(s.out);
  find_weights(&s);
  find_order(&s);
  find_groups(&s);
  emit_all(&s);
  xlm_copy_ends(s.out, g, s.map);
  return s.out;
}
