// See examples.h. The generator is MT19937 (Matsumoto and Nishimura 1998, with init_by_array of 2002), which
// Python's random module uses, and the selection is that of its sample().
#include "runtime/evaluate/examples.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/text.h"
#include "runtime/evaluate/task_priv.h"

enum { N = 624, M = 397, SEED = 1234 };

typedef struct generator {
  uint32_t state[N];
  int at;
} generator;

// init_by_array of an array with one element.
static void seed(generator *g, uint32_t key) {
  uint32_t *s = g->state;
  int i = 1;
  s[0] = 19650218;
  for (int k = 1; k < N; k++) s[k] = 1812433253u * (s[k - 1] ^ s[k - 1] >> 30) + (uint32_t)k;
  for (int k = 0; k < N; k++) {
    s[i] = (s[i] ^ (s[i - 1] ^ s[i - 1] >> 30) * 1664525u) + key;
    if (++i == N) s[0] = s[N - 1], i = 1;
  }
  for (int k = 0; k < N - 1; k++) {
    s[i] = (s[i] ^ (s[i - 1] ^ s[i - 1] >> 30) * 1566083941u) - (uint32_t)i;
    if (++i == N) s[0] = s[N - 1], i = 1;
  }
  s[0] = 0x80000000u;
  g->at = N;
}

static uint32_t next(generator *g) {
  uint32_t *s = g->state;
  if (g->at == N) {
    for (int k = 0; k < N; k++) {
      uint32_t y = (s[k] & 0x80000000u) | (s[(k + 1) % N] & 0x7FFFFFFFu);
      s[k] = s[(k + M) % N] ^ y >> 1 ^ (y & 1 ? 0x9908B0DFu : 0);
    }
    g->at = 0;
  }
  uint32_t y = s[g->at++];
  y ^= y >> 11;
  y ^= y << 7 & 0x9D2C5680u;
  y ^= y << 15 & 0xEFC60000u;
  return y ^ y >> 18;
}

// A number below n, of as many bits as n has.
static int64_t below(generator *g, int64_t n) {
  int bits = 0;
  while (n >> bits) bits++;
  for (;;) {
    int64_t x = (int64_t)(next(g) >> (32 - bits));
    if (x < n) return x;
  }
}

static bool is_among(const int64_t *list, int64_t n, int64_t x) {
  for (int64_t i = 0; i < n; i++)
    if (list[i] == x) return true;
  return false;
}

// Indices of a sample of k among n. Python shuffles a copy of short lists, and draws again from long ones.
static void sample(generator *g, int64_t n, int64_t k, int64_t *pool, int64_t *out) {
  int64_t longest = 21, power = 1;
  while (power < 3 * k) power *= 4;
  if (k > 5) longest += power;
  for (int64_t i = 0; i < n && n <= longest; i++) pool[i] = i;
  for (int64_t i = 0; i < k; i++) {
    if (n <= longest) {
      int64_t j = below(g, n - i);
      out[i] = pool[j], pool[j] = pool[n - i - 1];
    } else {
      do out[i] = below(g, n);
      while (is_among(out, i, out[i]));
    }
  }
}

xlm_status xlm_items_add_examples(xlm_arena *a, const xlm_task *t, const xlm_items *examples, int64_t shots,
                                  xlm_items *items, xlm_error *err) {
  int64_t drawn = shots + t->rules->spare_example;
  if (examples->n < drawn)
    return xlm_fail(err, XLM_USER, "there are only %" PRId64 " examples%s", examples->n,
                    t->rules->spare_example ? ", of which one is left out" : "");
  generator *g = XLM_NEW(a, generator);
  int64_t *pool = XLM_NEW_N(a, int64_t, examples->n), *chosen = XLM_NEW_N(a, int64_t, drawn);
  seed(g, SEED);
  for (int64_t i = 0; i < items->n; i++) {
    xlm_item *item = &items->at[i];
    xlm_text text = xlm_text_new(a);
    sample(g, examples->n, drawn, pool, chosen);
    for (int64_t k = 0; k < shots; k++) {
      const xlm_item *e = &examples->at[chosen[k]];
      xlm_text_printf(&text, "%s%s\n\n", e->prompts[e->answer], e->texts[e->answer]);
    }
    const char *last = NULL, *made = NULL; // prompts that were one text stay one
    for (int j = 0; j < item->n; j++) {
      if (item->prompts[j] != last)
        last = item->prompts[j], made = xlm_arena_printf(a, "%s%s", text.data, last);
      item->prompts[j] = made;
    }
  }
  return XLM_OK;
}

xlm_status xlm_task_examples(xlm_arena *a, const xlm_task *t, const char *data, const char **out,
                             xlm_error *err) {
  const task_rules *r = t->rules;
  const char *slash = strrchr(data, '/'), *name = slash ? slash + 1 : data;
  xlm_text tried = xlm_text_new(a);
  if (!r->n_examples)
    return xlm_fail(err, XLM_USER,
                    "%s has no examples for its prompts: `examples` of a task says where they are", t->name);
  for (int i = 0; i < r->n_examples; i++) {
    const char *hit = strstr(name, r->examples[i].from);
    if (!hit) continue;
    *out = xlm_arena_printf(a, "%.*s%s%s", (int)(hit - data), data, r->examples[i].to,
                            hit + strlen(r->examples[i].from));
    if (!access(*out, R_OK)) return XLM_OK;
    xlm_text_printf(&tried, "%s'%s'", tried.n ? " or " : "", *out);
  }
  return xlm_fail(err, XLM_USER, "there are no examples for the prompts of %s beside '%s'%s%s", t->name, data,
                  tried.n ? ": there is no " : "", tried.data);
}
