// Parameter groups of a run file or of --group: one text each, `match=embed lr=0.1 optimizer=adamw`. The
// compiler checks parameters and optimizers.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/request.h"

typedef struct group_reader {
  xlm_run_settings *s;
  const char *where, *text;
  xlm_param_group g;
  xlm_error *err;
} group_reader;

static xlm_status read_number(const group_reader *r, const char *key, const char *value, double *out) {
  char *end;
  *out = strtod(value, &end);
  if (end != value && !*end && isfinite(*out)) return XLM_OK;
  return xlm_fail(r->err, XLM_USER, "%s: '%s=%.60s' of the group '%.100s' is no number", r->where, key, value,
                  r->text);
}

static xlm_status read_match(group_reader *r, const char *key, const char *value) {
  (void)key;
  r->g.match = value;
  return XLM_OK;
}
static xlm_status read_lr(group_reader *r, const char *key, const char *value) {
  return read_number(r, key, value, &r->g.lr);
}
static xlm_status read_decay(group_reader *r, const char *key, const char *value) {
  return read_number(r, key, value, &r->g.weight_decay);
}
static xlm_status read_optimizer(group_reader *r, const char *key, const char *value) {
  (void)key;
  r->g.optimizer = value;
  return XLM_OK;
}
static xlm_status read_frozen(group_reader *r, const char *key, const char *value) {
  bool frozen;
  if (!xlm_settings_truth(value, &frozen))
    return xlm_fail(r->err, XLM_USER, "%s: '%s=%.60s' of the group '%.100s' is not true or false", r->where,
                    key, value, r->text);
  r->g.frozen = frozen ? XLM_FROZEN_YES : XLM_FROZEN_NO;
  return XLM_OK;
}
static xlm_status read_rank(group_reader *r, const char *key, const char *value) {
  double rank;
  XLM_TRY(read_number(r, key, value, &rank));
  r->g.rank = (int)rank;
  if (rank >= 0 && rank <= XLM_MAX_RANK && rank == floor(rank)) return XLM_OK;
  return xlm_fail(r->err, XLM_USER, "%s: 'rank=%.60s': a tensor has 0 to %d dimensions", r->where, value,
                  XLM_MAX_RANK);
}

static const struct {
  const char *name;
  xlm_status (*read)(group_reader *, const char *, const char *);
} keys[] = {{"match", read_match},
            {"rank", read_rank},
            {"lr", read_lr},
            {"weight_decay", read_decay},
            {"optimizer", read_optimizer},
            {"frozen", read_frozen}};
enum { KEYS = sizeof keys / sizeof *keys };

static xlm_status read_word(group_reader *r, const char *word, uint32_t *seen) {
  if (!strcmp(word, "frozen")) word = "frozen=true";
  const char *equals = strchr(word, '='), *names[KEYS];
  if (!equals || !equals[1])
    return xlm_fail(r->err, XLM_USER, "%s: a group is written 'match=embed lr=0.1'; what is '%.60s'?",
                    r->where, word);
  const char *name = xlm_arena_strndup(r->s->arena, word, (size_t)(equals - word));
  for (int i = 0; i < KEYS; i++) {
    names[i] = keys[i].name;
    if (strcmp(name, keys[i].name)) continue;
    if (*seen >> i & 1)
      return xlm_fail(r->err, XLM_USER, "%s: the group '%.100s' says '%s' twice", r->where, r->text, name);
    *seen |= 1u << i;
    return keys[i].read(r, name, equals + 1);
  }
  const char *near = xlm_text_nearest(name, names, KEYS);
  return xlm_fail(r->err, XLM_USER, "%s: a group has no key '%.60s'%s%s%s", r->where, name,
                  near ? "; did you mean '" : "; its keys are match, rank, lr, weight_decay, optimizer, frozen",
                  near ? near : "", near ? "'?" : "");
}

static xlm_status read_group(group_reader *r) {
  char *copy = xlm_arena_strdup(r->s->arena, r->text), *save = NULL;
  uint32_t seen = 0;
  for (char *w = strtok_r(copy, " ,", &save); w; w = strtok_r(NULL, " ,", &save))
    XLM_TRY(read_word(r, w, &seen));
  if (r->g.match || r->g.rank >= 0) return XLM_OK;
  return xlm_fail(r->err, XLM_USER, "%s: the group '%.100s' sets neither match nor rank", r->where, r->text);
}

xlm_status xlm_request_groups(xlm_run_settings *s, const xlm_param_group **out, int *n, xlm_error *err) {
  const xlm_setting_value *v = &s->value[XLM_SET_groups];
  xlm_param_group *list = XLM_NEW_N(s->arena, xlm_param_group, v->n + 1);
  for (int i = 0; i < v->n; i++) {
    group_reader r = {.s = s, .where = v->list_where[i], .text = v->list[i], .err = err};
    r.g = (xlm_param_group){.rank = -1, .lr = NAN, .weight_decay = NAN, .where = r.where};
    XLM_TRY(read_group(&r));
    list[i] = r.g;
  }
  *out = list;
  *n = v->n;
  return XLM_OK;
}
