// The config section: keys of config.json and their values, as JSON texts. Values are numbers, strings,
// `none`, lists and objects of them, known when the model is compiled.
#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"
#include "runtime/base/json.h"

enum { MOST_LEVELS = XLM_JSON_DEPTH - 4 };

typedef struct writer {
  xlm_el *e;
  xlm_json *j;
  int depth; // open lists and objects
} writer;

static void put_value(writer *w, xlm_el_frame *f, const char *key, const xlm_config_item *i);

static void report_twice(xlm_el *e, const xlm_ast_name *key, xlm_span first) {
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_CONFIG_KEY, key->span, "the key `%s` appears twice", key->text);
  xlm_diag_label(e->diags, g, first, "first here");
}

// --- expressions

// The branch that is taken, if it is a string or `none`; NULL: a number.
static const xlm_expr *plain_text(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  xlm_number c;
  while (x->kind == XLM_EXPR_IF) {
    if (!xlm_el_condition(e, f, x->cond.cond, &c)) return NULL;
    x = c.v != 0 ? x->cond.then : x->cond.otherwise;
  }
  bool none = x->kind == XLM_EXPR_NAME && !strcmp(x->name.text, "none") && !xlm_el_find(f, "none");
  return none || x->kind == XLM_EXPR_STRING ? x : NULL;
}

static void put_number(writer *w, xlm_el_frame *f, const char *key, const xlm_expr *x) {
  xlm_number n;
  if (!xlm_el_number(w->e, f, x, "a value of the config", &n)) {
    xlm_json_put_null(w->j, key);
    if (!w->e->diags->errors) // otherwise an earlier one is the reason
      xlm_diag_push(w->e->diags, XLM_E_CONFIG_VALUE, x->span, "this value cannot be computed");
    return;
  }
  switch (xlm_el_kind_of_expr(w->e, f, x, n)) {
  case XLM_NUMBER_BOOL:
    xlm_json_put_bool(w->j, key, n.v != 0);
    break;
  case XLM_NUMBER_INT:
    xlm_json_put_int(w->j, key, n.i);
    break;
  case XLM_NUMBER_REAL:
    xlm_json_put_rounded(w->j, key, n.v, 15);
    break;
  }
}

static void put_expr(writer *w, xlm_el_frame *f, const char *key, const xlm_config_item *i) {
  const xlm_expr *text = plain_text(w->e, f, i->expr);
  if (!text)
    put_number(w, f, key, i->expr);
  else if (text->kind == XLM_EXPR_STRING)
    xlm_json_put_text(w->j, key, text->string.text);
  else
    xlm_json_put_null(w->j, key);
}

// --- lists and objects

static void put_elements(writer *w, xlm_el_frame *f, const xlm_config_item *items);

static void put_repeat(writer *w, xlm_el_frame *f, const xlm_config_item *i) {
  int64_t n;
  if (!xlm_el_integer(w->e, f, i->expr, "a number of rounds", &n)) return;
  if (n < 0 || n > XLM_EL_MAX_ROUNDS) {
    xlm_diag *g = xlm_diag_push(w->e->diags, XLM_E_ROUNDS, i->expr->span, "%lld rounds", (long long)n);
    xlm_diag_help(w->e->diags, g, "a repeat has 0 to %d rounds", XLM_EL_MAX_ROUNDS);
    return;
  }
  for (int64_t k = 0; k < n && xlm_el_enter(w->e, i->span); k++, xlm_el_leave(w->e)) {
    xlm_el_frame *round = XLM_NEW(w->e->arena, xlm_el_frame);
    *round = (xlm_el_frame){.parent = f, .kind = XLM_FRAME_ROUND, .path = ""};
    if (i->var) {
      xlm_el_symbol *s = xlm_el_define(w->e, round, XLM_SYM_VALUE, i->var->text, i->var->span);
      s->value = xlm_el_num(xlm_num_int(k));
      if (s->use) s->use->read = true;
    }
    put_elements(w, round, i->items);
  }
}

static void put_elements(writer *w, xlm_el_frame *f, const xlm_config_item *items) {
  for (const xlm_config_item *i = items; i; i = i->next)
    if (i->kind == XLM_CONFIG_REPEAT)
      put_repeat(w, f, i);
    else
      put_value(w, f, NULL, i);
}

static void put_members(writer *w, xlm_el_frame *f, const xlm_config_item *items) {
  xlm_dict seen = {0};
  for (const xlm_config_item *i = items; i; i = i->next) {
    const xlm_config_item *first = xlm_dict_get(&seen, i->key->text);
    if (first) report_twice(w->e, i->key, first->key->span);
    xlm_dict_put(w->e->arena, &seen, i->key->text, (void *)i);
    put_value(w, f, i->key->text, i);
  }
}

static void put_nested(writer *w, xlm_el_frame *f, const char *key, const xlm_config_item *i) {
  if (++w->depth > MOST_LEVELS) {
    if (w->depth == MOST_LEVELS + 1)
      xlm_diag_push(w->e->diags, XLM_E_CONFIG_VALUE, i->span,
                    "lists and objects are nested more than %d deep", MOST_LEVELS);
    xlm_json_put_null(w->j, key);
  } else if (i->kind == XLM_CONFIG_LIST) {
    xlm_json_array(w->j, key, XLM_JSON_ROW);
    put_elements(w, f, i->items);
    xlm_json_close(w->j);
  } else {
    xlm_json_object(w->j, key, XLM_JSON_ROW);
    put_members(w, f, i->items);
    xlm_json_close(w->j);
  }
  w->depth--;
}

static void put_value(writer *w, xlm_el_frame *f, const char *key, const xlm_config_item *i) {
  if (i->kind == XLM_CONFIG_EXPR)
    put_expr(w, f, key, i);
  else
    put_nested(w, f, key, i);
}

// --- sections

static void read_key(xlm_el *e, const xlm_config_item *i, bool keep) {
  xlm_text t = xlm_text_new(e->arena);
  xlm_json j;
  xlm_json_to_text(&j, &t);
  writer w = {.e = e, .j = &j};
  put_value(&w, &e->global, NULL, i);
  if (keep)
    XLM_PUSH(e->arena, e->g->keys, e->g->n_keys, e->g->cap_keys,
             ((xlm_plan_key){i->key->text, t.data, (xlm_span){i->key->span.begin, i->span.end}}));
}

void xlm_el_config(xlm_el *e) {
  bool any = false;
  const char *wanted = e->set->section;
  for (const xlm_stmt *s = e->ast->stmts; s; s = s->next) {
    if (s->kind != XLM_STMT_CONFIG) continue;
    bool keep = wanted ? !strcmp(s->name->text, wanted) : !any;
    any = true;
    xlm_dict seen = {0};
    for (const xlm_config_item *i = s->config.items; i; i = i->next) {
      const xlm_config_item *old = xlm_dict_get(&seen, i->key->text);
      if (old) report_twice(e, i->key, old->key->span);
      xlm_dict_put(e->arena, &seen, i->key->text, (void *)i);
      read_key(e, i, keep);
    }
  }
}
