// xlmrun export: weights as the files of other tools.
#include <stdio.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/interchange/export_folder.h"
#include "runtime/interchange/gguf.h"
#include "runtime/interchange/gguf_tokenizer.h"
#include "runtime/interchange/lora_merge.h"
#include "tools/xlmrun/corpus.h"
#include "tools/xlmrun/weights.h"

const char command_export_usage[] =
    "usage: xlmrun export [CHECKPOINT] --format FORMAT --output PATH [flags]\n"
    "       xlmrun export MODEL.xlm --init-from WEIGHTS --format FORMAT --output PATH [flags]\n\n"
    "safetensors: a folder, for transformers, vLLM and others. gguf: a file, for llama.cpp.";

static const char *const gguf = "gguf"; // the sections of the model text for such files

static const char *source_folder(const session *s) { // where a tokenizer may be beside the weights
  return s->checkpoint ? s->checkpoint->path : xlm_setting_text(s->settings, XLM_SET_init_from);
}

static xlm_status check_output(session *s, const char *path) {
  if (*path) return XLM_OK;
  return xlm_fail(&s->err, XLM_USER, "where to? give --output, a new folder (safetensors) or a file (gguf)");
}

// ---- safetensors ----

static xlm_status export_folder(session *s, const xlm_weights *w, const char *path) {
  const char *type = xlm_setting_text(s->settings, XLM_SET_export_type);
  xlm_st_dtype dtype = !strcmp(type, "bf16") ? XLM_ST_BF16 : !strcmp(type, "f16") ? XLM_ST_F16 : XLM_ST_F32;
  if (!strcmp(type, "q8_0"))
    return xlm_fail(&s->err, XLM_USER, "--type q8_0 is a type of gguf; safetensors have f32, bf16 and f16");
  return xlm_export_folder(path, s->plan, w, dtype, 0, source_folder(s), &s->err);
}

// ---- gguf ----

// The plan of the same model with the sections for such files.
static xlm_status plan_for(session *s, const char *section, const xlm_plan **out) {
  xlm_compile_options o = s->options;
  xlm_diags d;
  o.settings.section = section;
  xlm_diags_init(&d, s->arena, s->source);
  *out = s->source ? xlm_compile(s->arena, s->source, &o, &d, NULL, NULL).plan : NULL;
  if (*out && (*out)->weights_name) return XLM_OK;
  return xlm_fail(
      &s->err, XLM_USER,
      "the model `%s` has no section `weights %s`, which says how its weights are named and stored "
      "there (docs/weights.md); give a model text that has one: xlmrun export MODEL.xlm --init-from "
      "CHECKPOINT ..",
      s->plan->model, section);
}

static xlm_status put_tokenizer(session *s, xlm_gguf_keys *k) {
  const char *given = xlm_setting_text(s->settings, XLM_SET_tokenizer), *folder = source_folder(s);
  if (strcmp(given, "ids") != 0 && xlm_gguf_has_tokenizer(s->arena, folder))
    return xlm_gguf_put_tokenizer(k, s->arena, folder, corpus_vocab(s), &s->err);
  if (session_tokens_are_bytes(s))
    xlm_gguf_put_bytes_tokenizer(k);
  else
    xlm_gguf_put_no_tokenizer(k);
  return XLM_OK;
}

static xlm_status write_gguf(session *s, const xlm_plan *p, const xlm_weights *w, const char *path) {
  xlm_gguf_type type;
  xlm_gguf_keys tokens = xlm_gguf_keys_new(s->arena);
  if (!xlm_gguf_type_find(xlm_setting_text(s->settings, XLM_SET_export_type), &type)) type = XLM_GGUF_F32;
  XLM_TRY(put_tokenizer(s, &tokens));
  return xlm_gguf_write(path, p, w, type, &tokens, &s->err);
}

static xlm_status export_gguf(session *s, const char *path) {
  const xlm_plan *p;
  xlm_weights *w;
  XLM_TRY(plan_for(s, gguf, &p));
  XLM_TRY(xlm_file_can_replace(path, &s->err));
  XLM_TRY(xlm_weights_new(s->store, p, &w, &s->err));
  xlm_status status = write_gguf(s, p, w, path);
  xlm_weights_free(w);
  return status;
}

// ---- both ----

static double scale_of(void *arg, const char *param) {
  const xlm_train_options *o = arg;
  const xlm_lora *l = xlm_lora_of(o->lora, o->n_lora, param);
  return l ? l->alpha / (double)l->rank : 0;
}

static xlm_status write_out(session *s, const char *path) {
  xlm_weights *w;
  if (!strcmp(xlm_setting_text(s->settings, XLM_SET_export_format), gguf)) return export_gguf(s, path);
  XLM_TRY(xlm_weights_new(s->store, s->plan, &w, &s->err));
  xlm_status status = export_folder(s, w, path);
  xlm_weights_free(w);
  return status;
}

static xlm_status export(session *s) {
  const char *path = xlm_setting_text(s->settings, XLM_SET_export_output);
  XLM_TRY(weights_open(s));
  XLM_TRY(check_output(s, path));
  XLM_TRY(session_compile(s, false, true, 1));
  if (s->mpi) return xlm_fail(&s->err, XLM_USER, "export is one process: start it without mpirun");
  XLM_TRY(session_open(s));
  XLM_TRY(session_fill(s, true));
  XLM_TRY(xlm_lora_merge(s->store, scale_of, &s->options.train, &s->err));
  XLM_TRY(write_out(s, path));
  printf("%s\n", path);
  return XLM_OK;
}

int command_export(int argc, char *const *argv) {
  return session_run('x', command_export_usage, argc, argv, export);
}
