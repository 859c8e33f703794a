// Reads the graph from its text; grammar in README.md. The text is untrusted: every index, count and size is
// checked before the graph's functions see it, and xlm_graph_verify checks the result.
//
// One function per kind of line, in a table; each reads its line through the cursor of text_lex.h, and the
// first error ends the reading. Values are numbered consecutively, which the reader enforces.
#include <math.h>
#include <string.h>

#include "compiler/ir/op.h"
#include "compiler/ir/text_read_priv.h"
#include "runtime/plan/source.h"

enum { MAX_DIMS = 4096, MAX_OPERANDS = 65534, MAX_RESULTS = 8 };
static const int64_t MAX_SIZE = (int64_t)1 << 48; // of a dimension, and of the number of elements of a tensor

static bool at_span(reader *r, xlm_span *out) {
  uint32_t v[4];
  if (!xlm_lex_uint(&r->x, 0, UINT32_MAX, &v[0])) return false;
  if (!xlm_lex_try(&r->x, ":")) {
    if (!xlm_lex_want(&r->x, "..") || !xlm_lex_uint(&r->x, 0, UINT32_MAX, &v[1])) return false;
    *out = (xlm_span){v[0], v[1]};
    return true;
  }
  if (!xlm_lex_uint(&r->x, 1, UINT32_MAX, &v[1]) || !xlm_lex_want(&r->x, "..")) return false;
  if (!xlm_lex_uint(&r->x, 1, UINT32_MAX, &v[2]) || !xlm_lex_want(&r->x, ":")) return false;
  if (!xlm_lex_uint(&r->x, 1, UINT32_MAX, &v[3])) return false;
  uint64_t at[2] = {UINT64_MAX, UINT64_MAX};
  for (int i = 0; i < 2; i++)
    if (v[2 * i] >= 1 && v[2 * i] <= r->lines.n)
      at[i] = (uint64_t)r->lines.start[v[2 * i] - 1] + v[2 * i + 1] - 1;
  if (at[0] > r->lines.bytes || at[1] > r->lines.bytes)
    return xlm_lex_fail(&r->x, "this place is not in the source");
  *out = (xlm_span){(uint32_t)at[0], (uint32_t)at[1]};
  return true;
}

static bool span(reader *r, xlm_span *out) {
  return !xlm_lex_try(&r->x, "@") || at_span(r, out);
}

static bool dim_name(reader *r, const char **name, uint32_t *axes) {
  *axes = 0;
  if (!xlm_lex_word(&r->x, false, name)) return false;
  return !xlm_lex_try(&r->x, "/") || xlm_lex_uint(&r->x, 1, UINT32_MAX, axes);
}

static bool dim(reader *r, xlm_dim *out) {
  const char *name;
  uint32_t axes;
  if (!dim_name(r, &name, &axes)) return false;
  *out = xlm_graph_dim_find(r->g, name, axes);
  if (!*out)
    return xlm_lex_fail(&r->x, "there is no dimension `%.100s`%s", name, axes ? " split like this" : "");
  return true;
}

bool xlm_text_dims(reader *r, xlm_dim *out, uint8_t *n) {
  *n = 0;
  if (!xlm_lex_want(&r->x, "[")) return false;
  if (xlm_lex_try(&r->x, "]")) return true;
  do {
    if (*n == XLM_MAX_RANK) return xlm_lex_fail(&r->x, "more than %d dimensions", XLM_MAX_RANK);
    if (!dim(r, &out[(*n)++])) return false;
  } while (xlm_lex_try(&r->x, ","));
  return xlm_lex_want(&r->x, "]");
}

bool xlm_text_named(reader *r, xlm_enum set, int *out) {
  const char *name;
  if (!xlm_lex_word(&r->x, false, &name)) return false;
  if (xlm_enum_find(set, name, out)) return true;
  xlm_text names = xlm_text_new(r->arena);
  xlm_enum_list(set, 0, &names);
  return xlm_lex_fail(&r->x, "no %s is called `%.100s`: there are %s", xlm_enum_what(set), name, names.data);
}

static bool handle(reader *r, xlm_val *out) {
  return xlm_lex_want(&r->x, "%") && xlm_lex_uint(&r->x, 1, UINT32_MAX - 1, out);
}

static bool defined(reader *r, xlm_val *out) {
  if (!handle(r, out)) return false;
  return *out < r->g->n_values || xlm_lex_fail(&r->x, "%%%u is not defined yet", *out);
}

static bool type(reader *r, xlm_type *t) {
  int dtype;
  if (!xlm_text_named(r, XLM_ENUM_DTYPE, &dtype)) return false;
  t->dtype = (xlm_dtype)dtype;
  if (!xlm_text_dims(r, t->dim, &t->rank)) return false;
  int64_t elements = 1;
  for (int i = 0; i < t->rank; i++) {
    int64_t size = r->g->dims[t->dim[i]].size;
    if (size > 1 && elements > MAX_SIZE / size)
      return xlm_lex_fail(&r->x, "a tensor of more than 2^48 elements");
    if (size > 1) elements *= size;
  }
  return true;
}

static bool result(reader *r, xlm_node_info *n) {
  xlm_val v;
  xlm_value at = {.def = r->g->n_nodes};
  if (!handle(r, &v)) return false;
  if (v != r->g->n_values) return xlm_lex_fail(&r->x, "%%%u stands where %%%u should", v, r->g->n_values);
  if (!xlm_lex_try(&r->x, ":"))
    if (!xlm_lex_word(&r->x, true, &at.name) || !xlm_lex_want(&r->x, ":")) return false;
  if (!type(r, &at.type)) return false;
  if (xlm_lex_try(&r->x, "partial") && !xlm_lex_uint(&r->x, 1, UINT32_MAX, &at.partial)) return false;
  if (xlm_lex_try(&r->x, "by") && !handle(r, &at.ragged_by)) return false;
  if (n->n_out++ == MAX_RESULTS) return xlm_lex_fail(&r->x, "more than %d results", MAX_RESULTS);
  XLM_PUSH(r->g->tables, r->g->values, r->g->n_values, r->g->cap_values, at);
  return true;
}

static bool operands(reader *r, xlm_node_info *n, xlm_val end) {
  xlm_val *at = NULL;
  uint32_t count = 0, cap = 0;
  if (!xlm_lex_want(&r->x, "(")) return false;
  while (!r->x.failed && !xlm_lex_try(&r->x, ")")) {
    xlm_val v;
    if (count && !xlm_lex_want(&r->x, ",")) return false;
    if (!handle(r, &v)) return false;
    if (v >= end) return xlm_lex_fail(&r->x, "%%%u is not defined yet", v);
    if (count == MAX_OPERANDS) return xlm_lex_fail(&r->x, "more than %d operands", MAX_OPERANDS);
    XLM_PUSH(r->arena, at, count, cap, v);
  }
  n->in = at;
  n->n_in = (uint16_t)count;
  return !r->x.failed;
}

static bool phase(reader *r, xlm_phase *out) {
  for (int p = 0; p < XLM_PHASES; p++)
    if (xlm_lex_try(&r->x, xlm_phase_name((xlm_phase)p))) {
      *out = (xlm_phase)p;
      return true;
    }
  return xlm_lex_fail(&r->x, "expected the phase: fwd, bwd, wgt or step");
}

static bool place(reader *r, xlm_node_info *n) {
  int64_t round = -1, stage = -1;
  if (!span(r, &n->span)) return false;
  if (xlm_lex_try(&r->x, "in") && !xlm_lex_word(&r->x, true, &n->scope)) return false;
  if (xlm_lex_try(&r->x, "round") && !xlm_lex_int(&r->x, INT32_MIN, INT32_MAX, &round)) return false;
  if (xlm_lex_try(&r->x, "stage") && !xlm_lex_int(&r->x, INT16_MIN, INT16_MAX, &stage)) return false;
  n->round = (int32_t)round;
  n->stage = (int16_t)stage;
  n->recompute = xlm_lex_try(&r->x, "recompute");
  return true;
}

static bool read_node(reader *r) {
  xlm_node_info n = {.scope = "", .out = r->g->n_values};
  const char *op;
  if (xlm_lex_try(&r->x, "()")) {
    n.out = 0;
  } else {
    do {
      if (!result(r, &n)) return false;
    } while (xlm_lex_try(&r->x, ","));
  }
  if (!xlm_lex_want(&r->x, "=") || !xlm_lex_word(&r->x, false, &op)) return false;
  n.op = xlm_op_find(op);
  if (!n.op) return xlm_lex_fail(&r->x, "there is no operation `%.100s`", op);
  if (xlm_op_at(n.op)->expand)
    return xlm_lex_fail(&r->x, "`%.100s` exists in models only: graphs have its parts", op);
  if (!operands(r, &n, n.out ? n.out : r->g->n_values) || !xlm_text_attrs(r, &n.attrs)) return false;
  if (!phase(r, &n.phase) || !place(r, &n)) return false;
  XLM_PUSH(r->g->tables, r->g->nodes, r->g->n_nodes, r->g->cap_nodes, n);
  return true;
}

static bool read_model(reader *r) {
  if (!xlm_lex_quoted(&r->x, &r->g->model)) return false;
  if (xlm_lex_try(&r->x, "preset") && !xlm_lex_quoted(&r->x, &r->g->preset)) return false;
  return !xlm_lex_try(&r->x, "weights") || xlm_lex_quoted(&r->x, &r->g->weights_name);
}

static bool read_properties(reader *r) {
  do {
    int p = 0;
    while (p < XLM_PROPERTIES && !xlm_lex_try(&r->x, xlm_property_name((xlm_property_id)p))) p++;
    if (p == XLM_PROPERTIES)
      return xlm_lex_fail(&r->x, "expected a property: %s", xlm_properties_text(r->arena, UINT32_MAX, ", "));
    r->g->properties |= 1u << p;
  } while (xlm_lex_try(&r->x, ","));
  return true;
}

// `source "path" BYTES`, then the lines of the source, each prefixed with a bar.
static bool read_source(reader *r) {
  xlm_source *s = XLM_NEW(r->arena, xlm_source);
  if (!xlm_lex_quoted(&r->x, &s->path) || !xlm_lex_uint(&r->x, 0, UINT32_MAX - 1, &s->n)) return false;
  if (!xlm_lex_end(&r->x)) return false;
  if (s->n > (size_t)(r->x.end - r->x.eol))
    return xlm_lex_fail(&r->x, "the source has fewer than %u bytes", s->n);
  char *text = xlm_arena_alloc(r->arena, (size_t)s->n + 1);
  uint32_t at = 0;
  for (bool more = true; more;) {
    if (!xlm_lex_line(&r->x) || r->x.at == r->x.eol || *r->x.at != '|')
      return xlm_lex_fail(&r->x, "the source has fewer than %u bytes", s->n);
    size_t n = (size_t)(r->x.eol - r->x.at - 1);
    if (n > s->n - at) return xlm_lex_fail(&r->x, "the source has more than %u bytes", s->n);
    memcpy(text + at, r->x.at + 1, n);
    at += (uint32_t)n;
    r->x.at = r->x.eol;
    more = at < s->n;
    if (more) text[at++] = '\n';
    if (more && at == s->n) { // the last line is empty; it has a bar, too
      if (!xlm_lex_line(&r->x) || !xlm_lex_want(&r->x, "|"))
        return xlm_lex_fail(&r->x, "expected an empty line of the source");
      more = false;
    }
  }
  s->text = text;
  r->lines = xlm_lines_of(r->arena, text, s->n);
  s->lines = r->lines.n;
  s->line_start = r->lines.start;
  xlm_source_split(r->arena, s);
  r->g->source = s;
  return true;
}

static bool read_config(reader *r) {
  xlm_plan_config c = {0};
  if (!xlm_lex_word(&r->x, true, &c.name) || !xlm_lex_want(&r->x, ":")) return false;
  if (xlm_lex_try(&r->x, "int"))
    c.kind = XLM_NUMBER_INT;
  else if (xlm_lex_try(&r->x, "bool"))
    c.kind = XLM_NUMBER_BOOL;
  else if (!xlm_lex_want(&r->x, "real"))
    return false;
  if (!xlm_lex_want(&r->x, "=") || !xlm_lex_double(&r->x, &c.value)) return false;
  for (bool more = xlm_lex_try(&r->x, "as"); more; more = xlm_lex_try(&r->x, ",")) {
    if (c.n_aliases == sizeof c.alias / sizeof *c.alias) return xlm_lex_fail(&r->x, "more than 8 names");
    if (!xlm_lex_word(&r->x, true, &c.alias[c.n_aliases++])) return false;
  }
  XLM_PUSH(r->arena, r->g->config, r->g->n_config, r->g->cap_config, c);
  return true;
}

static bool read_dim(reader *r) {
  xlm_dim_info d = {0};
  if (!dim_name(r, &d.name, &d.axes) || !xlm_lex_want(&r->x, "=")) return false;
  if (!*d.name) return xlm_lex_fail(&r->x, "a dimension without a name");
  if (!xlm_lex_int(&r->x, 0, MAX_SIZE, &d.size)) return false;
  d.full = d.size;
  if (xlm_lex_try(&r->x, "of") && !xlm_lex_int(&r->x, 0, MAX_SIZE, &d.full)) return false;
  if (xlm_lex_try(&r->x, "from") && !xlm_lex_int(&r->x, 0, MAX_SIZE, &d.offset)) return false;
  if (xlm_lex_try(&r->x, "then") &&
      (!xlm_lex_int(&r->x, 1, MAX_SIZE, &d.tail) || !xlm_lex_want(&r->x, "from") ||
       !xlm_lex_int(&r->x, 0, MAX_SIZE, &d.tail_offset)))
    return false;
  if (xlm_lex_try(&r->x, "mirrored") && !xlm_lex_uint(&r->x, 1, UINT32_MAX, &d.mirrored)) return false;
  if (xlm_lex_try(&r->x, "by") && !xlm_lex_int(&r->x, 1, MAX_SIZE, &d.grain)) return false;
  d.ragged = xlm_lex_try(&r->x, "ragged");
  if (xlm_graph_dim_find(r->g, d.name, d.axes))
    return xlm_lex_fail(&r->x, "dimension `%.100s` appears twice", d.name);
  if (r->g->n_dims > MAX_DIMS) return xlm_lex_fail(&r->x, "more than %d dimensions", MAX_DIMS);
  xlm_graph_dim_add(r->g, d);
  return true;
}

static bool read_rule(reader *r) {
  xlm_shard_rule s = {0};
  if (!xlm_lex_word(&r->x, true, &s.dim) || !xlm_lex_want(&r->x, "over")) return false;
  for (bool more = !xlm_lex_try(&r->x, "none"); more; more = xlm_lex_try(&r->x, ",")) {
    if (s.n_axes == XLM_MAX_AXES) return xlm_lex_fail(&r->x, "more than %d mesh axes", XLM_MAX_AXES);
    if (!xlm_lex_word(&r->x, true, &s.axis[s.n_axes++])) return false;
  }
  if (xlm_lex_try(&r->x, "where")) s.where_free = xlm_lex_want(&r->x, "free");
  if (!span(r, &s.span)) return false;
  XLM_PUSH(r->arena, r->g->rules, r->g->n_rules, r->g->cap_rules, s);
  return true;
}

static bool read_key(reader *r) {
  xlm_plan_key k = {0};
  if (!xlm_lex_quoted(&r->x, &k.key) || !xlm_lex_want(&r->x, "=") || !xlm_lex_quoted(&r->x, &k.json))
    return false;
  if (!span(r, &k.span)) return false;
  XLM_PUSH(r->arena, r->g->keys, r->g->n_keys, r->g->cap_keys, k);
  return true;
}

static bool factor(reader *r, xlm_plan_factor *f) {
  int64_t n = 0;
  if (!xlm_lex_try(&r->x, "#")) {
    if (!dim(r, &f->dim)) return false;
    f->step = 1;
    return !xlm_lex_try(&r->x, "~") ||
           (xlm_lex_int(&r->x, 1, MAX_SIZE, &f->size) && xlm_lex_want(&r->x, "*") &&
            xlm_lex_int(&r->x, 1, MAX_SIZE, &f->step));
  }
  if (!xlm_lex_int(&r->x, 0, MAX_SIZE, &f->at) || !xlm_lex_want(&r->x, "/")) return false;
  if (!xlm_lex_int(&r->x, 1, MAX_SIZE, &f->of)) return false;
  if (xlm_lex_try(&r->x, "+") && !xlm_lex_int(&r->x, 1, XLM_MAX_FACTORS, &n)) return false;
  f->n = (uint8_t)n;
  return true;
}

static bool factors(reader *r, xlm_plan_weight *w) {
  xlm_plan_factor *f = NULL;
  uint32_t n = 0, cap = 0;
  if (xlm_lex_try(&r->x, "]")) return true;
  do {
    if (w->n_groups == XLM_MAX_RANK) return xlm_lex_fail(&r->x, "more than %d groups", XLM_MAX_RANK);
    do {
      xlm_plan_factor one = {.group = w->n_groups};
      if (n == XLM_MAX_FACTORS) return xlm_lex_fail(&r->x, "more than %d factors", XLM_MAX_FACTORS);
      if (!factor(r, &one)) return false;
      XLM_PUSH(r->arena, f, n, cap, one);
    } while (!xlm_lex_done(&r->x) && *r->x.at != ',' && *r->x.at != ']');
    w->n_groups++;
  } while (xlm_lex_try(&r->x, ","));
  w->factors = f;
  w->n_factors = (uint8_t)n;
  return xlm_lex_want(&r->x, "]");
}

static bool read_weight(reader *r) {
  xlm_plan_weight w = {0};
  if (!xlm_lex_word(&r->x, true, &w.param) || !xlm_lex_want(&r->x, "=")) return false;
  if (!xlm_lex_quoted(&r->x, &w.external)) return false;
  if (xlm_lex_try(&r->x, "each") && !dim(r, &w.each)) return false;
  if (!xlm_lex_want(&r->x, "[") || !factors(r, &w)) return false;
  w.optional = xlm_lex_try(&r->x, "optional");
  XLM_PUSH(r->arena, r->g->weights, r->g->n_weights, r->g->cap_weights, w);
  return true;
}

static bool read_group(reader *r) {
  xlm_param_group g = {.rank = -1, .lr = NAN, .weight_decay = NAN};
  int64_t rank = -1;
  if (!xlm_lex_quoted(&r->x, &g.match)) return false;
  if (xlm_lex_try(&r->x, "rank") && !xlm_lex_int(&r->x, 0, XLM_MAX_RANK, &rank)) return false;
  if (xlm_lex_try(&r->x, "lr") && !xlm_lex_double(&r->x, &g.lr)) return false;
  if (xlm_lex_try(&r->x, "weight_decay") && !xlm_lex_double(&r->x, &g.weight_decay)) return false;
  if (xlm_lex_try(&r->x, "optimizer") && !xlm_lex_quoted(&r->x, &g.optimizer)) return false;
  if (xlm_lex_try(&r->x, "frozen"))
    g.frozen = XLM_FROZEN_YES;
  else if (xlm_lex_try(&r->x, "trained"))
    g.frozen = XLM_FROZEN_NO;
  g.rank = (int)rank;
  if (!span(r, &g.span)) return false;
  XLM_PUSH(r->arena, r->g->groups, r->g->n_groups, r->g->cap_groups, g);
  return true;
}

static bool named(reader *r, xlm_vals *l) {
  const char *name = NULL;
  xlm_val v;
  xlm_span s = {0, 0};
  if (!xlm_lex_try(&r->x, "="))
    if (!xlm_lex_word(&r->x, true, &name) || !xlm_lex_want(&r->x, "=")) return false;
  if (!defined(r, &v) || !span(r, &s)) return false;
  xlm_vals_add(r->g, l, name, v, s);
  return true;
}

static bool read_output(reader *r) {
  return named(r, &r->g->outputs);
}
static bool read_metric(reader *r) {
  return named(r, &r->g->metrics);
}
static bool read_loss(reader *r) {
  return named(r, &r->g->losses);
}

static bool read_update(reader *r) {
  xlm_val state, val;
  if (!defined(r, &state) || !xlm_lex_want(&r->x, "->") || !defined(r, &val)) return false;
  xlm_graph_update(r->g, state, val);
  return true;
}

static const struct {
  const char *keyword;
  bool (*read)(reader *);
} statements[] = {
    {"model", read_model},   {"properties", read_properties},
    {"source", read_source}, {"config", read_config},
    {"key", read_key},       {"dim", read_dim},
    {"shard", read_rule},    {"weight", read_weight},
    {"output", read_output}, {"metric", read_metric},
    {"loss", read_loss},     {"update", read_update},
    {"group", read_group},
};

static bool read_line(reader *r) {
  for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
    if (xlm_lex_try(&r->x, statements[i].keyword)) return statements[i].read(r) && xlm_lex_end(&r->x);
  return read_node(r) && xlm_lex_end(&r->x);
}

xlm_graph *xlm_graph_read(xlm_arena *a, const char *text, size_t n, xlm_error *err) {
  reader r = {.x = xlm_lex_new(a, text, n, err), .arena = a, .g = xlm_graph_new(a, NULL, "")};
  while (xlm_lex_line(&r.x))
    if (!xlm_lex_done(&r.x) && !read_line(&r)) return NULL;
  if (r.x.failed) return NULL;
  const char *wrong = xlm_graph_verify(r.g, a);
  if (!wrong) return r.g;
  xlm_fail(err, XLM_USER, "the IR text is not a valid graph: %s", wrong);
  return NULL;
}
