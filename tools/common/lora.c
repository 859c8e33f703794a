// Adapters of --lora or the run file: one text each, `match=layers.*.attention.w[qv] rank=8 alpha=16`. The
// compiler checks patterns.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/request.h"

enum { MOST_RANK = 65536 };

typedef struct lora_reader {
  const char *where, *text;
  xlm_error *err;
} lora_reader;

static xlm_status read_number(const lora_reader *r, const char *key, const char *value, double high,
                              double *out) {
  char *end;
  *out = strtod(value, &end);
  if (end != value && !*end && *out > 0 && *out <= high) return XLM_OK;
  return xlm_fail(r->err, XLM_USER, "%s: '%s=%.60s' of '%.100s' is no number above 0%s", r->where, key, value,
                  r->text, high == MOST_RANK ? " and at most 65536" : "");
}

static xlm_status read_word(const lora_reader *r, char *word, xlm_lora *out) {
  char *value = strchr(word, '=');
  double x;
  if (value) *value++ = 0;
  if (value && !strcmp(word, "match")) return out->match = value, XLM_OK;
  if (value && !strcmp(word, "alpha")) return read_number(r, word, value, 1e9, &out->alpha);
  if (!value || strcmp(word, "rank"))
    return xlm_fail(r->err, XLM_USER,
                    "%s: what is '%.60s'? write 'match=layers.*.attention.w[qv] rank=8 alpha=16'", r->where,
                    word);
  XLM_TRY(read_number(r, word, value, MOST_RANK, &x));
  if (x != floor(x)) return xlm_fail(r->err, XLM_USER, "%s: 'rank=%s' is no whole number", r->where, value);
  return out->rank = (int64_t)x, XLM_OK;
}

static xlm_status read_one(xlm_arena *a, const lora_reader *r, xlm_lora *out) {
  char *copy = xlm_arena_strdup(a, r->text), *save = NULL;
  for (char *w = strtok_r(copy, " ,", &save); w; w = strtok_r(NULL, " ,", &save))
    XLM_TRY(read_word(r, w, out));
  if (!out->match)
    return xlm_fail(r->err, XLM_USER, "%s: '%.100s' has no match, as in match=layers.*.attention.w[qv]",
                    r->where, r->text);
  if (!out->alpha) out->alpha = 2 * (double)out->rank;
  return XLM_OK;
}

xlm_status xlm_request_lora(const xlm_run_settings *s, const xlm_lora **out, int *n, xlm_error *err) {
  const xlm_setting_value *v = &s->value[XLM_SET_lora];
  xlm_lora *list = XLM_NEW_N(s->arena, xlm_lora, v->n + 1);
  for (int i = 0; i < v->n; i++) {
    lora_reader r = {v->list_where[i], v->list[i], err};
    list[i] = (xlm_lora){.rank = 8, .where = r.where};
    XLM_TRY(read_one(s->arena, &r, &list[i]));
  }
  *out = list;
  *n = v->n;
  return XLM_OK;
}
