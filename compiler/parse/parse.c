// The entry point of the parser: limits, bytes, then scan, arrange and grammar (see parse_priv.h).
#include <string.h>

#include "compiler/parse/parse_priv.h"
#include "grammar/xlm.tab.h"

static const char byte_order_mark[] = "\xEF\xBB\xBF";

// False: stop here.
static bool check_file(xlm_parser *p) {
  const xlm_source *s = p->source;
  xlm_span start = {0, 1};
  if (s->n > XLM_MAX_SOURCE) {
    xlm_diag *g = xlm_diag_push(p->diags, XLM_E_FILE_TOO_LARGE, (xlm_span){0},
                                "%s is larger than a model file may be", s->path);
    xlm_diag_note(p->diags, g, "it has %u bytes; the most is %d (4 MiB)", s->n, XLM_MAX_SOURCE);
    return false;
  }
  if (s->n >= 2 && (!memcmp(s->text, "\xFF\xFE", 2) || !memcmp(s->text, "\xFE\xFF", 2))) {
    xlm_diag *g = xlm_diag_push(p->diags, XLM_E_NOT_UTF8, start, "the file is UTF-16 text");
    xlm_diag_help(p->diags, g, "save the file as UTF-8");
    return false;
  }
  xlm_lex_check_bytes(p);
  return true;
}

xlm_ast *xlm_parse(xlm_arena *a, const xlm_source *source, xlm_diags *d) {
  xlm_parser *p = XLM_NEW(a, xlm_parser);
  p->arena = a;
  p->source = source;
  p->diags = d;
  if (check_file(p)) {
    if (source->n >= 3 && !memcmp(source->text, byte_order_mark, 3)) p->pos = 3;
    xlm_parse_scan(p);
    xlm_parse_arrange(p);
    (void)xlm_yyparse(p); // its result is in the diagnostics
  }
  xlm_ast *ast = XLM_NEW(a, xlm_ast);
  ast->source = source;
  ast->stmts = p->stmts.first;
  ast->comments = p->comments.first;
  return ast;
}
