// Folding: a node belongs to the box of its scope, truncated to the given depth; parameters count towards the
// box that reads them and are not drawn. Of equal blocks the first is drawn. Boxes and edges are in execution
// order.
#include "compiler/report/graph_view.h"

#include <string.h>

#include "compiler/diagnose/source.h"
#include "compiler/ir/op.h"
#include "runtime/plan/traffic.h"

void xlm_view_axes(xlm_text *t, const xlm_mesh *m, uint32_t axes) {
  if (!m || !m->n) {
    xlm_text_printf(t, "%u", axes);
    return;
  }
  bool first = true;
  for (int i = 0; i < m->n; i++) {
    if (!(axes >> i & 1)) continue;
    xlm_text_printf(t, "%s%s", first ? "" : ",", m->axis[i]);
    first = false;
  }
}

void xlm_view_type_text(xlm_text *s, const xlm_type *t, const xlm_dim_info *dims, const xlm_mesh *m) {
  xlm_text_printf(s, "%s[", xlm_dtype_name(t->dtype));
  for (int i = 0; i < t->rank; i++) {
    const xlm_dim_info *d = &dims[t->dim[i]];
    xlm_text_printf(s, "%s%s", i ? ", " : "", d->name);
    if (d->axes) xlm_text_add(s, "/");
    if (d->axes) xlm_view_axes(s, m, d->axes);
    xlm_text_printf(s, " %lld", (long long)d->size);
  }
  xlm_text_add(s, "]");
}

const char *xlm_view_type(const xlm_graph *g, const xlm_graph_view *view, xlm_val v, xlm_arena *a) {
  xlm_text s = xlm_text_new(a);
  xlm_view_type_text(&s, xlm_val_type(g, v), g->dims, view->mesh);
  return s.data;
}

static bool is_comm(const xlm_node_info *n) {
  return xlm_op_facts_of(n->op)->converts_layout;
}

enum { WIRE_VALUES = 4 }; // a collective has at most three operands and one result

uint64_t xlm_view_wire(const xlm_graph *g, const xlm_graph_view *view, xlm_node id) {
  const xlm_node_info *n = &g->nodes[id];
  if (!view->mesh || !is_comm(n) || n->n_in > WIRE_VALUES) return 0;
  xlm_tensor tensors[2 * WIRE_VALUES];
  uint32_t in[WIRE_VALUES], out[WIRE_VALUES];
  for (uint32_t i = 0; i < n->n_in; i++)
    tensors[i] = (xlm_tensor){.type = *xlm_val_type(g, n->in[i])}, in[i] = i;
  for (uint32_t i = 0; i < n->n_out && i < WIRE_VALUES; i++)
    tensors[WIRE_VALUES + i] = (xlm_tensor){.type = *xlm_val_type(g, n->out + i)}, out[i] = WIRE_VALUES + i;
  xlm_instr instr = {
      .op = n->op, .n_in = n->n_in, .n_out = n->n_out, .in = in, .out = out, .attrs = n->attrs};
  int32_t coord[XLM_MAX_AXES] = {0}; // the graph is that of rank 0
  int axis;
  return xlm_traffic_bytes(view->mesh, coord, &instr, tensors, g->dims, &axis);
}

// Length of the first `depth` block names of a scope; the index of a repeat belongs to the name before it.
static size_t cut(const char *scope, int depth) {
  const char *p = scope;
  for (int kept = 0; *p; kept++) {
    if (kept == depth) return (size_t)(p > scope ? p - scope - 1 : 0);
    p += strcspn(p, ".");
    while (*p == '.' && p[1] >= '0' && p[1] <= '9') p += 1 + strcspn(p + 1, ".");
    if (*p == '.') p++;
  }
  return strlen(scope);
}

uint32_t xlm_view_line(const xlm_graph *g, xlm_span s) {
  return !g->source || s.begin == s.end ? 0 : xlm_source_line(g->source, s.begin);
}

const char *xlm_view_line_text(const xlm_graph *g, uint32_t line, xlm_arena *a) {
  const xlm_source *s = g->source;
  const xlm_source_file *f = xlm_source_file_at(s, s->line_start[line - 1]);
  uint32_t in_file = line > f->before ? line - f->before : 1;
  return f == s->files ? xlm_arena_printf(a, "line %u", in_file)
                       : xlm_arena_printf(a, "%s:%u", f->path, in_file);
}

static bool is_state(const xlm_node_info *n) {
  return xlm_op_is_state(n->op) || xlm_node_is(n, XLM_LEAF_CONSTANT);
}

static const char *last_part(const char *name) {
  const char *dot = strrchr(name, '.');
  return dot ? dot + 1 : name;
}

static bool is_parameter(const xlm_graph *g, const char *name) {
  for (xlm_node id = 1; id < g->n_nodes; id++)
    if (xlm_node_is(&g->nodes[id], XLM_LEAF_PARAMETER) &&
        !strcmp(xlm_attr_text(&g->nodes[id].attrs, XLM_A_name, ""), name))
      return true;
  return false;
}

void xlm_view_weights(xlm_text *t, const xlm_graph *g, const xlm_node_info *n) {
  size_t before = t->n;
  for (int i = 0; i < n->n_in; i++) {
    const xlm_node_info *def = xlm_val_node(g, n->in[i]);
    if (!xlm_op_is_leaf(def->op) || xlm_node_is(def, XLM_LEAF_CONSTANT)) continue;
    xlm_text_printf(t, " %s", last_part(xlm_attr_text(&def->attrs, XLM_A_name, "")));
  }
  const char *out = n->n_out ? g->values[n->out].name : NULL;
  if (t->n == before && out && !strncmp(out, "d/", 2) && is_parameter(g, out + 2))
    xlm_text_printf(t, " d/%s", last_part(out + 2));
}

static uint32_t new_box(xlm_folded *f, xlm_arena *a, xlm_view_box b) {
  XLM_PUSH(a, f->boxes, f->n_boxes, f->cap_boxes, b);
  return f->n_boxes - 1;
}

// "contract wq"; of an update, which reads many, the name alone.
static const char *op_label(const xlm_graph *g, const xlm_node_info *n, xlm_arena *a) {
  enum { NAMED = 3 };
  xlm_text t = xlm_text_new(a);
  xlm_text_add(&t, xlm_op_at(n->op)->name);
  if (n->n_in <= NAMED) xlm_view_weights(&t, g, n);
  return t.data;
}

static xlm_view_box describe(const xlm_graph *g, xlm_node id, const xlm_graph_view *view, xlm_arena *a) {
  const xlm_node_info *n = &g->nodes[id];
  xlm_view_box b = {.scope = n->scope,
                    .label = xlm_op_at(n->op)->name,
                    .phase = n->phase,
                    .line = xlm_view_line(g, n->span),
                    .leaf = xlm_node_is(n, XLM_LEAF_INPUT),
                    .comm = is_comm(n)};
  if (!b.leaf && !b.comm) b.label = op_label(g, n, a);
  if (b.leaf) b.label = xlm_attr_text(&n->attrs, XLM_A_name, "input");
  if (b.comm) b.axes = (uint32_t)xlm_attr_int(&n->attrs, XLM_A_axes, 0), b.wire = xlm_view_wire(g, view, id);
  return b;
}

static uint32_t box_of(xlm_folded *f, const xlm_graph *g, xlm_node id, const xlm_graph_view *view,
                       xlm_arena *a) {
  const xlm_node_info *n = &g->nodes[id];
  xlm_view_box b = describe(g, id, view, a);
  if (b.leaf || view->depth < 0 || !*n->scope) return new_box(f, a, b);
  size_t keep = cut(n->scope, view->depth + 1);
  for (uint32_t i = f->n_boxes; i-- > 0;) // of this scope and phase
    if (f->boxes[i].block && f->boxes[i].phase == n->phase && strlen(f->boxes[i].scope) == keep &&
        !strncmp(f->boxes[i].scope, n->scope, keep))
      return i;
  const char *scope = xlm_arena_strndup(a, n->scope, keep);
  return new_box(
      f, a, (xlm_view_box){.scope = scope, .label = scope, .phase = n->phase, .line = b.line, .block = true});
}

static void add_edge(xlm_folded *f, xlm_arena *a, uint32_t from, uint32_t to, xlm_val v) {
  enum { RECENT = 4096 }; // edges into a box are close together; a missed duplicate is only drawn twice
  if (from == to) return;
  for (uint32_t i = f->n_edges; i-- > 0 && f->n_edges - i < RECENT;)
    if (f->edges[i].from == from && f->edges[i].to == to) return;
  xlm_view_edge e = {from, to, v};
  XLM_PUSH(a, f->edges, f->n_edges, f->cap_edges, e);
}

bool xlm_view_shows(const xlm_graph_view *view, const char *scope) {
  size_t n = view->only ? strlen(view->only) : 0;
  return !n || (!strncmp(scope, view->only, n) && (!scope[n] || scope[n] == '.'));
}

// All blocks: the scopes of nodes and their enclosing scopes.
static const char **block_names(const xlm_graph *g, xlm_arena *a, size_t *count) {
  const char **names = NULL, *last = "";
  size_t n = 0, cap = 0;
  for (xlm_node id = 1; id < g->n_nodes; last = g->nodes[id++].scope) {
    const char *scope = g->nodes[id].scope;
    for (size_t k = 1; strcmp(scope, last) && k <= strlen(scope); k++) {
      if (scope[k] && scope[k] != '.') continue;
      const char *name = xlm_arena_strndup(a, scope, k);
      bool known = false;
      for (size_t i = n; i-- > 0 && !known;) known = !strcmp(names[i], name);
      if (!known) XLM_PUSH(a, names, n, cap, name);
    }
  }
  *count = n;
  return names;
}

xlm_status xlm_view_check(const xlm_graph *g, const xlm_graph_view *view, xlm_arena *a, xlm_error *err) {
  enum { LISTED = 6 };
  for (xlm_node id = 1; id < g->n_nodes; id++)
    if (*g->nodes[id].scope && xlm_view_shows(view, g->nodes[id].scope)) return XLM_OK;
  size_t n;
  const char **names = block_names(g, a, &n), *near = n ? xlm_text_nearest(view->only, names, n) : NULL;
  if (near)
    return xlm_fail(err, XLM_USER, "--only %s: there is no such block; did you mean `%s`?", view->only, near);
  xlm_text t = xlm_text_new(a);
  for (size_t i = 0; i < n && i < LISTED; i++) xlm_text_printf(&t, "%s%s", i ? ", " : "", names[i]);
  return xlm_fail(err, XLM_USER, "--only %s: there is no such block; there are %s%s", view->only,
                  n ? t.data : "none", n > LISTED ? ", ..." : "");
}

bool xlm_view_draws(const xlm_node_info *n, const xlm_graph_view *view) {
  return !is_state(n) && xlm_view_shows(view, n->scope);
}

// Of a node that another is drawn for: what enters its round from elsewhere. Edges between rounds are left
// out.
static void add_inputs(xlm_folded *f, const xlm_graph *g, const xlm_view_equal *e, const uint32_t *box,
                       xlm_node id, xlm_arena *a) {
  const xlm_node_info *n = &g->nodes[id];
  for (int i = 0; i < n->n_in; i++) {
    xlm_node def = g->values[n->in[i]].def;
    bool inner = e->series[id] && e->series[def] == e->series[id];
    if (box[def] == box[id]) continue; // one of equal ops reads another
    if (e->as[id] == id && xlm_node_is(&g->nodes[def], XLM_LEAF_PARAMETER))
      f->boxes[box[id]].parameters += (double)xlm_type_elements(xlm_val_type(g, n->in[i]), g->dims);
    if (box[def] != UINT32_MAX && (!inner || (e->copy[id] == e->copy[def] && e->as[id] == id)))
      add_edge(f, a, box[def], box[id], n->in[i]);
  }
}

static uint32_t split_axes(const xlm_graph *g, const xlm_node_info *n) {
  uint32_t axes = 0;
  for (int i = 0; i < n->n_out; i++) {
    const xlm_type *t = xlm_val_type(g, n->out + (xlm_val)i);
    for (int k = 0; k < t->rank; k++) axes |= g->dims[t->dim[k]].axes;
  }
  return axes;
}

// A collective or message inside of a block.
static void add_comm(xlm_view_box *b, const xlm_graph *g, xlm_node id, const xlm_graph_view *view) {
  uint32_t axes = (uint32_t)xlm_attr_int(&g->nodes[id].attrs, XLM_A_axes, 0);
  int k = 0;
  while (k < b->n_inside && b->inside[k].axes != axes) k++;
  if (k == XLM_VIEW_COMM) return;
  if (k == b->n_inside) b->inside[b->n_inside++] = (xlm_view_comm){.axes = axes};
  b->inside[k].n++;
  b->inside[k].wire += xlm_view_wire(g, view, id);
}

static void add_node(xlm_folded *f, const xlm_graph *g, const xlm_view_equal *e, uint32_t *box, xlm_node id,
                     const xlm_graph_view *view, xlm_arena *a) {
  box[id] = box_of(f, g, id, view, a);
  xlm_view_box *b = &f->boxes[box[id]];
  xlm_cost c;
  xlm_op_cost(g, id, &c);
  uint32_t times = b->block && e->parts[id] ? e->parts[id] : 1; // a box of one op says how many it stands for
  b->nodes += times;
  b->model_flops += times * c.model_flops;
  b->split |= split_axes(g, &g->nodes[id]);
  if (b->block && is_comm(&g->nodes[id])) add_comm(b, g, id, view);
  if (!b->block) b->parts = e->parts[id];
  if (e->series[id]) b->series = &e->at[e->series[id] - 1];
}

// "layers.0–31.moe.loss" of the result of equal blocks.
static const char *result_name(const xlm_view_equal *e, xlm_node def, const char *name, xlm_arena *a) {
  if (!name) return "loss";
  if (!e->series[def]) return name;
  const xlm_view_series *s = &e->at[e->series[def] - 1];
  size_t base = strlen(s->base);
  if (strncmp(name, s->base, base) || name[base] != '.') return name;
  const char *rest = name + base + 1 + strspn(name + base + 1, "0123456789");
  return xlm_arena_printf(a, "%s%s", xlm_view_series_name(s, a), rest);
}

static void add_results(xlm_folded *f, const xlm_graph *g, const xlm_view_equal *e, const uint32_t *box,
                        const xlm_vals *list, xlm_arena *a) {
  for (uint32_t i = 0; i < list->n; i++) {
    xlm_node def = g->values[list->at[i].val].def;
    if (box[def] == UINT32_MAX || e->as[def] != def) continue;
    uint32_t to = new_box(
        f, a, (xlm_view_box){.scope = "", .label = result_name(e, def, list->at[i].name, a), .leaf = true});
    f->boxes[to].phase = f->boxes[box[def]].phase;
    add_edge(f, a, box[def], to, list->at[i].val);
  }
}

xlm_folded xlm_view_fold(const xlm_graph *g, const xlm_graph_view *view, xlm_arena *a) {
  xlm_folded f = {0};
  xlm_view_equal e = xlm_view_find_equal(g, view, a);
  uint32_t *box = XLM_NEW_N(a, uint32_t, g->n_nodes);
  for (xlm_node id = 0; id < g->n_nodes; id++) {
    box[id] = UINT32_MAX;
    if (id == 0 || !xlm_view_draws(&g->nodes[id], view)) continue;
    if (e.as[id] == id)
      add_node(&f, g, &e, box, id, view, a);
    else
      box[id] = box[e.as[id]];
    add_inputs(&f, g, &e, box, id, a);
  }
  add_results(&f, g, &e, box, &g->losses, a);
  add_results(&f, g, &e, box, &g->outputs, a);
  return f;
}
