// The mesh of a run. Axes that every model may use have flags; a model may name others in its shard rules.
// The order is fixed, outermost first, so that tp, which communicates most, is within a host.
#include <stdlib.h>
#include <string.h>

#include "runtime/plan/mesh.h"
#include "tools/common/request.h"

static const struct {
  const char *name;
  xlm_setting_id id;
} known[] = {
    {"pp", XLM_SET_pp}, {"dp", XLM_SET_dp}, {"ep", XLM_SET_ep}, {"cp", XLM_SET_cp}, {"tp", XLM_SET_tp}};
enum { KNOWN = sizeof known / sizeof *known };

typedef struct own_axis { // an entry of --mesh
  const char *name, *where;
  int64_t size;
} own_axis;

static xlm_status read_own(const xlm_run_settings *s, int i, own_axis *out, xlm_error *err) {
  const char *text = s->value[XLM_SET_mesh].list[i];
  out->where = s->value[XLM_SET_mesh].origin[i].where;
  const char *equals = strchr(text, '=');
  char *end = NULL;
  out->size = equals ? strtoll(equals + 1, &end, 10) : 0;
  if (!equals || equals == text || end == equals + 1 || *end || out->size < 1 || out->size > 65536)
    return xlm_fail(err, XLM_USER, "%s: '%s' is no mesh axis; write NAME=SIZE, as in --mesh rows=2",
                    out->where, text);
  out->name = xlm_arena_strndup(s->arena, text, (size_t)(equals - text));
  return XLM_OK;
}

// ---- axes named by the model's shard rules ----

typedef struct names {
  xlm_arena *arena;
  const char **at;
  size_t n, cap;
} names;

static void add_names(names *all, const xlm_ast_name *list) {
  for (; list; list = list->next) XLM_PUSH(all->arena, all->at, all->n, all->cap, list->text);
}

static void add_axes(names *all, const xlm_stmt *x) {
  for (; x; x = x->next) {
    bool has_dims = x->kind == XLM_STMT_PARAM || x->kind == XLM_STMT_INPUT || x->kind == XLM_STMT_STATE;
    if (x->kind == XLM_STMT_SHARD) add_names(all, x->shard.axes);
    for (const xlm_ast_dim *d = has_dims ? x->tensor.dims : NULL; d; d = d->next) add_names(all, d->over);
    if (x->kind == XLM_STMT_BLOCK) add_axes(all, x->block.body);
    if (x->kind == XLM_STMT_REPEAT) add_axes(all, x->repeat.body);
    if (x->kind != XLM_STMT_IF) continue;
    add_axes(all, x->cond.then);
    add_axes(all, x->cond.otherwise);
  }
}

static bool is_known(const char *name) {
  for (int i = 0; i < KNOWN; i++)
    if (!strcmp(known[i].name, name)) return true;
  return false;
}

static xlm_status check_named(const xlm_run_settings *s, const xlm_ast *ast, const char *where,
                              const char *axis, xlm_error *err) {
  names all = {.arena = s->arena};
  if (!ast) return XLM_OK;
  add_axes(&all, ast->stmts);
  for (size_t i = 0; i < all.n; i++)
    if (!strcmp(all.at[i], axis)) return XLM_OK;
  const char *near = is_known(axis) ? NULL : xlm_text_nearest(axis, all.at, all.n);
  if (near)
    return xlm_fail(err, XLM_USER,
                    "%s: no rule of the model splits anything over the mesh axis '%s'; did you mean '%s'?",
                    where, axis, near);
  return xlm_fail(
      err, XLM_USER,
      "%s: no rule of the model splits anything over the mesh axis '%s': its ranks would all do the "
      "same; a line `shard DIMENSION over %s` in the model would split one",
      where, axis, axis);
}

// ---- the mesh ----

static xlm_status add_axis(xlm_mesh *m, const char *name, int64_t size, xlm_error *err) {
  if (size <= 1) return XLM_OK;
  if (m->n == XLM_MAX_AXES)
    return xlm_fail(err, XLM_USER, "a mesh has at most %d axes with more than one rank", XLM_MAX_AXES);
  m->axis[m->n] = name;
  m->size[m->n++] = (int32_t)size;
  if (xlm_mesh_ranks(m) <= XLM_MAX_RANKS) return XLM_OK;
  return xlm_fail(err, XLM_USER, "the mesh has more than %d ranks", XLM_MAX_RANKS);
}

// --mesh dp=2 is equivalent to --dp 2.
static xlm_status size_of(const xlm_run_settings *s, const own_axis *own, int n, int which, int64_t *size,
                          xlm_error *err) {
  *size = xlm_setting_int(s, known[which].id);
  for (int i = 0; i < n; i++) {
    if (strcmp(own[i].name, known[which].name)) continue;
    if (xlm_setting_given(s, known[which].id) && *size > 1 && *size != own[i].size)
      return xlm_fail(err, XLM_USER, "the mesh axis '%s' is given twice: %lld and %lld", own[i].name,
                      (long long)*size, (long long)own[i].size);
    *size = own[i].size;
  }
  return XLM_OK;
}

static const char *where_of(const xlm_run_settings *s, int which) {
  const xlm_setting_value *v = &s->value[known[which].id];
  return v->where && strcmp(v->where, "default") ? v->where : s->value[XLM_SET_mesh].where;
}

static xlm_status add_own(const xlm_run_settings *s, const xlm_ast *ast, const own_axis *own, int n,
                          xlm_mesh *m, xlm_error *err) {
  for (int i = 0; i < n; i++) {
    if (is_known(own[i].name)) continue;
    XLM_TRY(check_named(s, ast, own[i].where, own[i].name, err));
    XLM_TRY(add_axis(m, own[i].name, own[i].size, err));
  }
  return XLM_OK;
}

xlm_status xlm_request_mesh(const xlm_run_settings *s, const xlm_ast *ast, xlm_mesh *m, xlm_error *err) {
  const xlm_setting_value *v = &s->value[XLM_SET_mesh];
  own_axis *own = XLM_NEW_N(s->arena, own_axis, v->n);
  *m = (xlm_mesh){0};
  for (int i = 0; i < v->n; i++) XLM_TRY(read_own(s, i, &own[i], err));
  for (int i = 0; i < KNOWN; i++) {
    int64_t size;
    if (i == KNOWN - 1) XLM_TRY(add_own(s, ast, own, v->n, m, err));
    XLM_TRY(size_of(s, own, v->n, i, &size, err));
    bool cuts = !strcmp(known[i].name, "pp"); // pp needs a `repeat` instead: see the pipeline
    if (size > 1 && !cuts) XLM_TRY(check_named(s, ast, where_of(s, i), known[i].name, err));
    XLM_TRY(add_axis(m, known[i].name, size, err));
  }
  return XLM_OK;
}

int64_t xlm_request_axis(const xlm_mesh *m, const char *name) {
  int i = xlm_mesh_axis(m, name);
  return i < 0 ? 1 : m->size[i];
}

const char *xlm_request_mesh_text(xlm_arena *a, const xlm_mesh *m) {
  xlm_text t = xlm_text_new(a);
  for (int i = 0; i < m->n; i++) xlm_text_printf(&t, "%s%s %d", i ? " x " : "", m->axis[i], m->size[i]);
  return m->n ? t.data : "1 rank";
}
