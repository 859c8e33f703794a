// Parses the layout rules of ops: "[* over], [* over] -> [*] | over: sum".
#include "compiler/pass/layout.h"

#include <ctype.h>
#include <string.h>

bool xlm_layout_equal(const xlm_layout *a, const xlm_layout *b, int rank) {
  return a->partial == b->partial && !memcmp(a->axes, b->axes, (size_t)rank * sizeof *a->axes);
}

uint32_t xlm_layout_axes(const xlm_layout *l, int rank) {
  uint32_t all = 0;
  for (int i = 0; i < rank; i++) all |= l->axes[i];
  return all;
}

static const struct {
  const char *name;
  xlm_split_rule rule;
} rule_names[] = {{"sum", XLM_SPLIT_SUM},
                  {"index", XLM_SPLIT_INDEX},
                  {"place", XLM_SPLIT_PLACE},
                  {"whole", XLM_SPLIT_WHOLE},
                  {"match", XLM_SPLIT_FREE}};

static const char *word(const char *p, char out[32]) {
  int n = 0;
  while (*p && (isalnum((unsigned char)*p) || *p == '_' || *p == '*') && n < 31) out[n++] = *p++;
  out[n] = 0;
  return p;
}

static const char *blanks(const char *p) {
  while (*p == ' ' || *p == ',' || *p == '.') p++;
  return p;
}

// Parses one bracketed list and collects the names of attributes.
static const char *brackets(const char *p, int *n, xlm_attr_key keys[XLM_RULE_KEYS]) {
  char name[32];
  for (p++; *p && *p != ']'; p = blanks(p)) {
    const char *next = word(p, name);
    if (next == p) {
      p++;
      continue;
    }
    p = next;
    if (*n < XLM_RULE_KEYS && xlm_attr_parse(name, &keys[*n])) (*n)++;
  }
  return *p ? p + 1 : p;
}

static const char *values(const char *p, xlm_layout_rule *r) {
  bool results = false;
  r->carry_in = r->carry_out = -1;
  for (p = blanks(p); *p && *p != '|'; p = blanks(p)) {
    if (*p == '-' && p[1] == '>') {
      results = true;
      p += 2;
    } else if (*p == '[') {
      int *count = results ? &r->n_out : &r->n_in;
      XLM_ASSERT(*count < XLM_RULE_VALUES, "layout rule with too many values");
      p = results ? brackets(p, &r->out[*count].n, r->out[*count].key)
                  : brackets(p, &r->in[*count].n, r->in[*count].key);
      if (*p == '+') *(results ? &r->carry_out : &r->carry_in) = *count;
      (*count)++;
    } else
      p++;
  }
  return p;
}

static void clauses(const char *p, const xlm_op *op, xlm_layout_rule *r) {
  char key[32], rule[32];
  while (*(p = blanks(p))) {
    p = word(p, key);
    XLM_ASSERT(*p == ':', "layout rule of %s: `%s` without a colon", op->name, key);
    p = word(blanks(p + 1), rule);
    xlm_split_rule found = XLM_SPLIT_FREE;
    for (size_t i = 0; i < sizeof rule_names / sizeof *rule_names; i++)
      if (!strcmp(rule, rule_names[i].name)) found = rule_names[i].rule;
    if (!strcmp(key, "*")) {
      r->sum_all |= found == XLM_SPLIT_SUM;
      r->linear |= !strcmp(rule, "linear");
      r->scaling |= !strcmp(rule, "scaling");
    } else if (xlm_attr_parse(key, &r->key[r->n_keys].key))
      r->key[r->n_keys++].rule = found;
    p = blanks(p);
    if (!strcmp(rule, "match")) p = word(p, key);
  }
}

xlm_layout_rule xlm_layout_parse(const xlm_op *op) {
  xlm_layout_rule r = {0};
  const char *p = values(op->layout, &r);
  if (*p == '|') clauses(p + 1, op, &r);
  return r;
}

xlm_split_rule xlm_layout_rule_of(const xlm_layout_rule *r, xlm_attr_key key) {
  for (int i = 0; i < r->n_keys; i++)
    if (r->key[i].key == key) return r->key[i].rule;
  return XLM_SPLIT_FREE;
}

static uint32_t optional(const xlm_op *op) { // the operands that it may take, as a set
  for (int i = 0; i < op->n_attrs; i++)
    if (op->attrs[i].key == XLM_A_operands) return op->attrs[i].among;
  return 0;
}

int xlm_layout_list(const xlm_op *op, const xlm_attrs *attrs, int n_in, int operand) {
  xlm_ints given = xlm_attr_ints(attrs, XLM_A_operands);
  int first = n_in - (int)given.n;
  if (operand < first) return operand;
  int64_t what = given.at[operand - first];
  return op->min_in + __builtin_popcount(optional(op) & (((uint32_t)1 << what) - 1));
}

bool xlm_layout_mentions(const xlm_layout_rule *r, bool result, int index, xlm_attr_key key) {
  int count = result ? r->n_out : r->n_in;
  if (index >= count) index = count - 1;
  if (index < 0) return false;
  int n = result ? r->out[index].n : r->in[index].n;
  const xlm_attr_key *keys = result ? r->out[index].key : r->in[index].key;
  for (int i = 0; i < n; i++)
    if (keys[i] == key) return true;
  return false;
}
