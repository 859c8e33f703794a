// Type, size, layout and cost of what stands at a place: one paragraph per type that it has, over all rounds
// and calls.
#include <string.h>

#include "compiler/inspect/inspect_priv.h"

enum { MOST_TYPES = 4 };

typedef struct group { // records of one type
  const xlm_seen *first, *last;
  uint32_t n;
  double flops, bytes, parameters; // of the first
  double all_flops, all_parameters;
} group;

static bool same_type(const xlm_inspection *v, const xlm_seen *a, const xlm_seen *b) {
  if (!a->val || !b->val) return !a->val && !b->val && a->number == b->number;
  const xlm_type *s = xlm_val_type(v->graph, a->val), *t = xlm_val_type(v->graph, b->val);
  return s->dtype == t->dtype && s->rank == t->rank && !memcmp(s->dim, t->dim, s->rank * sizeof *s->dim);
}

static void add_cost(const xlm_inspection *v, const xlm_seen *r, group *g) {
  double flops = 0, bytes = 0, parameters = 0;
  for (xlm_node n = r->first; n < r->end && n < v->graph->n_nodes; n++) {
    const xlm_node_info *node = xlm_node_at(v->graph, n);
    xlm_cost c = {0};
    if (xlm_node_is(node, XLM_LEAF_PARAMETER))
      parameters += (double)xlm_type_elements(xlm_val_type(v->graph, node->out), v->graph->dims);
    else if (!xlm_op_is_leaf(node->op))
      xlm_op_cost(v->graph, n, &c);
    flops += c.flops;
    bytes += c.bytes;
  }
  if (!g->n) g->flops = flops, g->bytes = bytes, g->parameters = parameters;
  g->all_flops += flops;
  g->all_parameters += parameters;
}

static int collect(const xlm_inspection *v, xlm_span span, group groups[MOST_TYPES]) {
  int n = 0;
  for (uint32_t i = 0; v->graph && i < v->seen.n; i++) {
    const xlm_seen *r = &v->seen.at[i];
    if (r->span.begin != span.begin || r->span.end != span.end) continue;
    int k = 0;
    while (k < n && !same_type(v, groups[k].first, r)) k++;
    if (k == MOST_TYPES) continue;
    if (k == n) groups[n++] = (group){.first = r};
    add_cost(v, r, &groups[k]);
    groups[k].last = r;
    groups[k].n++;
  }
  return n;
}

// --- text

static void flops(xlm_text *t, double f) {
  static const char *const units[] = {"", "K", "M", "G", "T", "P"};
  int k = 0;
  while (f >= 1000 && k < 5) f /= 1000, k++;
  xlm_text_printf(t, "%.3g %sFLOP", f, units[k]);
}

static void type(const xlm_inspection *v, const xlm_seen *r, xlm_text *t) {
  const xlm_type *y = xlm_val_type(v->graph, r->val);
  const xlm_dim_info *dims = v->graph->dims;
  xlm_text_printf(t, "`%s[", xlm_dtype_name(y->dtype));
  for (int i = 0; i < y->rank; i++)
    xlm_text_printf(t, "%s%s%s %lld", i ? ", " : "", dims[y->dim[i]].name,
                    dims[y->dim[i]].ragged ? " <=" : "", (long long)dims[y->dim[i]].full);
  double elements = (double)xlm_type_elements(y, dims);
  xlm_text_printf(t, "]`, %s element%s, %s", xlm_text_count(t->arena, elements), elements == 1 ? "" : "s",
                  xlm_text_bytes(t->arena, xlm_type_bytes(y, dims)));
}

static const xlm_shard_rule *rule_of(const xlm_graph *g, const char *dim) {
  for (uint32_t i = 0; i < g->n_rules; i++)
    if (!strcmp(g->rules[i].dim, dim)) return &g->rules[i];
  return NULL;
}

static void axes(xlm_text *t, const char *const *axis, int n, bool where_free) {
  for (int i = 0; i < n; i++) xlm_text_printf(t, "%s%s", i ? ", " : " over ", axis[i]);
  if (where_free) xlm_text_add(t, " where free");
}

static void layout(const xlm_inspection *v, const xlm_seen *r, xlm_text *t) {
  const xlm_graph *g = v->graph;
  const xlm_type *y = xlm_val_type(g, r->val);
  const xlm_attrs *attrs = &xlm_val_node(g, r->val)->attrs;
  int split = 0;
  for (int i = 0; i < y->rank; i++) {
    const char *dim = g->dims[y->dim[i]].name;
    const xlm_override *own = xlm_override_of(attrs, dim);
    const xlm_shard_rule *rule = rule_of(g, dim);
    if (own ? !own->n_axes : !rule || !rule->n_axes) continue;
    xlm_text_printf(t, "%s`%s`", split++ ? "; " : "\n\nMay be split: ", dim);
    if (own)
      axes(t, own->axis, own->n_axes, false);
    else
      axes(t, rule->axis, rule->n_axes, rule->where_free);
  }
  if (!split && y->rank) xlm_text_add(t, "\n\nIt is whole on every rank.");
}

static void cost(const group *g, xlm_text *t) {
  bool one = g->first->end - g->first->first == 1;
  if (g->flops > 0 || g->bytes > 0) {
    xlm_text_add(t, one ? "\n\nForward: " : "\n\nForward, all operations in it: ");
    if (g->flops > 0) flops(t, g->flops);
    xlm_text_printf(t, "%sat least %s read and written", g->flops > 0 ? ", " : "",
                    xlm_text_bytes(t->arena, (uint64_t)g->bytes));
  }
  if (g->parameters > 0) xlm_text_printf(t, "\n\n%s parameters", xlm_text_count(t->arena, g->parameters));
  if (g->n < 2) return;
  xlm_text_printf(t, "\n\n%u times", g->n);
  if (*g->first->path) xlm_text_printf(t, ", `%s` to `%s`", g->first->path, g->last->path);
  bool any = g->all_flops > 0 || g->all_parameters > 0;
  if (any) xlm_text_add(t, ": ");
  if (g->all_flops > 0) flops(t, g->all_flops);
  if (g->all_parameters > 0)
    xlm_text_printf(t, "%s%s parameters", g->all_flops > 0 ? ", " : "",
                    xlm_text_count(t->arena, g->all_parameters));
  if (any) xlm_text_add(t, " in all");
}

static void number(const xlm_seen *r, xlm_text *t) {
  xlm_text_add(t, "`");
  if (r->integer)
    xlm_text_printf(t, "%lld", (long long)r->number);
  else
    xlm_text_double(t, r->number);
  xlm_text_add(t, "`");
}

// An index or another number with a value per round.
static bool range(const xlm_inspection *v, xlm_span span, xlm_text *t) {
  const xlm_seen *first = NULL, *last = NULL;
  bool differ = false;
  for (uint32_t i = 0; i < v->seen.n; i++) {
    const xlm_seen *r = &v->seen.at[i];
    if (r->span.begin != span.begin || r->span.end != span.end) continue;
    if (r->val) return false;
    if (!first) first = r;
    differ |= r->number != first->number;
    last = r;
  }
  if (!differ) return false;
  number(first, t);
  xlm_text_add(t, " to ");
  number(last, t);
  return true;
}

bool xlm_inspect_facts(const xlm_inspection *v, xlm_span span, xlm_text *t) {
  group groups[MOST_TYPES] = {0};
  int n = collect(v, span, groups);
  if (n && range(v, span, t)) return true;
  for (int i = 0; i < n; i++) {
    if (i) xlm_text_add(t, "\n\n");
    if (groups[i].first->val) {
      type(v, groups[i].first, t);
      layout(v, groups[i].first, t);
      cost(&groups[i], t);
    } else {
      number(groups[i].first, t);
    }
  }
  return n > 0;
}
