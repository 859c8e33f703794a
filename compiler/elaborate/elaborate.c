// Elaborate: the order of its steps. Every step reports errors and the next continues with what is still
// valid; a value that could not be computed (XLM_EL_BAD) causes no further reports.
#include "compiler/elaborate/elaborate.h"

#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"

static const char *file_name(xlm_arena *a, const char *path) {
  const char *base = path ? strrchr(path, '/') : NULL;
  base = base ? base + 1 : path ? path : "model";
  size_t n = strcspn(base, ".");
  return n ? xlm_arena_strndup(a, base, n) : "model";
}

static const char *model_name(xlm_el *e) {
  const xlm_stmt *first = NULL;
  for (const xlm_stmt *s = e->ast->stmts; s; s = s->next) {
    if (s->kind != XLM_STMT_MODEL) continue;
    if (first) {
      xlm_diag *g = xlm_diag_push(e->diags, XLM_E_TWO_MODELS, s->span, "a file contains one model");
      xlm_diag_label(e->diags, g, first->span, "it is named here");
    } else {
      first = s;
    }
  }
  return first ? first->name->text : file_name(e->arena, e->ast->source->path);
}

static void collect_blocks(xlm_el *e) {
  for (const xlm_stmt *s = e->ast->stmts; s; s = s->next) {
    if (s->kind != XLM_STMT_BLOCK) continue;
    const xlm_stmt *first = xlm_dict_get(&e->blocks, s->name->text);
    if (!first) {
      xlm_dict_put(e->arena, &e->blocks, s->name->text, (void *)s);
      continue;
    }
    xlm_diag *g =
        xlm_diag_push(e->diags, XLM_E_REDEFINED, s->name->span, "there are two blocks `%s`", s->name->text);
    xlm_diag_label(e->diags, g, first->name->span, "the first is here");
    xlm_diag_help(e->diags, g, "give one of the two another name");
  }
}

static void require_loss(xlm_el *e) {
  if (e->saw_loss || e->set->dump_only || e->stop) return;
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_NO_LOSS, (xlm_span){0}, "the model has no loss");
  xlm_diag_help(e->diags, g, "declare what training minimises: loss cross_entropy(logits, targets)");
}

static xlm_graph *elaborate(xlm_el *e) {
  e->g = xlm_graph_new(e->arena, e->ast->source, model_name(e));
  e->b = xlm_build_new(e->g);
  e->global = (xlm_el_frame){.kind = XLM_FRAME_GLOBAL, .path = ""};
  e->top = (xlm_el_frame){.kind = XLM_FRAME_TOP, .path = "", .parent = &e->global};
  if (!xlm_el_files(e)) return e->g;
  collect_blocks(e);
  xlm_el_declare_all(e);
  xlm_el_shard_rules(e);
  xlm_el_groups(e);
  xlm_el_config(e);
  xlm_el_hoist(e, e->ast->stmts, false);
  xlm_el_run(e, &e->top, e->ast->stmts);
  if (e->stop) return e->g;
  xlm_el_flush_updates(e);
  require_loss(e);
  xlm_el_shard_check(e);
  xlm_el_shard_minted(e);
  if (!e->diags->errors) xlm_el_weights(e); // otherwise parameters with errors would be reported again
  if (!e->diags->errors) xlm_el_unused(e);
  return e->g;
}

xlm_graph *xlm_elaborate(xlm_arena *a, const xlm_ast *ast, const xlm_elaborate_options *s, xlm_diags *d) {
  static const xlm_elaborate_options defaults = {0};
  if (!ast || d->errors) return NULL; // text with syntax errors would be reported again as missing
  xlm_el *e = XLM_NEW(a, xlm_el);
  *e = (xlm_el){.arena = a, .ast = ast, .set = s ? s : &defaults, .diags = d};
  return elaborate(e);
}
