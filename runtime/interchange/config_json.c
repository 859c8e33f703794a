// config.json, as Hugging Face's readers expect it: the dims and lets with public names, and per architecture
// what the model text does not say. A model of another kind gets the names alone.
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/interchange/config_json.h"

static const struct {
  const char *model, *type, *architecture, *activation_key, *activation, *length_key;
} known[] = {
    {"llama", "llama", "LlamaForCausalLM", "hidden_act", "silu", "max_position_embeddings"},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", "hidden_act", "silu", "max_position_embeddings"},
    {"mixtral", "mixtral", "MixtralForCausalLM", "hidden_act", "silu", "max_position_embeddings"},
    {"gpt2", "gpt2", "GPT2LMHeadModel", "activation_function", "gelu_new", "n_positions"},
};

static bool add_architecture(json_t *c, const xlm_plan *p) {
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (strcmp(known[i].model, p->model)) continue;
    return !json_object_set_new(c, "architectures", json_pack("[s]", known[i].architecture)) &&
           !json_object_set_new(c, "model_type", json_string(known[i].type)) &&
           !json_object_set_new(c, known[i].activation_key, json_string(known[i].activation)) &&
           !json_object_set_new(c, known[i].length_key, json_integer(p->seq));
  }
  return !json_object_set_new(c, "model_type", json_string(p->model));
}

static bool add_names(json_t *c, const xlm_plan_config *x) {
  bool whole = x->integer && fabs(x->value) < 9e15, ok = true;
  for (int k = 0; k < x->n_aliases; k++)
    ok &= !json_object_set_new(c, x->alias[k],
                               whole ? json_integer((json_int_t)x->value) : json_real(x->value));
  return ok;
}

static bool has_head(const xlm_plan *p) {
  for (uint32_t i = 0; i < p->n_weights; i++)
    if (!strcmp(p->weights[i].external, "lm_head.weight")) return true;
  return false;
}

char *xlm_config_text(const xlm_plan *p) {
  json_t *c = json_object();
  bool ok = c && add_architecture(c, p);
  for (uint32_t i = 0; i < p->n_config; i++) ok = ok && add_names(c, &p->config[i]);
  if (p->n_weights) ok = ok && !json_object_set_new(c, "tie_word_embeddings", json_boolean(!has_head(p)));
  ok = ok && !json_object_set_new(c, "torch_dtype", json_string("float32"));
  char *text = ok ? json_dumps(c, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(15)) : NULL;
  json_t *back = text ? json_loads(text, 0, NULL) : NULL; // jansson goes on when memory fails within a text
  if (!back || !json_equal(back, c)) free(text), text = NULL;
  json_decref(back);
  json_decref(c);
  return text;
}
