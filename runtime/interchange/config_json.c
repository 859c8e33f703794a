// config.json, as Hugging Face's readers expect it: the dims and lets with public names, and per architecture
// what the model text does not say. A model of another kind gets the names alone.
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

static void put_architecture(xlm_json *j, const xlm_plan *p) {
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (strcmp(known[i].model, p->model)) continue;
    xlm_json_array(j, "architectures", XLM_JSON_ROW);
    xlm_json_put_text(j, NULL, known[i].architecture);
    xlm_json_close(j);
    xlm_json_put_text(j, "model_type", known[i].type);
    xlm_json_put_text(j, known[i].activation_key, known[i].activation);
    xlm_json_put_int(j, known[i].length_key, p->seq);
    return;
  }
  xlm_json_put_text(j, "model_type", p->model);
}

static void put_names(xlm_json *j, const xlm_plan_config *x) {
  for (int k = 0; k < x->n_aliases; k++) {
    if (x->integer)
      xlm_json_put_int(j, x->alias[k], (int64_t)x->value);
    else
      xlm_json_put_rounded(j, x->alias[k], x->value, 15);
  }
}

static bool has_head(const xlm_plan *p) {
  for (uint32_t i = 0; i < p->n_weights; i++)
    if (!strcmp(p->weights[i].external, "lm_head.weight")) return true;
  return false;
}

void xlm_config_print(const xlm_plan *p, xlm_text *out) {
  xlm_json j;
  xlm_json_to_text(&j, out);
  xlm_json_object(&j, NULL, XLM_JSON_LINES);
  put_architecture(&j, p);
  for (uint32_t i = 0; i < p->n_config; i++) put_names(&j, &p->config[i]);
  if (p->n_weights) xlm_json_put_bool(&j, "tie_word_embeddings", !has_head(p));
  xlm_json_put_text(&j, "torch_dtype", "float32");
  xlm_json_close(&j);
  xlm_text_add(out, "\n");
}
