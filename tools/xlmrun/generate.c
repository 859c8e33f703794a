// xlmrun generate: streams text from a checkpoint. Each token is one run of the eval segment over the window
// of the last `seq` tokens; positions after the end of the text do not affect a causal model.
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/philox.h"
#include "tools/xlmrun/choose.h"
#include "tools/xlmrun/run_tokenizer.h"
#include "tools/xlmrun/visible.h"
#include "tools/xlmrun/weights.h"
#include "tools/xlmrun/writer.h"

const char command_generate_usage[] = "usage: xlmrun generate [CHECKPOINT] [--prompt TEXT] [flags]\n"
                            "       xlmrun generate MODEL.xlm --init-from WEIGHTS [flags]";

// What fills an input: the tokens so far, which are one document.
typedef enum filling { NOTHING, TOKENS, POSITIONS, ZEROS } filling;

static filling filling_of(const xlm_plan_input *in) {
  if (!xlm_input_is_data(in->role) || in->shift) return NOTHING;
  if (in->role == XLM_INPUT_TOKENS) return TOKENS;
  return !strcmp(in->source, "positions") ? POSITIONS : !strcmp(in->source, "documents") ? ZEROS : NOTHING;
}

typedef struct part { // the part of a tensor [batch, seq] or [batch, seq, vocab] on one rank of this process
  int member;
  uint32_t index; // index in the rank's inputs or outputs
  filling with;   // of an input
  const xlm_type *type;
  const xlm_dim_info *seq; // NULL: it has no such dimension
  int64_t stride;          // of seq
  int64_t first_vocab, vocab, vocab_stride;
  size_t bytes; // per element
  char *local;  // inputs: the whole tensor; logits: the range that contains one position
  int64_t n;    // number of elements in it
} part;

typedef struct generator {
  session *s;
  xlm_tokenizer *tokenizer; // NULL: none
  bool bytes;               // a token is a byte
  int32_t *tokens;          // prompt and result
  int64_t n, first, cap;    // first: start of the result
  part *inputs, *logits;    // of local ranks that have row 0
  int n_inputs, n_logits;
  int64_t seq, vocab, choices;
  writer out;
  int64_t told, since; // tokens whose text was written; where a text begins that they end
  float *row, *rows;   // logits of one position; the parts of all processes, NaN elsewhere
  choice *scratch;
} generator;

// false: this rank does not have row 0.
static bool read_part(const xlm_rank_plan *rp, const xlm_type *t, part *out) {
  int64_t stride = 1;
  out->type = t;
  out->bytes = xlm_dtype_bytes(t->dtype);
  for (int k = t->rank - 1; k >= 0; k--) {
    const xlm_dim_info *d = &rp->dims[t->dim[k]];
    if (!strcmp(d->name, "seq"))
      out->seq = d, out->stride = stride;
    else if (strcmp(d->name, "batch"))
      out->first_vocab = d->offset, out->vocab = d->size, out->vocab_stride = stride;
    else if (d->offset || !d->size)
      return false;
    stride *= d->size;
  }
  return out->seq && out->seq->size > 0;
}

static void take_memory(generator *g) {
  for (int i = 0; i < g->n_inputs; i++) {
    part *p = &g->inputs[i];
    p->n = xlm_type_elements(p->type, xlm_exec_rank_plan(xlm_team_exec(g->s->team, p->member))->dims);
    p->local = XLM_NEW_N(g->s->arena, char, (size_t)p->n * p->bytes);
  }
  for (int i = 0; i < g->n_logits; i++) {
    part *p = &g->logits[i];
    p->n = p->vocab ? (p->vocab - 1) * p->vocab_stride + 1 : 0;
    p->local = XLM_NEW_N(g->s->arena, char, (size_t)p->n * p->bytes);
  }
}

static bool is_logits(const xlm_rank_plan *rp, const xlm_plan_output *o) {
  return o->eval && o->role == XLM_OUTPUT_OUTPUT && rp->tensors[o->tensor].type.rank == 3;
}

// The first output of that shape, by name, and its full sizes: the same in every process.
static const char *find_logits(generator *g) {
  const xlm_plan *p = g->s->plan;
  for (uint32_t c = 0; c < p->n_rank_plans; c++)
    for (uint32_t i = 0; i < p->rank_plans[c]->n_outputs; i++) {
      const xlm_rank_plan *rp = p->rank_plans[c];
      if (!is_logits(rp, &rp->outputs[i])) continue;
      const xlm_type *t = &rp->tensors[rp->outputs[i].tensor].type;
      g->seq = g->vocab = 0;
      for (int k = 0; k < 3; k++) {
        const xlm_dim_info *d = &rp->dims[t->dim[k]];
        if (!strcmp(d->name, "seq"))
          g->seq = d->full;
        else if (strcmp(d->name, "batch"))
          g->vocab = d->full;
      }
      if (g->seq && g->vocab) return rp->outputs[i].name;
    }
  return NULL;
}

static void find_parts(generator *g, const char *logits) {
  int n = xlm_team_size(g->s->team);
  uint32_t inputs = 0;
  for (int m = 0; m < n; m++) inputs += xlm_exec_rank_plan(xlm_team_exec(g->s->team, m))->n_inputs;
  g->inputs = XLM_NEW_N(g->s->arena, part, inputs);
  g->logits = XLM_NEW_N(g->s->arena, part, n);
  for (int m = 0; m < n; m++) {
    const xlm_rank_plan *rp = xlm_exec_rank_plan(xlm_team_exec(g->s->team, m));
    for (uint32_t i = 0; i < rp->n_inputs; i++) {
      const xlm_plan_input *in = &rp->inputs[i];
      part p = {.member = m, .index = i, .with = filling_of(in)};
      if (p.with && in->eval_tensor && read_part(rp, &rp->tensors[in->eval_tensor].type, &p))
        g->inputs[g->n_inputs++] = p;
    }
    for (uint32_t i = 0; i < rp->n_outputs; i++) {
      part p = {.member = m, .index = i};
      if (is_logits(rp, &rp->outputs[i]) && !strcmp(rp->outputs[i].name, logits) &&
          read_part(rp, &rp->tensors[rp->outputs[i].tensor].type, &p))
        g->logits[g->n_logits++] = p;
    }
  }
}

static void put_token(generator *g, int32_t id) {
  XLM_PUSH(g->s->arena, g->tokens, g->n, g->cap, id);
}

static xlm_status read_ids(generator *g, const char *text) {
  for (const char *p = text; *p;) {
    char *end;
    long long id = g->bytes ? (unsigned char)*p : strtoll(p, &end, 10);
    if (!g->bytes && end == p)
      return xlm_fail(&g->s->err, XLM_USER,
                      "--prompt: '%s' is not a list of token ids; this model's tokens are numbers, unless "
                      "--tokenizer FILE names its tokenizer",
                      p);
    if (id < 0 || id >= g->vocab)
      return xlm_fail(&g->s->err, XLM_USER, "--prompt: token %lld is outside the vocabulary of %lld", id,
                      (long long)g->vocab);
    put_token(g, (int32_t)id);
    p = g->bytes ? p + 1 : end;
    while (!g->bytes && (isspace((unsigned char)*p) || *p == ',')) p++;
  }
  return XLM_OK;
}

// With the tokens that the tokenizer puts before a text, such as <s>; those are not shown.
static xlm_status encode_prompt(generator *g, const char *text) {
  const int32_t *before;
  xlm_tokens ids = {0};
  int n = xlm_tokenizer_before(g->tokenizer, &before);
  for (int i = 0; i < n; i++) put_token(g, before[i]);
  g->first = g->n;
  xlm_status status = xlm_tokenizer_encode(g->tokenizer, text, strlen(text), &ids, &g->s->err);
  for (int64_t i = 0; i < ids.n; i++) put_token(g, ids.at[i]);
  xlm_tokens_free(&ids);
  return status;
}

// A token to start from, where there is no prompt.
static int32_t first_token(const generator *g) {
  if (!g->tokenizer) return g->bytes && g->vocab > '\n' ? '\n' : 0;
  int32_t bos = xlm_tokenizer_special(g->tokenizer, XLM_TOKEN_BOS),
          eos = xlm_tokenizer_special(g->tokenizer, XLM_TOKEN_EOS);
  return bos >= 0 ? bos : eos >= 0 ? eos : 0;
}

static xlm_status read_prompt(generator *g) {
  const char *text = xlm_setting_text(g->s->settings, XLM_SET_prompt);
  XLM_TRY(g->tokenizer ? encode_prompt(g, text) : read_ids(g, text));
  if (!g->n) put_token(g, first_token(g));
  if (!*text) g->first = g->n;
  return XLM_OK;
}

static xlm_status put_window(generator *g) {
  int64_t from = g->n > g->seq ? g->n - g->seq : 0;
  for (int i = 0; i < g->n_inputs; i++) {
    const part *p = &g->inputs[i];
    int32_t *to = (int32_t *)p->local;
    for (int64_t c = 0; c < p->seq->size; c++) {
      int64_t at = from + xlm_dim_global(p->seq, c);
      to[c * p->stride] = p->with == POSITIONS             ? (int32_t)(at - from)
                          : p->with == ZEROS || at >= g->n ? 0
                                                           : g->tokens[at];
    }
    XLM_TRY(xlm_exec_put_input(xlm_team_exec(g->s->team, p->member), p->index, true, 0, to,
                               (size_t)p->n * p->bytes, &g->s->err));
  }
  return XLM_OK;
}

static xlm_status read_part_of_row(generator *g, const part *p, int64_t position, float *row) {
  int64_t here = xlm_dim_local(p->seq, position);
  if (here < 0 || !p->n) return XLM_OK;
  XLM_TRY(xlm_exec_get_output(xlm_team_exec(g->s->team, p->member), p->index,
                              (size_t)(here * p->stride) * p->bytes, p->local, (size_t)p->n * p->bytes,
                              &g->s->err));
  for (int64_t v = 0; v < p->vocab; v++) {
    int64_t at = v * p->vocab_stride;
    row[p->first_vocab + v] = p->type->dtype == XLM_BF16 ? xlm_bf16_to_f32(((const uint16_t *)p->local)[at])
                                                         : ((const float *)p->local)[at];
  }
  return XLM_OK;
}

// The logits may be split over ranks and be in other processes.
static xlm_status read_logits(generator *g) {
  int64_t position = (g->n < g->seq ? g->n : g->seq) - 1;
  for (int64_t v = 0; v < g->vocab; v++) g->row[v] = NAN;
  for (int i = 0; i < g->n_logits; i++) XLM_TRY(read_part_of_row(g, &g->logits[i], position, g->row));
  XLM_TRY(xlm_team_share(g->s->team, g->row, sizeof(float) * (size_t)g->vocab, g->rows, &g->s->err));
  for (int k = xlm_team_processes(g->s->team) - 1; k >= 0; k--)
    for (int64_t v = 0; v < g->vocab; v++)
      if (!isnan(g->rows[k * g->vocab + v])) g->row[v] = g->rows[k * g->vocab + v];
  return XLM_OK;
}

// The text of tokens depends on those before: that of [since, n) begins with that of [since, told). One that
// ends within a character waits for the next token.
static bool show_text(generator *g, bool last) {
  xlm_arena *a = xlm_arena_child(g->s->arena);
  xlm_text before = xlm_text_new(a), all = xlm_text_new(a), whole = xlm_text_new(a);
  xlm_tokenizer_decode(g->tokenizer, g->tokens + g->since, g->told - g->since, &before);
  xlm_tokenizer_decode(g->tokenizer, g->tokens + g->since, g->n - g->since, &all);
  bool cut = all.n >= 3 && !memcmp(all.data + all.n - 3, "\xEF\xBF\xBD", 3);
  cut = cut || visible_add(&whole, all.data, all.n, false) < all.n;
  bool stopped = false;
  if ((!cut || last) && all.n > before.n) {
    stopped = writer_add(&g->out, all.data + before.n, all.n - before.n);
    g->since = g->told, g->told = g->n;
  }
  xlm_arena_free(a);
  return stopped;
}

static bool show_ids(generator *g) {
  bool stopped = false;
  for (; g->told < g->n && !stopped; g->told++) {
    char byte = (char)g->tokens[g->told], id[16];
    int n = snprintf(id, sizeof id, "%d ", g->tokens[g->told]);
    stopped = g->bytes ? writer_add(&g->out, &byte, 1) : writer_add(&g->out, id, (size_t)n);
  }
  return stopped;
}

// Shows the tokens that are new; true: a stop text has appeared.
static bool show_new(generator *g, bool last) {
  return g->tokenizer ? show_text(g, last) : show_ids(g);
}

static bool ends_text(const generator *g, int32_t token) {
  return g->tokenizer ? token == xlm_tokenizer_special(g->tokenizer, XLM_TOKEN_EOS) : g->bytes && token == 0;
}

static xlm_status next_token(generator *g, int64_t i, int32_t *token) {
  const xlm_run_settings *r = g->s->settings;
  xlm_philox key = xlm_philox_key(g->s->options.seed, xlm_hash_text("generate"));
  uint32_t draw[4];
  XLM_TRY(put_window(g));
  XLM_TRY(xlm_team_eval(g->s->team, (xlm_step_env){.seed = g->s->options.seed}, &g->s->err));
  XLM_TRY(read_logits(g));
  xlm_philox_draw(key, 0, (uint64_t)i, draw);
  *token = choose_token(g->row, g->choices, xlm_setting_float(r, XLM_SET_temperature),
                        xlm_setting_int(r, XLM_SET_top_k), xlm_setting_float(r, XLM_SET_top_p),
                        xlm_philox_unit(draw[0]), g->scratch);
  return XLM_OK;
}

static xlm_status run(generator *g) {
  const xlm_setting_value *stops = &g->s->settings->value[XLM_SET_stop];
  int64_t most = xlm_setting_int(g->s->settings, XLM_SET_max_tokens);
  bool stopped = false;
  int32_t token;
  writer_open(&g->out, g->s->arena);
  g->since = g->told = g->first;
  show_new(g, true);
  writer_stop_at(&g->out, // not in the prompt
                 g->tokenizer || g->bytes ? stops->list : NULL, stops->n);
  for (int64_t i = 0; i < most && !stopped; i++) {
    XLM_TRY(next_token(g, i, &token));
    if (ends_text(g, token)) break;
    put_token(g, token);
    stopped = show_new(g, false);
  }
  if (!stopped) show_new(g, true);
  writer_close(&g->out);
  return XLM_OK;
}

static const char *dims_text(generator *g, const xlm_rank_plan *rp, const xlm_type *type) {
  xlm_text t = xlm_text_new(g->s->arena);
  xlm_text_add(&t, "[");
  for (int k = 0; k < type->rank; k++)
    xlm_text_printf(&t, "%s%s", k ? ", " : "", rp->dims[type->dim[k]].name);
  xlm_text_add(&t, "]");
  return t.data;
}

static xlm_status no_logits(generator *g) {
  const xlm_plan *p = g->s->plan;
  for (uint32_t c = 0; c < p->n_rank_plans; c++)
    for (uint32_t i = 0; i < p->rank_plans[c]->n_outputs; i++) {
      const xlm_rank_plan *rp = p->rank_plans[c];
      const xlm_plan_output *o = &rp->outputs[i];
      if (!o->eval || o->role != XLM_OUTPUT_OUTPUT) continue;
      return xlm_fail(
          &g->s->err, XLM_USER,
          "the model generates no text: its output `%s` is %s, and tokens are chosen from an output with "
          "the dimensions batch, seq and the vocabulary; `xlmrun eval` computes its loss and metrics",
          o->name, dims_text(g, rp, &rp->tensors[o->tensor].type));
    }
  return xlm_fail(&g->s->err, XLM_USER,
                  "the model has no output [batch, seq, vocab] to choose tokens from: add `output logits`");
}

// The plan has the inputs that its outputs depend on.
static xlm_status check_inputs(const generator *g) {
  const xlm_plan *p = g->s->plan;
  for (uint32_t c = 0; c < p->n_rank_plans; c++)
    for (uint32_t i = 0; i < p->rank_plans[c]->n_inputs; i++) {
      const xlm_plan_input *in = &p->rank_plans[c]->inputs[i];
      if (xlm_input_is_data(in->role) && !filling_of(in))
        return xlm_fail(
            &g->s->err, XLM_USER,
            "the outputs depend on the input `%s`, and generate has only the tokens so far: it is for "
            "models that need nothing else",
            in->name);
    }
  return XLM_OK;
}

static xlm_status prepare(generator *g) {
  const char *logits = find_logits(g);
  if (!logits) return no_logits(g);
  if (!corpus_vocab(g->s))
    return xlm_fail(&g->s->err, XLM_USER,
                    "`generate` continues a stream of tokens, and no input of the model is one (`input "
                    "tokens[batch, seq] of vocab`): it reads records");
  XLM_TRY(check_inputs(g));
  find_parts(g, logits);
  take_memory(g);
  XLM_TRY(run_tokenizer_open(g->s, &g->tokenizer));
  g->bytes = !g->tokenizer && session_tokens_are_bytes(g->s);
  g->choices = g->tokenizer ? xlm_tokenizer_size(g->tokenizer) : g->vocab; // a vocabulary may be padded
  g->row = XLM_NEW_N(g->s->arena, float, g->vocab);
  g->rows = XLM_NEW_N(g->s->arena, float, g->vocab *xlm_team_processes(g->s->team));
  g->scratch = XLM_NEW_N(g->s->arena, choice, g->vocab);
  return read_prompt(g);
}

static xlm_status generate(session *s) {
  generator g = {.s = s};
  XLM_TRY(weights_open(s));
  if (s->saved)
    return xlm_fail(&s->err, XLM_USER,
                    "'%s' is a plan for training; generate plans its own windows: give a checkpoint, or the "
                    "model with --init-from WEIGHTS",
                    s->saved);
  XLM_TRY(session_compile(s, false, true, 1));
  XLM_TRY(session_open(s));
  XLM_TRY(prepare(&g));
  XLM_TRY(session_fill(s, true));
  xlm_status status = run(&g);
  xlm_tokenizer_close(g.tokenizer);
  return status;
}

int command_generate(int argc, char *const *argv) {
  return session_run('g', command_generate_usage, argc, argv, generate);
}
