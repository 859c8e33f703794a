// Finds equal rounds of a repeat that follow each other, as the layers of a model: drawings show the first,
// with how many it stands for. A pattern of several rounds that repeats (five local layers, then a global
// one) counts as a whole. Equal are rounds whose operations, attributes, types and inner edges are the same,
// apart from the number in their names.
#include <stdlib.h>
#include <string.h>

#include "compiler/ir/op.h"
#include "compiler/report/graph_view.h"
#include "runtime/base/dict.h"

enum { LEAST = 3, LONGEST_PATTERN = 8 }; // rounds that are folded; rounds of a pattern

typedef struct round {
  int64_t number;
  const char *scope;   // "layers.7"
  const char *content; // equal for equal rounds
  xlm_node *at;
  uint32_t n, cap;
} round;

typedef struct repeat { // of one phase
  const char *base;     // "layers"
  round *at;
  uint32_t n, cap;
} repeat;

typedef struct finder {
  const xlm_graph *g;
  const xlm_graph_view *view;
  xlm_arena *a;
  repeat **repeats;
  uint32_t n, cap;
  uint32_t *round_of, *index_of; // by node: the round's number over all repeats, from 1; its place in it
  uint32_t rounds;
  xlm_view_equal out;
} finder;

// The scope up to its first number after `from`: the length of "layers.7" in "layers.7.mlp"; 0: it has none.
static size_t round_length(const char *scope, size_t from) {
  const char *p = strlen(scope) >= from ? scope + from : "";
  for (; *p; p++)
    if (*p == '.' && p > scope && p[1] >= '0' && p[1] <= '9') {
      size_t digits = strspn(p + 1, "0123456789");
      if (!p[1 + digits] || p[1 + digits] == '.') return (size_t)(p - scope) + 1 + digits;
    }
  return 0;
}

static round *round_named(finder *f, xlm_dict *by_name, xlm_phase phase, const char *scope, size_t length) {
  const char *name = xlm_arena_strndup(f->a, scope, length);
  size_t base = (size_t)(strrchr(name, '.') - name);
  const char *key = xlm_arena_printf(f->a, "%d %.*s", (int)phase, (int)base, name);
  repeat *r = xlm_dict_get(by_name, key);
  if (!r) {
    r = XLM_NEW(f->a, repeat);
    r->base = xlm_arena_strndup(f->a, name, base);
    XLM_PUSH(f->a, f->repeats, f->n, f->cap, r);
    xlm_dict_put(f->a, by_name, key, r);
  }
  for (uint32_t i = r->n; i-- > 0;)
    if (!strcmp(r->at[i].scope, name)) return &r->at[i];
  round fresh = {.number = atoll(name + base + 1), .scope = name};
  XLM_PUSH(f->a, r->at, r->n, r->cap, fresh);
  return &r->at[r->n - 1];
}

static void collect(finder *f) {
  xlm_dict by_name = {0};
  size_t from = f->view->only ? strlen(f->view->only) : 0;
  for (xlm_node id = 1; id < f->g->n_nodes; id++) {
    const xlm_node_info *n = &f->g->nodes[id];
    size_t length = round_length(n->scope, from);
    if (!length || !xlm_view_draws(n, f->view)) continue;
    round *r = round_named(f, &by_name, n->phase, n->scope, length);
    f->index_of[id] = r->n;
    XLM_PUSH(f->a, r->at, r->n, r->cap, id);
  }
}

static void operand(finder *f, xlm_text *t, const round *r, uint32_t number, xlm_val v) {
  xlm_node def = f->g->values[v].def;
  const xlm_node_info *n = &f->g->nodes[def];
  xlm_text_printf(t, " %s", xlm_view_type(f->g, f->view, v, f->a));
  if (f->round_of[def] == number) xlm_text_printf(t, "#%u", f->index_of[def]);
  const char *name = xlm_op_is_leaf(n->op) ? xlm_attr_text(&n->attrs, XLM_A_name, "") : "";
  size_t length = strlen(r->scope);
  if (!strncmp(name, r->scope, length)) xlm_text_add(t, name + length);
}

static void node(finder *f, xlm_text *t, const round *r, uint32_t number, xlm_node id) {
  const xlm_node_info *n = &f->g->nodes[id];
  xlm_text_printf(t, "%s %s ", n->scope + strlen(r->scope), xlm_op_name(n->op));
  xlm_view_attrs(t, &n->attrs);
  xlm_text_printf(t, " %lld", (long long)xlm_attr_int(&n->attrs, XLM_A_axes, 0));
  for (int i = 0; i < n->n_in; i++) operand(f, t, r, number, n->in[i]);
  for (int i = 0; i < n->n_out; i++)
    xlm_text_printf(t, " > %s", xlm_view_type(f->g, f->view, n->out + (xlm_val)i, f->a));
  xlm_text_add(t, "\n");
}

static void read_round(finder *f, round *r) {
  uint32_t number = ++f->rounds;
  xlm_text t = xlm_text_new(f->a);
  for (uint32_t i = 0; i < r->n; i++) f->round_of[r->at[i]] = number;
  for (uint32_t i = 0; i < r->n; i++) node(f, &t, r, number, r->at[i]);
  r->content = t.data;
}

// The longest stretch of whole patterns from round `first`: its length; 1: none.
static uint32_t stretch(const repeat *r, uint32_t first, uint32_t *period) {
  uint32_t best = 1;
  *period = 1;
  for (uint32_t p = 1; p <= LONGEST_PATTERN && first + p < r->n; p++) {
    uint32_t n = p;
    while (first + n < r->n && !strcmp(r->at[first + n].content, r->at[first + n - p].content)) n++;
    n -= n % p;
    if (n >= 2 * p && n >= LEAST && n > best) best = n, *period = p;
  }
  return best;
}

static void fold(finder *f, const repeat *r, uint32_t first, uint32_t n, uint32_t period) {
  xlm_view_series s = {.base = r->base,
                       .low = r->at[first].number,
                       .high = r->at[first].number,
                       .period = period,
                       .copies = n / period};
  for (uint32_t i = 0; i < n; i++) {
    const round *x = &r->at[first + i], *stands = &r->at[first + i % period];
    if (x->number < s.low) s.low = x->number;
    if (x->number > s.high) s.high = x->number;
    for (uint32_t k = 0; k < x->n; k++) {
      f->out.as[x->at[k]] = stands->at[k];
      f->out.series[x->at[k]] = f->out.n + 1;
      f->out.copy[x->at[k]] = i / period;
    }
  }
  XLM_PUSH(f->a, f->out.at, f->out.n, f->out.cap, s);
}

// ---- equal operations outside of repeats: the parts in which a loss is computed ----

// What a node outside of repeats computes: equal for equal operations on different slices of the same values.
static const char *meaning(finder *f, const uint32_t *kind, xlm_node id) {
  const xlm_node_info *n = &f->g->nodes[id];
  xlm_text t = xlm_text_new(f->a);
  xlm_text_printf(&t, "%d %s %s %lld", (int)n->phase, n->scope, xlm_op_name(n->op),
                  (long long)xlm_attr_int(&n->attrs, XLM_A_axes, 0));
  for (int i = 0; i < n->n_in; i++) {
    xlm_node def = f->g->values[n->in[i]].def;
    bool chain =
        f->g->nodes[def].op == n->op && f->g->nodes[def].phase == n->phase && n->n_out == 1 &&
        !strcmp(xlm_view_type(f->g, f->view, n->in[i], f->a), xlm_view_type(f->g, f->view, n->out, f->a));
    if (chain)
      xlm_text_add(&t, " ~"); // one after the other, as sums are added to
    else
      xlm_text_printf(&t, " %u.%u", kind[def], n->in[i] - f->g->nodes[def].out);
  }
  for (int i = 0; i < n->n_out; i++)
    xlm_text_printf(&t, " > %s", xlm_view_type(f->g, f->view, n->out + (xlm_val)i, f->a));
  return t.data;
}

static void fold_parts(finder *f) {
  xlm_dict seen = {0};
  uint32_t *kind = XLM_NEW_N(f->a, uint32_t, f->g->n_nodes),
           *members = XLM_NEW_N(f->a, uint32_t, f->g->n_nodes);
  for (xlm_node id = 1; id < f->g->n_nodes; id++) { // kind: the first node of the same meaning
    const xlm_node_info *n = &f->g->nodes[id];
    kind[id] = f->out.as[id];
    if (!f->out.series[id] && !xlm_op_is_leaf(n->op) && xlm_view_draws(n, f->view)) {
      const char *key = meaning(f, kind, id);
      xlm_node *first = xlm_dict_get(&seen, key);
      if (!first) {
        first = XLM_NEW(f->a, xlm_node);
        *first = id;
        xlm_dict_put(f->a, &seen, key, first);
      }
      kind[id] = *first;
    }
    members[kind[id]]++;
  }
  for (xlm_node id = 1; id < f->g->n_nodes; id++)
    if (!f->out.series[id] && members[kind[id]] >= LEAST)
      f->out.as[id] = kind[id], f->out.parts[id] = members[kind[id]];
}

xlm_view_equal xlm_view_find_equal(const xlm_graph *g, const xlm_graph_view *view, xlm_arena *a) {
  finder f = {.g = g,
              .view = view,
              .a = a,
              .round_of = XLM_NEW_N(a, uint32_t, g->n_nodes),
              .index_of = XLM_NEW_N(a, uint32_t, g->n_nodes),
              .out = {.as = XLM_NEW_N(a, xlm_node, g->n_nodes),
                      .series = XLM_NEW_N(a, uint32_t, g->n_nodes),
                      .copy = XLM_NEW_N(a, uint32_t, g->n_nodes),
                      .parts = XLM_NEW_N(a, uint32_t, g->n_nodes)}};
  for (xlm_node id = 0; id < g->n_nodes; id++) f.out.as[id] = id;
  if (view->each) return f.out;
  collect(&f);
  for (uint32_t k = 0; k < f.n; k++) {
    const repeat *r = f.repeats[k];
    for (uint32_t i = 0; i < r->n; i++) read_round(&f, &r->at[i]);
    for (uint32_t i = 0, period; i < r->n;) {
      uint32_t n = stretch(r, i, &period);
      if (n > 1) fold(&f, r, i, n, period);
      i += n;
    }
  }
  fold_parts(&f);
  return f.out;
}

const char *xlm_view_series_name(const xlm_view_series *s, xlm_arena *a) {
  return xlm_arena_printf(a, "%s.%lld\xe2\x80\x93%lld", s->base, (long long)s->low, (long long)s->high);
}
