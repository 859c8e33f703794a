// Diagnostics as data: the list that passes push to, and the table of codes.
#include "compiler/diagnose/diag.h"

#include <stdio.h>
#include <string.h>

enum severity { severity_error, severity_warning };

#define LETTER_error "E"
#define LETTER_warning "W"

static const struct {
  const char *code;
  enum severity severity;
  const char *meaning;
} codes[] = {
#define XLM_DIAG(id, number, severity, meaning) {LETTER_##severity "0" #number, severity_##severity, meaning},
#include "compiler/diagnose/diag.def"
#undef XLM_DIAG
};

void xlm_diags_init(xlm_diags *d, xlm_arena *a, const xlm_source *source) {
  *d = (xlm_diags){.arena = a, .source = source};
}

static bool is_repeat(const xlm_diags *d, xlm_diag_id id, xlm_span primary) {
  for (uint32_t i = 0; i < d->n; i++) {
    const xlm_diag *g = &d->at[i];
    if (g->id == id && g->n_labels && g->labels[0].span.begin == primary.begin &&
        g->labels[0].span.end == primary.end)
      return true;
  }
  return false;
}

static const char *format(xlm_arena *a, const char *fmt, va_list ap) {
  va_list again;
  va_copy(again, ap);
  int n = vsnprintf(NULL, 0, fmt, ap);
  char *text = xlm_arena_alloc(a, (size_t)(n > 0 ? n : 0) + 1);
  vsnprintf(text, (size_t)(n > 0 ? n : 0) + 1, fmt, again);
  va_end(again);
  return text;
}

// Returns a scratch diagnostic, to which labels can be added without effect.
static xlm_diag *drop(xlm_diags *d) {
  d->dropped = (xlm_diag){.id = XLM_DIAG_COUNT};
  return &d->dropped;
}

xlm_diag *xlm_diag_push(xlm_diags *d, xlm_diag_id id, xlm_span primary, const char *fmt, ...) {
  bool error = xlm_diag_is_error(id), placed = primary.begin < primary.end;
  uint32_t *count = error ? &d->errors : &d->warnings;
  if (placed && *count < XLM_DIAG_MAX_ERRORS && is_repeat(d, id, primary)) return drop(d);
  if (*count >= XLM_DIAG_MAX_ERRORS) {
    d->suppressed = true;
    return drop(d);
  }
  xlm_diag g = {.id = id};
  va_list ap;
  va_start(ap, fmt);
  g.text = format(d->arena, fmt, ap);
  va_end(ap);
  if (placed) g.labels[g.n_labels++].span = primary;
  XLM_PUSH(d->arena, d->at, d->n, d->cap, g);
  ++*count;
  return &d->at[d->n - 1];
}

void xlm_diag_label(xlm_diags *d, xlm_diag *g, xlm_span span, const char *fmt, ...) {
  if (g->id == XLM_DIAG_COUNT || g->n_labels == XLM_DIAG_MAX_LABELS || span.begin >= span.end) return;
  va_list ap;
  va_start(ap, fmt);
  g->labels[g->n_labels++] = (xlm_label){span, format(d->arena, fmt, ap)};
  va_end(ap);
}

void xlm_diag_primary(xlm_diags *d, xlm_diag *g, const char *fmt, ...) {
  if (g->id == XLM_DIAG_COUNT || !g->n_labels) return;
  va_list ap;
  va_start(ap, fmt);
  g->labels[0].text = format(d->arena, fmt, ap);
  va_end(ap);
}

static void add_note(xlm_diags *d, xlm_diag *g, bool help, xlm_span span, const char *fmt, va_list ap) {
  if (g->id == XLM_DIAG_COUNT || g->n_notes == XLM_DIAG_MAX_NOTES) return;
  g->notes[g->n_notes].help = help;
  g->notes[g->n_notes].span = span;
  g->notes[g->n_notes++].text = format(d->arena, fmt, ap);
}

void xlm_diag_note(xlm_diags *d, xlm_diag *g, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  add_note(d, g, false, (xlm_span){0}, fmt, ap);
  va_end(ap);
}

void xlm_diag_note_at(xlm_diags *d, xlm_diag *g, xlm_span span, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  add_note(d, g, false, span, fmt, ap);
  va_end(ap);
}

void xlm_diag_help(xlm_diags *d, xlm_diag *g, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  add_note(d, g, true, (xlm_span){0}, fmt, ap);
  va_end(ap);
}

const char *xlm_diag_meaning(xlm_diag_id id) {
  return codes[id].meaning;
}

bool xlm_diag_is_error(xlm_diag_id id) {
  return codes[id].severity == severity_error;
}

const char *xlm_diag_code(xlm_diag_id id) {
  return codes[id].code;
}

bool xlm_diag_find(const char *code, xlm_diag_id *out) {
  for (int i = 0; i < XLM_DIAG_COUNT; i++) {
    if (strcmp(xlm_diag_code((xlm_diag_id)i), code)) continue;
    *out = (xlm_diag_id)i;
    return true;
  }
  return false;
}
