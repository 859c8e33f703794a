// Diagnostics: user errors as data. Passes push them and continue; only tools print them.
//
// A diagnostic has a stable code, a primary sentence (lower-case, no full stop), labelled source spans (the
// first is the primary one), notes and helps. diag.def has a line per code, with severity and long
// explanation; every code has a golden test. xlm_diag_render prints.
#ifndef XLM_DIAGNOSE_DIAG_H
#define XLM_DIAGNOSE_DIAG_H

#include "runtime/base/arena.h"
#include "runtime/base/text.h"
#include "runtime/plan/span.h"

typedef enum xlm_code_id {
#define XLM_DIAG(id, number, severity, meaning) XLM_##id,
#include "compiler/diagnose/diag.def"
#undef XLM_DIAG
  XLM_DIAG_COUNT,
} xlm_diag_id;

enum { XLM_DIAG_MAX_ERRORS = 20, XLM_DIAG_MAX_LABELS = 6, XLM_DIAG_MAX_NOTES = 6 };

typedef struct xlm_label {
  xlm_span span;
  const char *text; // may be NULL: carets only
} xlm_label;

typedef struct xlm_diag {
  xlm_diag_id id;
  const char *text;
  int n_labels, n_notes;
  xlm_label labels[XLM_DIAG_MAX_LABELS]; // labels[0] is primary (^^^), the others secondary (---); may be
                                         // empty
  struct {
    bool help; // "= help:" instead of "= note:"
    const char *text;
    xlm_span span; // shown as its own source excerpt when not empty
  } notes[XLM_DIAG_MAX_NOTES];
} xlm_diag;

typedef struct xlm_diags {
  xlm_arena *arena;
  const xlm_source *source; // what spans refer to
  xlm_diag *at;
  uint32_t n, cap;
  uint32_t errors, warnings;
  bool suppressed;  // there were more than XLM_DIAG_MAX_ERRORS errors (or warnings)
  xlm_diag dropped; // what push returns for a diagnostic that is dropped; its id is XLM_DIAG_COUNT
} xlm_diags;

void xlm_diags_init(xlm_diags *d, xlm_arena *a, const xlm_source *source);

// Pushes a diagnostic and returns it for labels and notes. Never NULL: past the limit, and for an error with
// the same id and primary span as an earlier one, it returns a scratch diagnostic that is dropped. The
// pointer is valid until the next push.
xlm_diag *xlm_diag_push(xlm_diags *d, xlm_diag_id id, xlm_span primary, const char *fmt, ...)
    XLM_PRINTF(4, 5);
void xlm_diag_label(xlm_diags *d, xlm_diag *g, xlm_span span, const char *fmt, ...) XLM_PRINTF(4, 5);
void xlm_diag_primary(xlm_diags *d, xlm_diag *g, const char *fmt, ...)
    XLM_PRINTF(3, 4); // text at the primary carets
void xlm_diag_note(xlm_diags *d, xlm_diag *g, const char *fmt, ...) XLM_PRINTF(3, 4);
void xlm_diag_note_at(xlm_diags *d, xlm_diag *g, xlm_span span, const char *fmt, ...) XLM_PRINTF(4, 5);
void xlm_diag_help(xlm_diags *d, xlm_diag *g, const char *fmt, ...) XLM_PRINTF(3, 4);

const char *xlm_diag_code(xlm_diag_id id);    // "E0203", "W0301"
const char *xlm_diag_meaning(xlm_diag_id id); // for `xlmc explain` and the docs
bool xlm_diag_is_error(xlm_diag_id id);
bool xlm_diag_find(const char *code, xlm_diag_id *out);

// All diagnostics in source order, ending in "2 errors, 1 warning". color: with ANSI escapes.
void xlm_diag_render(const xlm_diags *d, bool color, xlm_text *out);

#endif
