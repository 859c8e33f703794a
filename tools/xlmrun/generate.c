// xlmrun generate: text from a checkpoint, as it comes. Each token is one run of the eval segment over the
// window of the last `seq` tokens; what stands behind the end of the text does not matter to a causal model.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/philox.h"
#include "tools/xlmrun/choose.h"
#include "tools/xlmrun/corpus.h"
#include "tools/xlmrun/weights.h"

static const char usage[] = "usage: xlmrun generate [CHECKPOINT] [--prompt TEXT] [flags]\n"
                            "       xlmrun generate MODEL.xlm --init-from WEIGHTS [flags]";

typedef struct generator {
  session *s;
  bool bytes;             // a token is a byte
  int32_t *tokens;        // prompt and result
  int64_t n, first, cap;  // first: where the result begins
  uint32_t input, logits; // indices
  int64_t seq, vocab, seq_stride, vocab_stride;
  int64_t printed; // tokens of the result already shown
  float *row;
  choice *scratch;
} generator;

static xlm_status find_logits(generator *g) {
  const xlm_rank_plan *rp = g->s->plan->classes[0];
  for (uint32_t i = 0; i < rp->n_outputs; i++) {
    const xlm_plan_output *o = &rp->outputs[i];
    const xlm_type *t = &rp->tensors[o->tensor].type;
    if (!o->eval || strcmp(o->role, "output") || t->rank != 3) continue;
    int64_t stride = 1;
    g->seq = g->vocab = 0;
    for (int k = 2; k >= 0; k--) {
      const xlm_dim_info *d = &rp->dims[t->dim[k]];
      if (!strcmp(d->name, "seq"))
        g->seq = d->size, g->seq_stride = stride;
      else if (strcmp(d->name, "batch"))
        g->vocab = d->size, g->vocab_stride = stride;
      stride *= d->size;
    }
    g->logits = i;
    if (g->seq && g->vocab) return XLM_OK;
  }
  return xlm_fail(&g->s->err, XLM_USER,
                  "the model has no output [batch, seq, vocab] to choose tokens from: add `output logits`");
}

static xlm_status find_input(generator *g) {
  const xlm_rank_plan *rp = g->s->plan->classes[0];
  for (g->input = 0; g->input < rp->n_inputs; g->input++)
    if (!strcmp(rp->inputs[g->input].name, "tokens") && rp->inputs[g->input].eval_tensor) return XLM_OK;
  return xlm_fail(&g->s->err, XLM_USER, "the model has no input `tokens`");
}

static xlm_status read_prompt(generator *g) {
  const char *text = xlm_setting_text(g->s->settings, XLM_SET_prompt);
  int64_t limit = g->vocab;
  for (const char *p = text; *p;) {
    char *end;
    long long id = g->bytes ? (unsigned char)*p : strtoll(p, &end, 10);
    if (!g->bytes && end == p)
      return xlm_fail(&g->s->err, XLM_USER,
                      "--prompt: '%s' holds no token id; this model's tokens are numbers", p);
    if (id < 0 || id >= limit)
      return xlm_fail(&g->s->err, XLM_USER, "--prompt: token %lld is outside the vocabulary of %lld", id,
                      (long long)limit);
    g->tokens[g->n++] = (int32_t)id;
    p = g->bytes ? p + 1 : end;
    while (!g->bytes && (isspace((unsigned char)*p) || *p == ',')) p++;
  }
  if (!g->n) g->tokens[g->n++] = g->bytes && limit > '\n' ? '\n' : 0; // something to go on from
  g->first = *text ? 0 : g->n;
  return XLM_OK;
}

static void put_window(generator *g) {
  int64_t from = g->n > g->seq ? g->n - g->seq : 0;
  int32_t *at = xlm_exec_input(g->s->exec, g->input, true, 0);
  memset(at, 0, sizeof *at * (size_t)g->seq);
  memcpy(at, g->tokens + from, sizeof *at * (size_t)(g->n - from));
}

static void read_logits(generator *g) {
  const xlm_rank_plan *rp = g->s->plan->classes[0];
  int64_t position = (g->n < g->seq ? g->n : g->seq) - 1;
  const void *data = xlm_exec_output(g->s->exec, g->logits);
  bool half = rp->tensors[rp->outputs[g->logits].tensor].type.dtype == XLM_BF16;
  for (int64_t v = 0; v < g->vocab; v++) {
    int64_t at = position * g->seq_stride + v * g->vocab_stride;
    g->row[v] = half ? xlm_bf16_to_f32(((const uint16_t *)data)[at]) : ((const float *)data)[at];
  }
}

static void show_token(const generator *g, int32_t token) {
  if (g->bytes)
    putchar(token);
  else
    printf("%d ", token);
}

static void show_until(generator *g, int64_t end) {
  for (; g->printed < end; g->printed++) show_token(g, g->tokens[g->printed]);
  fflush(stdout);
}

// Where a stop text begins when the result ends in one; otherwise -1. *hold: tokens that may be the beginning
// of one.
static int64_t find_stop(const generator *g, int64_t first, int64_t *hold) {
  const xlm_setting_value *stops = &g->s->settings->value[XLM_SET_stop];
  *hold = 0;
  for (int i = 0; g->bytes && i < stops->n; i++) {
    int64_t n = (int64_t)strlen(stops->list[i]);
    for (int64_t have = n < g->n - first ? n : g->n - first; have > 0; have--) {
      bool same = true;
      for (int64_t k = 0; k < have && same; k++)
        same = g->tokens[g->n - have + k] == (unsigned char)stops->list[i][k];
      if (same && have == n) return g->n - n;
      if (same && have > *hold) *hold = have;
    }
  }
  return -1;
}

static xlm_status run(generator *g) {
  const xlm_run_settings *r = g->s->settings;
  int64_t most = xlm_setting_int(r, XLM_SET_max_tokens), begin = g->n, hold, stopped = -1;
  xlm_philox key = xlm_philox_key(g->s->options.seed, xlm_hash_text("generate"));
  g->printed = g->first;
  show_until(g, g->n);
  for (int64_t i = 0; i < most && stopped < 0; i++) {
    uint32_t draw[4];
    put_window(g);
    XLM_TRY(xlm_exec_eval(g->s->exec, (xlm_step_env){.seed = g->s->options.seed}, &g->s->err));
    read_logits(g);
    xlm_philox_draw(key, 0, (uint64_t)i, draw);
    int32_t token = choose_token(g->row, g->vocab, xlm_setting_float(r, XLM_SET_temperature),
                                 xlm_setting_int(r, XLM_SET_top_k), xlm_setting_float(r, XLM_SET_top_p),
                                 xlm_philox_unit(draw[0]), g->scratch);
    if (g->bytes && token == 0) break; // the end of a document
    g->tokens[g->n++] = token;
    stopped = find_stop(g, begin, &hold);
    if (stopped < 0) show_until(g, g->n - hold);
  }
  show_until(g, stopped >= 0 ? stopped : g->n);
  putchar('\n');
  return XLM_OK;
}

static xlm_status prepare(generator *g) {
  XLM_TRY(find_logits(g));
  XLM_TRY(find_input(g));
  g->bytes = session_tokens_are_bytes(g->s);
  g->cap = (int64_t)strlen(xlm_setting_text(g->s->settings, XLM_SET_prompt)) +
           xlm_setting_int(g->s->settings, XLM_SET_max_tokens) + 2;
  g->tokens = XLM_NEW_N(g->s->arena, int32_t, g->cap);
  g->row = XLM_NEW_N(g->s->arena, float, g->vocab);
  g->scratch = XLM_NEW_N(g->s->arena, choice, g->vocab);
  return read_prompt(g);
}

static xlm_status generate(session *s) {
  generator g = {.s = s};
  XLM_TRY(weights_open(s));
  XLM_TRY(session_compile(s, false, true, 1));
  XLM_TRY(prepare(&g));
  XLM_TRY(session_open(s));
  XLM_TRY(session_fill(s, true));
  return run(&g);
}

int command_generate(int argc, char *const *argv) {
  return session_run('g', usage, argc, argv, generate);
}
