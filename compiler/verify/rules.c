// Checks the instructions of a rank_plan against the rules of their ops. Kernels rely on operands, results
// and attributes being as the compiler makes them, so a plan from a file is checked against the same rules
// (compiler/ir/op.h): the number of operands and results, and the types that inference gives. The rules work
// on a graph; the tensors of the rank_plan serve as its values.
#include <string.h>

#include "compiler/ir/op.h"
#include "compiler/verify/verify_plan_priv.h"
#include "runtime/plan/streams.h"

typedef struct rules {
  verifier *v;
  const xlm_rank_plan *r;
  uint32_t rank_plan;
  xlm_graph graph;
} rules;

static bool is_ragged(const xlm_rank_plan *r, const xlm_type *t) {
  for (int i = 0; i < t->rank; i++)
    if (r->dims[t->dim[i]].ragged) return true;
  return false;
}

static void make_graph(rules *x) {
  const xlm_rank_plan *r = x->r;
  xlm_arena *a = x->v->arena;
  xlm_value *values = XLM_NEW_N(a, xlm_value, r->n_tensors);
  for (uint32_t t = 1; t < r->n_tensors;
       t++) // which offsets belong to a ragged tensor is unknown, only that it has some
    values[t] = (xlm_value){.type = r->tensors[t].type, .ragged_by = is_ragged(r, &r->tensors[t].type)};
  xlm_dim_info *dims = XLM_NEW_N(a, xlm_dim_info, r->n_dims + 8);
  memcpy(dims, r->dims, r->n_dims * sizeof *dims);
  x->graph = (xlm_graph){.arena = a,
                         .dims = dims,
                         .n_dims = r->n_dims,
                         .cap_dims = r->n_dims + 8,
                         .values = values,
                         .n_values = r->n_tensors,
                         .nodes = XLM_NEW(a, xlm_node_info),
                         .n_nodes = 1};
}

static bool refuse(const rules *x, const xlm_instr *in, const char *why) {
  return xlm_verify_fail(x->v, "%s: %s is not as its rule says: %s", xlm_verify_owner(x->v, x->rank_plan),
                         xlm_verify_instr(x->v, in), why);
}

static bool same_type(const xlm_type *a, const xlm_type *b) {
  return a->dtype == b->dtype && a->rank == b->rank && !memcmp(a->dim, b->dim, a->rank * sizeof *a->dim);
}

static bool counts_fit(const xlm_op *op, const xlm_instr *in) {
  int offsets = (op->flags & XLM_OPF_OFFSETS) != 0;
  return in->n_in >= op->min_in && (op->max_in < 0 || in->n_in <= op->max_in + offsets) &&
         in->n_out <= op->n_out && in->n_out >= op->n_alias;
}

static bool types_fit(rules *x, const xlm_op *op, const xlm_instr *in) {
  xlm_infer i = {.g = &x->graph,
                 .op = op,
                 .n_in = in->n_in,
                 .in = in->in,
                 .attrs = in->attrs,
                 .n_out = op->n_out,
                 .fault_operand = -1};
  const char *attr =
      xlm_op_attrs_wrong(op, &x->graph, &in->attrs, in->n_in, in->in, in->n_out, in->out, x->v->arena);
  if (attr) return refuse(x, in, attr);
  if (!op->infer(&i)) return refuse(x, in, i.fault_text ? i.fault_text : "its operands do not fit");
  if (i.n_out != in->n_out) return refuse(x, in, "another number of results");
  int other = xlm_attrs_differ(&in->attrs, &i.attrs);
  if (other >= 0)
    return refuse(x, in,
                  xlm_arena_printf(x->v->arena, "its attribute `%s` does not follow from its operands",
                                   xlm_attr_name((xlm_attr_key)other)));
  for (int k = 0; k < in->n_out; k++)
    if (!same_type(&x->r->tensors[in->out[k]].type, &i.out[k]))
      return refuse(x, in, "a result of another type");
  for (int k = 0; k < op->n_alias; k++)
    if (!same_type(&x->r->tensors[in->out[k]].type, &x->r->tensors[in->in[k]].type))
      return refuse(x, in, "what it updates has another type");
  return true;
}

static bool check_instr(rules *x, const xlm_instr *in) {
  const uint32_t no_kernel = XLM_OPF_VIEW | XLM_OPF_ELEMENTWISE;
  if (xlm_op_is_leaf(in->op) || xlm_op_at(in->op)->flags & no_kernel || !xlm_op_at(in->op)->infer)
    return refuse(x, in, "no kernel runs it");
  if (!counts_fit(xlm_op_at(in->op), in)) return refuse(x, in, "too few or too many operands or results");
  if (in->stream != xlm_stream_of(in->op)) return refuse(x, in, "it is on the wrong stream");
  return types_fit(x, xlm_op_at(in->op), in);
}

static bool has_first(const xlm_rank_plan *r, const xlm_segment *s) {
  for (uint32_t i = 0; i < r->n_schedule; i++) {
    const xlm_segment *g = &r->segments[r->schedule[i].segment];
    if (g->kind == s->kind && g->chunk == s->chunk && g->variant == XLM_VARIANT_FIRST) return true;
  }
  return false;
}

// Does the instruction add to a state, and not to the result of another?
static bool is_first_addition(const rules *x, const xlm_instr *in) {
  for (uint32_t i = 0; i < x->r->n_states; i++)
    if (x->r->states[i].tensor == in->in[0]) return true;
  return false;
}

// Sums over microbatches are overwritten in the first of them and added to in all others. Of several
// additions in one segment the first overwrites.
static bool check_sums(const rules *x, uint32_t segment) {
  const xlm_segment *s = &x->r->segments[segment];
  int64_t runs = xlm_plan_runs(x->r, segment);
  bool stores = s->variant <= XLM_VARIANT_FIRST || !has_first(x->r, s);
  for (uint32_t i = s->first; i < s->first + s->n; i++) {
    const xlm_instr *in = &x->r->instrs[i];
    if (!xlm_op_facts_of(in->op)->sums) continue;
    bool store = xlm_attr_int(&in->attrs, XLM_A_store, 0);
    if (!is_first_addition(x, in)) {
      if (store) return refuse(x, in, "it overwrites what it should add to");
      continue;
    }
    if (s->variant == XLM_VARIANT_ONLY && runs > 1)
      return refuse(x, in, "it sums over microbatches, which all run the same segment");
    if (store != stores)
      return refuse(x, in,
                    stores ? "it adds to what an earlier step left" : "it overwrites what it should add to");
  }
  return true;
}

bool xlm_verify_rules(verifier *v, uint32_t rank_plan) {
  rules x = {.v = v, .r = v->plan->rank_plans[rank_plan], .rank_plan = rank_plan};
  make_graph(&x);
  for (uint32_t i = 0; i < x.r->n_instrs; i++)
    if (!check_instr(&x, &x.r->instrs[i])) return false;
  for (uint32_t s = 0; s < x.r->n_segments; s++)
    if (!check_sums(&x, s)) return false;
  return true;
}
