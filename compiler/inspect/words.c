// The words of the language from the tables that define them, for syntax highlighting.
#include "compiler/inspect/inspect_priv.h"

typedef struct list {
  xlm_text *out;
  xlm_dict seen; // "kind word"
} list;

static void add(list *l, const char *kind, const char *word) {
  const char *line = xlm_arena_printf(l->out->arena, "%s %s", kind, word);
  if (xlm_dict_get(&l->seen, line)) return;
  xlm_dict_put(l->out->arena, &l->seen, line, l);
  xlm_text_printf(l->out, "%s\n", line);
}

static void values(list *l, const char *kind, xlm_enum set, uint32_t among) {
  for (int i = 0; i < xlm_enum_end(set); i++)
    if (xlm_enum_name(set, i) && (!among || among >> i & 1)) add(l, kind, xlm_enum_name(set, i));
}

static uint32_t among(const xlm_op *op, xlm_attr_key key) {
  for (int i = 0; i < op->n_attrs; i++)
    if (op->attrs[i].key == key) return op->attrs[i].among;
  return 0;
}

static void operation(list *l, const xlm_op *op) {
  add(l, "op", op->name);
  for (const xlm_param *p = op->params; p->name; p++) {
    bool bare =
        p->kind == XLM_P_TENSOR || p->kind == XLM_P_REST || p->kind == XLM_P_OVER || p->kind == XLM_P_ARROW;
    if (!bare) add(l, p->kind == XLM_P_FLAG ? "flag" : "attribute", p->name);
    if (p->kind == XLM_P_ENUM) values(l, "value", xlm_attr_set_of(p->key), among(op, p->key));
  }
}

void xlm_inspect_words(xlm_text *out) {
  list l = {.out = out};
  const char *word;
  bool statement;
  for (int i = 0; (word = xlm_parse_word(out->arena, i, &statement)); i++)
    add(&l, statement ? "statement" : "clause", word);
  add(&l, "clause", "free"); // words only to the builders of the tree: where free, over none
  add(&l, "clause", "none");
  add(&l, "constant", "true");
  add(&l, "constant", "false");
  for (xlm_op_id id = 1; id < XLM_OP_COUNT; id++)
    if (xlm_op_at(id) && xlm_callable(xlm_op_at(id)->name)) operation(&l, xlm_op_at(id));
  for (int i = 0; xlm_number_function(i); i++) add(&l, "function", xlm_number_function(i));
  add(&l, "function", "f32");
  values(&l, "value", XLM_ENUM_INIT, 0);
  for (int i = 0; xlm_group_key(i); i++) add(&l, "attribute", xlm_group_key(i));
}
