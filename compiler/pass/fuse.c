// Fuse: every elementwise node becomes part of a `fused` node, one pass over memory per cluster.
//
// Walking in execution order, a node joins the open clusters of its operands when they iterate over the same
// dimensions in the same phase. A cluster runs at the position of its last member, so it is sealed as soon as
// a node outside reads one of its values: nothing may join after that. This rule alone prevents cycles. A
// member with a bf16 result rounds inside the program too, so the bits do not depend on what is fused.
//
// Nodes that read the same value and stand close together share a cluster even if neither reads the other:
// the value is read once. A cast of a parameter that only elementwise nodes read (a bias, the scale of a
// norm) is part of each of their programs.
#include <string.h>

#include "compiler/ir/op.h"
#include "compiler/pass/pass_priv.h"
#include "runtime/plan/code.h"

typedef struct cluster {
  bool sealed; // because of a reader; see also fuse.sealed_below
  xlm_phase phase;
  int16_t stage;
  xlm_type space; // dims; dtype unused
  xlm_node last;
  uint32_t products;      // before its last member, see fuse.products
  uint32_t parent;        // union-find
  uint32_t n, n_external; // members; upper bound on operands from outside
} cluster;

typedef struct fuse {
  const xlm_graph *g;
  xlm_graph *out;
  xlm_arena *a;
  bool split_weights;
  xlm_build b;
  cluster *clusters; // index 0 unused
  uint32_t n_clusters, cap_clusters;
  uint32_t sealed_below[XLM_PHASES];    // all clusters of this phase with a smaller index are sealed
  uint32_t *of;                         // cluster of each node, 0 = none
  xlm_val *map;                         // old value -> new value
  xlm_val *constants[XLM_PHASES];       // old const value -> the tensor materialised for it in that phase
  xlm_node *next_member, *first_member; // members of a cluster in order: by node; by cluster
  uint32_t *uses;
  uint32_t *reader;        // by value: the cluster that read it last, 0 = none
  uint32_t products;       // products and communication so far
  bool *inlined;           // by node: a cast of a parameter that is part of its readers' programs
  xlm_node *contract_into; // contract node -> the accumulate node it is merged into, 0 = none
  struct program *program; // the one under construction
  uint32_t *none;          // by value: zero
} fuse;

static bool is_elementwise(const xlm_node_info *n) {
  return xlm_op_at(n->op)->flags & XLM_OPF_ELEMENTWISE;
}

static uint32_t root(fuse *f, uint32_t c) {
  while (f->clusters[c].parent != c) c = f->clusters[c].parent;
  return c;
}

static uint32_t cluster_of(fuse *f, xlm_val v) {
  uint32_t c = f->of[f->g->values[v].def];
  return c ? root(f, c) : 0;
}

static bool same_space(const xlm_type *a, const xlm_type *b) {
  return a->rank == b->rank && !memcmp(a->dim, b->dim, a->rank * sizeof *a->dim);
}

// Gradients of weights run with the backward unless they have segments of their own.
static bool can_run_in(const fuse *f, const cluster *k, const xlm_node_info *n) {
  if (k->phase == n->phase) return true;
  if (f->split_weights || k->phase != XLM_PHASE_BWD || n->phase != XLM_PHASE_WGT) return false;
  for (int i = 0; i < n->n_in; i++)
    if (xlm_val_node(f->g, n->in[i])->phase == XLM_PHASE_WGT) return false;
  return true;
}

static bool can_join(fuse *f, uint32_t c, const xlm_node_info *n, uint32_t members, uint32_t external) {
  cluster *k = &f->clusters[c];
  return !k->sealed && c >= f->sealed_below[k->phase] && can_run_in(f, k, n) && k->stage == n->stage &&
         same_space(&k->space, xlm_val_type(f->g, n->out)) && k->n + members <= XLM_CODE_MAX / 3 &&
         k->n_external + external <= XLM_CODE_MAX_IN;
}

static uint32_t new_cluster(fuse *f, const xlm_node_info *n) {
  cluster c = {
      .phase = n->phase, .stage = n->stage, .space = *xlm_val_type(f->g, n->out), .parent = f->n_clusters};
  XLM_PUSH(f->a, f->clusters, f->n_clusters, f->cap_clusters, c);
  return f->n_clusters - 1;
}

// A cast in the program of a reader counts as one of its members.
static uint32_t members_of(const fuse *f, const xlm_node_info *n) {
  uint32_t count = 1;
  for (int i = 0; i < n->n_in; i++) count += f->inlined[f->g->values[n->in[i]].def];
  return count;
}

static void unite(fuse *f, uint32_t into, uint32_t c) {
  if (into == c) return;
  f->clusters[c].parent = into;
  f->clusters[into].n += f->clusters[c].n;
  f->clusters[into].n_external += f->clusters[c].n_external;
}

static bool updates_what_others_read(const fuse *f, const xlm_node_info *n) {
  for (int i = 0; i < xlm_op_at(n->op)->n_alias; i++)
    if (f->uses[n->in[i]] > 1) return true;
  return false;
}

// Seals the clusters whose values node n reads from outside; an in-place update also seals those that may
// read the state.
static void seal_operands(fuse *f, const xlm_node_info *n, uint32_t own) {
  for (int i = 0; i < n->n_in; i++) {
    uint32_t c = cluster_of(f, n->in[i]);
    if (c && c != own) f->clusters[c].sealed = true;
  }
  if (!updates_what_others_read(f, n)) return;
  f->sealed_below[n->phase] = f->n_clusters;
  if (n->phase == XLM_PHASE_WGT) f->sealed_below[XLM_PHASE_BWD] = f->n_clusters;
}

// Joins cluster c to that of n (0: n has none yet) if it can. Returns the cluster of n.
static uint32_t join(fuse *f, uint32_t own, uint32_t c, const xlm_node_info *n) {
  uint32_t members = own ? f->clusters[own].n : members_of(f, n),
           external = own ? f->clusters[own].n_external : n->n_in;
  if (!c || c == own || !can_join(f, c, n, members, external)) return own;
  if (!own) return c;
  if (f->clusters[own].phase == f->clusters[c].phase) unite(f, own, c);
  return own;
}

// Clusters that read the same values as n. They wait for n, with what they read, so they must be close; and
// all their members may have results.
static uint32_t join_readers(fuse *f, uint32_t own, const xlm_node_info *n) {
  for (int i = 0; i < n->n_in; i++) {
    uint32_t c = root(f, f->reader[n->in[i]]), members = own ? f->clusters[own].n : members_of(f, n);
    bool close = f->clusters[c].products == f->products,
         full = same_space(xlm_val_type(f->g, n->in[i]), xlm_val_type(f->g, n->out));
    if (full && close && f->clusters[c].n + members <= XLM_CODE_MAX_OUT) own = join(f, own, c, n);
  }
  return own;
}

static void assign_elementwise(fuse *f, xlm_node id) {
  const xlm_node_info *n = &f->g->nodes[id];
  uint32_t own = 0;
  for (int i = 0; i < n->n_in; i++) own = join(f, own, cluster_of(f, n->in[i]), n);
  own = join_readers(f, own, n);
  if (!own) own = new_cluster(f, n);
  f->of[id] = own;
  f->clusters[own].n += members_of(f, n);
  f->clusters[own].n_external += n->n_in;
  f->clusters[own].last = id;
  f->clusters[own].products = f->products;
  for (int i = 0; i < n->n_in; i++) f->reader[n->in[i]] = own;
  seal_operands(f, n, own);
}

static void find_inlined(fuse *f) {
  uint32_t *elementwise = XLM_NEW_N(f->a, uint32_t, f->g->n_values);
  for (xlm_node id = 1; id < f->g->n_nodes; id++) {
    const xlm_node_info *n = &f->g->nodes[id];
    bool counts = is_elementwise(n) && !xlm_phase_is_once(n->phase);
    for (int i = 0; counts && i < n->n_in; i++) elementwise[n->in[i]]++;
  }
  for (xlm_node id = 1; id < f->g->n_nodes; id++) {
    const xlm_node_info *n = &f->g->nodes[id];
    f->inlined[id] = !xlm_phase_is_once(n->phase) && xlm_casts_parameter(f->g, n) &&
                     elementwise[n->out] == f->uses[n->out];
  }
}

static void assign_clusters(fuse *f) {
  for (xlm_node id = 1; id < f->g->n_nodes; id++) {
    const xlm_node_info *n = &f->g->nodes[id];
    const xlm_op_facts *facts = xlm_op_facts_of(n->op);
    f->products += facts->product || facts->comm;
    if (f->inlined[id]) continue;
    if (is_elementwise(n))
      assign_elementwise(f, id);
    else
      seal_operands(f, n, 0);
  }
}

static void list_members(fuse *f) {
  f->next_member = XLM_NEW_N(f->a, xlm_node, f->g->n_nodes);
  f->first_member = XLM_NEW_N(f->a, xlm_node, f->n_clusters);
  for (xlm_node id = f->g->n_nodes - 1; id >= 1; id--) {
    if (!f->of[id]) continue;
    uint32_t c = root(f, f->of[id]);
    if (!f->first_member[c]) f->clusters[c].last = id;
    f->next_member[id] = f->first_member[c];
    f->first_member[c] = id;
  }
}

// ---- emission ----

typedef struct program {
  fuse *f;
  xlm_val in[XLM_CODE_MAX_IN]; // old values
  int n_in;
  xlm_val done[XLM_CODE_MAX]; // the old value in each register
  uint16_t reg[XLM_CODE_MAX];
  int n_done;
  xlm_code_instr at[XLM_CODE_MAX];
  int n;
} program;

static bool is_const(const xlm_graph *g, xlm_val v, double *value) {
  const xlm_node_info *n = &g->nodes[g->values[v].def];
  if (!xlm_node_is(n, XLM_LEAF_CONSTANT)) return false;
  *value = xlm_attr_float(&n->attrs, XLM_A_value, 0);
  return true;
}

static program *begin_program(fuse *f) {
  f->program->f = f;
  f->program->n_in = f->program->n_done = f->program->n = 0;
  return f->program;
}

static void load(program *p, xlm_val v) {
  double unused;
  if (p->f->inlined[p->f->g->values[v].def]) v = xlm_val_node(p->f->g, v)->in[0];
  if (is_const(p->f->g, v, &unused)) return;
  for (int i = 0; i < p->n_in; i++)
    if (p->in[i] == v) return;
  XLM_ASSERT(p->n_in < XLM_CODE_MAX_IN, "fused program with too many operands");
  p->in[p->n_in++] = v;
}

static uint16_t push(program *p, xlm_code_instr i) {
  XLM_ASSERT(p->n < XLM_CODE_MAX, "fused program too long");
  p->at[p->n++] = i;
  return (uint16_t)(p->n_in + p->n - 1);
}

static uint16_t loaded(const program *p, xlm_val v) {
  for (int i = 0; i < p->n_in; i++)
    if (p->in[i] == v) return (uint16_t)i;
  XLM_ASSERT(false, "value %u is not in the program", v);
  return 0;
}

static uint16_t done(program *p, xlm_val v, uint16_t r) {
  p->done[p->n_done] = v;
  return p->reg[p->n_done++] = r;
}

static uint16_t register_of(program *p, xlm_val v) {
  for (int i = 0; i < p->n_done; i++)
    if (p->done[i] == v) return p->reg[i];
  if (!p->f->inlined[p->f->g->values[v].def]) return loaded(p, v);
  uint16_t whole = loaded(p, xlm_val_node(p->f->g, v)->in[0]);
  double dtype = xlm_val_type(p->f->g, v)->dtype;
  return done(p, v, push(p, (xlm_code_instr){.fn = XLM_FN_CAST, .a = {whole}, .imm = dtype}));
}

// A constant operand: the instruction's immediate if unused, else a register (neg of the immediate).
static uint16_t operand(program *p, xlm_val v, xlm_code_instr *into, bool *used_imm) {
  double c;
  if (!is_const(p->f->g, v, &c)) return register_of(p, v);
  if (!*used_imm) {
    *used_imm = true;
    into->imm = c;
    return XLM_CODE_IMM;
  }
  return push(p, (xlm_code_instr){.fn = XLM_FN_NEG, .a = {XLM_CODE_IMM}, .imm = -c});
}

static void add_member(program *p, xlm_node id) {
  const xlm_node_info *n = &p->f->g->nodes[id];
  xlm_dtype dtype = xlm_val_type(p->f->g, n->out)->dtype;
  xlm_code_instr i = {.fn = (uint16_t)xlm_fn_of(n->op)};
  bool casts = xlm_op_casts(n->op), used_imm = casts; // the immediate of a cast is its type
  for (int k = 0; k < n->n_in; k++) i.a[k] = operand(p, n->in[k], &i, &used_imm);
  if (casts) i.imm = dtype;
  uint16_t r = push(p, i);
  if (dtype == XLM_BF16 && !casts)
    r = push(p, (xlm_code_instr){.fn = XLM_FN_CAST, .a = {r}, .imm = XLM_BF16});
  done(p, n->out, r);
}

static xlm_val emit_fused(fuse *f, program *p, const xlm_val *outs, int n_out, const xlm_type *space) {
  xlm_arena *a = f->out->arena;
  xlm_code *code = XLM_NEW(a, xlm_code);
  xlm_code_instr *at = XLM_NEW_N(a, xlm_code_instr, p->n);
  memcpy(at, p->at, (size_t)p->n * sizeof *at);
  *code = (xlm_code){.n_in = (uint16_t)p->n_in, .n = (uint16_t)p->n, .n_out = (uint16_t)n_out, .at = at};
  int64_t dtypes[XLM_CODE_MAX_OUT];
  for (int i = 0; i < n_out; i++) {
    code->out[i] = register_of(p, outs[i]);
    dtypes[i] = xlm_val_type(f->g, outs[i])->dtype;
  }
  xlm_attr_list l = xlm_attr_list_new(a);
  xlm_attr_put(&l, (xlm_attr){.key = XLM_A_code, .code = code});
  xlm_attr_put_dims(&l, XLM_A_dims, space->dim, space->rank);
  xlm_attr_put_ints(&l, XLM_A_dtypes, dtypes, (uint32_t)n_out);
  xlm_val in[XLM_CODE_MAX_IN];
  for (int i = 0; i < p->n_in; i++) in[i] = f->map[p->in[i]];
  xlm_val first = xlm_emit(&f->b, XLM_OP_FUSED, in, p->n_in, &l);
  for (int i = 0; i < n_out; i++) {
    xlm_val_at(f->out, first + (xlm_val)i)->name = f->g->values[outs[i]].name;
    xlm_val_at(f->out, first + (xlm_val)i)->partial = f->g->values[outs[i]].partial;
    f->map[outs[i]] = first + (xlm_val)i;
  }
  return first;
}

// The context of the new node is that of the last member, where the cluster runs.
static void context(fuse *f, const xlm_node_info *like) {
  xlm_build_context(&f->b, like);
  f->b.phase = like->phase;
}

static void emit_cluster(fuse *f, uint32_t c, const xlm_node *members, uint32_t n,
                         const uint32_t *inner_uses) {
  program *p = begin_program(f);
  for (uint32_t m = 0; m < n; m++) { // external operands first: their registers precede those of instructions
    const xlm_node_info *node = &f->g->nodes[members[m]];
    for (int i = 0; i < node->n_in; i++)
      if (cluster_of(f, node->in[i]) != c) load(p, node->in[i]);
  }
  xlm_val outs[XLM_CODE_MAX];
  int n_out = 0;
  for (uint32_t m = 0; m < n; m++) {
    add_member(p, members[m]);
    xlm_val v = f->g->nodes[members[m]].out;
    if (f->uses[v] > inner_uses[v]) outs[n_out++] = v;
  }
  context(f, &f->g->nodes[members[n - 1]]);
  f->b.phase = f->clusters[c].phase;
  if (n_out == 0) return; // unused
  XLM_ASSERT(n_out <= XLM_CODE_MAX_OUT, "fused program with %d results", n_out);
  emit_fused(f, p, outs, n_out, &f->clusters[c].space);
  f->out->nodes[f->out->n_nodes - 1].stage = f->clusters[c].stage;
}

// A cluster with more results than a program can have is emitted member by member.
static void emit_members(fuse *f, uint32_t c, const uint32_t *inner_uses) {
  xlm_node *members = NULL;
  uint32_t n = 0, cap = 0, results = 0;
  for (xlm_node id = f->first_member[c]; id; id = f->next_member[id]) {
    xlm_val v = f->g->nodes[id].out;
    results += f->uses[v] > inner_uses[v];
    XLM_PUSH(f->a, members, n, cap, id);
  }
  if (results <= XLM_CODE_MAX_OUT) {
    emit_cluster(f, c, members, n, inner_uses);
    return;
  }
  for (uint32_t m = 0; m < n; m++) {
    uint32_t own = new_cluster(f, &f->g->nodes[members[m]]);
    f->of[members[m]] = own;
    emit_cluster(f, own, &members[m], 1, f->none);
  }
}

// A constant read by an op that is not elementwise becomes a tensor.
static xlm_val materialise(fuse *f, xlm_val v) {
  double c;
  if (!is_const(f->g, v, &c)) return f->map[v];
  xlm_val *made = &f->constants[f->b.phase][v];
  if (*made) return *made;
  program *p = begin_program(f);
  done(p, v, push(p, (xlm_code_instr){.fn = XLM_FN_NEG, .a = {XLM_CODE_IMM}, .imm = -c}));
  return *made = emit_fused(f, p, &v, 1, xlm_val_type(f->g, v));
}

static void emit_other(fuse *f, xlm_node id) {
  const xlm_node_info *n = &f->g->nodes[id];
  xlm_val *in = XLM_NEW_N(f->a, xlm_val, n->n_in);
  context(f, n);
  for (int i = 0; i < n->n_in; i++) {
    in[i] = materialise(f, n->in[i]);
    XLM_ASSERT(in[i], "operand %d of node %u was dropped", i, id);
  }
  xlm_val first = xlm_copy_with(&f->b, f->g, id, in);
  for (int i = 0; i < n->n_out; i++) f->map[n->out + (xlm_val)i] = first + (xlm_val)i;
}

// The value that n adds to a sum over microbatches; 0: it is not such a sum.
static xlm_val addend_of(const xlm_node_info *n) {
  int addend = xlm_op_facts_of(n->op)->addend;
  return addend ? n->in[addend - 1] : 0;
}

// accumulate(acc, contract(x, y)) -> contract_acc(acc, x, y), if the product has no other reader.
static void find_accumulated_products(fuse *f) {
  for (xlm_node id = 1; id < f->g->n_nodes; id++) {
    const xlm_node_info *n = &f->g->nodes[id];
    xlm_val v = addend_of(n);
    if (!v) continue;
    xlm_node def = f->g->values[v].def;
    const xlm_type *acc = xlm_val_type(f->g, n->in[0]), *product = xlm_val_type(f->g, v);
    if (xlm_op_facts_of(f->g->nodes[def].op)->accumulating && f->uses[v] == 1 &&
        f->g->nodes[def].phase == n->phase && acc->dtype == product->dtype && same_space(acc, product))
      f->contract_into[def] = id;
  }
}

static void emit_accumulated(fuse *f, xlm_node id, xlm_node product) {
  const xlm_node_info *n = &f->g->nodes[id], *c = &f->g->nodes[product];
  xlm_val *in = XLM_NEW_N(f->a, xlm_val, c->n_in + 1);
  context(f, n);
  in[0] = f->map[n->in[0]];
  for (int i = 0; i < c->n_in; i++) in[i + 1] = materialise(f, c->in[i]);
  xlm_attr_list l = xlm_attr_list_from(f->out->arena, &c->attrs);
  f->map[n->out] = xlm_emit(&f->b, xlm_op_facts_of(c->op)->accumulating, in, c->n_in + 1, &l);
  xlm_val_at(f->out, f->map[n->out])->name = f->g->values[n->out].name;
  f->out->nodes[f->out->n_nodes - 1].stage = n->stage;
}

static uint32_t *count_inner_uses(fuse *f) {
  uint32_t *inner = XLM_NEW_N(f->a, uint32_t, f->g->n_values);
  for (xlm_node id = 1; id < f->g->n_nodes; id++) {
    const xlm_node_info *n = &f->g->nodes[id];
    for (int i = 0; f->of[id] && i < n->n_in; i++)
      if (cluster_of(f, n->in[i]) == root(f, f->of[id])) inner[n->in[i]]++;
  }
  return inner;
}

static void emit_all(fuse *f) {
  uint32_t *inner = count_inner_uses(f);
  for (xlm_node id = 1; id < f->g->n_nodes; id++) {
    const xlm_node_info *n = &f->g->nodes[id];
    uint32_t c = f->of[id] ? root(f, f->of[id]) : 0;
    if (c && f->clusters[c].last == id) emit_members(f, c, inner);
    if (c || xlm_node_is(n, XLM_LEAF_CONSTANT) || f->contract_into[id] || f->inlined[id]) continue;
    xlm_node product = addend_of(n) ? f->g->values[addend_of(n)].def : 0;
    if (product && f->contract_into[product] == id)
      emit_accumulated(f, id, product);
    else
      emit_other(f, id);
  }
}

static void copy_list(fuse *f, const xlm_vals *from, xlm_vals *to) {
  for (uint32_t i = 0; i < from->n; i++) {
    f->b = xlm_build_new(f->out);
    f->b.phase = xlm_val_node(f->g, from->at[i].val)->phase;
    xlm_vals_add(f->out, to, from->at[i].name, materialise(f, from->at[i].val), from->at[i].span);
  }
}

xlm_graph *xlm_pass_fuse(const xlm_graph *g, xlm_arena *a, bool split_weights) {
  fuse f = {.g = g, .out = xlm_graph_like(g), .a = a, .split_weights = split_weights};
  f.b = xlm_build_new(f.out);
  XLM_PUSH(a, f.clusters, f.n_clusters, f.cap_clusters, (cluster){0});
  f.of = XLM_NEW_N(a, uint32_t, g->n_nodes);
  f.map = XLM_NEW_N(a, xlm_val, g->n_values);
  f.contract_into = XLM_NEW_N(a, xlm_node, g->n_nodes);
  f.uses = xlm_graph_uses(g, a);
  f.reader = XLM_NEW_N(a, uint32_t, g->n_values);
  f.inlined = XLM_NEW_N(a, bool, g->n_nodes);
  f.program = XLM_NEW(a, program);
  f.none = XLM_NEW_N(a, uint32_t, g->n_values);
  for (int p = 0; p < XLM_PHASES; p++) f.constants[p] = XLM_NEW_N(a, xlm_val, g->n_values);
  xlm_graph_reserve(f.out, g->n_nodes, g->n_values);
  find_inlined(&f);
  assign_clusters(&f);
  list_members(&f);
  find_accumulated_products(&f);
  emit_all(&f);
  copy_list(&f, &g->outputs, &f.out->outputs);
  copy_list(&f, &g->metrics, &f.out->metrics);
  copy_list(&f, &g->losses, &f.out->losses);
  for (uint32_t i = 0; i < g->n_updates; i++)
    xlm_graph_update(f.out, f.map[g->updates[i].state], f.map[g->updates[i].val]);
  return f.out;
}
