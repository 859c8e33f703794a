// Compile-time arithmetic. Integers are exact (64 bits, overflow is an error); a quotient of integers is an
// integer if exact and real otherwise; everything else is a double.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"

xlm_number xlm_num_int(int64_t i) {
  return (xlm_number){true, i, (double)i};
}

xlm_number xlm_num_real(double v) {
  return (xlm_number){false, 0, v};
}

const char *xlm_num_text(xlm_arena *a, xlm_number n) {
  if (n.integer) return xlm_arena_printf(a, "%lld", (long long)n.i);
  char *text = xlm_arena_printf(a, "%.15g", n.v); // 10000, where the shortest form would be 1e+04
  return strtod(text, NULL) == n.v ? text : xlm_arena_printf(a, "%.17g", n.v);
}

static const char *real(double v, xlm_number *out) {
  if (!isfinite(v)) return "the result is not a finite number";
  *out = xlm_num_real(v);
  return NULL;
}

static const char *whole(bool overflow, int64_t v, xlm_number *out) {
  if (overflow) return "the result does not fit into 64 bits";
  *out = xlm_num_int(v);
  return NULL;
}

static const char *add(xlm_number a, xlm_number b, xlm_number *out) {
  int64_t r;
  if (!a.integer || !b.integer) return real(a.v + b.v, out);
  bool overflow = __builtin_add_overflow(a.i, b.i, &r);
  return whole(overflow, r, out);
}

static const char *sub(xlm_number a, xlm_number b, xlm_number *out) {
  int64_t r;
  if (!a.integer || !b.integer) return real(a.v - b.v, out);
  bool overflow = __builtin_sub_overflow(a.i, b.i, &r);
  return whole(overflow, r, out);
}

static const char *mul(xlm_number a, xlm_number b, xlm_number *out) {
  int64_t r;
  if (!a.integer || !b.integer) return real(a.v * b.v, out);
  bool overflow = __builtin_mul_overflow(a.i, b.i, &r);
  return whole(overflow, r, out);
}

static const char *divide(xlm_number a, xlm_number b, xlm_number *out) {
  if (b.v == 0) return "division by zero";
  bool even = a.integer && b.integer && b.i != -1 && a.i % b.i == 0;
  return even ? whole(false, a.i / b.i, out) : real(a.v / b.v, out);
}

static const char *mod(xlm_number a, xlm_number b, xlm_number *out) {
  if (b.v == 0) return "remainder of a division by zero";
  if (!a.integer || !b.integer) return "`%` is for whole numbers";
  if (b.i == -1) return whole(false, 0, out);
  int64_t r = a.i % b.i;
  return whole(false, r && (r < 0) != (b.i < 0) ? r + b.i : r, out);
}

static const char *power(xlm_number a, xlm_number b, xlm_number *out) {
  if (!a.integer || !b.integer || b.i < 0 || b.i > 64) return real(pow(a.v, b.v), out);
  int64_t r = 1;
  for (int64_t i = 0; i < b.i; i++)
    if (__builtin_mul_overflow(r, a.i, &r)) return whole(true, 0, out);
  return whole(false, r, out);
}

static int compare(xlm_number a, xlm_number b) {
  if (a.integer && b.integer) return (a.i > b.i) - (a.i < b.i);
  return (a.v > b.v) - (a.v < b.v);
}

static const char *truth(bool v, xlm_number *out) {
  return *out = xlm_num_int(v), NULL;
}
static const char *eq(xlm_number a, xlm_number b, xlm_number *out) {
  return truth(compare(a, b) == 0, out);
}
static const char *ne(xlm_number a, xlm_number b, xlm_number *out) {
  return truth(compare(a, b) != 0, out);
}
static const char *lt(xlm_number a, xlm_number b, xlm_number *out) {
  return truth(compare(a, b) < 0, out);
}
static const char *le(xlm_number a, xlm_number b, xlm_number *out) {
  return truth(compare(a, b) <= 0, out);
}
static const char *gt(xlm_number a, xlm_number b, xlm_number *out) {
  return truth(compare(a, b) > 0, out);
}
static const char *ge(xlm_number a, xlm_number b, xlm_number *out) {
  return truth(compare(a, b) >= 0, out);
}
static const char *both(xlm_number a, xlm_number b, xlm_number *out) {
  return truth(a.v != 0 && b.v != 0, out);
}
static const char *either(xlm_number a, xlm_number b, xlm_number *out) {
  return truth(a.v != 0 || b.v != 0, out);
}
static const char *matmul(xlm_number a, xlm_number b, xlm_number *out) {
  (void)a, (void)b, (void)out;
  return "`@` multiplies tensors; for numbers write `*`";
}

const char *xlm_num_binary(xlm_binary op, xlm_number a, xlm_number b, xlm_number *out) {
  static const char *(*const run[XLM_BIN_COUNT])(xlm_number, xlm_number, xlm_number *) = {
      [XLM_BIN_ADD] = add, [XLM_BIN_SUB] = sub,   [XLM_BIN_MUL] = mul,       [XLM_BIN_DIV] = divide,
      [XLM_BIN_MOD] = mod, [XLM_BIN_POW] = power, [XLM_BIN_MATMUL] = matmul, [XLM_BIN_EQ] = eq,
      [XLM_BIN_NE] = ne,   [XLM_BIN_LT] = lt,     [XLM_BIN_LE] = le,         [XLM_BIN_GT] = gt,
      [XLM_BIN_GE] = ge,   [XLM_BIN_AND] = both,  [XLM_BIN_OR] = either,
  };
  return run[op](a, b, out);
}

static const char *fn_sqrt(const xlm_number *x, xlm_number *out) {
  return real(sqrt(x->v), out);
}
static const char *fn_rsqrt(const xlm_number *x, xlm_number *out) {
  return real(1 / sqrt(x->v), out);
}
static const char *fn_exp(const xlm_number *x, xlm_number *out) {
  return real(exp(x->v), out);
}
static const char *fn_log(const xlm_number *x, xlm_number *out) {
  return real(log(x->v), out);
}
static const char *fn_sin(const xlm_number *x, xlm_number *out) {
  return real(sin(x->v), out);
}
static const char *fn_cos(const xlm_number *x, xlm_number *out) {
  return real(cos(x->v), out);
}
static const char *fn_tanh(const xlm_number *x, xlm_number *out) {
  return real(tanh(x->v), out);
}
static const char *fn_abs(const xlm_number *x, xlm_number *out) {
  return x->v < 0 ? sub(xlm_num_int(0), *x, out) : (*out = *x, NULL);
}
static const char *fn_square(const xlm_number *x, xlm_number *out) {
  return mul(*x, *x, out);
}
static const char *fn_min(const xlm_number *x, xlm_number *out) {
  return *out = x[compare(x[0], x[1]) > 0], NULL;
}
static const char *fn_max(const xlm_number *x, xlm_number *out) {
  return *out = x[compare(x[0], x[1]) < 0], NULL;
}

static const char *to_whole(double v, xlm_number *out) {
  return whole(!(fabs(v) < 9e18), fabs(v) < 9e18 ? (int64_t)v : 0, out);
}
static const char *fn_floor(const xlm_number *x, xlm_number *out) {
  return x->integer ? (*out = *x, NULL) : to_whole(floor(x->v), out);
}
static const char *fn_ceil(const xlm_number *x, xlm_number *out) {
  return x->integer ? (*out = *x, NULL) : to_whole(ceil(x->v), out);
}
static const char *fn_round(const xlm_number *x, xlm_number *out) {
  return x->integer ? (*out = *x, NULL) : to_whole(rint(x->v), out);
}

static const xlm_num_fn table[] = {
    {"sqrt", 1, fn_sqrt},   {"rsqrt", 1, fn_rsqrt}, {"exp", 1, fn_exp},     {"log", 1, fn_log},
    {"tanh", 1, fn_tanh},   {"abs", 1, fn_abs},     {"min", 2, fn_min},     {"max", 2, fn_max},
    {"floor", 1, fn_floor}, {"ceil", 1, fn_ceil},   {"round", 1, fn_round}, {"square", 1, fn_square},
    {"sin", 1, fn_sin},     {"cos", 1, fn_cos},
};

const char *xlm_number_function(int i) {
  return i < (int)(sizeof table / sizeof *table) ? table[i].name : NULL;
}

const xlm_num_fn *xlm_num_find(const char *name) {
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (strcmp(table[i].name, name) == 0) return &table[i];
  return NULL;
}
