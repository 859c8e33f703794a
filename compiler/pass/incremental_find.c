// What decoding computes, and what it needs of earlier places; see incremental.c.
#include <string.h>

#include "compiler/pass/incremental_priv.h"

bool xlm_step_refuse(xlm_step *s, xlm_span span, const char *text, const char *help) {
  *s->fault = (xlm_incremental_fault){span, text, help};
  return false;
}

bool xlm_step_lies_along(const xlm_step *s, const xlm_type *t) {
  for (int i = 0; i < t->rank; i++)
    if (s->sequence[t->dim[i]]) return true;
  return false;
}

// ---- what is computed

static void find_live(xlm_step *s, bool once) {
  const xlm_graph *g = s->g;
  memset(s->live, 0, g->n_nodes * sizeof *s->live);
  for (uint32_t i = 0; !once && i < g->outputs.n; i++)
    if (xlm_step_lies_along(s, xlm_val_type(g, g->outputs.at[i].val)))
      s->live[xlm_val_at(g, g->outputs.at[i].val)->def] = true;
  for (xlm_val v = 1; once && v < g->n_values; v++)
    if (s->once[v].reader) s->live[xlm_val_at(g, v)->def] = true;
  for (xlm_node n = g->n_nodes - 1; n; n--)
    for (int i = 0; s->live[n] && i < g->nodes[n].n_in; i++)
      if (once || !s->once[g->nodes[n].in[i]].reader) s->live[xlm_val_at(g, g->nodes[n].in[i])->def] = true;
}

static void find_dependence(xlm_step *s) {
  const xlm_graph *g = s->g;
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_node_info *n = &g->nodes[id];
    bool data = xlm_node_is(n, XLM_LEAF_INPUT), along = xlm_step_touches(s, n);
    for (int i = 0; i < n->n_in; i++) data |= s->data[n->in[i]], along |= s->along[n->in[i]];
    for (int i = 0; i < n->n_out; i++) {
      s->data[n->out + (xlm_val)i] = data;
      s->along[n->out + (xlm_val)i] = along;
    }
  }
}

// Dimensions that are made of the sequence: by views, and rows that belong to tokens.
static void find_dims(xlm_step *s) {
  const xlm_graph *g = s->g;
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_node_info *n = &g->nodes[id];
    const xlm_op_facts *f = xlm_op_facts_of(n->op);
    xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
    int n_from = xlm_attr_dims(&n->attrs, f->makes_rows ? XLM_A_over : XLM_A_from, from);
    int n_to = xlm_attr_dims(&n->attrs, f->makes_rows ? XLM_A_routed : XLM_A_to, to);
    bool view = xlm_is_view(n), any = false;
    for (int i = 0; i < n_from; i++) any |= s->sequence[from[i]];
    for (int i = 0; any && i < n_to; i++) // of a split one only the parts that are known
      if (f->makes_rows || (view && (f->renames ? s->sequence[from[i]] : n_to == 1)))
        s->sequence[to[i]] = true;
  }
}

bool xlm_step_touches(const xlm_step *s, const xlm_node_info *n) {
  bool any = false;
  for (int i = 0; i < n->n_in; i++) any |= xlm_step_lies_along(s, xlm_val_type(s->g, n->in[i]));
  for (int i = 0; i < n->n_out; i++) any |= xlm_step_lies_along(s, xlm_val_type(s->g, n->out + (xlm_val)i));
  return any;
}

xlm_val xlm_step_root(const xlm_step *s, xlm_val v) {
  for (;;) {
    const xlm_node_info *n = xlm_val_node(s->g, v);
    xlm_dim from[XLM_MAX_RANK];
    bool renames = xlm_op_facts_of(n->op)->renames && xlm_attr_dims(&n->attrs, XLM_A_from, from) == 1;
    if (!renames || !s->sequence[from[0]]) return v;
    v = n->in[0];
  }
}

const char *xlm_step_operand_name(const xlm_node_info *n, int i) {
  for (int what = 0; what < XLM_OPERANDS; what++)
    if (xlm_attr_operand(&n->attrs, n->n_in, (xlm_operand)what) == i) return xlm_enum_name(XLM_ENUM_OPERAND, what);
  for (const xlm_param *p = xlm_op_at(n->op)->params; p && p->name; p++)
    if (p->kind == XLM_P_TENSOR && i-- == 0) return p->name;
  return NULL;
}

static const char *ahead_text(const xlm_step *s, const xlm_node_info *n) {
  return xlm_arena_printf(s->out->arena,
                          "`%s` needs later places of `%s`, so tokens cannot be computed one after the other",
                          xlm_op_name(n->op), s->g->dims[s->all.seq].name);
}

bool xlm_step_is_table(const xlm_step *s, const xlm_node_info *n, int i) {
  const xlm_op_facts *f = xlm_op_facts_of(n->op);
  xlm_dim d[XLM_MAX_RANK];
  if (!f->index || i + 1 == f->index || !xlm_attr_dims(&n->attrs, f->index_into, d)) return false;
  return s->sequence[d[0]] && xlm_type_find(xlm_val_type(s->g, n->in[i]), d[0]) >= 0;
}

xlm_reach xlm_step_reach(const xlm_step *s, xlm_node id) {
  const xlm_node_info *n = &s->g->nodes[id];
  if (!xlm_step_touches(s, n)) return (xlm_reach){.along = XLM_ALONG_LOCAL};
  for (int i = 0; i < n->n_in; i++)
    if (xlm_step_is_table(s, n, i) && s->data[n->in[i]]) return (xlm_reach){.along = XLM_ALONG_AHEAD};
  xlm_reach r = xlm_node_reach(s->g, id, s->sequence);
  if (r.along == XLM_ALONG_BACK && s->late[n->in[0]] && !--r.back) r.cached = 0;
  return r;
}

static bool find_reach(xlm_step *s) {
  const xlm_graph *g = s->g;
  int64_t size = g->dims[s->all.seq].size;
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_node_info *n = &g->nodes[id];
    if (!s->live[id]) continue;
    xlm_reach r = xlm_step_reach(s, id);
    if (r.along == XLM_ALONG_AHEAD)
      return xlm_step_refuse(
          s, n->span, ahead_text(s, n),
          r.help ? r.help
                 : "what looks back only: attend(.., causal), shift, cumsum, scan, linear_attend, "
                   "and all that works "
                   "on one place at a time");
    for (int i = 0; r.along == XLM_ALONG_BACK && i < n->n_in; i++) {
      if (!(r.cached >> i & 1)) continue;
      xlm_cached *c = &s->caches[xlm_step_root(s, n->in[i])];
      int64_t places = r.back > 0 && r.back < size ? r.back : size;
      c->places = places > c->places ? places : c->places;
      c->readers++;
    }
  }
  return true;
}

static xlm_dim dim_named(const xlm_graph *g, const char *name) {
  for (xlm_dim d = 1; d < g->n_dims; d++)
    if (!strcmp(g->dims[d].name, name)) return d;
  return 0;
}

static bool find_sequence(xlm_step *s) {
  const xlm_graph *g = s->g;
  s->all.seq = dim_named(g, "seq"), s->all.batch = dim_named(g, "batch");
  bool given = false;
  for (xlm_node n = 1; n < g->n_nodes && s->all.seq; n++)
    given |= xlm_node_is(&g->nodes[n], XLM_LEAF_INPUT) &&
             xlm_type_find(xlm_val_type(g, g->nodes[n].out), s->all.seq) >= 0;
  if (!given || !s->all.batch)
    return xlm_step_refuse(s, (xlm_span){0, 0},
                           "the model has no input along `seq`: there is nothing to compute token by token",
                           "tokens are an input `tokens[batch, seq] of vocab`");
  s->sequence[s->all.seq] = true;
  return true;
}

bool xlm_step_find(xlm_step *s, bool once) {
  if (!find_sequence(s)) return false;
  find_dims(s);
  find_live(s, false);
  find_dependence(s);
  if (!xlm_step_find_once(s)) return false;
  find_live(s, once);
  if (once) return true;
  xlm_step_find_late(s);
  return find_reach(s);
}
