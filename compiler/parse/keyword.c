// Keywords: a word is a keyword only in certain places (see grammar/README.md), so that `model`, `state` or
// `output` may name a dimension or a tensor.
#include <string.h>

#include "compiler/parse/arrange_priv.h"

const xlm_word xlm_statement_words[] = {
    {"model", MODEL},   {"dim", DIM},         {"let", LET},     {"check", CHECK},   {"shard", SHARD},
    {"block", BLOCK},   {"input", INPUT},     {"param", PARAM}, {"state", STATE},   {"update", UPDATE},
    {"return", RETURN}, {"repeat", REPEAT},   {"loss", LOSS},   {"output", OUTPUT}, {"metric", METRIC},
    {"preset", PRESET}, {"weights", WEIGHTS}, {"group", GROUP}, {"use", USE},       {"config", CONFIG},
    {NULL, 0},
};

static const xlm_word reserved_words[] = {
    {"if", IF}, {"then", THEN}, {"else", ELSE}, {"and", AND}, {"or", OR}, {"not", NOT}, {NULL, 0},
};

static int lookup(const xlm_arranger *a, const xlm_token *t, const xlm_word *words) {
  if (t->span.end - t->span.begin > 7) return 0;
  for (; words->text; words++)
    if (xlm_token_is(a->p, t, words->text)) return words->kind;
  return 0;
}

bool xlm_keyword_is_none(const xlm_arranger *a, const xlm_token *t) {
  return t->kind == NAME && !lookup(a, t, reserved_words);
}

bool xlm_keyword_is_else(const xlm_arranger *a, const xlm_token *t) {
  return t->kind == NAME && lookup(a, t, reserved_words) == ELSE;
}

int xlm_keyword_of_statement(const xlm_arranger *a, const xlm_token *t) {
  return lookup(a, t, xlm_statement_words);
}

bool xlm_keyword_line(const xlm_arranger *a) {
  int next = xlm_arrange_raw(a, 1)->kind,
      kind = xlm_arrange_raw(a, 0)->kind == NAME ? xlm_keyword_of_statement(a, xlm_arrange_raw(a, 0)) : 0;
  return kind && !xlm_arrange_raw(a, 1)->first &&
         (next == NAME || (next == STRING && (kind == GROUP || kind == USE)));
}

static bool ends_operand(const xlm_token *t) {
  return t && (t->kind == NAME || t->kind == NUMBER || t->kind == STRING || t->kind == ')' || t->kind == ']');
}

static bool in_statements(xlm_arranger *a) {
  return !a->depth || xlm_arrange_top(a)->body == XLM_BODY_STATEMENTS;
}

static bool ends_line(const xlm_token *next) {
  return next->first || next->kind == '}' || next->kind == END;
}

// Words that are keywords only after an operand, and `over` before a name in an argument list.
static int contextual(xlm_arranger *a, const xlm_token *t) {
  const xlm_token *before = xlm_arrange_last(a), *next = xlm_arrange_raw(a, 1);
  if (next->kind == '=') return NAME;
  if (ends_operand(before)) {
    if (xlm_token_is(a->p, t, "over")) return OVER;
    if (xlm_token_is(a->p, t, "as")) return AS;
    if (xlm_token_is(a->p, t, "where")) return WHERE;
    if (xlm_token_is(a->p, t, "shared") && (next->kind == '{' || xlm_token_is(a->p, next, "over")))
      return SHARED;
    if (a->statement == INPUT && xlm_token_is(a->p, t, "from")) return FROM;
    if (a->statement == INPUT && xlm_token_is(a->p, t, "shifted")) return SHIFTED;
    if (xlm_token_is(a->p, t, "optional") && xlm_arrange_inside(a) == XLM_BODY_ENTRIES && ends_line(next))
      return OPTIONAL;
    if (xlm_token_is(a->p, t, "of") && (before->kind == ']' || before->kind == NUMBER)) return OF;
    return NAME;
  }
  bool argument =
      before && (before->kind == ',' || before->kind == '(') && a->depth && xlm_arrange_top(a)->kind == '(';
  if (argument && xlm_keyword_is_none(a, next) && xlm_token_is(a->p, t, "over")) return OVER;
  bool element =
      before && (before->kind == ',' || before->kind == '[') && xlm_arrange_inside(a) == XLM_BODY_CONFIG;
  if (element && xlm_token_is(a->p, t, "repeat")) return REPEAT;
  if (xlm_keyword_is_none(a, next) && xlm_token_is(a->p, t, "recompute")) return RECOMPUTE;
  return NAME;
}

int xlm_keyword_of(xlm_arranger *a, const xlm_token *t) {
  const xlm_token *before = xlm_arrange_last(a);
  if (before && before->kind == '.') return NAME;
  int kind = lookup(a, t, reserved_words);
  if (kind) return kind;
  bool start = xlm_arrange_at_start(a) || (before->kind == RECOMPUTE && a->statement == RECOMPUTE);
  if (start && in_statements(a) && xlm_arrange_raw(a, 1)->kind != '=' && xlm_arrange_raw(a, 1)->kind != '[') {
    kind = xlm_keyword_of_statement(a, t);
    if (kind) return kind;
  }
  return contextual(a, t);
}
