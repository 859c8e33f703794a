// The programs of clusters. A member with a bf16 result rounds inside the program too, so the bits do not
// depend on what is fused. A lone function of rows, or sum, stays the node that it is.
#include <string.h>

#include "compiler/pass/fuse_priv.h"

typedef struct program {
  xlm_fuse *f;
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

static program *begin_program(xlm_fuse *f) {
  if (!f->program) f->program = XLM_NEW(f->a, program);
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

static void add_sum(program *p, const xlm_node_info *n) {
  done(p, n->out, register_of(p, n->in[0]));
}

static void add_function(program *p, const xlm_node_info *n) {
  xlm_dtype dtype = xlm_val_type(p->f->g, n->out)->dtype;
  xlm_fn fn = xlm_fn_of(n->op);
  xlm_code_instr i = {.fn = (uint16_t)fn};
  bool casts = xlm_op_casts(n->op), row = xlm_fn_is_row(fn);
  bool used_imm = casts || row; // by the type of the cast, the attribute of the function of rows
  for (int k = 0; k < n->n_in; k++) i.a[k] = operand(p, n->in[k], &i, &used_imm);
  if (casts) i.imm = dtype;
  if (row) i.imm = xlm_attr_float(&n->attrs, xlm_fn_attr(fn), 0);
  uint16_t r = push(p, i);
  if (dtype == XLM_BF16 && !casts)
    r = push(p, (xlm_code_instr){.fn = XLM_FN_CAST, .a = {r}, .imm = XLM_BF16});
  done(p, n->out, r);
}

// ---- nodes ----

// What a node with a program has besides it.
typedef struct emission {
  xlm_val outs[XLM_CODE_MAX]; // old values; those that are summed come last
  int n_out, n_summed;
  const xlm_type *space;
  uint8_t row;
} emission;

static const xlm_code *code_of(program *p, const emission *e) {
  xlm_arena *a = p->f->out->arena;
  xlm_code *code = XLM_NEW(a, xlm_code);
  xlm_code_instr *at = XLM_NEW_N(a, xlm_code_instr, p->n);
  memcpy(at, p->at, (size_t)p->n * sizeof *at);
  *code = (xlm_code){.n_in = (uint16_t)p->n_in,
                     .n = (uint16_t)p->n,
                     .n_out = (uint16_t)e->n_out,
                     .row = e->row,
                     .n_summed = (uint16_t)e->n_summed,
                     .at = at};
  for (int i = 0; i < e->n_out; i++) code->out[i] = register_of(p, e->outs[i]);
  return code;
}

static xlm_val emit_program(program *p, const emission *e) {
  xlm_fuse *f = p->f;
  int64_t dtypes[XLM_CODE_MAX_OUT];
  xlm_val in[XLM_CODE_MAX_IN];
  XLM_ASSERT(e->n_out <= XLM_CODE_MAX_OUT, "fused program with %d results", e->n_out);
  for (int i = 0; i < e->n_out; i++) dtypes[i] = xlm_val_type(f->g, e->outs[i])->dtype;
  for (int i = 0; i < p->n_in; i++) in[i] = f->map[p->in[i]];
  xlm_attr_list l = xlm_attr_list_new(f->out->arena);
  xlm_attr_put(&l, (xlm_attr){.key = XLM_A_code, .code = code_of(p, e)});
  xlm_attr_put_dims(&l, XLM_A_dims, e->space->dim, e->space->rank);
  xlm_attr_put_ints(&l, XLM_A_dtypes, dtypes, (uint32_t)e->n_out);
  xlm_val first = xlm_emit(&f->b, XLM_OP_FUSED, in, p->n_in, &l);
  for (int i = 0; i < e->n_out; i++) {
    xlm_value *v = xlm_val_at(f->out, first + (xlm_val)i);
    v->name = f->g->values[e->outs[i]].name;
    v->partial = f->g->values[e->outs[i]].partial;
    f->map[e->outs[i]] = first + (xlm_val)i;
  }
  return first;
}

static void set_context(xlm_fuse *f, const xlm_node_info *like, xlm_phase phase) {
  xlm_build_context(&f->b, like);
  f->b.phase = phase;
}

// A constant becomes a tensor.
xlm_val xlm_fuse_operand(xlm_fuse *f, xlm_val v) {
  double c;
  if (!is_const(f->g, v, &c)) return f->map[v];
  xlm_val *made = &f->constants[f->b.phase][v];
  if (*made) return *made;
  program *p = begin_program(f);
  done(p, v, push(p, (xlm_code_instr){.fn = XLM_FN_NEG, .a = {XLM_CODE_IMM}, .imm = -c}));
  return *made = emit_program(p, &(emission){.outs = {v}, .n_out = 1, .space = xlm_val_type(f->g, v)});
}

void xlm_fuse_copy(xlm_fuse *f, xlm_node id, xlm_phase phase) {
  const xlm_node_info *n = &f->g->nodes[id];
  xlm_val *in = XLM_NEW_N(f->a, xlm_val, n->n_in);
  set_context(f, n, phase);
  for (int i = 0; i < n->n_in; i++) {
    in[i] = xlm_fuse_operand(f, n->in[i]);
    XLM_ASSERT(in[i], "operand %d of node %u was dropped", i, id);
  }
  xlm_val first = xlm_copy_with(&f->b, f->g, id, in);
  for (int i = 0; i < n->n_out; i++) f->map[n->out + (xlm_val)i] = first + (xlm_val)i;
}

// ---- clusters ----

static bool is_result(const xlm_fuse *f, xlm_val v) {
  return f->uses[v] > f->inner[v];
}

static void load_operands(program *p, uint32_t c, const xlm_node_info *n) {
  for (int i = 0; i < n->n_in; i++)
    if (xlm_fuse_cluster_of(p->f, n->in[i]) != c) load(p, n->in[i]);
}

static void add_results(const xlm_fuse *f, const xlm_node *members, uint32_t n, bool summed, emission *e) {
  for (uint32_t m = 0; m < n; m++) {
    xlm_val v = f->g->nodes[members[m]].out;
    if (!is_result(f, v) || (f->member[members[m]].kind == XLM_FUSABLE_SUM) != summed) continue;
    e->outs[e->n_out++] = v;
    e->n_summed += summed;
  }
}

static void emit_members(xlm_fuse *f, uint32_t c, const xlm_node *members, uint32_t n) {
  const xlm_fuse_cluster *k = &f->clusters[c];
  emission e = {.space = &k->space, .row = k->row};
  add_results(f, members, n, false, &e);
  add_results(f, members, n, true, &e);
  if (e.n_out == 0) return; // unused
  program *p = begin_program(f);
  for (uint32_t m = 0; m < n; m++) // operands first: their registers precede those of instructions
    load_operands(p, c, &f->g->nodes[members[m]]);
  for (uint32_t m = 0; m < n; m++) {
    const xlm_node_info *node = &f->g->nodes[members[m]];
    if (f->member[members[m]].kind == XLM_FUSABLE_SUM)
      add_sum(p, node);
    else
      add_function(p, node);
  }
  set_context(f, &f->g->nodes[k->last], k->phase);
  emit_program(p, &e);
  f->out->nodes[f->out->n_nodes - 1].stage = k->stage;
}

static void emit_member(xlm_fuse *f, uint32_t c, xlm_node id) {
  if (f->member[id].kind == XLM_FUSABLE_ELEMENTS)
    emit_members(f, c, &id, 1);
  else if (f->uses[f->g->nodes[id].out])
    xlm_fuse_copy(f, id, f->clusters[c].phase);
}

// Each member as a cluster of its own.
static void emit_apart(xlm_fuse *f, uint32_t c, const xlm_node *members, uint32_t n) {
  for (uint32_t m = 0; m < n; m++) {
    xlm_fuse_cluster own = f->clusters[c];
    own.last = members[m];
    own.row = 0;
    own.parent = f->n_clusters;
    XLM_PUSH(f->a, f->clusters, f->n_clusters, f->cap_clusters, own);
    f->of[members[m]] = own.parent;
    f->inner[f->g->nodes[members[m]].out] = 0;
  }
  for (uint32_t m = 0; m < n; m++) emit_member(f, f->of[members[m]], members[m]);
}

// A cluster with more results than a program can have is emitted member by member.
void xlm_fuse_emit_cluster(xlm_fuse *f, uint32_t c) {
  xlm_node members[XLM_CODE_MAX];
  uint32_t n = 0, results = 0;
  for (xlm_node id = f->first_member[c]; id; id = f->next_member[id]) {
    results += is_result(f, f->g->nodes[id].out);
    members[n++] = id;
  }
  if (n == 1)
    emit_member(f, c, members[0]);
  else if (results <= XLM_CODE_MAX_OUT)
    emit_members(f, c, members, n);
  else
    emit_apart(f, c, members, n);
}
