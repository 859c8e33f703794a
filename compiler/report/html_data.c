// The data of a page: JSON without blanks, because a page may have a hundred thousand numbers. Names repeat
// in every layer, so each text is written once in a table and referred to by index.
#include <string.h>

#include "compiler/report/html_priv.h"
#include "runtime/base/philox.h"

xlm_html xlm_html_new(xlm_text *t) {
  xlm_html h = {.a = t->arena, .n_table = 1024};
  xlm_json_to_text(&h.json, t);
  xlm_json_for_html(&h.json);
  h.table = XLM_NEW_N(h.a, uint32_t, h.n_table);
  return h;
}

void xlm_html_open(xlm_html *h, const char *key, const char *bracket) {
  if (*bracket == '[')
    xlm_json_array(&h->json, key, XLM_JSON_DENSE);
  else
    xlm_json_object(&h->json, key, XLM_JSON_DENSE);
}

void xlm_html_close(xlm_html *h, const char *bracket) {
  (void)bracket; // documents the call
  xlm_json_close(&h->json);
}

void xlm_html_int(xlm_html *h, const char *key, int64_t v) {
  xlm_json_put_int(&h->json, key, v);
}

void xlm_html_number(xlm_html *h, const char *key, double v) {
  xlm_json_put_rounded(&h->json, key, v, 6);
}

void xlm_html_string(xlm_html *h, const char *key, const char *s) {
  xlm_json_put_text(&h->json, key, s ? s : "");
}

static uint32_t *find(xlm_html *h, const char *s) {
  uint64_t i = xlm_hash_text(s);
  for (;; i++) {
    uint32_t *slot = &h->table[i & (h->n_table - 1)];
    if (!*slot || !strcmp(h->texts[*slot - 1], s)) return slot;
  }
}

static void grow(xlm_html *h) {
  h->n_table *= 4;
  h->table = XLM_NEW_N(h->a, uint32_t, h->n_table);
  for (uint32_t i = 0; i < h->n_texts; i++) *find(h, h->texts[i]) = i + 1;
}

void xlm_html_text(xlm_html *h, const char *key, const char *s) {
  if (!s) s = "";
  if (h->n_texts * 2 >= h->n_table) grow(h);
  uint32_t *slot = find(h, s);
  if (!*slot) {
    XLM_PUSH(h->a, h->texts, h->n_texts, h->cap_texts, s);
    *slot = h->n_texts;
  }
  xlm_html_int(h, key, *slot - 1);
}

void xlm_html_texts(xlm_html *h, const char *key) {
  xlm_html_open(h, key, "[");
  for (uint32_t i = 0; i < h->n_texts; i++) xlm_html_string(h, NULL, h->texts[i]);
  xlm_html_close(h, "]");
}

void xlm_html_source(xlm_html *h, const char *key, const xlm_source *s) {
  xlm_html_open(h, key, "[");
  for (uint32_t i = 0; s && i < s->lines; i++) {
    uint32_t from = s->line_start[i], end = i + 1 < s->lines ? s->line_start[i + 1] - 1 : s->n;
    xlm_html_string(h, NULL, xlm_arena_strndup(h->a, s->text + from, end - from));
  }
  xlm_html_close(h, "]");
  xlm_html_open(h, "files", "[");
  for (uint32_t i = 0; i < (s ? s->n_files : 1); i++) {
    xlm_html_open(h, NULL, "[");
    xlm_html_string(h, NULL, s ? s->files[i].path : "");
    xlm_html_int(h, NULL, s ? s->files[i].before : 0);
    xlm_html_close(h, "]");
  }
  xlm_html_close(h, "]");
}

void xlm_html_mesh(xlm_html *h, const char *key, const xlm_mesh *m) {
  xlm_html_open(h, key, "[");
  for (int i = 0; m && i < m->n; i++) {
    xlm_html_open(h, NULL, "[");
    xlm_html_string(h, NULL, m->axis[i]);
    xlm_html_int(h, NULL, m->size[i]);
    xlm_html_close(h, "]");
  }
  xlm_html_close(h, "]");
}
