// The entry point of the parser: limits; then for each file bytes, scan, arrange and grammar (see
// parse_priv.h).
#include <string.h>

#include "compiler/parse/parse_priv.h"
#include "grammar/xlm.tab.h"

static const char byte_order_mark[] = "\xEF\xBB\xBF";

// False: stop here.
static bool check_source(const xlm_source *s, xlm_diags *d) {
  if (s->n > XLM_MAX_SOURCE) {
    xlm_diag *g = xlm_diag_push(d, XLM_E_FILE_TOO_LARGE, (xlm_span){0},
                                "%s is larger than a model file may be", s->path);
    xlm_diag_note(d, g, "it has %u bytes; the most is %d (4 MiB)", s->n, XLM_MAX_SOURCE);
    return false;
  }
  if (s->n >= 2 && (!memcmp(s->text, "\xFF\xFE", 2) || !memcmp(s->text, "\xFE\xFF", 2))) {
    xlm_diag *g = xlm_diag_push(d, XLM_E_NOT_UTF8, (xlm_span){0, 1}, "the file is UTF-16 text");
    xlm_diag_help(d, g, "save the file as UTF-8");
    return false;
  }
  return true;
}

static void parse_file(xlm_arena *a, const xlm_source *source, const xlm_source_file *f, xlm_diags *d,
                       xlm_list *stmts, xlm_list *comments) {
  xlm_parser *p = XLM_NEW(a, xlm_parser);
  *p = (xlm_parser){.arena = a,
                    .source = source,
                    .diags = d,
                    .pos = f->begin,
                    .end = f->end,
                    .stmts = *stmts,
                    .comments = *comments};
  xlm_lex_check_bytes(p);
  if (f->end - f->begin >= 3 && !memcmp(source->text + f->begin, byte_order_mark, 3)) p->pos += 3;
  xlm_parse_scan(p);
  xlm_parse_arrange(p);
  (void)xlm_yyparse(p); // its result is in the diagnostics
  *stmts = p->stmts;
  *comments = p->comments;
}

xlm_ast *xlm_parse(xlm_arena *a, const xlm_source *source, xlm_diags *d) {
  xlm_list stmts = {0}, comments = {0};
  bool ok = check_source(source, d);
  for (uint32_t i = 0; ok && i < source->n_files; i++)
    parse_file(a, source, &source->files[i], d, &stmts, &comments);
  xlm_ast *ast = XLM_NEW(a, xlm_ast);
  ast->source = source;
  ast->stmts = stmts.first;
  ast->comments = comments.first;
  return ast;
}
