// The entry point: parse, resolve names, elaborate; marks in order of place.
#include "compiler/inspect/inspect.h"

#include <stdlib.h>
#include <string.h>

#include "compiler/inspect/inspect_priv.h"
#include "compiler/optimizer/optimizer.h"

static int by_place(const void *a, const void *b) { // wider marks first
  const xlm_mark *x = a, *y = b;
  if (x->span.begin != y->span.begin) return x->span.begin < y->span.begin ? -1 : 1;
  if (x->span.end != y->span.end) return x->span.end > y->span.end ? -1 : 1;
  return y->defines - x->defines;
}

// Hoisted declarations are visited twice.
static uint32_t without_repeats(xlm_mark *at, uint32_t n) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < n; i++) {
    const xlm_mark *last = kept ? &at[kept - 1] : NULL;
    if (last && last->span.begin == at[i].span.begin && last->span.end == at[i].span.end) continue;
    at[kept++] = at[i];
  }
  return kept;
}

void xlm_inspect_sort(xlm_inspection *v) {
  if (v->n_marks) qsort(v->marks, v->n_marks, sizeof *v->marks, by_place);
  v->n_marks = without_repeats(v->marks, v->n_marks);
}

const xlm_mark *xlm_inspect_mark(const xlm_inspection *v, uint32_t offset) {
  uint32_t low = 0, high = v->n_marks; // the first mark that begins after the offset
  while (low < high) {
    uint32_t mid = low + (high - low) / 2;
    if (v->marks[mid].span.begin <= offset)
      low = mid + 1;
    else
      high = mid;
  }
  // marks do not overlap; at the border of two the one that begins there
  if (!low) return NULL;
  const xlm_mark *m = &v->marks[low - 1];
  if (offset <= m->span.end && (offset < m->span.end || m->span.begin < offset)) return m;
  return NULL;
}

uint32_t xlm_inspect_scope(const xlm_inspection *v, uint32_t offset) {
  uint32_t best = XLM_SCOPE_TOP;
  for (uint32_t i = XLM_SCOPE_TOP + 1; i < v->n_scopes; i++) // inner scopes come after outer ones
    if (v->scopes[i].span.begin <= offset && offset <= v->scopes[i].span.end) best = i;
  return best;
}

// Groups are checked where a plan is made; an editor shows their errors at once.
static void check_groups(const xlm_inspection *v, xlm_diags *d) {
  const xlm_train_options o = {.optimizer = "adamw"};
  if (!d->errors && v->graph) (void)xlm_optimizer_check(v->graph, &o, d);
}

static bool has_preset(const xlm_ast *ast, const char *name) {
  const xlm_stmt *s = ast->stmts;
  while (s && (!name || s->kind != XLM_STMT_PRESET || strcmp(s->name->text, name) != 0)) s = s->next;
  return s != NULL;
}

const xlm_inspection *xlm_inspect(xlm_arena *a, const xlm_source *source, const char *preset) {
  xlm_inspection *v = XLM_NEW(a, xlm_inspection);
  xlm_diags other;
  v->source = source;
  xlm_diags_init(&v->diags, a, source);
  xlm_diags_init(&other, a, source);
  v->ast = xlm_parse(a, source, &v->diags);
  xlm_walk w = {.v = v, .arena = a};
  xlm_walk_all(&w);
  xlm_inspect_sort(v);
  xlm_walk_paths(&w);
  xlm_inspect_sort(v);
  xlm_elaborate_options o = {.preset = has_preset(v->ast, preset) ? preset : NULL,
                             .dtype = XLM_F32,
                             .training = true,
                             .dump_only = true,
                             .seen = &v->seen};
  // after syntax errors, errors in the rest would be about what is missing from it
  xlm_diags *d = v->diags.errors ? &other : &v->diags;
  v->graph = xlm_elaborate(a, v->ast, &o, d);
  check_groups(v, d);
  return v;
}
