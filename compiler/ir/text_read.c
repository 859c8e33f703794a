// Reads the graph from its text; grammar in README.md. The text is untrusted: every index, count and size is
// checked before the graph's functions see it, and xlm_graph_verify checks the result.
//
// One function per kind of line, in a table (text_read_lines.c has most); each reads its line through the
// cursor of text_lex.h, and the first error ends the reading. Values are numbered consecutively, which the
// reader enforces.
#include <string.h>

#include "compiler/ir/text_read_priv.h"
#include "runtime/plan/source.h"

// ---- parts of lines ----

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

bool xlm_text_span(reader *r, xlm_span *out) {
  return !xlm_lex_try(&r->x, "@") || at_span(r, out);
}

bool xlm_text_dim_name(reader *r, const char **name, uint32_t *axes) {
  *axes = 0;
  if (!xlm_lex_word(&r->x, false, name)) return false;
  return !xlm_lex_try(&r->x, "/") || xlm_lex_uint(&r->x, 1, UINT32_MAX, axes);
}

bool xlm_text_dim(reader *r, xlm_dim *out) {
  const char *name;
  uint32_t axes;
  if (!xlm_text_dim_name(r, &name, &axes)) return false;
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
    if (!xlm_text_dim(r, &out[(*n)++])) return false;
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

bool xlm_text_handle(reader *r, xlm_val *out) {
  return xlm_lex_want(&r->x, "%") && xlm_lex_uint(&r->x, 1, UINT32_MAX - 1, out);
}

static bool defined(reader *r, xlm_val *out) {
  if (!xlm_text_handle(r, out)) return false;
  return *out < r->g->n_values || xlm_lex_fail(&r->x, "%%%u is not defined yet", *out);
}

// ---- the model and its source ----

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

// ---- results ----

static bool named(reader *r, xlm_vals *l) {
  const char *name = NULL;
  xlm_val v;
  xlm_span s = {0, 0};
  if (!xlm_lex_try(&r->x, "="))
    if (!xlm_lex_word(&r->x, true, &name) || !xlm_lex_want(&r->x, "=")) return false;
  if (!defined(r, &v) || !xlm_text_span(r, &s)) return false;
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

// ---- the text ----

static const struct {
  const char *keyword;
  bool (*read)(reader *);
} statements[] = {
    {"model", read_model},
    {"properties", read_properties},
    {"source", read_source},
    {"config", xlm_text_config_line},
    {"key", xlm_text_key_line},
    {"dim", xlm_text_dim_line},
    {"shard", xlm_text_shard_line},
    {"weight", xlm_text_weight_line},
    {"output", read_output},
    {"metric", read_metric},
    {"loss", read_loss},
    {"update", read_update},
    {"group", xlm_text_group_line},
};

static bool read_line(reader *r) {
  for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
    if (xlm_lex_try(&r->x, statements[i].keyword)) return statements[i].read(r) && xlm_lex_end(&r->x);
  return xlm_text_node(r) && xlm_lex_end(&r->x);
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
