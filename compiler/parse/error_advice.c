// What to do about a place where the general message, "expected .., found ..", says little by itself. Each
// function knows one kind of place and returns a sentence for the help, or NULL; the first answer is shown.
#include "compiler/parse/error_priv.h"
#include "compiler/parse/foreign.h"

// --- after a complete expression: an operator or the end of the statement is expected

// The name before the `(` that the token, a `)`, closes; NULL: there is none.
static const char *callee(const site *s, const xlm_token *close) {
  int depth = 0;
  for (const xlm_token *t = close; t > s->first; t--) {
    depth += (t->kind == ')') - (t->kind == '(');
    if (!depth) return t[-1].kind == NAME ? text(s, t - 1) : NULL;
  }
  return NULL;
}

static const char *after_result(const site *s) { // relu(h).sum(), nn.Linear(a, b)(h)
  if (s->before->kind != ')' && s->before->kind != ']') return NULL;
  if (s->at->kind == '.') {
    const char *method = s->at[1].kind == NAME ? text(s, s->at + 1) : "relu";
    const char *help = xlm_foreign_help(method);
    return help ? help : SAY("values have no methods; operations are functions, as in `%s(..)`", method);
  }
  const char *name = s->at->kind == '(' ? callee(s, s->before) : NULL;
  const char *help = name ? xlm_foreign_help(name) : NULL;
  return s->at->kind != '(' ? NULL
         : help             ? help
                            : "what a call gives is not called again; a product is `x * y`";
}

static const char *after_word(const site *s) {
  if (s->before->kind != NAME) return NULL;
  if (xlm_token_is(s->p, s->before, "lambda"))
    return "there are no functions as values: write `block name(x[..]) -> [..] { .. }` and call it";
  if (xlm_token_is(s->p, s->before, "param") || xlm_token_is(s->p, s->before, "state"))
    return SAY("`%s` begins a statement of its own: `%s w[hidden] ~ normal(0.02)`", text(s, s->before),
               text(s, s->before));
  return NULL;
}

static const char *at_word(const site *s) {
  if (s->at->kind == THEN && s->first->kind == IF)
    return "statements stand in braces: `if condition { .. } else { .. }`";
  if (s->first->kind == REPEAT && xlm_token_is(s->p, s->at, "in"))
    return SAY("write `repeat %s as %s { .. }`", s->at[1].kind == NAME ? text(s, s->at + 1) : "n",
               s->before->kind == NAME ? text(s, s->before) : "i");
  if (s->first->kind == REPEAT && s->at->kind == NAME) return "write `repeat n as i { .. }`";
  if (xlm_token_is(s->p, s->at, "over") && is_expected(s, "`)`"))
    return SAY("`over` is an argument, with a `,` before it: `softmax(x, over hidden)`");
  return NULL;
}

static const char *between_values(const site *s) {
  if (s->first->kind == LOSS && s->at->kind == '=') return "a loss has no name: `loss mean(..)`";
  if (s->at->kind == ',' && !is_expected(s, "`,`"))
    return "several values stand in parentheses: `(a, b) = (x, y)`, `return (x, y)`";
  bool value = s->at->kind == NAME || s->at->kind == NUMBER || s->at->kind == '(';
  if (value)
    return "between two values stands an operator, as in `h @ w` or `h * w`; a call has parentheses, as in "
           "`relu(h)`";
  if (is_line_end(s->at) && is_expected(s, "`else`"))
    return "an `if` that is a value has both: `if condition then a else b`";
  return NULL;
}

static const char *operators(const site *s) {
  if (!s->before || !is_expected(s, "`*`")) return NULL;
  const char *(*const list[])(const site *) = {after_result, after_word, at_word, between_values};
  for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
    const char *help = list[i](s);
    if (help) return help;
  }
  return NULL;
}

// --- dimensions

static const char *dimensions(const site *s) {
  if (s->before && xlm_token_is(s->p, s->before, "over") && s->at->kind != NAME)
    return "names of dimensions follow `over`: `sum(x, over seq, hidden)`";
  if (s->at->kind != NUMBER || !is_expected(s, "a name") || is_expected(s, "a number")) return NULL;
  return SAY("dimensions have names: declare `dim part = %s` and write `part`", text(s, s->at));
}

static const char *declarations(const site *s) {
  int k = s->first->kind;
  const char *name = s->first[1].kind == NAME ? text(s, s->first + 1) : "x";
  if (k == INPUT && s->at->kind == NAME && s->at > s->first + 1) {
    bool type_before = is_expected(s, "`[`");
    return SAY(
        "types are not written: `input %s[batch, ..] from %s` takes numbers of any type from the data, "
        "`of D` whole numbers below the size of D",
        type_before ? text(s, s->at) : name, type_before ? text(s, s->at) : name);
  }
  if (k == BLOCK && s->at->kind == '=') return "arguments have no usual values; a `let` of the model has one";
  if (!is_expected(s, "`[`")) return NULL;
  if (k == PARAM || k == STATE)
    return SAY("a tensor is declared with its dimensions: `%s %s[hidden] ~ normal(0.02)`; `[]` is one number",
               text(s, s->first), name);
  if (k == INPUT)
    return SAY("an input is declared with its dimensions: `input %s[batch, seq] of vocab`", name);
  if (k == BLOCK && s->before && s->before->kind == ARROW)
    return "the result is given by its dimensions: `-> [batch, seq, hidden]`, or `-> [..]` for those of the "
           "argument";
  return NULL;
}

// --- statements

static const char *heads(const site *s) {
  if (s->at != s->first + 1) return NULL;
  switch (s->first->kind) {
  case PRESET:
    return "write `preset small { hidden = 768 }`";
  case WEIGHTS:
    return "write `weights huggingface { path = \"name outside\" }`";
  case CONFIG:
    return "write `config huggingface { key = value }`";
  case SHARD:
    return "write `shard hidden over tp`";
  default:
    return NULL;
  }
}

static const char *members(const site *s) {
  if (s->at->body == XLM_BODY_ENTRIES)
    return s->at->kind == ',' ? "each entry stands on a line of its own" : "write `path = \"name outside\"`";
  if (s->first->kind == PRESET && s->at->kind != '{') return "write `preset small { hidden = 768 }`";
  if (s->first->kind == LET && s->at->kind == '[')
    return "a `let` is a number; a tensor is a `param` or `state`, or computed: `x = ..`";
  if (s->first->kind == SHARD && is_expected(s, "`over`")) return "write `shard hidden over tp`";
  if (s->first->kind == METRIC && is_expected(s, "`=`"))
    return "a metric has a name: `metric name = mean(..)`";
  if (s->first->kind == OUTPUT && s->at > s->first && s->at->kind != NAME)
    return "give the value a name first, `logits = ..`, then write `output logits`";
  if (s->first->kind == USE && s->at->kind == NAME) return "blocks are called by their own names";
  if ((s->first->kind == DIM || s->first->kind == LET) && is_expected(s, "`=`") && !is_expected(s, "`*`"))
    return SAY("write `%s %s = 768`", text(s, s->first),
               s->first[1].kind == NAME ? text(s, s->first + 1) : "x");
  return NULL;
}

// An expression that is no statement: `x * 2` as the last line of a block.
static const char *lone_expression(const site *s) {
  if (s->at == s->first && s->at->kind == STRING) return "comments start with `#`";
  if (s->at == s->first && s->at->kind == '-' && s->at[1].kind == '-') return "comments start with `#`";
  if (s->first->kind != NAME || s->at != s->first + 1 || !is_expected(s, "`=`")) return NULL;
  if (s->at->kind == EQ || s->at->kind == '<')
    return SAY("`=` gives a value a name: `%s = ..`", text(s, s->first));
  if (s->at->kind == '{') return NULL;
  return "an expression by itself has no effect: write `y = ..`, or `return ..` at the end of a block";
}

const char *xlm_parse_advice(const site *s) {
  const char *(*const list[])(const site *) = {dimensions, operators, declarations,
                                               heads,      members,   lone_expression};
  for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
    const char *help = list[i](s);
    if (help) return help;
  }
  return NULL;
}
