// Signatures of operations and blocks.
#include <string.h>

#include "compiler/inspect/inspect_priv.h"
#include "compiler/ir/signature.h"

static bool of_op(const xlm_context *c, xlm_arena *a, xlm_signature *out) {
  const xlm_op *op = xlm_callable(c->call);
  if (!op) return false;
  xlm_text t = xlm_text_new(a);
  while (op->params[out->n].name) out->n++;
  out->part = XLM_NEW_N(a, xlm_span, out->n);
  xlm_op_signature(op, &t, out->part);
  out->label = t.data;
  out->doc = op->doc;
  out->active = (uint32_t)c->commas < out->n ? (uint32_t)c->commas : out->n;
  for (uint32_t i = 0; c->key && i < out->n; i++)
    if (!strcmp(op->params[i].name, c->key)) out->active = i;
  return true;
}

static bool of_block(const xlm_inspection *v, const xlm_context *c, xlm_arena *a, xlm_signature *out) {
  const xlm_stmt *s = v->ast->stmts;
  while (s && (s->kind != XLM_STMT_BLOCK || strcmp(s->name->text, c->call) != 0)) s = s->next;
  if (!s) return false;
  for (const xlm_block_param *p = s->block.params; p; p = p->next) out->n++;
  out->part = XLM_NEW_N(a, xlm_span, out->n);
  out->active = (uint32_t)c->commas < out->n ? (uint32_t)c->commas : out->n;
  xlm_text t = xlm_text_new(a);
  uint32_t i = 0;
  xlm_text_printf(&t, "%s(", s->name->text);
  for (const xlm_block_param *p = s->block.params; p; p = p->next, i++) {
    xlm_text_add(&t, i ? ", " : "");
    uint32_t begin = (uint32_t)t.n;
    xlm_text_add(&t, p->name->text);
    for (const xlm_ast_dim *d = p->dims; d; d = d->next)
      xlm_text_printf(&t, "%s%s", d == p->dims ? "[" : ", ", d->name ? d->name : "..");
    if (p->is_tensor) xlm_text_add(&t, p->dims ? "]" : "[]");
    out->part[i] = (xlm_span){begin, (uint32_t)t.n};
    if (c->key && !strcmp(c->key, p->name->text)) out->active = i;
  }
  xlm_text_add(&t, ")");
  out->label = t.data;
  return true;
}

bool xlm_inspect_signature(const xlm_inspection *v, uint32_t offset, xlm_arena *a, xlm_signature *out) {
  xlm_context c = xlm_inspect_context(v->source, offset, a);
  *out = (xlm_signature){0};
  return c.call && (of_block(v, &c, a, out) || of_op(&c, a, out));
}
