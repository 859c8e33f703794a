// Adapters of low rank: a product x @ w of a matching parameter becomes x @ w + scale * ((x @ a) @ b).
//
// a has the dimensions of w that the product sums over, and the rank; b the rank, and those of w that are
// left. Dimensions that both operands keep, such as experts, stand in both. They are parameters like others:
// their layouts, gradients and communication follow from the names of their dimensions. b is 0 at first, so
// the model begins as it is; a is drawn from +-1 / sqrt(size of what is summed), as the layers of other tools
// are.
#include "compiler/pass/lora.h"

#include <math.h>
#include <string.h>

#include "compiler/pass/pass_priv.h"

typedef struct adapter { // of a parameter
  const xlm_lora *of;    // NULL: none
  xlm_type a, b;         // without the rank
  bool used;
  xlm_val a_val, b_val; // in the new graph
} adapter;

typedef struct adapting {
  const xlm_graph *g;
  xlm_graph *out;
  xlm_arena *arena; // scratch
  const xlm_lora *list;
  int n;
  adapter *at; // by value of g: of parameters, and of their casts
  xlm_val *map;
  xlm_build b;
  xlm_lora_fault *fault;
} adapting;

static const char *path_of(const adapting *d, xlm_val param) {
  return xlm_attr_text(&xlm_val_node(d->g, param)->attrs, XLM_A_name, "");
}

static bool is_product(const xlm_node_info *n) {
  return xlm_op_facts_of(n->op)->product == XLM_PRODUCT_MATRIX;
}

static bool refuse(adapting *d, xlm_span span, const char *where, const char *text, const char *help) {
  *d->fault =
      (xlm_lora_fault){span, where ? xlm_arena_printf(d->g->arena, "%s: %s", where, text) : text, help};
  return false;
}

// ---- which parameters, and their dimensions ----

static xlm_val param_of(const adapting *d, xlm_val v) { // that v shows, perhaps in another type; 0: none
  const xlm_node_info *n = xlm_val_node(d->g, v);
  if (xlm_casts_parameter(d->g, n)) v = n->in[0], n = xlm_val_node(d->g, v);
  return xlm_node_is(n, XLM_LEAF_PARAMETER) && d->at[v].of ? v : 0;
}

static bool find_parameters(adapting *d) {
  bool *found = XLM_NEW_N(d->arena, bool, d->n);
  for (xlm_node id = 1; id < d->g->n_nodes; id++) {
    const xlm_node_info *n = &d->g->nodes[id];
    if (!xlm_node_is(n, XLM_LEAF_PARAMETER)) continue;
    const xlm_lora *of = xlm_lora_of(d->list, d->n, path_of(d, n->out));
    if (!of || xlm_val_type(d->g, n->out)->rank < 2) continue; // vectors have no smaller rank
    d->at[n->out].of = of;
    found[of - d->list] = true;
  }
  for (int i = 0; i < d->n; i++)
    if (!found[i])
      return refuse(
          d, (xlm_span){0, 0}, d->list[i].where,
          xlm_arena_printf(d->g->arena, "`%.100s` matches no matrix that no pattern before it matches",
                           d->list[i].match),
          "patterns are as those of groups: layers.*.attention.w[qv]; `xlmc plan` lists the parameters");
  return true;
}

// The roles of w's dimensions in its product with x.
static void dims_of(const adapting *d, const xlm_node_info *n, int w, xlm_type *a, xlm_type *b) {
  const xlm_type *t = xlm_val_type(d->g, n->in[w]), *x = xlm_val_type(d->g, n->in[1 - w]);
  xlm_dim over[XLM_MAX_RANK];
  bool given = xlm_attr_find(&n->attrs, XLM_A_over) != NULL;
  int n_over = given ? xlm_attr_dims(&n->attrs, XLM_A_over, over) : 0;
  *a = *b = (xlm_type){.dtype = xlm_val_type(d->g, param_of(d, n->in[w]))->dtype};
  for (int i = 0; i < t->rank; i++) {
    bool shared = xlm_type_find(x, t->dim[i]) >= 0, summed = shared && !given;
    for (int k = 0; k < n_over; k++) summed |= over[k] == t->dim[i];
    if (shared) a->dim[a->rank++] = t->dim[i];
    if (!summed) b->dim[b->rank++] = t->dim[i];
  }
}

static bool same_dims(const xlm_type *x, const xlm_type *y) {
  return x->rank == y->rank && !memcmp(x->dim, y->dim, sizeof x->dim[0] * x->rank);
}

static bool add_use(adapting *d, const xlm_node_info *n, int at) {
  xlm_val p = param_of(d, n->in[at]);
  xlm_type a, b;
  if (!p || xlm_casts_parameter(d->g, n)) return true;
  adapter *x = &d->at[p];
  bool product = is_product(n);
  if (product) dims_of(d, n, at, &a, &b);
  product = product && a.rank && b.rank && (!x->used || (same_dims(&a, &x->a) && same_dims(&b, &x->b)));
  if (!product)
    return refuse(d, n->span, x->of->where,
                  xlm_arena_printf(d->g->arena,
                                   "`%.200s` is used here in another way than as a factor of products that "
                                   "sum over the same dimensions",
                                   path_of(d, p)),
                  "adapters are of such matrices: choose a pattern without this one");
  x->used = true, x->a = a, x->b = b;
  return true;
}

static bool find_uses(adapting *d) {
  for (xlm_node id = 1; id < d->g->n_nodes; id++)
    for (int i = 0; i < d->g->nodes[id].n_in; i++)
      if (!add_use(d, &d->g->nodes[id], i)) return false;
  return true;
}

// ---- the new graph ----

static xlm_val factor(adapting *d, xlm_val param, const char *end, xlm_type t, xlm_init init) {
  const xlm_node_info *n = xlm_val_node(d->g, param);
  const char *name = xlm_arena_printf(d->g->arena, "%s.%s", path_of(d, param), end);
  xlm_attr_list l = xlm_attr_list_new(d->g->arena);
  xlm_attr_put_text(&l, XLM_A_name, name);
  xlm_attr_put_dims(&l, XLM_A_dims, t.dim, t.rank);
  xlm_attr_put_enum(&l, XLM_A_dtype, t.dtype);
  xlm_attr_put(&l, (xlm_attr){.key = XLM_A_init, .init = init});
  xlm_val v = xlm_emit(&d->b, n->op, NULL, 0, &l);
  xlm_val_at(d->out, v)->name = name;
  return v;
}

static xlm_dim rank_dim(const adapting *d, const xlm_lora *of) {
  return xlm_graph_dim(d->out, xlm_arena_printf(d->g->arena, "lora%lld", (long long)of->rank), of->rank);
}

static void add_factors(adapting *d, xlm_val param) {
  adapter *x = &d->at[param];
  xlm_dim rank = rank_dim(d, x->of);
  xlm_type a = x->a, b = {.dtype = x->b.dtype};
  double summed = 1;
  for (int i = 0; i < x->a.rank; i++)
    if (xlm_type_find(&x->b, x->a.dim[i]) < 0) summed *= (double)d->g->dims[x->a.dim[i]].full;
  a.dim[a.rank++] = rank;
  for (int i = 0; i < x->b.rank; i++) // what both keep stands first
    if (xlm_type_find(&x->a, x->b.dim[i]) >= 0) b.dim[b.rank++] = x->b.dim[i];
  b.dim[b.rank++] = rank;
  for (int i = 0; i < x->b.rank; i++)
    if (xlm_type_find(&x->a, x->b.dim[i]) < 0) b.dim[b.rank++] = x->b.dim[i];
  double bound = 1 / sqrt(summed);
  xlm_build_context(&d->b, xlm_val_node(d->g, param));
  x->a_val = factor(d, param, "lora_a", a, (xlm_init){.kind = XLM_INIT_UNIFORM, .x = {-bound, bound}});
  x->b_val = factor(d, param, "lora_b", b, (xlm_init){.kind = XLM_INIT_ZEROS});
}

static void add_product(adapting *d, const xlm_node_info *n, int w) {
  adapter *x = &d->at[param_of(d, n->in[w])];
  xlm_val y = d->map[n->out], in = d->map[n->in[1 - w]];
  xlm_type like = *xlm_val_type(d->out, y);
  xlm_dtype type = xlm_val_type(d->out, d->map[n->in[w]])->dtype;
  xlm_dim over[XLM_MAX_RANK], rank = rank_dim(d, x->of);
  int n_over = 0;
  for (int i = 0; i < x->a.rank; i++)
    if (xlm_type_find(&x->b, x->a.dim[i]) < 0) over[n_over++] = x->a.dim[i];
  xlm_build_context(&d->b, n);
  d->b.phase = n->phase;
  xlm_val small = xlm_contract(&d->b, in, xlm_cast_to(&d->b, x->a_val, type), over, n_over, NULL, -1);
  xlm_val add = xlm_contract(&d->b, small, xlm_cast_to(&d->b, x->b_val, type), &rank, 1, NULL, -1);
  add = xlm_scale(&d->b, xlm_order_to(&d->b, add, &like), x->of->alpha / (double)x->of->rank);
  d->map[n->out] = xlm_op2(&d->b, XLM_OP_ADD, y, xlm_cast_to(&d->b, add, like.dtype));
}

static void copy_nodes(adapting *d) {
  for (xlm_node id = 1; id < d->g->n_nodes; id++) {
    const xlm_node_info *n = &d->g->nodes[id];
    xlm_copy_node(d->out, d->g, id, d->map, d->map);
    if (xlm_node_is(n, XLM_LEAF_PARAMETER) && d->at[n->out].used) add_factors(d, n->out);
    if (!is_product(n)) continue;
    for (int i = 0; i < 2; i++)
      if (param_of(d, n->in[i])) add_product(d, n, i);
  }
}

// ---- names in files ----

// Files of other tools lack the factors: those keep their initial values.
static xlm_plan_weight entry_of(const adapting *d, xlm_val v) {
  const xlm_type *t = xlm_val_type(d->out, v);
  xlm_plan_factor *factors = XLM_NEW_N(d->g->arena, xlm_plan_factor, t->rank);
  for (int i = 0; i < t->rank; i++) factors[i] = (xlm_plan_factor){.group = (uint8_t)i, .dim = t->dim[i], .step = 1};
  const char *name = xlm_val_at(d->out, v)->name;
  return (xlm_plan_weight){.param = name,
                           .external = name,
                           .optional = true,
                           .n_groups = t->rank,
                           .n_factors = t->rank,
                           .factors = factors};
}

static void add_entries(adapting *d) {
  xlm_graph *g = d->out;
  xlm_plan_weight *list = NULL;
  uint32_t n = 0, cap = 0;
  for (uint32_t i = 0; i < g->n_weights; i++) XLM_PUSH(g->arena, list, n, cap, g->weights[i]);
  for (xlm_val v = 1; v < d->g->n_values; v++) {
    if (!d->at[v].a_val) continue;
    XLM_PUSH(g->arena, list, n, cap, entry_of(d, d->at[v].a_val));
    XLM_PUSH(g->arena, list, n, cap, entry_of(d, d->at[v].b_val));
  }
  g->weights = list, g->n_weights = n, g->cap_weights = cap;
}

xlm_graph *xlm_pass_lora(const xlm_graph *g, xlm_arena *a, const xlm_lora *list, int n, xlm_lora_fault *f) {
  adapting d = {.g = g, .arena = a, .list = list, .n = n, .fault = f};
  d.at = XLM_NEW_N(a, adapter, g->n_values);
  d.map = XLM_NEW_N(a, xlm_val, g->n_values);
  if (!find_parameters(&d) || !find_uses(&d)) return NULL;
  d.out = xlm_graph_like(g);
  d.b = xlm_build_new(d.out);
  copy_nodes(&d);
  add_entries(&d);
  xlm_copy_ends(d.out, g, d.map);
  return d.out;
}
