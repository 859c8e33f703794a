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

xlm_dim xlm_step_places(const xlm_step *s, const xlm_type *t) {
  for (int i = 0; i < t->rank; i++)
    if (s->before[t->dim[i]] >= 0) return t->dim[i];
  return 0;
}

// A dimension that an operation makes of the sequence, whose places are counted otherwise.
static void find_places(xlm_step *s, xlm_node id) {
  const xlm_op *op = xlm_op_at(s->g->nodes[id].op);
  int64_t before = -1;
  xlm_dim d = op->places ? op->places(s->g, id, s->before, &before) : 0;
  if (d) s->sequence[d] = s->numbers[d] = true, s->before[d] = before;
}

// Dimensions that are made of the sequence: by views, rows that belong to tokens, and with what stands before it.
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
        s->sequence[to[i]] = true, s->before[to[i]] = f->renames ? s->before[from[i]] : -1;
    find_places(s, id);
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

// One length: a chunk has places before the text, or of it.
static bool find_prefix(xlm_step *s) {
  const xlm_graph *g = s->g;
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_node_info *n = &g->nodes[id];
    xlm_dim d = s->live[id] && n->n_out ? xlm_step_places(s, xlm_val_type(g, n->out)) : 0;
    if (!s->numbers[d] || !s->before[d]) continue;
    if (!s->all.joined) s->all.joined = d;
    if (s->before[d] != s->before[s->all.joined])
      return xlm_step_refuse(
          s, n->span,
          xlm_arena_printf(s->out->arena, "`%s` has %lld places before the text, but `%s` %lld", g->dims[d].name,
                           (long long)s->before[d], g->dims[s->all.joined].name,
                           (long long)s->before[s->all.joined]),
          "join all that stands before the text at once: concat(a, b, h, first second seq -> all)");
  }
  if (!s->all.chunk) return true;
  s->all.dim[s->all.seq] = s->all.chunk;
  for (xlm_dim d = 1; d < g->n_dims; d++)
    if (s->numbers[d]) (void)xlm_chunk_dim(&s->all, d, s->out->dims[s->all.chunk].size);
  return true;
}

static bool find_reach(xlm_step *s) {
  const xlm_graph *g = s->g;
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
      int64_t size = g->dims[xlm_step_places(s, xlm_val_type(g, n->in[i]))].size;
      int64_t places = r.back > 0 && r.back < size ? r.back : size;
      c->places = places > c->places ? places : c->places;
      c->readers++;
    }
  }
  return true;
}

// What an operation reads of earlier places it reads at the same index of each cache: as many places as the largest
// has. A value may have other readers, so this goes on until nothing changes.
static void equal_places(xlm_step *s) {
  const xlm_graph *g = s->g;
  for (bool changed = true; changed;) {
    changed = false;
    for (xlm_node id = 1; id < g->n_nodes; id++) {
      const xlm_node_info *n = &g->nodes[id];
      xlm_reach r = s->live[id] ? xlm_step_reach(s, id) : (xlm_reach){.along = XLM_ALONG_LOCAL};
      int64_t most = 0;
      for (int i = 0; r.along == XLM_ALONG_BACK && i < n->n_in; i++)
        if (r.cached >> i & 1 && s->caches[xlm_step_root(s, n->in[i])].places > most)
          most = s->caches[xlm_step_root(s, n->in[i])].places;
      for (int i = 0; most && i < n->n_in; i++) {
        if (!(r.cached >> i & 1)) continue;
        int64_t *places = &s->caches[xlm_step_root(s, n->in[i])].places;
        changed |= *places != most;
        *places = most;
      }
    }
  }
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
  for (xlm_dim d = 1; d < g->n_dims; d++) s->before[d] = -1;
  s->sequence[s->all.seq] = s->numbers[s->all.seq] = true, s->before[s->all.seq] = 0;
  return true;
}

bool xlm_step_find(xlm_step *s, bool once) {
  if (!find_sequence(s)) return false;
  find_dims(s);
  find_live(s, false);
  find_dependence(s);
  if (!xlm_step_find_once(s)) return false;
  find_live(s, once);
  if (!once && !find_prefix(s)) return false;
  if (once) return true;
  xlm_step_find_late(s);
  if (!find_reach(s)) return false;
  equal_places(s);
  return true;
}
