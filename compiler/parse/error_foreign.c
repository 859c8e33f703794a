// Hints at constructs of other languages, mostly Python with PyTorch, JAX or NumPy. foreign.c has the words.
#include "compiler/parse/error_priv.h"
#include "compiler/parse/foreign.h"

// What stands for `:` in this place.
static const char *colon_help(const site *s) {
  int k = s->first->kind;
  const xlm_token *next = &s->at[1];
  bool type = next->kind == NAME && !next->first, name = s->before && s->before->kind == NAME;
  if (is_expected(s, "`{`") || next->first || is_line_end(next)) return "a body stands in braces: `{ ... }`";
  if (k == SHARD) return "write `shard hidden over tp`";
  if (k == BLOCK && is_expected(s, "`[`"))
    return "a tensor is written with its dimensions: `x[batch, seq, hidden]`";
  if (k == INPUT && !name)
    return "write `of vocab` for whole numbers below its size, `from name` for a tensor of the data";
  if (k == INPUT && type)
    return SAY("types are not written: `input %s[batch, ..] from %s`", text(s, s->before),
               text(s, s->before));
  if ((k == PARAM || k == STATE) && type && name)
    return SAY("types are not written: `%s %s[hidden] ~ normal(0.02)`", text(s, s->first),
               text(s, s->before));
  if (k == NAME && type) // x: Tensor = ..
    return "types are not written: they follow from the operations, and the run chooses bf16 or f32 "
           "(`--dtype`)";
  return "write `=` to give a name a value";
}

static bool hint_colon(const site *s) {
  if (s->at->kind != FOREIGN || !xlm_token_is(s->p, s->at, ":")) return false;
  xlm_diag *g = report(s, XLM_E_COLON, s->at->span, "`:` is not part of the language");
  HELP(g, "%s", colon_help(s));
  return true;
}

static bool hint_foreign_sign(const site *s) {
  static const char *const meant[][2] = {{"&&", "write `and`"},
                                         {"||", "write `or`"},
                                         {"!", "write `not`"},
                                         {"&", "write `and`"},
                                         {"|", "write `or`"},
                                         {":=", "write `=`"},
                                         {"^", "powers are written `**`"},
                                         {";", "each statement stands on its own line, without `;`"}};
  if (s->at->kind != FOREIGN) return false;
  for (size_t i = 0; i < sizeof meant / sizeof *meant; i++) {
    if (!xlm_token_is(s->p, s->at, meant[i][0])) continue;
    xlm_diag *g = report(s, XLM_E_FOREIGN, s->at->span, SAY("`%s` is not part of the language", meant[i][0]));
    HELP(g, "%s", meant[i][1]);
  }
  return true;
}

// x += y
static bool hint_augmented(const site *s) {
  const xlm_token *op = s->at->kind == '=' ? s->before : s->at;
  if (!op || op[1].kind != '=' || op->span.end != op[1].span.begin) return false;
  if (op->kind != POW && (op->kind >= 128 || !strchr("+-*/%@", op->kind))) return false;
  xlm_diag *g =
      report(s, XLM_E_FOREIGN, xlm_span_join(op->span, op[1].span), SAY("there is no `%s=`", text(s, op)));
  const char *name = s->first->kind == NAME ? text(s, s->first) : "x";
  if (s->first->kind == LOSS)
    HELP(g, "losses add up: write another `loss ..`");
  else
    HELP(g, "write `%s = %s %s ...`", name, name, text(s, op));
  return true;
}

// f(x) => [..]
static bool hint_fat_arrow(const site *s) {
  bool after =
      s->at->kind == '>' && s->before && s->before->kind == '=' && s->before->span.end == s->at->span.begin;
  bool here = s->at->kind == '=' && s->at[1].kind == '>' && s->at->span.end == s->at[1].span.begin;
  if (!after && !here) return false;
  xlm_span sign =
      after ? xlm_span_join(s->before->span, s->at->span) : xlm_span_join(s->at->span, s->at[1].span);
  xlm_diag *g = report(s, XLM_E_FOREIGN, sign, "there is no `=>`");
  HELP(g, "the result of a block follows `->`; the comparison is `>=`");
  return true;
}

static bool hint_other_language(const site *s) {
  static const char *const words[][2] = {
      {"def", "write `block name(x[..]) -> [..] { ... }`"},
      {"fn", "write `block name(x[..]) -> [..] { ... }`"},
      {"func", "write `block name(x[..]) -> [..] { ... }`"},
      {"function", "write `block name(x[..]) -> [..] { ... }`"},
      {"class", "a block holds its parameters itself: `block name(x[..]) -> [..] { ... }`"},
      {"for", "write `repeat n as i { ... }`"},
      {"while", "the number of rounds is known: `repeat n as i { ... }`"},
      {"elif", "write `else if`"},
      {"var", "write `let name = value` or `name = expression`"},
      {"const", "write `let name = value`"},
      {"import", "operations are built in; blocks of another file: `use \"blocks/norm.xlm\"`"},
      {"from", "operations are built in; blocks of another file: `use \"blocks/norm.xlm\"`"},
      {"include", "operations are built in; blocks of another file: `use \"blocks/norm.xlm\"`"},
      {"print", "write `metric name = expression` to log a value"},
      {"assert", "write `check condition, \"message\"`"},
      {"pass", "an empty body is `{ }`"},
      {"raise", "write `check condition, \"message\"`"},
      {"tensor", "write `param name[..] ~ initialiser` or `input name[..]`"},
      {"float", "types are not written: a value is `name = expression`, a parameter "
                "`param name[..] ~ initialiser`, an input of numbers `input name[batch, ..] from name`"},
      {"int", "types are not written: a whole number is `dim name = 8` or `let name = 8`"},
      {"bool", "types are not written: `let name = true`"},
      {"with",
       "there are no contexts; `f32(x)` computes in full precision, states and inputs have no gradient"},
      {"del", "memory is planned: a tensor that is no longer read takes none"},
      {"try", "write `check condition, \"message\"`"},
      {"module", "write `block name(x[..]) -> [..] { ... }`"}};
  const xlm_token *w = s->first;
  if (w->kind != NAME || s->at > w + 1 || s->at->kind == '=') return false;
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    if (!xlm_token_is(s->p, w, words[i][0])) continue;
    xlm_diag *g = report(s, XLM_E_FOREIGN, w->span, SAY("`%s` is not part of the language", words[i][0]));
    HELP(g, "%s", words[i][1]);
    return true;
  }
  return false;
}

// return a if c else b
static bool hint_late_if(const site *s) {
  if (s->at->kind != IF || !is_expected(s, "`+`")) return false;
  xlm_diag *g = report(s, XLM_E_FOREIGN, s->at->span, "a condition comes before the values it chooses from");
  HELP(g, "write `if condition then a else b`");
  return true;
}

// --- tensors as objects: h[:, 0], f(x)[0], h.T, h.shape, torch.float32

// The `[` that encloses the token; NULL: none, or a `(` is nearer.
static const xlm_token *enclosing_bracket(const site *s) {
  int depth = 0;
  for (const xlm_token *t = s->at; t > s->first;) {
    t--;
    depth += t->kind == ')' || t->kind == ']';
    depth -= t->kind == '(' || t->kind == '[';
    if (depth < 0) return t->kind == '[' ? t : NULL;
  }
  return NULL;
}

static bool declares_tensor(const site *s) {
  int k = s->first->kind;
  return k == PARAM || k == STATE || k == INPUT || k == BLOCK || k == WEIGHTS;
}

static bool hint_index(const site *s) {
  const xlm_token *open = s->at->kind == '[' && s->before ? s->at : enclosing_bracket(s);
  if (!open || open == s->first || declares_tensor(s)) return false;
  const xlm_token *of = open - 1;
  if (of->kind != NAME && of->kind != ')' && of->kind != ']') return false;
  if (s->at == open && of->kind == NAME) return false;
  if (xlm_token_is(s->p, of, "over")) {
    xlm_diag *g = report(s, XLM_E_FOREIGN, open->span, "dimensions after `over` stand without brackets");
    HELP(g, "write `over seq, hidden`");
    return true;
  }
  const char *name = of->kind == NAME ? text(s, of) : "x";
  xlm_diag *g = report(s, XLM_E_FOREIGN, xlm_span_join(open->span, s->at->span),
                       "dimensions have names, and tensors are not indexed by position");
  if (of == s->first)
    HELP(g,
         "dimensions follow from the value, `%s = ..`; a part is not assigned: `where` and `concat` make a "
         "tensor",
         name);
  else
    HELP(g, "a part of a dimension: `slice(%s, seq -> part, start = 0)`, where `dim part = 1` is its length",
         name);
  return true;
}

// cat([x, y], dim=-1)
static const char *called_with_list(const site *s) {
  bool call = s->before && s->before->kind == '(' && s->before > s->first && s->before[-1].kind == NAME;
  return call ? xlm_foreign_help(text(s, s->before - 1)) : NULL;
}

static bool hint_list(const site *s) { // y = [a, b]
  if (s->at->kind != '[' || !is_expected(s, "a number")) return false;
  if (s->before && xlm_token_is(s->p, s->before, "over")) return false;
  xlm_diag *g = report(s, XLM_E_FOREIGN, s->at->span, "there are no lists");
  const char *help = called_with_list(s);
  HELP(g, "%s",
       help ? help
            : "several values are `(a, b) = (x, y)`; a tensor for each round of a repeat is `k[i] = x`");
  return true;
}

// The first token of a.b.c before the error, or NULL if there is no such chain.
static const xlm_token *chain_start(const site *s) {
  const xlm_token *t = s->at;
  while (t - 2 >= s->first && t[-1].kind == NAME && t[-2].kind == '.') t -= 2;
  return t != s->at && t > s->first && t[-1].kind == NAME ? t - 1 : NULL;
}

static bool hint_attribute(const site *s) {
  const xlm_token *base = chain_start(s);
  if (!base || !is_expected(s, "`(`") || s->first->kind == WEIGHTS) return false;
  const char *owner = text(s, base), *name = text(s, s->at - 1);
  const char *help = xlm_foreign_help(name) ? xlm_foreign_help(name) : xlm_foreign_help(owner);
  xlm_span span = xlm_span_join(base->span, s->at[-1].span);
  bool module = xlm_foreign_is_module(owner);
  xlm_diag *g = report(s, XLM_E_FOREIGN, span,
                       module ? SAY("there is no `%s`", owner) : SAY("`%s` has no `%s`", owner, name));
  if (help)
    HELP(g, "%s", help);
  else if (module)
    HELP(g, "operations are called by their bare names: `relu(x)`; docs/ops.md lists them");
  else
    HELP(g, "a `.` stands only in the name of a block's instance, as in `norm.pre(h)`; operations are "
            "functions: `relu(h)`");
  return true;
}

// loss.backward(), h.add_(1)
static bool hint_action(const site *s) {
  bool starts = s->at == s->first + 1 && s->at->kind == '.' && s->at[1].kind == NAME;
  if (!starts) return false;
  const char *help = xlm_foreign_help(text(s, s->at + 1));
  xlm_diag *g = report(s, XLM_E_FOREIGN, xlm_span_join(s->first->span, s->at[1].span),
                       "a statement gives a value a name; nothing is changed in place");
  HELP(g, "%s",
       help ? help
            : "write `name = ...`; gradients and updates follow from `loss`, and `xlmrun train` trains");
  return true;
}

static bool hint_decorator(const site *s) {
  if (s->at != s->first || s->at->kind != '@') return false;
  xlm_diag *g = report(s, XLM_E_FOREIGN, s->at->span, "there are no decorators");
  HELP(g, "everything is compiled; remove the line");
  return true;
}

bool (*const xlm_foreign_hints[])(const site *) = {
    hint_index,   hint_colon, hint_foreign_sign, hint_augmented, hint_fat_arrow, hint_other_language,
    hint_late_if, hint_list,  hint_attribute,    hint_action,    hint_decorator, NULL,
};
